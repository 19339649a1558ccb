"""The document loader that gives blocks with boxes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from langchain_core.exceptions import ModelRateLimitError
from PIL import Image

from langchain_qwen_vl import ChatQwenVL, QwenVLDocumentLoader
from qwen_vl.errors import ConfigurationError, MediaNotFoundError
from qwen_vl.samples import CHELSEA
from qwen_vl_sandbox import Sandbox

MakeChat = Callable[..., ChatQwenVL]
ANSWER = (
    '<html><body><h2 data-bbox="100 100 500 200">Results</h2>'
    '<table data-bbox="0 200 1000 500"><tr><td>a</td><td>b</td></tr></table>'
    '<div class="formula" data-bbox="0 500 1000 600">$$x^2$$</div>'
    '<div class="image" data-bbox="0 600 500 1000"><img data-bbox="0 600 500 1000" /></div>'
    "</body></html>"
)


@pytest.fixture
def pdf(tmp_path: Path) -> Path:
    pages = [Image.new("RGB", (200, 100), "white") for _ in range(3)]
    path = tmp_path / "scan.pdf"
    pages[0].save(path, save_all=True, append_images=pages[1:], resolution=150)
    return path


def test_document_of_each_block(make_chat: MakeChat, qwen_vl_sandbox: Sandbox, pdf: Path) -> None:
    qwen_vl_sandbox.script(ANSWER)
    documents = QwenVLDocumentLoader(pdf, make_chat(), pages=[2]).load()
    place = {
        "source": str(pdf),
        "page": 2,
        "total_pages": 3,
        "page_width": 200,
        "page_height": 100,
        "dpi": 150,
    }

    assert [document.page_content for document in documents] == [
        "Results",
        "<table><tr><td>a</td><td>b</td></tr></table>",
        "x^2",
        "[image]",
    ]
    assert [document.metadata for document in documents] == [
        {**place, "block": 0, "kind": "heading", "box": [20, 10, 100, 20], "level": 2},
        {**place, "block": 1, "kind": "table", "box": [0, 20, 200, 50]},
        {**place, "block": 2, "kind": "formula", "box": [0, 50, 200, 60]},
        {**place, "block": 3, "kind": "image", "box": [0, 60, 100, 100]},
    ]
    assert json.loads(json.dumps(documents[1].metadata)) == documents[1].metadata


def test_document_of_each_page(make_chat: MakeChat, qwen_vl_sandbox: Sandbox, pdf: Path) -> None:
    qwen_vl_sandbox.script(ANSWER)
    (document,) = QwenVLDocumentLoader(pdf, make_chat(), pages=[1], mode="page").load()

    assert document.page_content.startswith("## Results\n\n<table>")
    assert "$$\nx^2\n$$" in document.page_content
    blocks = document.metadata["blocks"]
    assert [block["kind"] for block in blocks] == ["heading", "table", "formula", "image"]


async def test_asynchronous_documents_are_the_same(make_chat: MakeChat, pdf: Path) -> None:
    loader = QwenVLDocumentLoader([CHELSEA, pdf], make_chat(), form="markdown")
    documents = [document async for document in loader.alazy_load()]

    assert documents == loader.load() == await loader.aload()
    assert [
        document.metadata["page"] for document in documents if document.metadata["block"] == 0
    ] == [1, 1, 2, 3]


def test_errors_are_raised_as_those_of_langchain(
    make_chat: MakeChat, qwen_vl_sandbox: Sandbox, pdf: Path
) -> None:
    with pytest.raises(MediaNotFoundError):
        QwenVLDocumentLoader("gone.pdf", make_chat()).load()
    with pytest.raises(ConfigurationError, match="'block' or 'page'"):
        QwenVLDocumentLoader(pdf, make_chat(), mode="words")  # type: ignore[arg-type]  # wrong
    qwen_vl_sandbox.fail(status=429, code="limit_requests", message="Slow.", times=4)
    with pytest.raises(ModelRateLimitError):
        QwenVLDocumentLoader(pdf, make_chat(max_retries=0)).load()


def test_pages_that_fail_may_be_left_out(
    make_chat: MakeChat, qwen_vl_sandbox: Sandbox, pdf: Path, tmp_path: Path
) -> None:
    qwen_vl_sandbox.fail(status=400, code="data_inspection_failed", message="No.")
    options = {"raise_errors": False, "ledger": tmp_path / "done"}
    loader = QwenVLDocumentLoader(pdf, make_chat(), **options)  # type: ignore[arg-type]  # a mixture
    with pytest.warns(UserWarning, match="Page 1 of .* was not parsed"):
        documents = loader.load()
    assert [document.metadata["page"] for document in documents] == [2, 3]

    assert [document.metadata["page"] for document in loader.load()] == [1, 2, 3]
    assert len(qwen_vl_sandbox.requests) == 4
