"""The pages of the documentation site, as Zensical builds them.

python tools/docs_site.py          write the pages to build/docs
python tools/docs_site.py --serve  show the site on localhost, and follow changes, until Ctrl-C

Zensical reads one folder and runs no hooks, while the pages of the repository link to files all
over it. So that they read well on GitHub too, the pages are copied to one folder, where a link to
another page leads to its copy, and a link to any other file of the repository leads to GitHub.
"""

import ast
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parents[1]
OUTPUT = ROOT / "build/docs"
REPOSITORY = "https://github.com/qwen-vl/qwen-vl"

PAGES = {
    "README.md": "overview.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changes.md",
    ".github/SECURITY.md": "security.md",
    "integrations/langchain/README.md": "packages/langchain-qwen-vl.md",
    "integrations/llama-index/README.md": "packages/llama-index-llms-qwen-vl.md",
    "integrations/llama-index-vision-tests/README.md": "packages/llama-index-vision-tests.md",
    "integrations/sandbox/README.md": "packages/qwen-vl-sandbox.md",
}
"""Pages outside `docs`, by their path in the repository, and their path on the site."""

FOLDERS = {
    "qwen_vl": "src",
    "langchain_qwen_vl": "integrations/langchain",
    "llama_index": "integrations/llama-index",
    "qwen_vl_sandbox": "integrations/sandbox",
}
"""Where the packages are found, by the first part of their names."""

CORE = {
    "client": ("Client and settings", ["client", "settings", "connection", "request", "reply"]),
    "content": ("Content", ["content"]),
    "grounding": ("Grounding", ["grounding"]),
    "documents": ("Documents", ["documents"]),
    "ocr": ("OCR", ["ocr"]),
    "embedding": ("Embeddings and reranking", ["embedding"]),
    "tokens": ("Models, tokens and prices", ["specs", "tokens"]),
}
"""The pages about the names of `qwen_vl`: a title, and the modules that define the names."""

PACKAGES = {
    "langchain": ("LangChain API", ["langchain_qwen_vl"]),
    "llama-index": (
        "LlamaIndex API",
        [
            "llama_index.llms.qwen_vl",
            "llama_index.embeddings.qwen_vl",
            "llama_index.postprocessor.qwen_vl",
            "llama_index.multi_modal_llms.qwen_vl",
        ],
    ),
    "bulk": ("Bulk, batch files and Ray", ["qwen_vl.bulk", "qwen_vl.batches", "qwen_vl.ray"]),
    "retrieval": ("Retrieval", ["qwen_vl.retrieval", "qwen_vl.retrieval_eval"]),
    "sandbox": ("Sandbox API", ["qwen_vl_sandbox"]),
}
"""The pages about all names of packages: a title, and the packages."""

WITH_INHERITED = frozenset({"QwenVLSettings"})
"""Classes whose fields stand in base classes that are not public."""

SHARES_SETTINGS = ("ChatQwenVL", "QwenVL")
"""Classes with the fields of `QwenVLSettings`: one list of them is enough for a search."""

_CODE_OR_LINK = re.compile(
    r"^(?P<fence> *```+).*?^(?P=fence)[ ]*$|(?P<ticks>`+)(?!`).*?(?<!`)(?P=ticks)(?!`)"
    r"|\]\((?P<target>[^()\s]+)\)",
    re.MULTILINE | re.DOTALL,
)
_FENCE_OR_HEADING = re.compile(
    r"^(?P<fence> *```+).*?^(?P=fence) *$|^#{1,6} (?P<heading>[^\n]+)$", re.MULTILINE | re.DOTALL
)


def find_pages(root: Path) -> dict[Path, Path]:
    """Return the files that are part of the site, with their paths in its folder.

    Args:
        root: The repository.
    """
    docs = root / "docs"
    pages = {
        path: name.with_suffix(".md") if path.suffix in _TO_MARKDOWN else name
        for path in docs.rglob("*")
        for name in [path.relative_to(docs)]
        # Caches of Python and Jupyter.
        if path.is_file() and not any(part.startswith((".", "__")) for part in name.parts)
    }
    pages |= {root / source: Path(name) for source, name in PAGES.items()}
    return dict(sorted(pages.items()))


