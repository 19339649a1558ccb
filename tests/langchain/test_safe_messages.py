"""What tracers, callbacks and caches see of each value in a message: JSON that stands for it."""

import base64
import io
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from PIL import Image as PillowImage

from langchain_qwen_vl.blocks import InlineBlock, ReplacedBlock
from langchain_qwen_vl.tracing import holds_raw_values, to_safe_message
from qwen_vl.content import DataUrl
from qwen_vl.media.data_url import to_data_url
from qwen_vl.media.load import MediaBytes
from qwen_vl.request.types import MediaPolicy
from qwen_vl.samples import CHELSEA

PNG = CHELSEA.read_bytes()
PNG_TEXT = base64.b64encode(PNG).decode()
PDF = b"%PDF-1.7\n%\xe2\xe3\n"
MP3 = b"ID3\x04\x00" + bytes(20)
WHERE = "messages[0]"


def text_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def safe(block: dict[str, Any], *, is_traced: bool = True, is_from_tool: bool = False) -> Any:
    message: Any = HumanMessage([block])
    if is_from_tool:
        message = ToolMessage([block], tool_call_id="a")
    made = to_safe_message(message, WHERE, MediaPolicy(), is_traced=is_traced)
    return made.content[0]


@pytest.mark.parametrize(
    ("block", "shown"),
    [
        (
            {"type": "image", "image": PNG},
            {"type": "image", "base64": PNG_TEXT, "mime_type": "image/png"},
        ),
        (
            {"type": "image", "image": io.BytesIO(PNG), "max_pixels": np.int64(80_000)},
            {
                "type": "image",
                "base64": PNG_TEXT,
                "mime_type": "image/png",
                "max_pixels": 80_000,
            },
        ),
        (
            {"type": "image", "base64": PNG, "media_type": "image/jpeg"},
            {"type": "image", "base64": PNG_TEXT, "media_type": "image/png"},
        ),
        (
            {"type": "image", "image": {"bytes": PNG, "path": None}},
            {"type": "image", "base64": PNG_TEXT, "mime_type": "image/png"},
        ),
        # Base64 that lacks its type.
        (
            {"type": "image", "base64": PNG_TEXT},
            {"type": "image", "base64": PNG_TEXT, "mime_type": "image/png"},
        ),
        (
            {"type": "image", "base64": PNG_TEXT, "mime_type": "image/jpeg"},
            {"type": "image", "base64": PNG_TEXT, "mime_type": "image/jpeg"},
        ),
        # Values within other forms.
        (
            {"type": "image_url", "image_url": {"url": PNG}},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG_TEXT}"}},
        ),
        (
            {"type": "video", "video": ["https://e.org/1.png", PNG], "fps": Fraction(1, 2)},
            {
                "type": "video",
                "video": ["https://e.org/1.png", f"data:image/png;base64,{PNG_TEXT}"],
                "fps": 0.5,
            },
        ),
        (
            {"type": "video", "video": ["https://e.org/1.png"], "timestamps": np.array([0.5])},
            {"type": "video", "video": ["https://e.org/1.png"], "timestamps": [0.5]},
        ),
        # Files and audio, by what their bytes say.
        (
            {"type": "file", "base64": PDF, "mime_type": "application/pdf"},
            {"type": "file", "base64": text_of(PDF), "mime_type": "application/pdf"},
        ),
        (
            {"type": "file", "file": io.BytesIO(MP3)},
            {"type": "file", "file": f"data:audio/mpeg;base64,{text_of(MP3)}"},
        ),
        (
            {"type": "file", "base64": PNG, "mime_type": "application/pdf"},
            {"type": "file", "base64": PNG_TEXT, "mime_type": "image/png"},
        ),
        (
            {"type": "audio", "base64": MP3, "mime_type": "audio/wav"},
            {"type": "audio", "base64": text_of(MP3), "mime_type": "audio/mpeg"},
        ),
        ({"type": "audio", "audio": b"\x00\x01"}, {"type": "audio", "audio": text_of(b"\x00\x01")}),
    ],
)
def test_blocks(block: dict[str, Any], shown: dict[str, Any]) -> None:
    assert safe(block) == shown
    json.dumps(safe(shown))


def test_what_is_json_already_stays_the_same_object() -> None:
    message = HumanMessage(["Hi", {"type": "image", "url": "https://e.org/1.png", "x": [{"y": 1}]}])
    assert to_safe_message(message, WHERE, MediaPolicy()) is message
    text = HumanMessage("Hi")
    assert to_safe_message(text, WHERE, MediaPolicy()) is text


def test_without_a_tracer_nothing_is_encoded() -> None:
    image = safe({"type": "image", "image": PNG}, is_traced=False)
    assert isinstance(image, InlineBlock)
    assert (image["base64"], image["mime_type"]) == ("", "application/octet-stream")
    frames = safe({"type": "video", "video": [PNG, PNG]}, is_traced=False)
    assert frames["video"] == [PNG, PNG]
    ready = to_data_url("image/png", MediaBytes(PNG))
    for is_traced in (True, False):
        held = safe({"type": "image", "image": ready}, is_traced=is_traced)
        assert isinstance(held, InlineBlock)
        assert held.source is ready
        assert (held["base64"], held["mime_type"]) == (PNG_TEXT if is_traced else "", "image/png")
    shown = safe({"type": "video", "video": [ready]})
    assert isinstance(ready, DataUrl)
    assert shown["video"] == [ready.url]


def test_bytes_from_a_tool_may_be_anything() -> None:
    block = {"type": "file", "file": b"a,b"}
    assert safe(block, is_from_tool=True) == {"type": "file", "file": text_of(b"a,b")}
    refused = safe(block)
    assert isinstance(refused, ReplacedBlock)
    assert refused["type"] == "text"
    assert refused.part.where == f"{WHERE}.content[0]"


@pytest.mark.parametrize(
    ("block", "kind"),
    [
        ({"type": "image", "image": object()}, "image"),
        ({"type": "video", "video": object()}, "video"),
        ({"type": "input_audio", "input_audio": {"data": object()}}, "audio"),
        ({"type": "media", "data": object()}, "file"),
        ({"type": "non_standard", "value": {"type": "video", "video": object()}}, "video"),
        ({"type": "image", "text": "no image"}, "image"),
        ({"type": "image", "image": io.StringIO("a")}, "image"),
    ],
)
def test_values_of_other_types_become_notes(block: dict[str, Any], kind: str) -> None:
    refused = safe(block)
    assert isinstance(refused, ReplacedBlock)
    assert (refused.part.kind, refused["type"]) == (kind, "text")
    assert refused["text"]


@pytest.mark.parametrize(
    ("content", "is_raw"),
    [
        ("Hi", False),
        (["Hi", {"type": "image", "url": "a", "x": [1, 2.5, None, True]}], False),
        ([{"type": "image", "image": PNG}], True),
        ([{"type": "video", "video": [PNG]}], True),
        ([{"type": "image", "image": Path("cat.png")}], True),
        ([{"type": "image", "extras": {"x": PillowImage.new("L", (1, 1))}}], True),
    ],
)
def test_raw_values_are_found(content: Any, is_raw: bool) -> None:
    assert holds_raw_values([HumanMessage("Hi"), HumanMessage(content)]) == is_raw
