"""The reader that reads files by the OCR models."""

import asyncio
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from llama_index.core import SimpleDirectoryReader
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import Document, MetadataMode
from PIL import Image as PillowImage

from llama_index.llms.qwen_vl import QwenVL, QwenVLOCRReader
from qwen_vl.errors import ConfigurationError, MediaNotFoundError, RateLimitError
from qwen_vl.samples import CHELSEA
from qwen_vl_sandbox import Sandbox

MakeLLM = Callable[..., QwenVL]
Load = Callable[..., list[Document]]


@pytest.fixture
def pdf(tmp_path: Path) -> Path:
    pages = [PillowImage.new("RGB", (n * 100, 100), "white") for n in (1, 2, 3)]
    buffer = io.BytesIO()
    pages[0].save(buffer, "PDF", save_all=True, append_images=pages[1:], resolution=150)
    path = tmp_path / "scan.pdf"
    path.write_bytes(buffer.getvalue())
    return path


@pytest.fixture(params=["load_data", "lazy_load_data", "aload_data", "alazy_load_data"])
def load(request: pytest.FixtureRequest) -> Load:
    """Read documents by each of the four methods."""

    def call(reader: QwenVLOCRReader, *args: Any, **kwargs: Any) -> list[Document]:
        found: Any = getattr(reader, request.param)(*args, **kwargs)
        return list(asyncio.run(found) if request.param.startswith("a") else found)

    return call


def test_documents_of_pages_and_pictures(make_llm: MakeLLM, load: Load, pdf: Path) -> None:
    documents = load(QwenVLOCRReader(make_llm("qwen-vl-ocr")), [CHELSEA, str(pdf)])
    plain = {"task": "text_recognition"}
    assert [document.metadata for document in documents] == [
        {"source": str(CHELSEA), "page": 1, "total_pages": 1, **plain},
        *({"source": str(pdf), "page": n, "total_pages": 3, **plain} for n in (1, 2, 3)),
    ]
    assert documents[2].text.startswith("sandbox, not a model; received PNG 200x100")


def test_extra_info_stands_beside(make_llm: MakeLLM, load: Load, pdf: Path) -> None:
    reader = QwenVLOCRReader(make_llm("qwen-vl-ocr"), pages=[2])
    (document,) = load(reader, pdf, extra_info={"album": "letters", "page": 9})
    assert (document.metadata["album"], document.metadata["page"]) == ("letters", 2)


def test_places_are_for_programs_alone(make_llm: MakeLLM, load: Load) -> None:
    reader = QwenVLOCRReader(make_llm("qwen-vl-ocr"), task="advanced_recognition")
    (document,) = load(reader, CHELSEA)
    assert json.loads(json.dumps(document.metadata)) == document.metadata
    assert document.metadata["words"][0]["text"] == document.text
    for mode in (MetadataMode.LLM, MetadataMode.EMBED):
        assert "location" not in document.get_content(mode)
    # A splitter takes off the metadata that is shown from the room that there is.
    (node,) = SentenceSplitter(chunk_size=150, chunk_overlap=0)([document])
    assert node.metadata["words"] == document.metadata["words"]


def test_folder_is_read_by_the_file_s_ending(make_llm: MakeLLM, pdf: Path) -> None:
    (pdf.parent / "cat.png").write_bytes(CHELSEA.read_bytes())
    reader = QwenVLOCRReader(make_llm("qwen-vl-ocr"))
    folder = SimpleDirectoryReader(
        pdf.parent,
        file_extractor={".png": reader, ".pdf": reader},
        raise_on_error=True,
    )
    documents = folder.load_data()
    found = [(doc.metadata["file_name"], doc.metadata["page"]) for doc in documents]
    assert found == [("cat.png", 1), ("scan.pdf", 1), ("scan.pdf", 2), ("scan.pdf", 3)]
    assert all(document.text.startswith("sandbox, not a model") for document in documents)
    again = asyncio.run(folder.aload_data())
    assert [document.text for document in again] == [document.text for document in documents]


def test_files_of_another_file_system(make_llm: MakeLLM, load: Load, pdf: Path) -> None:
    files = MemoryFileSystem()
    files.pipe("/box/scan.pdf", pdf.read_bytes())
    reader = QwenVLOCRReader(make_llm("qwen-vl-ocr"), pages=[1, 3])
    documents = load(reader, "/box/scan.pdf", fs=files)
    found = [(document.metadata["source"], document.metadata["page"]) for document in documents]
    assert found == [("/box/scan.pdf", 1), ("/box/scan.pdf", 3)]


def test_error_comes_as_it_is(
    make_llm: MakeLLM, load: Load, qwen_vl_sandbox: Sandbox, pdf: Path
) -> None:
    reader = QwenVLOCRReader(make_llm("qwen-vl-ocr", max_retries=0), max_concurrency=1)
    qwen_vl_sandbox.fail(status=429)
    with pytest.raises(RateLimitError) as caught:
        load(reader, pdf)
    assert caught.value.__notes__ == [f"Page 1 of 3 of {pdf}."]
    with pytest.raises(MediaNotFoundError):
        load(reader, "nowhere.pdf")


def test_wrong_task_is_told_when_the_reader_is_made(make_llm: MakeLLM) -> None:
    with pytest.raises(ConfigurationError, match="ocr_task is 'read'"):
        QwenVLOCRReader(make_llm(), task="read")  # type: ignore[arg-type]


def test_stable_model_is_asked_where_none_is_given(
    qwen_vl_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-sandbox")
    monkeypatch.setenv("DASHSCOPE_BASE_URL", qwen_vl_sandbox.base_url)
    QwenVLOCRReader().load_data(CHELSEA)
    assert qwen_vl_sandbox.last_request.json["model"] == "qwen-vl-ocr"
