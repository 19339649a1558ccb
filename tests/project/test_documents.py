"""The documents tell the truth: examples run, commands work, links lead somewhere.

Examples run against the sandbox in a folder of sample media, as one program per document. What a
document shows as output is compared: after `>>>`, in a `text` block below a `python` block, and
below a `$` command in a `console` block. There is no way to skip an example.
"""

import ast
import doctest
import re
import shlex
import shutil
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib import import_module
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from langchain_core._api import LangChainBetaWarning
from markdown_it import MarkdownIt
from markdown_it.token import Token
from PIL import Image, ImageChops, ImageStat
from sybil import Example
from sybil.parsers.markdown import CodeBlockParser

from audio_samples import make_wav
from company_network import serve_company_network
from document_examples import (
    DOCUMENTS,
    FLAGS,
    ROOT,
    SOURCES,
    compile_program,
    parse_document,
    to_program,
)
from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA, COFFEE, ROCKET
from qwen_vl_sandbox import Sandbox
from trace_server import serve_traces

LINKED = [
    *DOCUMENTS,
    SOURCES,
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "src/qwen_vl/samples/README.md",
]
PACKAGES = {
    "qwen_vl": ROOT / "src/qwen_vl",
    "qwen_vl_sandbox": ROOT / "integrations/sandbox/qwen_vl_sandbox",
    "langchain_qwen_vl": ROOT / "integrations/langchain/langchain_qwen_vl",
    "llama_index.embeddings.qwen_vl": ROOT
    / "integrations/llama-index/llama_index/embeddings/qwen_vl",
    "llama_index.llms.qwen_vl": ROOT / "integrations/llama-index/llama_index/llms/qwen_vl",
    "llama_index.multi_modal_llms.qwen_vl": ROOT
    / "integrations/llama-index/llama_index/multi_modal_llms/qwen_vl",
    "llama_index.postprocessor.qwen_vl": ROOT
    / "integrations/llama-index/llama_index/postprocessor/qwen_vl",
    "llama_index_vision_tests": ROOT
    / "integrations/llama-index-vision-tests/llama_index_vision_tests",
}

MEDIA = {
    "cat.png": CHELSEA,
    "coffee.png": COFFEE,
    "photo.jpg": ROCKET,
    "walk.mp4": BIG_BUCK_BUNNY,
    **{f"frames/{number:03}.jpg": ROCKET for number in range(1, 9)},
}
"""The files that the documents ask about."""

READING = ROOT / "docs/sandbox.md"
"""The page whose examples read text. CI has OCR with the newest dependencies only."""

RAY = ROOT / "docs/ray.md"
"""The page whose examples need Ray, which only `make check` installs."""

APPS = {
    ROOT / "docs/data.md": "datasets",
    ROOT / "docs/observability.md": "langfuse",
    ROOT / "docs/processes.md": "celery",
    ROOT / "docs/web-apps.md": "streamlit",
}
"""Pages whose examples need packages of the group `apps`, which only `make check` installs."""


@contextmanager
def _copy_pages(folder: Path) -> Iterator[None]:
    # Other processes run the text of their examples.
    for name in ("processes.md", "web-apps.md"):
        shutil.copyfile(ROOT / "docs" / name, folder / name)
    yield


SERVERS: dict[Path, Callable[[Path], AbstractContextManager[object]]] = {
    ROOT / "docs/network.md": serve_company_network,
    ROOT / "docs/observability.md": serve_traces,
    ROOT / "docs/processes.md": _copy_pages,
    ROOT / "docs/web-apps.md": _copy_pages,
}
"""What the examples of a page need beside the sandbox."""

KEY = "sk-sandbox-0123456789"
NOT_RUN = frozenset({"cd", "export", "pip", "python", "ray", "vllm"})
"""Commands that change the machine, wait for Ctrl-C, or need a GPU."""

FRONT_PAGE = ROOT / "README.md"
START_PAGES = (FRONT_PAGE, ROOT / "docs/index.md")
"""They show images that the examples of other pages make."""


