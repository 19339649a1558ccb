"""Damaged, unsupported and foreign content from tools: the model gets a note or text instead."""

import base64
import io
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from PIL import Image

from langchain_qwen_vl import ChatQwenVL
from qwen_vl import errors
from qwen_vl.samples import CHELSEA, ROCKET
from qwen_vl_sandbox import Sandbox, ScriptedAnswer, ToolCall

MakeChat = Callable[..., ChatQwenVL]

CALL = {"name": "look", "args": {}, "id": "a", "type": "tool_call"}
WHERE = "messages[2].content[0]"
ACCESS_NOTE = "The file cannot be shown."


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _png(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(buffer, "PNG")
    return buffer.getvalue()


def image(data: bytes, mime_type: str = "image/png") -> dict[str, Any]:
    return {"type": "image", "base64": b64(data), "mime_type": mime_type}


def file(data: bytes, mime_type: str, **beside: Any) -> dict[str, Any]:
    return {"type": "file", "base64": b64(data), "mime_type": mime_type, **beside}


def history(*blocks: Any, artifact: Any = None) -> list[Any]:
    """A conversation whose last word is a tool's."""
    result = ToolMessage(list(blocks), tool_call_id="a", artifact=artifact)
    return [HumanMessage("Look."), AIMessage("", tool_calls=[CALL]), result]


SVG = image(b'<svg xmlns="http://www.w3.org/2000/svg"/>', "image/svg+xml")
SVG_NOTE = (
    "image/svg+xml cannot be shown: Expected an image, but this, read as Base64, looks like an "
    "SVG drawing."
)

# name: the block of a tool, the note that is sent in its place
NOTES: dict[str, tuple[dict[str, Any], str]] = {
    "SVG": (SVG, SVG_NOTE),
    "tiny crop": (
        image(_png(9, 40)),
        "The image cannot be shown: The image is 9 x 40 pixels; each side must have 11 or more.",
    ),
    "ratio": (
        image(_png(2412, 12)),
        (
            "The image cannot be shown: The image is 2412 x 12 pixels, 201.0 times as long as "
            "wide; at most 200 times is taken."
        ),
    ),
    "cut JPEG": (
        image(ROCKET.read_bytes()[:60_000], "image/jpeg"),
        "The image cannot be shown: The image (image/jpeg) is cut off: the end marker is missing.",
    ),
    "missing file": (
        {"type": "image", "image": Path("/nowhere/lost.png")},
        "The image cannot be shown: The file '/nowhere/lost.png' does not exist.",
    ),
    "corrupt Base64": (
        {"type": "image", "base64": "iVBORw0KGgo!!!", "mime_type": "image/png"},
        "The image cannot be shown: Wrong Base64: '!' at index 11 is not a Base64 character.",
    ),
    "ftp URL": (
        {"type": "image", "url": "ftp://example.com/a.png"},
        (
            "The image cannot be shown: 'ftp://example.com/a.png' is not a URL that the "
            "service takes."
        ),
    ),
    "unreadable video": (
        file(b"no video", "video/mp4"),
        "The video cannot be shown: Expected a video, but this looks like text.",
    ),
    "three frames": (
        {"type": "video", "video": ["https://example.com/a.png"] * 3},
        "The video cannot be shown: The video has 3 frames; Qwen3-VL takes from 4 to 2000.",
    ),
    "fps": (
        {"type": "video", "url": "https://example.com/a.mp4", "fps": 60},
        "The video cannot be shown: fps is 60; it must be from 0.1 to 10.0 frames per second.",
    ),
    "broken PDF": (
        file(b"%PDF-1.7\n", "application/pdf"),
        (
            "The PDF document cannot be shown: The PDF cannot be read: Failed to load document "
            "(PDFium: Data format error)."
        ),
    ),
    "encrypted PDF": (
        file(b"%PDF-1.7\n/Encrypt", "application/pdf"),
        "The PDF document cannot be shown: The PDF is encrypted.",
    ),
    "archive": (
        file(b"PK\x03\x04\x00\x00", "application/zip"),
        (
            "application/zip cannot be shown: It looks like a ZIP archive, or a document of an "
            "office program, which the service does not take."
        ),
    ),
    "text in no encoding that is stated": (
        file("Größe".encode("latin-1"), "text/csv"),
        "text/csv cannot be shown: It is not text in UTF-8.",
    ),
    "audio": (
        {"type": "audio", "base64": b64(b"RIFF....WAVEfmt "), "mime_type": "audio/wav"},
        "The audio cannot be shown: The model 'qwen3-vl-plus' takes no audio.",
    ),
    "file_id": (
        {"type": "image", "file_id": "file-1"},
        (
            "The image cannot be shown: The image is given by file_id, but the service stores no "
            "files for chats."
        ),
    ),
    "unknown type": (
        {"type": "hologram", "url": "https://example.com/a"},
        "The content cannot be shown: Content of type 'hologram' is not supported by Qwen VL.",
    ),
    "path as text": ({"type": "image_url", "image_url": {"url": str(CHELSEA)}}, ACCESS_NOTE),
    "file URL": ({"type": "image", "url": CHELSEA.as_uri()}, ACCESS_NOTE),
    "raw bytes": (
        {"type": "image", "image": b"Dear reader"},
        "The image cannot be shown: Expected an image, but this looks like text.",
    ),
    "decoded image": (
        {"type": "image", "image": Image.new("RGB", (5, 20))},
        "The image cannot be shown: The image is 5 x 20 pixels; each side must have 11 or more.",
    ),
    "closed file": ({"type": "image", "image": io.BytesIO()}, ACCESS_NOTE),
    "object": (
        {"type": "image", "image": object()},
        "The image cannot be shown: The image cannot be of type object.",
    ),
}
NOTES["closed file"][0]["image"].close()


ODD_BLOCKS: dict[str, dict[str, Any]] = {
    "number for Base64": {"type": "image", "base64": 5, "mime_type": "image/png"},
    "list for a URL": {"type": "image_url", "image_url": ["https://example.com/cat.png"]},
    "number for a file": {"type": "file", "file": 7},
    "half a surrogate pair": {"type": "file", "text": "caf\udce9", "mime_type": "text/plain"},
}


@pytest.mark.parametrize("name", ODD_BLOCKS)
def test_odd_block_of_a_tool_ends_no_thread(
    name: str, chat: ChatQwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    chat.invoke(history("Before.", ODD_BLOCKS[name]))
    assert qwen_vl_sandbox.last_request.json["messages"][2]["content"].startswith("Before.\n")


@pytest.mark.parametrize("name", NOTES)
def test_note_is_sent_in_place_of_what_cannot_be(
    name: str,
    chat: ChatQwenVL,
    qwen_vl_sandbox: Sandbox,
    caplog: pytest.LogCaptureFixture,
) -> None:
    block, note = NOTES[name]
    with caplog.at_level(logging.WARNING, "qwen_vl"):
        answer = chat.invoke(history({"type": "text", "text": "Before."}, block, "After."))

    assert qwen_vl_sandbox.last_request.json["messages"][2:] == [
        {"role": "tool", "tool_call_id": "a", "content": f"Before.\n{note}\nAfter."}
    ]
    where = "messages[2].content[1]"
    assert answer.response_metadata["replaced_content"] == [{"where": where, "reason": note}]
    (record,) = (each for each in caplog.records if each.name.startswith("qwen_vl"))
    assert record.levelno == logging.WARNING
    assert where in record.getMessage()


TEXTS: dict[str, tuple[dict[str, Any], str]] = {
    "link to a page": (
        {"type": "file", "url": "https://example.com/a.html", "mime_type": "text/html"},
        "Link: https://example.com/a.html (text/html)",
    ),
    "link with a title": (
        {
            "type": "file",
            "url": "https://example.com/a.json",
            "mime_type": "application/json",
            "extras": {"title": "Prices"},
        },
        "Link to Prices: https://example.com/a.json (application/json)",
    ),
    "link without a type": ({"type": "file", "url": "demo://report"}, "Link: demo://report"),
    "link to a PDF": (
        {"type": "file", "url": "https://example.com/a.pdf", "mime_type": "application/pdf"},
        "Link: https://example.com/a.pdf (application/pdf)",
    ),
    "link to audio": (
        {"type": "file", "url": "https://example.com/a.mp3", "mime_type": "audio/mpeg"},
        "Link: https://example.com/a.mp3 (audio/mpeg)",
    ),
    "link to a local file": (
        {"type": "file", "url": "file:///etc/passwd", "mime_type": "text/plain"},
        "Link: file:///etc/passwd (text/plain)",
    ),
    "resource_link": (
        {
            "type": "resource_link",
            "uri": "https://example.com/a.csv",
            "name": "a.csv",
            "mimeType": "text/csv",
        },
        "Link to a.csv: https://example.com/a.csv (text/csv)",
    ),
    "CSV": (
        file(b"a,b\n1,2", "text/csv", filename="prices.csv"),
        "File prices.csv (text/csv):\na,b\n1,2",
    ),
    "CSV, raw bytes": (
        {"type": "file", "base64": b"a,b\n1,2", "mime_type": "text/csv"},
        "File (text/csv):\na,b\n1,2",
    ),
    "JSON": (file(b'{"a": 1}', "application/json"), 'File (application/json):\n{"a": 1}'),
    "YAML": (file(b"a: 1", "application/yaml"), "File (application/yaml):\na: 1"),
    "stated encoding": (
        file("价格".encode("gb18030"), "text/plain; charset=gb18030"),
        "File (text/plain):\n价格",
    ),
    "UTF-16": (file("Größe".encode("utf-16"), "text/plain"), "File (text/plain):\nGröße"),
    "text of an unknown type": (
        file(b"x = 1", "application/octet-stream"),
        "File (application/octet-stream):\nx = 1",
    ),
    "data URL": (
        {"type": "file", "file": {"file_data": f"data:text/csv;base64,{b64(b'a,b')}"}},
        "File:\na,b",
    ),
    "embedded text": (
        {"type": "resource", "resource": {"uri": "demo://a", "mimeType": "text/x", "text": "Hi."}},
        "File demo://a (text/x):\nHi.",
    ),
    "embedded blob": (
        {"type": "resource", "resource": {"uri": "demo://a", "blob": b64(b"Hello.")}},
        "File demo://a:\nHello.",
    ),
    "plain text": ({"type": "text-plain", "text": "Hello."}, "Hello."),
    "link of an image that only the tool's server can read": (
        {"type": "resource_link", "uri": "screen://1", "name": "1", "mimeType": "image/png"},
        "Link to 1: screen://1 (image/png)",
    ),
    "plain text, Base64": (
        {"type": "text-plain", "base64": b64(b"Hello."), "mime_type": "text/plain"},
        "File (text/plain):\nHello.",
    ),
    "Anthropic document": (
        {
            "type": "document",
            "title": "Note",
            "source": {"type": "text", "media_type": "text/plain", "data": "Hello."},
        },
        "File Note (text/plain):\nHello.",
    ),
    "json": ({"type": "json", "json": {"a": 1}}, '{"a": 1}'),
    "search result": (
        {
            "type": "search_result",
            "title": "Cats",
            "source": "https://example.com",
            "content": [{"type": "text", "text": "Cats sleep."}],
        },
        "Cats https://example.com:\nCats sleep.",
    ),
}


@pytest.mark.parametrize("name", TEXTS)
def test_files_and_links_of_tools_become_text(
    name: str, chat: ChatQwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    block, text = TEXTS[name]
    answer = chat.invoke(history(block))

    assert qwen_vl_sandbox.last_request.json["messages"][2:] == [
        {"role": "tool", "tool_call_id": "a", "content": text}
    ]
    assert "replaced_content" not in answer.response_metadata


@pytest.mark.media_alone
def test_long_file_is_cut_and_the_cut_is_told(chat: ChatQwenVL, qwen_vl_sandbox: Sandbox) -> None:
    answer = chat.invoke(history(file(b"x" * 50_001, "text/plain")))

    notice = "Cut here: 50,000 of 50,001 characters are shown."
    content = qwen_vl_sandbox.last_request.json["messages"][2]["content"]
    assert content == f"File (text/plain):\n{'x' * 50_000}\n{notice}"
    assert answer.response_metadata["replaced_content"] == [{"where": WHERE, "reason": notice}]


class Content:
    """The shape of MCP's content objects."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)


@pytest.mark.parametrize(
    ("artifact", "text"),
    [
        (Content(type="image", data=b64(b"<svg/>"), mimeType="image/svg+xml"), SVG_NOTE),
        (
            Content(type="audio", data=b64(b"x"), mimeType="audio/wav"),
            "The audio cannot be shown: The model 'qwen3-vl-plus' takes no audio.",
        ),
        (
            Content(type="resource_link", uri="https://e.org/a", name="a", mimeType="text/html"),
            "Link to a: https://e.org/a (text/html)",
        ),
        (
            Content(type="resource", resource=Content(uri="demo://a", text="Hi.")),
            "File demo://a (text/plain):\nHi.",
        ),
        (
            Content(type="resource", resource=Content(uri="demo://a", blob=b64(b"a,b"))),
            "File demo://a:\na,b",
        ),
        ({"type": "resource_link", "uri": "demo://a", "name": "A"}, "Link to A: demo://a"),
    ],
)
def test_artifacts_of_mcp_tools_become_text_or_a_note(
    artifact: Any, text: str, chat: ChatQwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    chat.invoke(history("Found.", artifact=[artifact]))

    assert qwen_vl_sandbox.last_request.json["messages"][2]["content"] == f"Found.\n{text}"


@pytest.mark.media_alone
@pytest.mark.parametrize("name", NOTES)
def test_counting_counts_the_note(name: str, make_chat: MakeChat) -> None:
    block, note = NOTES[name]
    chat = make_chat()

    counted = chat.get_num_tokens_from_messages(history(block))

    assert counted == chat.get_num_tokens_from_messages(history(note))


@pytest.mark.parametrize("how", ["stream", "astream"])
async def test_exactly_one_chunk_lists_what_was_replaced(how: str, chat: ChatQwenVL) -> None:
    chunks: list[AIMessageChunk] = (
        list(chat.stream(history(SVG)))
        if how == "stream"
        else [chunk async for chunk in chat.astream(history(SVG))]
    )

    assert sum("replaced_content" in chunk.response_metadata for chunk in chunks) == 1
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    expected = [{"where": WHERE, "reason": SVG_NOTE}]
    assert whole.response_metadata["replaced_content"] == expected


async def test_batches_go_on_beside_a_bad_result(chat: ChatQwenVL) -> None:
    first, second = await chat.abatch([history(SVG), [HumanMessage("Hello")]])
    third, _ = chat.batch([history(SVG), [HumanMessage("Hello")]])

    assert (
        first.response_metadata["replaced_content"] == third.response_metadata["replaced_content"]
    )
    assert "replaced_content" not in second.response_metadata


@pytest.mark.media_alone
@pytest.mark.parametrize("name", NOTES)
def test_error_is_raised_if_that_is_wanted(
    name: str, make_chat: MakeChat, qwen_vl_sandbox: Sandbox
) -> None:
    block, _ = NOTES[name]
    with pytest.raises(errors.ContentError, match=r"messages\[2\]\.content\[0\]"):
        make_chat(tool_media_errors="raise").invoke(history(block))
    with pytest.raises(errors.ContentError):
        make_chat(tool_media_errors="raise").get_num_tokens_from_messages(history(block))
    assert qwen_vl_sandbox.requests == []


@pytest.mark.media_alone
def test_call_may_choose_between_note_and_error(make_chat: MakeChat) -> None:
    with pytest.raises(errors.MediaFormatError):
        make_chat().invoke(history(SVG), tool_media_errors="raise")
    answer = make_chat(tool_media_errors="raise").invoke(history(SVG), tool_media_errors="note")
    assert answer.response_metadata["replaced_content"]
    with pytest.raises(errors.ConfigurationError, match="'note' or 'raise'"):
        make_chat().invoke(history(SVG), tool_media_errors="ignore")


@pytest.mark.media_alone
def test_content_of_other_messages_raises_as_before(
    chat: ChatQwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    for block in (SVG, TEXTS["CSV"][0], TEXTS["link to a page"][0]):
        with pytest.raises(errors.ContentError):
            chat.invoke([HumanMessage(["Look.", block])])
    assert qwen_vl_sandbox.requests == []


@pytest.mark.media_alone
def test_refused_file_tells_nothing_about_which_files_exist(
    make_chat: MakeChat, tmp_path: Path, qwen_vl_sandbox: Sandbox
) -> None:
    roots = tmp_path / "open"
    roots.mkdir()
    (roots / "folder").mkdir()
    (roots / "link.png").symlink_to(CHELSEA)
    secret = tmp_path / "secret.png"
    secret.write_bytes(_png(20, 20))
    chat = make_chat(media_roots=[roots])
    refused = [
        {"type": "image", "url": str(secret)},
        {"type": "image", "url": str(tmp_path / "lost.png")},
        {"type": "image", "url": secret.as_uri()},
        {"type": "image", "image": secret},
        {"type": "image", "image": tmp_path / "lost.png"},
        {"type": "image", "url": str(roots / ".." / "secret.png")},
        {"type": "image", "url": str(roots / ".." / "lost.png")},
        {"type": "image", "url": str(roots / "link.png")},
        {"type": "image", "url": str(roots / "folder")},
        {"type": "video", "url": str(secret)},
        {"type": "file", "url": secret, "mime_type": "application/pdf"},
        {"type": "file", "url": secret, "mime_type": "text/plain"},
    ]
    for block in refused:
        answer = chat.invoke(history(block))
        (replaced,) = answer.response_metadata["replaced_content"]
        assert replaced["reason"] == ACCESS_NOTE
        sent = qwen_vl_sandbox.last_request.json["messages"][2]["content"]
        assert sent == ACCESS_NOTE

    chat.invoke(history({"type": "image", "url": str(roots / "lost.png")}))
    assert "lost.png" in qwen_vl_sandbox.last_request.json["messages"][2]["content"]


@pytest.mark.media_alone
def test_image_that_cannot_be_made_to_fit_becomes_a_note(
    make_chat: MakeChat, qwen_vl_sandbox: Sandbox
) -> None:
    answer = make_chat(max_inline_bytes=10_000).invoke(history(image(CHELSEA.read_bytes())))

    note = (
        "The image cannot be shown: It has 240,512 bytes; inline, at most 10,000 (0.0 MiB) are "
        "taken."
    )
    assert answer.response_metadata["replaced_content"][0]["reason"] == note
    assert qwen_vl_sandbox.last_request.json["messages"][2]["content"] == note


@pytest.mark.media_alone
def test_request_that_is_too_large_as_a_whole_raises(make_chat: MakeChat) -> None:
    shown_image = image(CHELSEA.read_bytes())
    with pytest.raises(errors.RequestTooLargeError):
        make_chat(max_total_inline_bytes=300_000).invoke(history(shown_image, shown_image))


@pytest.mark.media_alone
def test_bad_result_takes_no_room_from_others(make_chat: MakeChat) -> None:
    frames = {"type": "video", "video": [*[CHELSEA.read_bytes()] * 4, _png(5, 5)]}
    chat = make_chat(max_total_inline_bytes=300_000)

    answer = chat.invoke(history(frames, image(CHELSEA.read_bytes())))

    assert len(answer.response_metadata["replaced_content"]) == 1
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["input_token_details"]["image"] == 128  # type: ignore[typeddict-item]


@pytest.mark.media_alone
def test_missing_extra_raises_since_installing_it_helps(
    chat: ChatQwenVL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pypdfium2", None)
    with pytest.raises(errors.MissingExtraError, match="pdf"):
        chat.invoke(history(file(b"%PDF-1.7\n", "application/pdf")))


@pytest.mark.media_alone
def test_messages_of_the_caller_stay_as_they_are(chat: ChatQwenVL) -> None:
    values = history({"type": "image", "image": b"Dear reader"}, SVG)
    before = values[2].model_copy(deep=True)
    chat.invoke(values)
    assert values[2] == before


@tool
def look(name: str) -> list[dict[str, Any]]:
    """Look at something."""
    return [NOTES[name][0] if name in NOTES else TEXTS[name][0]]


@pytest.mark.parametrize(
    ("name", "how"),
    [("SVG", "invoke"), ("link to a page", "ainvoke"), ("archive", "stream")],
)
async def test_thread_goes_on_after_a_bad_result(
    name: str, how: str, chat: ChatQwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    agent = create_agent(chat, [look], checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    qwen_vl_sandbox.script(ScriptedAnswer(tool_calls=(ToolCall("look", {"name": name}, id="a"),)))
    expected = NOTES[name][1] if name in NOTES else TEXTS[name][1]

    for words in ("Look.", "Never mind. What is 1 + 1?", "Hello?"):
        asked: Any = {"messages": [("user", words)]}
        match how:
            case "invoke":
                agent.invoke(asked, config)
            case "ainvoke":
                await agent.ainvoke(asked, config)
            case "stream":
                list(agent.stream(asked, config, stream_mode="messages"))
        sent = qwen_vl_sandbox.last_request.json["messages"]
        assert [m["content"] for m in sent if m["role"] == "tool"] == [expected]
        assert sent[-1]["content"] == (words if words != "Look." else expected)


@pytest.mark.openai_wire
def test_link_of_an_image_is_sent_as_an_image(chat: ChatQwenVL, qwen_vl_sandbox: Sandbox) -> None:
    link = {
        "type": "resource_link",
        "uri": "https://example.com/a.png",
        "name": "a",
        "mimeType": "image/png",
    }
    chat.invoke(history(link))

    sent = qwen_vl_sandbox.last_request.json["messages"][-1]["content"]
    assert {"type": "image_url", "image_url": {"url": link["uri"]}} in sent


@pytest.mark.parametrize(
    "artifact",
    [
        # MCP's image has a media type, and its links have a URI.
        {"type": "image", "data": b64(b"<svg/>")},
        {"type": "image", "data": b"<svg/>", "mimeType": "image/png"},
        {"type": "resource_link", "name": "A"},
        {"type": "resource", "resource": {"text": "Hi."}},
        {"type": "table", "data": b64(b"a"), "mimeType": "text/csv", "uri": "demo://a"},
    ],
)
def test_artifacts_of_other_shapes_stay_with_the_program(
    artifact: dict[str, Any], chat: ChatQwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    chat.invoke(history("Found.", artifact=[artifact]))

    assert qwen_vl_sandbox.last_request.json["messages"][2]["content"] == "Found."
