"""The pages of the documentation site, before Zensical builds them."""

import json
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from docs_site import (
    PACKAGES,
    find_broken_links,
    find_pages,
    mark_repeated_headings,
    read_page,
    rewrite_links,
    write_api_pages,
    write_pages,
)
from document_examples import LIVE, ROOT

pytestmark = pytest.mark.any_version

IMAGES = ROOT / "docs/images.md"
GITHUB = "https://github.com/qwen-vl/qwen-vl"


def find_nav_pages(entries: list[Any]) -> Iterator[str]:
    for entry in entries:
        for value in entry.values():
            if isinstance(value, str):
                # Zensical writes a page with an anchor as a link that leads nowhere.
                yield value
            else:
                yield from find_nav_pages(value)


def test_each_page_is_in_the_navigation() -> None:
    config = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))
    pages = find_pages(ROOT)
    pages.pop(LIVE, None)
    written = {name.as_posix() for name in pages.values() if name.suffix == ".md"}

    assert set(find_nav_pages(config["project"]["nav"])) == {
        *written,
        *(name for name, _ in write_api_pages(ROOT)),
    }


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("[a](videos.md#uploads)", "[a](videos.md#uploads)"),
        ("[a](#formats)", "[a](#formats)"),
        ("[a](https://example.com/docs/videos.md)", "[a](https://example.com/docs/videos.md)"),
        ("[a](../README.md#install)", "[a](overview.md#install)"),
        ("[a](../integrations/sandbox/README.md)", "[a](packages/qwen-vl-sandbox.md)"),
        ("[a](../src/qwen_vl/errors.py)", f"[a]({GITHUB}/blob/main/src/qwen_vl/errors.py)"),
        ("[a](../src/qwen_vl)", f"[a]({GITHUB}/tree/main/src/qwen_vl)"),
        (f"[a]({GITHUB}/blob/main/docs/videos.md#uploads)", "[a](videos.md#uploads)"),
        (f"[a]({GITHUB}/issues)", f"[a]({GITHUB}/issues)"),
        ("[two\nlines](../README.md)", "[two\nlines](overview.md)"),
        ("![a](grounding/cat-found.png)", "![a](grounding/cat-found.png)"),
        ("[a](gone.md)", "[a](gone.md)"),
        ("[a](../src/gone.py)", "[a](../src/gone.py)"),
        ("`[a](../README.md)`", "`[a](../README.md)`"),
        ("```python\n[a](../README.md)\n```", "```python\n[a](../README.md)\n```"),
    ],
)
def test_links_lead_to_pages_or_to_the_repository(link: str, expected: str) -> None:
    assert rewrite_links(link, IMAGES, ROOT, find_pages(ROOT)) == expected


def test_links_to_files_that_do_not_exist_are_found(tmp_path: Path) -> None:
    page = tmp_path / "docs/page.md"
    page.parent.mkdir()
    page.write_text(
        "[a](page.md) ![b](gone.png) [c](../src/gone.py#L1) [d](#gone) `[e](gone.md)` "
        f"[f](https://example.com/gone) [g]({GITHUB}/blob/main/docs/gone.md)\n"
    )

    assert find_broken_links(tmp_path, {page: Path("page.md")}) == [
        "docs/page.md: gone.png",
        "docs/page.md: ../src/gone.py#L1",
        f"docs/page.md: {GITHUB}/blob/main/docs/gone.md",
    ]
    assert find_broken_links(ROOT, find_pages(ROOT)) == []


def test_links_of_pages_outside_docs_are_relative_to_their_copies() -> None:
    readme = ROOT / "integrations/sandbox/README.md"
    text = f"[a]({GITHUB}/blob/main/docs/sandbox.md#faults)"

    assert rewrite_links(text, readme, ROOT, find_pages(ROOT)) == "[a](../sandbox.md#faults)"


def test_repeated_headings_have_the_anchors_of_github() -> None:
    text = "# Ask\n\n```bash\n# Ask\n```\n\n## Ask\n\n### [Ask](#ask)\n\n## `ask` it\n"

    assert mark_repeated_headings(text) == (
        "# Ask\n\n```bash\n# Ask\n```\n\n## Ask { #ask-1 }\n\n### [Ask](#ask) { #ask-2 }\n\n"
        "## `ask` it\n"
    )