def _mark(path: Path) -> Any:
    """Return a page with its marks: all but the front page are slow."""
    marks: list[pytest.MarkDecorator] = []
    if path != FRONT_PAGE:
        marks += [pytest.mark.slow, pytest.mark.example]
    if path == RAY:
        # It takes half a minute to start.
        marks.append(pytest.mark.timeout(300))
    if path == RAY or path in APPS:
        # They warn of themselves.
        marks.append(pytest.mark.filterwarnings("ignore"))
    return pytest.param(path, marks=marks)


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.fixture
def desk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qwen_vl_sandbox: Sandbox
) -> Iterator[Path]:
    """A working folder with the documents' files, where `ChatQwenVL()` asks the sandbox."""
    for name, sample in MEDIA.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(sample, tmp_path / name)
    (tmp_path / "call.wav").write_bytes(make_wav(3.0))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DASHSCOPE_API_KEY", KEY)
    monkeypatch.setenv("DASHSCOPE_COMPATIBLE_BASE_URL", qwen_vl_sandbox.base_url)
    with warnings.catch_warnings():
        # LangChain's own word about `langchain_core.load`, repeated in the document that uses it.
        warnings.simplefilter("ignore", LangChainBetaWarning)
        yield tmp_path


def _run_examples(path: Path, capsys: pytest.CaptureFixture[str]) -> Counter[str]:
    """Run a document from its top to its end, and count its examples by kind.

    Raises:
        AssertionError: The document has no example, or what it shows does not come.
    """
    kinds: Counter[str] = Counter()

    def check_printed(example: Example) -> None:
        _check_output(example, example.parsed, capsys.readouterr().out)

    document = parse_document(
        path,
        CodeBlockParser("text", check_printed),
        CodeBlockParser("bash", _run_bash),
        CodeBlockParser("console", _run_console),
        CodeBlockParser("diff", _run_change),
    )
    document.namespace["__name__"] = "example"
    for example in document.examples():
        kind = example.region.lexemes["arguments"] if example.region.lexemes else "doctest"
        kinds[kind] += 1
        if kind != "text":
            capsys.readouterr()
        example.evaluate()
    assert kinds["python"] + kinds["doctest"], f"{path.name} has no Python example"
    return kinds


def _run_bash(example: Example) -> None:
    for line in _commands(example.parsed):
        code, output = _run(line)
        assert code == 0, f"{_at(example)}: {line}\n{output}"


def _run_change(example: Example) -> None:
    """Run a program as it is after a change; what it was before only has to be Python."""
    lines = example.parsed.splitlines()
    assert all(line[:1] in {"", " ", "+", "-"} for line in lines), f"{_at(example)}: no diff"
    before, after = (
        "\n".join(line[1:] for line in lines if line[:1] != sign) for sign in ("+", "-")
    )
    compile(before, _at(example), "exec")
    exec(compile(after, _at(example), "exec"), {"__name__": "example"})  # noqa: S102 - our pages.


def _run_console(example: Example) -> None:
    shown = re.split(r"^\$ ", example.parsed, flags=re.MULTILINE)
    assert shown[0] == "", f"{_at(example)}: a console block begins with `$ `"
    code = 0
    for entry in shown[1:]:
        line, _, expected = entry.partition("\n")
        if line == "echo $?":
            assert expected.strip() == str(code), f"{_at(example)}: the exit code is {code}"
            code = 0
            continue
        assert code == 0, f"{_at(example)}: the command before {line!r} failed"
        code, output = _run(line)
        _check_output(example, expected, output)
    assert code == 0, f"{_at(example)}: {output}"


def _commands(block: str) -> list[str]:
    lines = block.replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


def _run(line: str) -> tuple[int, str]:
    """Run a command if it is ours, and check that the others are what they seem."""
    program, *arguments = shlex.split(line, comments=True)
    if program == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert set(arguments) <= set(targets), f"The Makefile has no target of {line!r}"
        return 0, ""
    if program != "qwen-vl":
        assert program in NOT_RUN, f"{line!r} is neither run nor known"
        return 0, ""
    if arguments == ["sandbox"] or arguments[:2] == ["sandbox", "--port"]:
        return 0, ""
    with warnings.catch_warnings():
        # Older releases of typer use names that newer ones of click deprecate.
        warnings.simplefilter("ignore", DeprecationWarning)
        app, testing = import_module("qwen_vl.cli.app").app, import_module("typer.testing")
        result = testing.CliRunner().invoke(app, arguments, catch_exceptions=False)
    return result.exit_code, result.output


def _check_output(example: Example, expected: str, got: str) -> None:
    plain = "\n".join(line.rstrip() for line in got.splitlines()) + "\n"
    is_same = doctest.OutputChecker().check_output(expected.strip() + "\n", plain, FLAGS)
    assert is_same, f"{_at(example)} shows\n{expected}\nbut it prints\n{got}"


