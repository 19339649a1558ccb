"""The reader that gives blocks with boxes."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from llama_index.core import SimpleDirectoryReader
from llama_index.core.schema import Document, MetadataMode
from PIL import Image

from llama_index.llms.qwen_vl import QwenVL, QwenVLDocumentReader
from qwen_vl.errors import ConfigurationError, RateLimitError
from qwen_vl.samples import CHELSEA
from qwen_vl_sandbox import Sandbox

MakeLLM = Callable[..., QwenVL]
Load = Callable[..., list[Document]]
ANSWER = (
    '<html><body><h2 data-bbox="100 100 500 200">Results</h2>'
    '<table data-bbox="0 200 1000 500"><tr><td>a</td><td>b</td></tr></table></body></html>'
)


@pytest.fixture
def pdf(tmp_path: Path) -> Path:
    pages = [Image.new("RGB", (200, 100), "white") for _ in range(3)]
    path = tmp_path / "scan.pdf"
    pages[0].save(path, save_all=True, append_images=pages[1:], resolution=150)
    return path


@pytest.fixture(params=["load_data", "lazy_load_data", "aload_data", "alazy_load_data"])
def load(request: pytest.FixtureRequest) -> Load:
    """Read documents by each of the four methods."""

    def call(reader: QwenVLDocumentReader, *args: Any, **kwargs: Any) -> list[Document]:
        found: Any = getattr(reader, request.param)(*args, **kwargs)
        return list(asyncio.run(found) if request.param.startswith("a") else found)

    return call


def test_document_of_each_block(
    make_llm: MakeLLM, load: Load, qwen_vl_sandbox: Sandbox, pdf: Path
) -> None:
    qwen_vl_sandbox.script(ANSWER)
    reader = QwenVLDocumentReader(make_llm(), pages=[3])
    heading, table = load(reader, pdf, extra_info={"album": "letters", "page": 9})

    assert heading.text == "Results"
    assert table.text == "<table><tr><td>a</td><td>b</td></tr></table>"
    assert table.metadata == {
        "album": "letters",
        "source": str(pdf),
        "page": 3,
        "total_pages": 3,
        "page_width": 200,
        "page_height": 100,
        "dpi": 150,
        "block": 1,
        "kind": "table",
        "box": [0, 20, 200, 50],
    }


@pytest.mark.parametrize("mode", [MetadataMode.EMBED, MetadataMode.LLM])
def test_models_are_not_shown_boxes(
    make_llm: MakeLLM, qwen_vl_sandbox: Sandbox, pdf: Path, mode: MetadataMode
) -> None:
    qwen_vl_sandbox.script(ANSWER)
    heading, _ = QwenVLDocumentReader(make_llm(), pages=[1]).load_data(pdf)

    assert heading.get_content(mode) == f"source: {pdf}\npage: 1\nkind: heading\n\nResults"


def test_document_of_each_page(make_llm: MakeLLM, load: Load, pdf: Path) -> None:
    reader = QwenVLDocumentReader(make_llm(), mode="page", form="markdown")
    documents = load(reader, [CHELSEA, pdf])

    assert [document.metadata["page"] for document in documents] == [1, 1, 2, 3]
    assert documents[0].text.startswith("sandbox, not a model; received PNG 451x300")
    assert documents[0].metadata["blocks"][0]["kind"] == "paragraph"
    assert "blocks" not in documents[0].get_content(MetadataMode.ALL).partition("\n\n")[2]


def test_files_of_folders_and_of_other_file_systems(make_llm: MakeLLM, pdf: Path) -> None:
    reader = QwenVLDocumentReader(make_llm())
    files = SimpleDirectoryReader(
        input_files=[pdf], file_extractor={".pdf": reader}, raise_on_error=True
    )
    assert [document.metadata["page"] for document in files.load_data()] == [1, 2, 3]

    memory = MemoryFileSystem()
    memory.pipe("/scans/a.pdf", pdf.read_bytes())
    (document, *_) = reader.load_data("/scans/a.pdf", fs=memory)
    assert document.metadata["source"] == "/scans/a.pdf"


def test_errors(make_llm: MakeLLM, load: Load, qwen_vl_sandbox: Sandbox, pdf: Path) -> None:
    with pytest.raises(ConfigurationError, match="Did you mean 'pages'"):
        QwenVLDocumentReader(make_llm(), page=[1])  # type: ignore[call-arg]  # wrong
    qwen_vl_sandbox.fail(status=429, code="limit_requests", message="Slow.", times=4)
    with pytest.raises(RateLimitError):
        load(QwenVLDocumentReader(make_llm(max_retries=0)), pdf)