def read_page(source: Path, root: Path) -> str | None:
    """Return a page in Markdown; `None` for other files.

    Args:
        source: A file of the repository: a page, a notebook with its outputs, or a script whose
            docstring is the page's text.
        root: The repository.
    """
    if source.suffix not in _TO_MARKDOWN:
        return source.read_text("utf-8") if source.suffix == ".md" else None
    url = f"{REPOSITORY}/blob/main/{source.relative_to(root).as_posix()}"
    page = _TO_MARKDOWN[source.suffix](source.read_text("utf-8"))
    return f"{page}\n\n[`{source.name}`]({url}) on GitHub.\n"


def _notebook_to_markdown(text: str) -> str:
    parts = []
    for cell in json.loads(text)["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        parts += map(_output_to_markdown, cell["outputs"])
    return "\n\n".join(parts)


def _output_to_markdown(output: Mapping[str, Any]) -> str:
    data = output.get("data", {"text/plain": output.get("text", "")})
    held = {media_type: "".join(lines) for media_type, lines in data.items()}
    if html := held.get("text/html"):
        # One line, as an empty one would end the block, and tables as those of other pages.
        html = re.sub(
            r"<style.*?</style>|(?<=<table) [^>]*| style=\"[^\"]*\"", "", html, flags=re.DOTALL
        )
        return f'<div class="output">{"".join(map(str.strip, html.splitlines()))}</div>'
    for media_type in ("image/png", "image/jpeg"):
        if encoded := held.get(media_type):
            return f'<p><img alt="Output" src="data:{media_type};base64,{encoded.strip()}"></p>'
    return f"```text\n{held['text/plain'].rstrip()}\n```"


def _script_to_markdown(text: str) -> str:
    docstring = ast.get_docstring(ast.parse(text)) or ""
    title, _, about = docstring.partition("\n")
    code = text.partition('"""')[2].partition('"""')[2].strip()
    return f"# {title.rstrip('.')}\n\n{about.strip()}\n\n```python\n{code}\n```"


_TO_MARKDOWN = {".ipynb": _notebook_to_markdown, ".py": _script_to_markdown}
"""How files of other kinds become pages, by their ending."""


def rewrite_links(text: str, source: Path, root: Path, pages: Mapping[Path, Path]) -> str:
    """Return a page whose links work on the site.

    Args:
        text: The page, in Markdown.
        source: Its file in the repository, which its links are relative to.
        root: The repository.
        pages: What `find_pages` returned.
    """
    here = pages[source].parent

    def rewrite(match: re.Match[str]) -> str:
        file = _find_file(match["target"], source, root)
        if file and file in pages:
            linked = Path(os.path.relpath(pages[file], here)).as_posix()
        elif file and file.exists():
            kind = "tree" if file.is_dir() else "blob"
            linked = f"{REPOSITORY}/{kind}/main/{file.relative_to(root).as_posix()}"
        else:
            return match[0]
        _, hash_mark, anchor = match["target"].partition("#")
        return f"]({linked}{hash_mark}{anchor})"

    return _CODE_OR_LINK.sub(rewrite, text)


def find_broken_links(root: Path, pages: Mapping[Path, Path]) -> list[str]:
    """Return the links of all pages to files that do not exist, as `page: link`.

    Zensical reports missing pages and anchors, but neither images nor other files.

    Args:
        root: The repository.
        pages: What `find_pages` returned.
    """
    return [
        f"{source.relative_to(root).as_posix()}: {match['target']}"
        for source in pages
        for match in _CODE_OR_LINK.finditer(read_page(source, root) or "")
        for file in [_find_file(match["target"], source, root)]
        if file and not file.exists()
    ]


def _find_file(target: str | None, source: Path, root: Path) -> Path | None:
    path = (target or "").partition("#")[0]
    # The packages' own pages are shown on PyPI, where only URLs lead to other files.
    ours = re.match(rf"{re.escape(REPOSITORY)}/(?:blob|tree)/main/", path)
    if not path or (not ours and re.match(r"[a-z]+:", path)):
        return None
    base = root / path[ours.end() :] if ours else source.parent / path
    return Path(os.path.normpath(unquote(str(base))))


def mark_repeated_headings(text: str) -> str:
    """Return a page whose repeated headings have the anchors that they have on GitHub.

    Args:
        text: The page, in Markdown.
    """
    seen: Counter[str] = Counter()

    def mark(match: re.Match[str]) -> str:
        if match["heading"] is None:
            return match[0]
        words = re.sub(r"\]\([^)]*\)", "", match["heading"]).lower()
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        seen[slug] += 1
        return match[0] if seen[slug] == 1 else f"{match[0]} {{ #{slug}-{seen[slug] - 1} }}"

    return _FENCE_OR_HEADING.sub(mark, text)


def read_exports(module: str, root: Path) -> dict[str, str]:
    """Return the public names of a package, each with the module that it is imported from.

    The package is not imported, so that building the site needs none of its dependencies.

    Args:
        module: A package with `__all__`, such as `qwen_vl.bulk`.
        root: The repository.
    """
    folder = root / FOLDERS[module.partition(".")[0]]
    tree = ast.parse((folder / module.replace(".", "/") / "__init__.py").read_text("utf-8"))
    homes = {
        alias.asname or alias.name: node.module or module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    names = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    )
    return {name: homes.get(name, module) for name in names if not name.startswith("__")}


def write_api_pages(root: Path) -> Iterator[tuple[str, str]]:
    """Yield the pages of the API reference: their paths on the site, and their text.

    Raises:
        ValueError: No page shows a public name of `qwen_vl`.
    """
    by_part: defaultdict[str, list[str]] = defaultdict(list)
    for name, home in read_exports("qwen_vl", root).items():
        by_part[home.split(".")[1]].append(name)
    for page, (title, parts) in CORE.items():
        names = [name for part in parts for name in by_part.pop(part)]
        yield f"api/{page}.md", _api_page(title, {"qwen_vl": names})
    # `qwen_vl` exports some of them, and its other modules raise the rest.
    by_part.pop("errors")
    yield "api/errors.md", _api_page("Error classes", {"qwen_vl.errors": _read_classes(root)})
    if by_part:
        raise ValueError(f"Add these to CORE, so that a page shows them: {dict(by_part)}")
    for page, (title, modules) in PACKAGES.items():
        names_by_module = {module: list(read_exports(module, root)) for module in modules}
        yield f"api/{page}.md", _api_page(title, names_by_module)


def _read_classes(root: Path) -> list[str]:
    tree = ast.parse((root / "src/qwen_vl/errors.py").read_text("utf-8"))
    names = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
    return [name for name in names if not name.startswith("_")]


def _api_page(title: str, names_by_module: Mapping[str, list[str]]) -> str:
    has_sections = len(names_by_module) > 1
    sections = [f"# {title}"]
    for module, names in names_by_module.items():
        if has_sections:
            sections.append(f"## {module}")
        sections.append(f"Import these names from `{module}`.")
        sections += [
            f"`{name}` also has the fields of [`QwenVLSettings`][qwen_vl.QwenVLSettings]."
            for name in SHARES_SETTINGS
            if name in names
        ]
        for name in names:
            options = {"heading_level": 3} if has_sections else {}
            if name in WITH_INHERITED:
                options["inherited_members"] = True
            lines = [f"      {option}: {json.dumps(value)}" for option, value in options.items()]
            heading = ["    options:"] if lines else []
            sections.append("\n".join([f"::: {module}.{name}", *heading, *lines]))
    return "\n\n".join([*sections, ""])


def write_pages(root: Path, output: Path) -> None:
    """Write all pages of the site to a folder, and remove what was there before.

    Args:
        root: The repository.
        output: The folder that Zensical reads.
    """
    pages = find_pages(root)
    contents: dict[Path, bytes] = {}
    for source, name in pages.items():
        page = read_page(source, root)
        if page is None:
            contents[output / name] = source.read_bytes()
        else:
            text = rewrite_links(page, source, root, pages)
            contents[output / name] = mark_repeated_headings(text).encode()
    contents |= {output / name: text.encode() for name, text in write_api_pages(root)}
    for file in [path for path in output.rglob("*") if path.is_file()]:
        if file not in contents:
            file.unlink()
    for file, content in contents.items():
        # What has not changed keeps its time: the preview builds what is newer.
        if not file.is_file() or file.read_bytes() != content:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)


def main() -> None:
    """Write the pages; with `--serve`, again each second while Zensical shows the site."""
    write_pages(ROOT, OUTPUT)
    if sys.argv[1:] != ["--serve"]:
        if broken := find_broken_links(ROOT, find_pages(ROOT)):
            sys.exit("\n".join(["Links to files that do not exist:", *broken]))
        return
    with subprocess.Popen([sys.executable, "-m", "zensical", "serve"], cwd=ROOT) as server:
        try:
            while server.poll() is None:
                time.sleep(1)
                write_pages(ROOT, OUTPUT)
        except KeyboardInterrupt:
            server.terminate()


if __name__ == "__main__":
    main()
