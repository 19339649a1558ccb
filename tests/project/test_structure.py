"""The layout: imports without cycles, lazy ones included, and few modules at each level."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

pytestmark = pytest.mark.any_version

ROOT = Path(__file__).parents[2]
SOURCES = (
    ROOT / "src",
    *(ROOT / "integrations" / name for name in ("sandbox", "langchain", "llama-index")),
    ROOT / "integrations/llama-index-vision-tests",
)
MAX_FLAT_MODULES = 12


def find_modules() -> dict[str, Path]:
    return {
        name.removesuffix(".__init__"): path
        for source in SOURCES
        for path in source.rglob("*.py")
        for name in [".".join(path.relative_to(source).with_suffix("").parts)]
    }


def find_imports(tree: ast.Module, modules: Mapping[str, Path]) -> Iterator[str]:
    """Find what a module imports: at its top, in functions, and for type checkers."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if inner in modules:
                    yield inner
                elif node.module in modules:
                    yield node.module


def find_cycles(graph: Mapping[str, set[str]]) -> list[set[str]]:
    """Find the sets of modules that import one another, in a circle of any length."""
    reachable = {name: set(imported) for name, imported in graph.items()}
    for middle in graph:
        for name in graph:
            if middle in reachable[name]:
                reachable[name] |= reachable[middle]
    circles = {
        frozenset(other for other in reachable[name] if name in reachable[other])
        for name in graph
        if name in reachable[name]
    }
    return [set(circle) for circle in circles]


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    modules = find_modules()
    return {
        name: set(find_imports(ast.parse(path.read_text(encoding="utf-8")), modules)) - {name}
        for name, path in modules.items()
    }


def test_imports_have_no_cycles(graph: dict[str, set[str]]) -> None:
    assert len(graph) > 150
    assert find_cycles(graph) == []


def test_cycles_are_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}

    assert find_cycles(graph) == [{"a", "b", "c"}]


def test_lazy_imports_count() -> None:
    tree = ast.parse("def f():\n    from qwen_vl import client\n    import qwen_vl.reply\n")
    modules = find_modules()

    assert set(find_imports(tree, modules)) == {"qwen_vl.client", "qwen_vl.reply"}


@pytest.mark.parametrize("folder", ["src/qwen_vl", "integrations/sandbox/qwen_vl_sandbox"])
def test_few_modules_stand_outside_of_a_folder(folder: str) -> None:
    assert len(list((ROOT / folder).glob("*.py"))) <= MAX_FLAT_MODULES


def test_thin_modules_have_more_than_one_importer(graph: dict[str, set[str]]) -> None:
    """Except where a reason is given."""
    modules = find_modules()
    thin = {
        name
        for name, path in modules.items()
        if path.name != "__init__.py"
        and len(path.read_text(encoding="utf-8").splitlines()) < 60
        and sum(name in imported for imported in graph.values()) == 1
    }
    assert thin <= {
        # Beside `messages` and `blocks`: what LlamaIndex calls tools, and nothing else.
        "llama_index.llms.qwen_vl.tools",
        # One of the suite's classes a module.
        "llama_index_vision_tests.failures",
        # What the sandbox says is on a page, apart from how it is written.
        "qwen_vl_sandbox.answers.page_contents",
        # What needs the extra `ocr`, apart from what does not.
        "qwen_vl_sandbox.answers.word_vectors",
        # The one place where the endpoint meets the OCR engine, which `media` knows nothing of.
        "qwen_vl_sandbox.media.text",
        # Geometry, apart from how a model writes it.
        "qwen_vl_sandbox.ocr.find",
        # Of videos, for the drawing of timelines.
        "qwen_vl.media.video.thumbnails",
        # How a connection is kept; the transport's other modules know nothing of streams.
        "qwen_vl.transport.drain",
    }
