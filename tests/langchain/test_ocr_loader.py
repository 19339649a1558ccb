"""The document loader that reads by the OCR models."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.exceptions import ModelRateLimitError
from PIL import Image as PillowImage

from langchain_qwen_vl import ChatQwenVL, QwenVLOCRLoader
from qwen_vl.errors import ConfigurationError, MediaNotFoundError
from qwen_vl.samples import CHELSEA
from qwen_vl_sandbox import Sandbox

MakeChat = Callable[..., ChatQwenVL]


@pytest.fixture
def pdf(tmp_path: Path) -> Path:
    pages = [PillowImage.new("RGB", (n * 100, 100), "white") for n in (1, 2, 3)]
    buffer = io.BytesIO()
    pages[0].save(buffer, "PDF", save_all=True, append_images=pages[1:], resolution=150)
    path = tmp_path / "scan.pdf"
    path.write_bytes(buffer.getvalue())
    return path


def spec(documents: list[Document]) -> list[dict[str, Any]]:
    return [document.metadata for document in documents]


def test_documents_of_pages_and_pictures(make_chat: MakeChat, pdf: Path) -> None:
    loader = QwenVLOCRLoader([CHELSEA, str(pdf)], make_chat(model="qwen-vl-ocr"))
    documents = loader.load()
    plain = {"task": "text_recognition"}
    assert spec(documents) == [
        {"source": str(CHELSEA), "page": 1, "total_pages": 1, **plain},
        *({"source": str(pdf), "page": n, "total_pages": 3, **plain} for n in (1, 2, 3)),
    ]
    assert documents[2].page_content.startswith("sandbox, not a model; received PNG 200x100")


async def test_asynchronous_documents_are_the_same(make_chat: MakeChat, pdf: Path) -> None:
    loader = QwenVLOCRLoader(
        pdf, make_chat(model="qwen-vl-ocr"), task="advanced_recognition", pages="2-3"
    )
    documents = [document async for document in loader.alazy_load()]
    assert documents == loader.load() == await loader.aload()
    assert [document.metadata["page"] for document in documents] == [2, 3]
    words = documents[0].metadata["words"]
    assert [word["text"] for word in words] == [documents[0].page_content]
    assert json.loads(json.dumps(words)) == words


def test_values_stand_in_the_metadata(make_chat: MakeChat) -> None:
    loader = QwenVLOCRLoader(
        CHELSEA,
        make_chat(model="qwen-vl-ocr"),
        task="key_information_extraction",
        result_schema={"total": "with its currency"},
    )
    (document,) = loader.load()
    assert json.loads(document.page_content) == document.metadata["values"]
    assert document.metadata["values"].keys() == {"total"}


def test_pages_are_read_when_they_are_wanted(
    make_chat: MakeChat, qwen_vl_sandbox: Sandbox, pdf: Path
) -> None:
    documents = QwenVLOCRLoader(pdf, make_chat(model="qwen-vl-ocr")).lazy_load()
    next(documents)
    assert len(qwen_vl_sandbox.requests) == 1


async def test_errors_are_langchain_s(
    make_chat: MakeChat, qwen_vl_sandbox: Sandbox, pdf: Path
) -> None:
    loader = QwenVLOCRLoader(pdf, make_chat(model="qwen-vl-ocr", max_retries=0))
    qwen_vl_sandbox.fail(status=429, times=2)
    with pytest.raises(ModelRateLimitError) as caught:
        loader.load()
    assert caught.value.__notes__ == [f"Page 1 of 3 of {pdf}."]
    with pytest.raises(ModelRateLimitError):
        await loader.aload()


def test_missing_file(make_chat: MakeChat) -> None:
    with pytest.raises(MediaNotFoundError):
        QwenVLOCRLoader("nowhere.pdf", make_chat(model="qwen-vl-ocr")).load()


def test_wrong_task_is_told_when_the_loader_is_made(make_chat: MakeChat) -> None:
    with pytest.raises(ConfigurationError, match="ocr_task is 'read'"):
        QwenVLOCRLoader(CHELSEA, make_chat(), task="read")  # type: ignore[arg-type]


def test_stable_model_is_asked_where_none_is_given(
    qwen_vl_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-sandbox")
    monkeypatch.setenv("DASHSCOPE_BASE_URL", qwen_vl_sandbox.base_url)
    QwenVLOCRLoader(CHELSEA).load()
    assert qwen_vl_sandbox.last_request.json["model"] == "qwen-vl-ocr"


def test_task_is_part_of_what_identifies_a_model(make_chat: MakeChat) -> None:
    """Or a cache would answer one task with what another found."""
    plain, tables = make_chat(), make_chat(ocr_task="table_parsing")
    assert plain._get_llm_string() != tables._get_llm_string()
    assert plain._get_llm_string(ocr_task="multi_lan") != plain._get_llm_string()
    assert tables._identifying_params["ocr_task"] == "table_parsing"