def _at(example: Example) -> str:
    return f"{Path(example.path).name}:{example.line}"


@pytest.mark.parametrize("path", [_mark(path) for path in DOCUMENTS], ids=_name)
def test_examples_run(path: Path, desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if path == RAY and find_spec("ray") is None:
        pytest.skip('needs: pip install "qwen-vl[ray]"')
    if path in APPS and find_spec(APPS[path]) is None:
        pytest.skip("needs: uv pip install --group apps")
    if path == READING and find_spec("rapidocr") is None:
        pytest.skip('needs: pip install "qwen-vl[sandbox-ocr]"')
    with SERVERS.get(path, nullcontext)(desk):
        _run_examples(path, capsys)
    _check_pictures(path, desk)


def _shown(path: Path) -> set[Path]:
    return {(path.parent / unquote(link.partition("#")[0])).resolve() for link in _links(path)}


def _check_pictures(path: Path, desk: Path) -> None:
    """Check that the pictures that a document shows are those that its examples make."""
    for link in _links(path):
        shown = (path.parent / unquote(link.partition("#")[0])).resolve()
        # What a benchmark found is never the same twice.
        if shown.suffix != ".png" or shown.parent.name == "speed":
            continue
        made = desk / shown.name
        if not made.is_file() and path in START_PAGES:
            others = [page for page in DOCUMENTS if page not in START_PAGES]
            assert any(shown in _shown(page) for page in others), f"nothing makes {link}"
            continue
        assert made.is_file(), f"{_name(path)} shows {link}, which none of its examples makes"
        with Image.open(shown) as old, Image.open(made) as new:
            assert old.size == new.size, f"{link} is outdated"
            difference = ImageChops.difference(old.convert("RGB"), new.convert("RGB"))
            # Decoders and fonts differ a little from version to version.
            assert max(ImageStat.Stat(difference).mean) < 3, f"{link} is outdated"


@pytest.mark.usefixtures("desk")
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("# Nothing\n\nOnly words.\n", "no Python example"),
        ("```python\nassert 1 == 2, 'one is not two'\n```\n", "one is not two"),
        ("```python\n>>> 1 + 1\n3\n```\n", "Expected:"),
        ("```python\nprint('a cat')\n```\n\n```text\na dog\n```\n", "a dog"),
        ("```bash\nqwen-vl ask 'What?' nowhere.png\n```\n", "nowhere.png"),
        ("```console\n$ qwen-vl --version\n999.0\n```\n", "999.0"),
        ("```diff\n-import cat\n+assert not 1, 'one is true'\n```\n", "one is true"),
        ("```bash\nmake coffee\n```\n", "no target"),
        ("```bash\nrm -r /\n```\n", "neither run nor known"),
    ],
    ids=["empty", "assert", "doctest", "printed", "bash", "console", "diff", "make", "unknown"],
)
def test_document_that_is_wrong_is_found(
    text: str, problem: str, desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = desk / "wrong.md"
    path.write_text(text)

    # The failure of a `>>>` example is an AssertionError too.
    with pytest.raises(AssertionError, match=re.escape(problem)):
        _run_examples(path, capsys)


@pytest.mark.parametrize("path", DOCUMENTS, ids=_name)
def test_examples_can_be_pasted_into_a_notebook(path: Path) -> None:
    # Where a loop runs already, `asyncio.run` is an error.
    assert "asyncio.run(" not in to_program(path)


def test_await_outside_of_functions_is_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "page.md"
    path.write_text(
        "```python\nimport asyncio\n\nn = await asyncio.sleep(0, 7)\n```\n\n"
        "```python\nprint(n, await asyncio.sleep(0, 8))\n```\n\n```text\n7 8\n```\n"
    )

    assert _run_examples(path, capsys)["python"] == 2


def test_every_document_with_python_is_checked() -> None:
    folders = ("docs", "integrations", "src", "tests")
    pages = [
        *ROOT.glob("*.md"),
        *(page for name in folders for page in (ROOT / name).rglob("*.md")),
    ]
    with_python = {page for page in pages if "```python" in page.read_text()}
    assert with_python == set(DOCUMENTS)


def test_program_has_each_line_where_the_document_has_it(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(
        "# One\n\n```python\nn = 1\n```\n\n```bash\nmake test\n```\n\n```python\n>>> n\n1\n"
        ">>> for _ in 'ab':\n...     n += 1\n```\n\n"
        "<!--- invisible-code-block: python\nn = 0\n-->\n"
    )
    expected = {4: "n = 1", 12: "n", 14: "for _ in 'ab':", 15: "    n += 1", 19: "n = 0"}

    program = to_program(path).splitlines()

    assert {number: line for number, line in enumerate(program, 1) if line} == expected


@pytest.mark.parametrize("path", DOCUMENTS, ids=_name)
def test_line_numbers_of_the_document_are_kept(path: Path) -> None:
    lines = path.read_text().splitlines()
    program = to_program(path)

    compile_program(program, path.name)
    assert program.strip()
    for line, code in zip(lines, program.splitlines(), strict=False):
        assert code in {"", line, line[len(">>> ") :]}


@pytest.mark.parametrize("path", DOCUMENTS, ids=_name)
def test_programs_that_are_not_run_compile(path: Path) -> None:
    for token in _tokens(path):
        if token.info == "py":
            compile(token.content, path.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def test_documents_are_all_reachable_from_the_first() -> None:
    linked = {(ROOT / target.partition("#")[0]).resolve() for target in _links(DOCUMENTS[0])}
    assert {path.resolve() for path in [*DOCUMENTS[1:], SOURCES]} <= linked


@pytest.mark.parametrize("path", LINKED, ids=_name)
def test_links_lead_somewhere(path: Path) -> None:
    assert _broken_links(path) == []


def test_broken_links_are_found(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("# One two\n\n[a](#one-two) [b](#three) [c](gone.md) [d](page.md#one-two)\n")

    assert _broken_links(path) == ["#three", "gone.md"]


@pytest.mark.parametrize("path", LINKED, ids=_name)
def test_tables_have_whole_rows(path: Path) -> None:
    lines = path.read_text().splitlines()
    for token in _tokens(path):
        if token.type == "table_open" and token.map:
            widths = {len(re.findall(r"(?<!\\)\|", line)) for line in lines[slice(*token.map)]}
            assert len(widths) == 1, f"{_name(path)}:{token.map[0] + 1} has rows of {widths} bars"


@pytest.mark.parametrize("name", ["docs/how-it-works.md", "CONTRIBUTING.md", ".github/SECURITY.md"])
def test_files_that_a_page_names_exist(name: str) -> None:
    named = set(re.findall(r"`(?:…/)?([\w/-]+\.py)`", (ROOT / name).read_text()))
    roots = [ROOT / name for name in ("src", "integrations", "tests", "tools")]
    known = [path.as_posix() for root in roots for path in root.rglob("*.py")]

    assert named
    assert [file for file in named if not any(path.endswith(f"/{file}") for path in known)] == []


def _broken_links(path: Path) -> list[str]:
    broken = []
    for link in _links(path):
        target, _, anchor = link.partition("#")
        file = (path.parent / unquote(target)).resolve() if target else path
        if not file.exists() or (anchor and anchor not in _anchors(file)):
            broken.append(link)
    return broken


def _links(path: Path) -> list[str]:
    """Give the relative links of a document, in order."""
    links = [
        str(token.attrs["href" if token.type == "link_open" else "src"])
        for outer in _tokens(path)
        for token in outer.children or ()
        if token.type in {"link_open", "image"}
    ]
    return [link for link in links if not re.match(r"[a-z]+:", link)]


def _anchors(path: Path) -> set[str]:
    """Give the anchors of a document's headings, made as GitHub makes them."""
    seen: Counter[str] = Counter()
    anchors = set()
    tokens = _tokens(path)
    for opening, heading in pairwise(tokens):
        if opening.type != "heading_open":
            continue
        words = "".join(token.content for token in heading.children or ())
        slug = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        anchors.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return anchors


def _tokens(path: Path) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(path.read_text())


def _modules_with_examples() -> list[str]:
    return [
        ".".join([package, *file.relative_to(folder).with_suffix("").parts]).removesuffix(
            ".__init__"
        )
        for package, folder in PACKAGES.items()
        for file in sorted(folder.rglob("*.py"))
        if re.search(r"^ +>>> ", file.read_text(), re.MULTILINE)
    ]


@pytest.mark.parametrize("module", _modules_with_examples())
def test_docstring_examples_run(module: str) -> None:
    results = doctest.testmod(import_module(module), optionflags=doctest.ELLIPSIS)

    assert results.attempted
    assert not results.failed


def test_docstrings_have_examples() -> None:
    modules = _modules_with_examples()
    assert all(any(module.startswith(package) for module in modules) for package in PACKAGES)
