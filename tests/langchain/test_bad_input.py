"""Bad input of every kind: a clear error with part, limit and remedy, and no request."""

import base64
import io
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, FunctionMessage, HumanMessage, SystemMessage
from PIL import Image

from langchain_qwen_vl import ChatQwenVL, video_block
from qwen_vl import errors
from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA, ROCKET
from qwen_vl_sandbox import Sandbox

WHERE = "messages[0].content[1]"


def _png(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(buffer, "PNG")
    return buffer.getvalue()


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def _outside_link(folder: Path) -> Path:
    inside = folder / "inside"
    inside.mkdir()
    link = inside / "cat.png"
    link.symlink_to(CHELSEA)
    return link


Block = Callable[[Path], Any] | dict[str, Any]

# name: block, settings, error, value, limit, words of the remedy
BAD: dict[str, tuple[Block, dict[str, Any], type[errors.ContentError], Any, Any, str]] = {
    "1 empty file": (
        lambda tmp: {"type": "image", "image": _written(tmp / "empty.png", b"")},
        {},
        errors.MediaFormatError,
        0,
        None,
        "",
    ),
    "2 text renamed .jpg": (
        lambda tmp: {"type": "image", "image": _written(tmp / "note.jpg", b"Dear diary, today")},
        {},
        errors.MediaFormatError,
        ...,
        ...,
        "JPEG",
    ),
    "3 truncated JPEG": (
        {"type": "image", "image": ROCKET.read_bytes()[:60_000]},
        {},
        errors.MediaFormatError,
        ...,
        ...,
        "",
    ),
    "4 image of 9 pixels": (
        {"type": "image", "image": _png(9, 40)},
        {},
        errors.MediaTooSmallError,
        ...,
        11,
        "",
    ),
    "5 ratio of 201 to 1": (
        {"type": "image", "image": _png(2412, 12)},
        {},
        errors.MediaRatioError,
        201,
        200,
        "",
    ),
    "6 image over the byte limit": (
        {"type": "image", "image": CHELSEA},
        {"max_inline_bytes": 100_000},
        errors.MediaTooLargeError,
        240_512,
        100_000,
        "https://",
    ),
    "7 three frames": (
        {"type": "video", "video": [CHELSEA] * 3},
        {},
        errors.FrameCountError,
        3,
        4,
        "",
    ),
    "8 missing path": (
        lambda tmp: {"type": "image", "image": tmp / "nowhere.png"},
        {},
        errors.MediaNotFoundError,
        ...,
        ...,
        "",
    ),
    "9 path outside media_roots": (
        {"type": "image", "image": CHELSEA},
        {"media_roots": ["/nowhere"]},
        errors.MediaAccessError,
        ...,
        ...,
        "media_roots",
    ),
    "11 wrong Base64": (
        {"type": "image", "base64": "iVBORw0KGgo!!!", "mime_type": "image/png"},
        {},
        errors.MediaFormatError,
        ...,
        ...,
        "",
    ),
    "12 unknown block": (
        {"type": "hologram", "url": "https://example.com/a"},
        {},
        errors.UnsupportedContentError,
        ...,
        ...,
        "image_url",
    ),
    "a path as text": (
        {"type": "image_url", "image_url": {"url": str(CHELSEA)}},
        {},
        errors.MediaAccessError,
        ...,
        ...,
        "media_roots",
    ),
    "a file address": (
        {"type": "image", "url": CHELSEA.as_uri()},
        {},
        errors.MediaAccessError,
        ...,
        ...,
        "pathlib.Path",
    ),
    "a v1 image by file_id (c4)": (
        {"type": "image", "file_id": "file-1"},
        {},
        errors.UnsupportedContentError,
        ...,
        ...,
        "URL",
    ),
    "a v1 video by file_id (e3)": (
        {"type": "video", "file_id": "file-1"},
        {},
        errors.UnsupportedContentError,
        ...,
        ...,
        "URL",
    ),
    "sound for a model without ears": (
        {
            "type": "input_audio",
            "input_audio": {
                "data": base64.b64encode(b"RIFF....WAVEfmt ").decode(),
                "format": "wav",
            },
        },
        {},
        errors.UnsupportedContentError,
        ...,
        ...,
        "omni",
    ),
    "a broken PDF": (
        {"type": "file", "base64": "JVBERi0xLjcK", "mime_type": "application/pdf"},
        {},
        errors.MediaFormatError,
        9,
        None,
        "download it again",
    ),
    "a PDF by address": (
        {"type": "file", "url": "https://example.com/a.pdf", "mime_type": "application/pdf"},
        {},
        errors.MediaFormatError,
        "https://example.com/a.pdf",
        None,
        "Download it",
    ),
    "an image block that holds no image": (
        {"type": "image"},
        {},
        errors.UnsupportedContentError,
        ...,
        ...,
        "bytes",
    ),
    "an image block that holds text": (
        {"type": "image", "text": "a cat"},
        {},
        errors.UnsupportedContentError,
        ...,
        ...,
        "bytes",
    ),
    "an object that is not an image": (
        {"type": "image", "image": object()},
        {},
        errors.UnsupportedContentError,
        ...,
        ...,
        "bytes",
    ),
    "fps out of its range": (
        {"type": "video", "url": "https://example.com/a.mp4", "fps": 60},
        {},
        errors.MediaOptionError,
        60,
        ...,
        "",
    ),
    "a video for a model that takes images alone": (
        {"type": "video", "url": "https://example.com/a.mp4"},
        {"model": "qwen-vl-ocr"},
        errors.UnsupportedContentError,
        ...,
        ...,
        "",
    ),
}


@pytest.mark.parametrize("how", ["invoke", "stream", "ainvoke"])
@pytest.mark.parametrize("name", BAD)
async def test_bad_input_is_refused_before_anything_is_sent(
    name: str,
    how: str,
    tmp_path: Path,
    make_chat: Callable[..., ChatQwenVL],
    qwen_vl_sandbox: Sandbox,
) -> None:
    block, settings, kind, value, limit, remedy = BAD[name]
    chat = make_chat(**settings)
    message = HumanMessage(["Look:", block(tmp_path) if callable(block) else block])

    with pytest.raises(kind, match=re.escape(WHERE)) as caught:
        await _ask(chat, message, how)

    error = caught.value
    assert error.where.startswith(WHERE)
    assert error.remedy
    assert remedy in error.remedy
    if isinstance(error, errors.MediaError):
        assert value in {..., error.value}
        assert limit in {..., error.limit}
    assert not isinstance(error, ValueError | TypeError)
    assert qwen_vl_sandbox.requests == []


async def _ask(chat: ChatQwenVL, message: HumanMessage, how: str) -> None:
    match how:
        case "invoke":
            chat.invoke([message])
        case "stream":
            list(chat.stream([message]))
        case "ainvoke":
            await chat.ainvoke([message])


def test_link_out_of_media_roots_is_refused(
    tmp_path: Path, make_chat: Callable[..., ChatQwenVL], qwen_vl_sandbox: Sandbox
) -> None:
    link = _outside_link(tmp_path)
    chat = make_chat(media_roots=[link.parent])

    with pytest.raises(errors.MediaAccessError, match=re.escape(WHERE)):
        chat.invoke([HumanMessage(["Look:", {"type": "image", "image": link}])])
    assert qwen_vl_sandbox.requests == []


@pytest.mark.parametrize(
    ("message", "where"),
    [
        (FunctionMessage(name="f", content="x"), "messages[0]"),
        (
            SystemMessage([{"type": "image", "url": "https://e.org/a.png"}]),
            "messages[0].content[0]",
        ),
        (AIMessage([{"type": "image", "url": "https://e.org/a.png"}]), "messages[0].content[0]"),
    ],
    ids=["function", "image in system", "image in assistant"],
)
def test_message_without_a_place_is_refused(
    message: Any, where: str, chat: ChatQwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    with pytest.raises(errors.UnsupportedContentError, match=re.escape(where)):
        chat.invoke([message])
    assert qwen_vl_sandbox.requests == []


def test_call_of_the_old_form_is_refused(chat: ChatQwenVL, qwen_vl_sandbox: Sandbox) -> None:
    call = {"name": "weather", "arguments": "{}"}
    with pytest.raises(errors.UnsupportedContentError, match="function_call") as caught:
        chat.invoke([AIMessage("", additional_kwargs={"function_call": call})])

    assert "tool_calls" in caught.value.remedy
    assert qwen_vl_sandbox.requests == []


def test_key_that_is_missing_is_told_by_name() -> None:
    with pytest.raises(errors.ConfigurationError, match="DASHSCOPE_API_KEY"):
        ChatQwenVL().invoke("Hello")


def test_what_the_service_does_not_read_is_warned_about(chat: ChatQwenVL) -> None:
    block = {"type": "image", "url": "https://example.com/a.png", "max_frames": 7}
    with pytest.warns(UserWarning, match=r"content\[0\]: 'max_frames' is not"):
        chat.invoke([HumanMessage([block])])


def test_tool_that_another_service_brings_along_is_refused(chat: ChatQwenVL) -> None:
    with pytest.raises(errors.ConfigurationError, match="'web_search' is not supported"):
        chat.bind_tools([{"type": "web_search"}], tool_choice="any")


def test_file_address_of_another_machine_is_not_read_here(
    make_chat: Callable[..., ChatQwenVL], qwen_vl_sandbox: Sandbox
) -> None:
    chat = make_chat(media_roots=[CHELSEA.parent])
    there = CHELSEA.as_uri().replace("file://", "file://other.example")
    with pytest.raises(errors.MediaError):
        chat.invoke([HumanMessage([{"type": "image", "url": there}])])
    assert not qwen_vl_sandbox.requests

    here = CHELSEA.as_uri().replace("file://", "file://localhost")
    assert chat.invoke([HumanMessage([{"type": "image", "url": here}])]).text


@pytest.mark.parametrize("server", ["dashscope", "vllm"])
def test_wrong_number_beside_a_block_names_it(server: Any) -> None:
    with Sandbox(server=server) as sandbox:
        chat = ChatQwenVL(server=server, base_url=sandbox.base_url, api_key="sk-sandbox")
        for name, value in (("fps", "2"), ("fps", math.nan), ("max_pixels", 0), ("fps", True)):
            words = rf"messages\[0\]\.content\[0\]: {name} is {value!r}; it must be"
            blocks = [
                {"type": "video", "video": BIG_BUCK_BUNNY, name: value},
                video_block(BIG_BUCK_BUNNY, **{name: value}),
            ]
            for block in blocks:
                with pytest.raises(errors.MediaOptionError, match=words):
                    chat.invoke([HumanMessage([block])])
                with pytest.raises(errors.MediaOptionError, match=words):
                    chat.get_num_tokens_from_messages([HumanMessage([block])])
            plain = HumanMessage([{"type": "video", "video": BIG_BUCK_BUNNY}])
            with pytest.raises(errors.MediaOptionError, match=words):
                chat.invoke([plain], **{name: value})
        assert sandbox.requests == []