@pytest.mark.parametrize(
    "module", ["qwen_vl", *(module for _, modules in PACKAGES.values() for module in modules)]
)
def test_reference_shows_each_public_name(module: str) -> None:
    if module == "qwen_vl.ray":
        pytest.importorskip("ray")
    shown = {line for _, text in write_api_pages(ROOT) for line in text.splitlines()}
    names = [name for name in import_module(module).__all__ if not name.startswith("__")]

    assert names
    for name in names:
        # Error classes are all on one page, those that `qwen_vl` exports among them.
        assert {f"::: {module}.{name}", f"::: {module}.errors.{name}"} & shown, name


def test_notebooks_become_pages(tmp_path: Path) -> None:
    style = "<style scoped>\n\n.a {}</style>"
    html = f'<div>{style}\n<table border="1">\n  <tr style="a">\n\n<td>1</td></tr></table></div>'
    outputs = [
        {"output_type": "stream", "name": "stdout", "text": ["one\n", "two\n"]},
        {"output_type": "display_data", "data": {"image/png": "iVBO\n", "text/plain": "<Image>"}},
        {"output_type": "execute_result", "data": {"text/html": html, "text/plain": "1"}},
        {"output_type": "execute_result", "data": {"text/plain": ["{}"]}},
    ]
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "\n", "[a](../images.md)"]},
        {"cell_type": "code", "source": "a = 1", "outputs": outputs},
        {"cell_type": "code", "source": "b = 2", "outputs": []},
    ]
    path = tmp_path / "docs/examples/one.ipynb"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"cells": cells}))

    assert read_page(path, tmp_path) == (
        "# Title\n\n[a](../images.md)\n\n```python\na = 1\n```\n\n```text\none\ntwo\n```\n\n"
        '<p><img alt="Output" src="data:image/png;base64,iVBO"></p>\n\n'
        '<div class="output"><div><table><tr><td>1</td></tr></table></div></div>\n\n'
        "```text\n{}\n```\n\n```python\nb = 2\n```\n\n"
        f"[`one.ipynb`]({GITHUB}/blob/main/docs/examples/one.ipynb) on GitHub.\n"
    )
    assert find_broken_links(tmp_path, {path: Path("examples/one.md")}) == [
        "docs/examples/one.ipynb: ../images.md",
    ]


def test_scripts_become_pages(tmp_path: Path) -> None:
    path = tmp_path / "one.py"
    path.write_text('"""Do one thing.\n\nHow, in `b`.\n"""\n\na = """b"""\n')

    assert read_page(path, tmp_path) == (
        '# Do one thing\n\nHow, in `b`.\n\n```python\na = """b"""\n```\n\n'
        f"[`one.py`]({GITHUB}/blob/main/one.py) on GitHub.\n"
    )
    assert read_page(tmp_path / "image.png", tmp_path) is None


def test_notebooks_and_scripts_are_pages() -> None:
    pages = find_pages(ROOT)
    album = ROOT / "docs/examples/album_search.ipynb"

    assert pages[album] == Path("examples/album_search.md")
    examples = ROOT / "docs/examples.md"
    assert rewrite_links("[a](examples/album_search.ipynb)", examples, ROOT, pages) == (
        "[a](examples/album_search.md)"
    )
    assert rewrite_links("[a](../models.md)", album, ROOT, pages) == "[a](../models.md)"
    assert not [path for path in pages if {"__pycache__", ".ipynb_checkpoints"} & {*path.parts}]


def test_pages_that_are_gone_are_removed(tmp_path: Path) -> None:
    (tmp_path / "api").mkdir()
    gone = tmp_path / "api/gone.md"
    gone.write_text("# Gone\n")

    write_pages(ROOT, tmp_path)
    first = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    write_pages(ROOT, tmp_path)

    assert not gone.exists()
    assert (tmp_path / "overview.md").is_file()
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")} == first
