"""Damaged, unsupported and foreign content from tools: the model gets a note or text instead."""

import io
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import (
    AudioBlock,
    CachePoint,
    CitableBlock,
    ContentBlock,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer, Memory
from PIL import Image

from llama_index.llms.qwen_vl import QwenVL
from qwen_vl import errors
from qwen_vl.samples import CHELSEA, ROCKET
from qwen_vl_sandbox import Sandbox, ScriptedAnswer, ToolCall

MakeLlm = Callable[..., QwenVL]

WHERE = "messages[2].blocks[0]"
ACCESS_NOTE = "The file cannot be shown."


def history(*blocks: ContentBlock, role: str = "tool") -> list[ChatMessage]:
    """A conversation whose last word is a tool's."""
    call = ToolCallBlock(tool_call_id="a", tool_name="look", tool_kwargs={})
    return [
        ChatMessage("Look."),
        ChatMessage(role="assistant", blocks=[call]),
        ChatMessage(role=role, blocks=list(blocks), additional_kwargs={"tool_call_id": "a"}),
    ]


def _png(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(buffer, "PNG")
    return buffer.getvalue()


SVG = ImageBlock(image=b'<svg xmlns="http://www.w3.org/2000/svg"/>', image_mimetype="image/svg+xml")
SVG_NOTE = (
    "image/svg+xml cannot be shown: Expected an image, but this, read as Base64, looks like an "
    "SVG drawing."
)

NOTES: dict[str, tuple[ContentBlock, str]] = {
    "SVG": (SVG, SVG_NOTE),
    "tiny crop": (
        ImageBlock(image=_png(9, 40)),
        "The image cannot be shown: The image is 9 x 40 pixels; each side must have 11 or more.",
    ),
    "cut JPEG": (
        ImageBlock(image=ROCKET.read_bytes()[:60_000]),
        "The image cannot be shown: The image (image/jpeg) is cut off: the end marker is missing.",
    ),
    "nothing": (ImageBlock(), "The image cannot be shown: The ImageBlock holds nothing."),
    "ftp URL": (
        ImageBlock(url="ftp://example.com/a.png"),
        (
            "The image cannot be shown: 'ftp://example.com/a.png' is not a URL that the "
            "service takes."
        ),
    ),
    "unreadable video": (
        VideoBlock(video=b"no video"),
        "The video cannot be shown: Expected a video, but this looks like text.",
    ),
    "option": (
        VideoBlock(url="https://example.com/a.mp4#fps=many"),
        "The video cannot be shown: fps is 'many', which is not a number.",
    ),
    "broken PDF": (
        DocumentBlock(data=b"%PDF-1.7\n"),
        (
            "The PDF document cannot be shown: The PDF cannot be read: Failed to load document "
            "(PDFium: Data format error)."
        ),
    ),
    "archive": (
        DocumentBlock(data=b"PK\x03\x04\x00\x00", document_mimetype="application/zip"),
        (
            "application/zip cannot be shown: It looks like a ZIP archive, or a document of an "
            "office program, which the service does not take."
        ),
    ),
    "audio": (
        AudioBlock(audio=b"RIFF....WAVEfmt "),
        "The audio cannot be shown: The model 'qwen3-vl-plus' takes no audio.",
    ),
    "thinking": (
        ThinkingBlock(content="Hm."),
        "The content cannot be shown: A tool's result cannot hold a reasoning.",
    ),
    "file URL": (ImageBlock(url=CHELSEA.as_uri()), ACCESS_NOTE),
    "path as text": (DocumentBlock(path=str(CHELSEA)), ACCESS_NOTE),
}


@pytest.mark.parametrize("name", NOTES)
def test_note_is_sent_in_place_of_what_cannot_be(
    name: str, llm: QwenVL, qwen_vl_sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    block, note = NOTES[name]
    with caplog.at_level(logging.WARNING, "qwen_vl"):
        response = llm.chat(history(TextBlock(text="Before."), block, TextBlock(text="After.")))

    assert qwen_vl_sandbox.last_request.json["messages"][2:] == [
        {"role": "tool", "tool_call_id": "a", "content": f"Before.\n{note}\nAfter."}
    ]
    where = "messages[2].blocks[1]"
    assert response.additional_kwargs["replaced_content"] == [{"where": where, "reason": note}]
    (record,) = (each for each in caplog.records if each.name.startswith("qwen_vl"))
    assert record.levelno == logging.WARNING
    assert where in record.getMessage()


TEXTS: dict[str, tuple[ContentBlock, str]] = {
    "link to a page": (
        DocumentBlock(
            url="https://example.com/a.html", document_mimetype="text/html", title="Prices"
        ),
        "Link to Prices: https://example.com/a.html (text/html)",
    ),
    "link to a PDF": (
        DocumentBlock(url="https://example.com/a.pdf", document_mimetype="application/pdf"),
        "Link: https://example.com/a.pdf (application/pdf)",
    ),
    "link to audio": (
        AudioBlock(url="https://example.com/a.mp3", format="mp3"),
        "Link: https://example.com/a.mp3 (audio/mp3)",
    ),
    "CSV": (
        DocumentBlock(data=b"a,b\n1,2", document_mimetype="text/csv", title="prices.csv"),
        "File prices.csv (text/csv):\na,b\n1,2",
    ),
    "JSON": (
        DocumentBlock(data=b'{"a": 1}', document_mimetype="application/json"),
        'File (application/json):\n{"a": 1}',
    ),
    "data URL": (
        DocumentBlock(url="data:text/csv;base64,YSxi", document_mimetype="text/csv"),
        "File (text/csv):\na,b",
    ),
    "open file": (
        DocumentBlock(data=io.BytesIO(b"a,b"), document_mimetype="text/csv"),
        "File (text/csv):\na,b",
    ),
    "citable": (
        CitableBlock(
            title="Note",
            source="shelf",
            content=[DocumentBlock(data=b"a,b", document_mimetype="text/csv")],
        ),
        "Note (shelf):\nFile (text/csv):\na,b",
    ),
}


@pytest.mark.parametrize("name", TEXTS)
def test_files_and_links_of_tools_become_text(
    name: str, llm: QwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    block, text = TEXTS[name]
    response = llm.chat(history(block))

    assert qwen_vl_sandbox.last_request.json["messages"][2:] == [
        {"role": "tool", "tool_call_id": "a", "content": text}
    ]
    assert "replaced_content" not in response.additional_kwargs


def test_text_file_by_its_path_is_read(
    llm: QwenVL, tmp_path: Path, qwen_vl_sandbox: Sandbox
) -> None:
    (tmp_path / "a.csv").write_text("a,b")
    block = DocumentBlock(path=tmp_path / "a.csv", document_mimetype="text/csv")
    llm.chat(history(block))
    content = qwen_vl_sandbox.last_request.json["messages"][2]["content"]
    assert content == "File (text/csv):\na,b"


def test_picture_in_a_document_block_is_a_picture(llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    llm.chat(history(DocumentBlock(data=CHELSEA.read_bytes())))
    part = qwen_vl_sandbox.last_request.json["messages"][3]["content"][1]
    assert part["type"] == "image_url"


def test_mark_without_content_before_it_becomes_a_note(llm: QwenVL) -> None:
    response = llm.chat(history(CachePoint(cache_control={"type": "ephemeral"})))
    (replaced,) = response.additional_kwargs["replaced_content"]
    assert "CachePoint" in replaced["reason"]


@pytest.mark.media_alone
@pytest.mark.parametrize("role", ["tool", "function"])
async def test_streams_list_what_was_replaced(role: str, llm: QwenVL) -> None:
    expected = [{"where": WHERE, "reason": SVG_NOTE}]
    asked = history(SVG, role=role)

    responses = list(llm.stream_chat(asked))
    later = [response async for response in await llm.astream_chat(asked)]

    for response in (responses[-1], later[-1], await llm.achat(asked)):
        assert response.additional_kwargs["replaced_content"] == expected


@pytest.mark.media_alone
def test_error_is_raised_if_that_is_wanted(make_llm: MakeLlm, qwen_vl_sandbox: Sandbox) -> None:
    for block, _ in NOTES.values():
        with pytest.raises(errors.ContentError, match=r"messages\[2\]\.blocks\[0\]"):
            make_llm(tool_media_errors="raise").chat(history(block))
    with pytest.raises(errors.MediaFormatError):
        make_llm().chat(history(SVG), tool_media_errors="raise")
    assert qwen_vl_sandbox.requests == []


@pytest.mark.media_alone
def test_content_of_other_messages_raises_as_before(llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    for block in (SVG, TEXTS["CSV"][0], TEXTS["link to a page"][0]):
        with pytest.raises(errors.ContentError):
            llm.chat([ChatMessage([block])])
    assert qwen_vl_sandbox.requests == []


@pytest.mark.media_alone
@pytest.mark.parametrize("kind", ["sql", "buffer"])
async def test_conversation_goes_on_after_a_bad_result(
    kind: str, memory: Memory, llm: QwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    def look() -> list[Any]:
        """Look at something."""
        return [SVG, TEXTS["link to a page"][0]]

    kept = memory if kind == "sql" else ChatMemoryBuffer.from_defaults(token_limit=100_000)
    agent = FunctionAgent(tools=[look], llm=llm)
    qwen_vl_sandbox.script(ScriptedAnswer(tool_calls=(ToolCall("look", {}, id="a"),)))
    for words in ("Look.", "Never mind. What is 1 + 1?", "Hello?"):
        assert str(await agent.run(user_msg=words, memory=kept))
        sent = qwen_vl_sandbox.last_request.json["messages"]
        (result,) = (m["content"] for m in sent if m["role"] == "tool")
        assert result == f"{SVG_NOTE}\n{TEXTS['link to a page'][1]}"
