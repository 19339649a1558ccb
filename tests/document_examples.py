"""The Python examples of the documents, as the tests run them and as type checkers see them.

`python tests/document_examples.py` checks each document as one program: with `mypy --strict`, with
mypy as this project configures it, which has pydantic's plugin, and with pyright. Errors name the
document and its line.
"""

import ast
import asyncio
import doctest
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from types import CodeType

from sybil import Document, Example
from sybil.evaluators.python import pad
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser
from sybil.typing import Parser

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "docs/sources.md"
"""A page without examples."""
LIVE = ROOT / "docs/live.md"
"""What `make live` writes, if it was run; without examples too."""
DOCUMENTS = [
    ROOT / "README.md",
    *sorted(ROOT.glob("integrations/*/README.md")),
    *sorted(set(ROOT.glob("docs/**/*.md")) - {SOURCES, LIVE}),
]
NOTEBOOKS = sorted(ROOT.glob("docs/examples/*.ipynb"))
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

_PYRIGHT = {"typeCheckingMode": "standard"}
# PyAV has annotations, but not on everything; pandas and Datasets have none.
_STRICT = ("--strict", "--untyped-calls-exclude=av", "--disable-error-code=import-untyped")
_MYPY = ("mypy", "--no-error-summary")
# Jupyter allows `await` and `async for` outside of functions.
_OUTSIDE_FUNCTION = re.compile(
    r'"await" outside function|"await" allowed only within async'
    r'|"async (?:for|with)" outside async|"async" not allowed outside of async'
)


def parse_document(path: Path, *parsers: Parser) -> Document:
    """Find the examples of a document, those in Python and what other parsers look for.

    Args:
        path: A Markdown file.
        *parsers: Of other kinds of examples.
    """
    python = PythonCodeBlockParser(doctest_optionflags=FLAGS)
    python.codeblock_parser = CodeBlockParser("python", _run_block)
    return Document.parse(str(path), python, *parsers)


def _run_block(example: Example) -> None:
    """Run a block as Jupyter does, with `await` outside of functions."""
    source = pad(example.parsed, example.line + example.parsed.line_offset)
    code = compile_program(source, example.path)
    running = eval(code, example.namespace)  # noqa: S307 - of this project's documents
    if code.co_flags & inspect.CO_COROUTINE:
        asyncio.run(running)


def compile_program(source: str, name: str) -> CodeType:
    """Compile a program that may have `await` outside of functions.

    Args:
        source: Python.
        name: File that errors are in.
    """
    return compile(source, name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)


def to_program(path: Path) -> str:
    """Return the Python examples of a document, each line at its line in the document.

    Args:
        path: A Markdown file; or a notebook, of which the cells follow each other.
    """
    if path.suffix == ".ipynb":
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        return "\n\n".join([*code, ""])
    lines: list[str] = []
    for example in parse_document(path).examples():
        parsed = example.parsed
        if isinstance(parsed, doctest.Example):
            # Sybil's line is that of the `>>>`.
            source, start = parsed.source, example.line - 1
        else:
            # And here that of the fence.
            source, start = parsed, example.line + parsed.line_offset
        lines += [""] * (start - len(lines))
        lines += source.splitlines()
    return "\n".join([*lines, ""])


def name_documents() -> dict[str, Path]:
    """Return all documents with examples, and notebooks, by their paths in the project."""
    return {path.relative_to(ROOT).as_posix(): path for path in [*DOCUMENTS, *NOTEBOOKS]}


def find_type_errors(documents: Mapping[str, Path]) -> list[str]:
    """Check the examples of documents with mypy and pyright.

    Args:
        documents: Markdown files and notebooks, by the names that errors give them.

    Returns:
        Each error as `document:line: message`.

    Raises:
        RuntimeError: A type checker did not run.
    """
    names = {re.sub(r"\W", "_", name) + ".py": name for name in documents}
    assert len(names) == len(documents), "two documents have the same name"
    with TemporaryDirectory() as created:
        folder = Path(created).resolve()
        for program, name in names.items():
            (folder / program).write_text(to_program(documents[name]), encoding="utf-8")
        (folder / "pyrightconfig.json").write_text(json.dumps(_PYRIGHT))
        files = [str(folder / program) for program in names]
        cache = f"--cache-dir={ROOT / '.mypy_cache/examples'}"
        output = [
            *_run([*_MYPY, "--config-file=", *_STRICT, cache, *files]).splitlines(),
            # In the cache of the project, which `make types` has just filled.
            *_run([*_MYPY, *files]).splitlines(),
            *_read_pyright(
                _run(
                    [
                        "pyright",
                        "--outputjson",
                        "--project",
                        str(folder),
                        "--pythonpath",
                        sys.executable,
                    ]
                )
            ),
        ]
    found = [line for line in output if not _OUTSIDE_FUNCTION.search(line)]
    return list(dict.fromkeys(_name_document(line, names) for line in found))


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, check=False, text=True
    )
    # Both exit with 1 where there are errors in what they checked, as Python does without them.
    if done.returncode not in {0, 1} or done.stderr:
        raise RuntimeError(f"{command[0]} did not run:\n{done.stdout}{done.stderr}")
    return done.stdout


def _read_pyright(output: str) -> list[str]:
    return [
        f"{found['file']}:{found['range']['start']['line'] + 1}: "
        f"{found['severity']}: {found['message']}  [{found.get('rule', 'syntax')}]"
        for found in json.loads(output)["generalDiagnostics"]
        # The value of a `>>>` is printed, though nothing uses it.
        if found.get("rule") != "reportUnusedExpression"
    ]


def _name_document(line: str, names: Mapping[str, str]) -> str:
    path, colon, rest = line.partition(":")
    return f"{names.get(Path(path).name, path)}{colon}{rest}"


def main() -> None:
    """Check all documents, and exit with the errors."""
    errors = find_type_errors(name_documents())
    if errors:
        sys.exit("\n".join([*errors, f"Type errors in the documents: {len(errors)}"]))


if __name__ == "__main__":
    main()
