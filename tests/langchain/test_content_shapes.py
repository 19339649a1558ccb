"""Every content shape that reaches a LangChain model, and the exact JSON that leaves.

The forms on the right are the service's (OpenAI-Chat page, 2026-10; Vision page, 2026-08):

    {"type": "image_url", "image_url": {"url": …}, "min_pixels": …, "max_pixels": …}
    {"type": "video_url", "video_url": {"url": …}, "fps": …, "min_pixels": …, "total_pixels": …}
    {"type": "video", "video": [url, …], "fps": …}

The letters are those of the table of shapes that other adapters were measured with.
"""

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.messages.content import create_image_block, create_video_block
from PIL import Image

from langchain_qwen_vl import ChatQwenVL, frames_block, video_block
from native_wire import as_sent_by
from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA, COFFEE, ROCKET
from qwen_vl_sandbox import Sandbox

URL = "https://example.com/dog_and_girl.jpeg"
VIDEO_URL = "https://example.com/walk.mp4"
FRAMES = [f"https://example.com/frame{number}.jpg" for number in range(4)]


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


PNG = _base64(CHELSEA)
JPEG = _base64(ROCKET)
MP4 = _base64(BIG_BUCK_BUNNY)
PNG_URL = f"data:image/png;base64,{PNG}"
JPEG_URL = f"data:image/jpeg;base64,{JPEG}"
MP4_URL = f"data:video/mp4;base64,{MP4}"


def image(url: str, **beside: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}, **beside}


def video(url: str, **beside: Any) -> dict[str, Any]:
    return {"type": "video_url", "video_url": {"url": url}, **beside}


def frames(urls: list[str], **beside: Any) -> dict[str, Any]:
    return {"type": "video", "video": urls, **beside}


def text(words: str, **beside: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **beside}


SHAPES: list[tuple[str, Any, dict[str, Any]]] = [
    # Images by URL.
    ("a: image_url", {"type": "image_url", "image_url": {"url": URL}}, image(URL)),
    ("a2: image_url as a bare string", {"type": "image_url", "image_url": URL}, image(URL)),
    ("a3: image_url without type", {"image_url": {"url": URL}}, image(URL)),
    (
        "a4: image_url with detail",
        {"type": "image_url", "image_url": {"url": URL, "detail": "high"}},
        {"type": "image_url", "image_url": {"url": URL, "detail": "high"}},
    ),
    ("a5: Responses input_image", {"type": "input_image", "image_url": URL}, image(URL)),
    (
        "b: image_url, data URL",
        {"type": "image_url", "image_url": {"url": PNG_URL}},
        image(PNG_URL),
    ),
    (
        "b2: data URL of another type",
        {"type": "image_url", "image_url": {"url": f"data:image/gif;base64,{PNG}"}},
        image(PNG_URL),
    ),
    (
        "b3: data URL without type",
        {"type": "image_url", "image_url": {"url": f"data:;base64,{JPEG}"}},
        image(JPEG_URL),
    ),
    # LangChain's blocks.
    ("c1: v1 url", {"type": "image", "url": URL}, image(URL)),
    ("c2: v1 base64", {"type": "image", "base64": PNG, "mime_type": "image/png"}, image(PNG_URL)),
    ("c3: v1 base64 without type", {"type": "image", "base64": PNG}, image(PNG_URL)),
    (
        "c5: v1 base64 of a wrong type",
        {"type": "image", "base64": JPEG, "mime_type": "image/png"},
        image(JPEG_URL),
    ),
    ("c6: v1 url that is a data URL", {"type": "image", "url": PNG_URL}, image(PNG_URL)),
    ("c7: v1 by its constructor", create_image_block(url=URL), image(URL)),
    ("d1: v0 url", {"type": "image", "source_type": "url", "url": URL}, image(URL)),
    (
        "d2: v0 base64",
        {"type": "image", "source_type": "base64", "data": JPEG, "mime_type": "image/jpeg"},
        image(JPEG_URL),
    ),
    (
        "d3: v0 video url",
        {"type": "video", "source_type": "url", "url": VIDEO_URL},
        video(VIDEO_URL),
    ),
    (
        "d4: v0 video base64",
        {"type": "video", "source_type": "base64", "data": MP4, "mime_type": "video/mp4"},
        video(MP4_URL),
    ),
    ("e1: v1 video url", {"type": "video", "url": VIDEO_URL}, video(VIDEO_URL)),
    (
        "e2: v1 video base64",
        {"type": "video", "base64": MP4, "mime_type": "video/mp4"},
        video(MP4_URL),
    ),
    ("e4: v1 video base64 without type", {"type": "video", "base64": MP4}, video(MP4_URL)),
    # The service's own forms.
    ("f1: video_url", {"type": "video_url", "video_url": {"url": VIDEO_URL}}, video(VIDEO_URL)),
    (
        "f2: video_url, data URL",
        {"type": "video_url", "video_url": {"url": MP4_URL}},
        video(MP4_URL),
    ),
    (
        "f3: video_url as a bare string",
        {"type": "video_url", "video_url": VIDEO_URL},
        video(VIDEO_URL),
    ),
    ("g1: frames", {"type": "video", "video": FRAMES}, frames(FRAMES)),
    ("g2: native frames", {"video": FRAMES}, frames(FRAMES)),
    ("g3: native image", {"image": URL}, image(URL)),
    ("g4: native video", {"video": VIDEO_URL}, video(VIDEO_URL)),
    ("g5: native text", {"text": "Hello"}, text("Hello")),
    (
        "g6: frames in extras",
        {"type": "video", "extras": {"frames": FRAMES, "fps": 2}},
        frames(FRAMES, fps=2),
    ),
    (
        "g7: frames of blocks",
        {"type": "video", "video": [{"type": "image", "url": url} for url in FRAMES]},
        frames(FRAMES),
    ),
    # Other providers' forms.
    (
        "h1: Anthropic base64",
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": PNG},
        },
        image(PNG_URL),
    ),
    ("h2: Anthropic url", {"type": "image", "source": {"type": "url", "url": URL}}, image(URL)),
    (
        "h3: Gemini media, data",
        {"type": "media", "mime_type": "image/jpeg", "data": JPEG},
        image(JPEG_URL),
    ),
    (
        "h4: Gemini media, file_uri",
        {"type": "media", "mime_type": "video/mp4", "file_uri": VIDEO_URL},
        video(VIDEO_URL),
    ),
    # What a program holds.
    ("i6: a path", {"type": "image", "image": CHELSEA}, image(PNG_URL)),
    (
        "i7: a path in image_url",
        {"type": "image_url", "image_url": {"url": ROCKET}},
        image(JPEG_URL),
    ),
    ("i8: bytes in base64", {"type": "image", "base64": CHELSEA.read_bytes()}, image(PNG_URL)),
    (
        "i8b: bytes of Base64 in base64",
        {"type": "image", "base64": PNG.encode(), "mime_type": "image/png"},
        image(PNG_URL),
    ),
    ("i12: bytes in url", {"type": "image", "url": ROCKET.read_bytes()}, image(JPEG_URL)),
    ("i13: native path", {"image": CHELSEA}, image(PNG_URL)),
    ("i14: a video's path", {"type": "video", "video": BIG_BUCK_BUNNY}, video(MP4_URL)),
    (
        "i14b: a video's bytes in base64",
        {"type": "video", "base64": BIG_BUCK_BUNNY.read_bytes()},
        video(MP4_URL),
    ),
    (
        "i14c: a video's bytes in Gemini's media",
        {"type": "media", "mime_type": "video/mp4", "data": BIG_BUCK_BUNNY.read_bytes()},
        video(MP4_URL),
    ),
    (
        "i14d: a video's bytes in a file block",
        {"type": "file", "mime_type": "video/mp4", "base64": BIG_BUCK_BUNNY.read_bytes()},
        video(MP4_URL),
    ),
    ("i15: a video's bytes", {"video": BIG_BUCK_BUNNY.read_bytes()}, video(MP4_URL)),
    (
        "i16: frames by path",
        {"type": "video", "video": [CHELSEA, ROCKET, CHELSEA, ROCKET]},
        frames([PNG_URL, JPEG_URL, PNG_URL, JPEG_URL]),
    ),
    (
        "i17: bytes in Anthropic's source",
        {
            "type": "image",
            "source": {"type": "base64", "media_type": "image/png", "data": CHELSEA.read_bytes()},
        },
        image(PNG_URL),
    ),
    ("i18: Base64 in a native image", {"image": PNG}, image(PNG_URL)),
    ("i11: text that is a path", text(str(CHELSEA)), text(str(CHELSEA))),
    # Knobs, where they stand.
    (
        "j1: beside image_url",
        {
            "type": "image_url",
            "image_url": {"url": URL},
            "min_pixels": 65536,
            "max_pixels": 2621440,
        },
        image(URL, min_pixels=65536, max_pixels=2621440),
    ),
    (
        "j1b: inside image_url",
        {"type": "image_url", "image_url": {"url": URL, "max_pixels": 2621440}},
        image(URL, max_pixels=2621440),
    ),
    (
        "j2: beside a v1 block",
        {"type": "image", "url": URL, "min_pixels": 65536},
        image(URL, min_pixels=65536),
    ),
    (
        "j3: in extras",
        create_image_block(url=URL, min_pixels=65536, max_pixels=999424),
        image(URL, min_pixels=65536, max_pixels=999424),
    ),
    (
        "j3b: in metadata",
        {"type": "image", "url": URL, "metadata": {"max_pixels": 999424}},
        image(URL, max_pixels=999424),
    ),
    (
        "j3c: in metadata of a v0 block",
        {
            "type": "image",
            "source_type": "url",
            "url": URL,
            "metadata": {"max_pixels": 999424},
        },
        image(URL, max_pixels=999424),
    ),
    (
        "j4: beside video_url",
        {
            "type": "video_url",
            "video_url": {"url": VIDEO_URL},
            "fps": 0.5,
            "min_pixels": 65536,
            "max_pixels": 655360,
            "total_pixels": 20971520,
        },
        video(VIDEO_URL, fps=0.5, min_pixels=65536, max_pixels=655360, total_pixels=20971520),
    ),
    ("j5: v1 video", {"type": "video", "url": VIDEO_URL, "fps": 2}, video(VIDEO_URL, fps=2)),
    (
        "j5b: v1 video by its constructor",
        create_video_block(url=VIDEO_URL, fps=2, total_pixels=20971520),
        video(VIDEO_URL, fps=2, total_pixels=20971520),
    ),
    (
        "j6: beside frames",
        {"type": "video", "video": FRAMES, "fps": 2, "max_pixels": 655360},
        frames(FRAMES, fps=2, max_pixels=655360),
    ),
    (
        "j7: text with cache_control",
        {"type": "text", "text": "Long.", "cache_control": {"type": "ephemeral"}},
        text("Long.", cache_control={"type": "ephemeral"}),
    ),
    (
        "j8: image with cache_control",
        {"type": "image", "url": URL, "cache_control": {"type": "ephemeral"}},
        image(URL, cache_control={"type": "ephemeral"}),
    ),
    # Files, wrappers, text.
    (
        "k1: v1 file with an image",
        {"type": "file", "base64": PNG, "mime_type": "image/png"},
        image(PNG_URL),
    ),
    (
        "k2: v1 file with a video's url",
        {"type": "file", "url": VIDEO_URL, "mime_type": "video/mp4", "fps": 1},
        video(VIDEO_URL, fps=1),
    ),
    (
        "k3: OpenAI file with an image",
        {"type": "file", "file": {"filename": "cat.png", "file_data": PNG_URL}},
        image(PNG_URL),
    ),
    ("k4: video_block", video_block(VIDEO_URL, fps=1), video(VIDEO_URL, fps=1)),
    ("k4b: video_block of a path", video_block(BIG_BUCK_BUNNY), video(MP4_URL)),
    (
        "k5: frames_block",
        frames_block([*FRAMES[:3], CHELSEA], fps=2, max_pixels=655360),
        frames([*FRAMES[:3], PNG_URL], fps=2, max_pixels=655360),
    ),
    (
        "k6: v1 plain text",
        {"type": "text-plain", "mime_type": "text/plain", "text": "A"},
        text("A"),
    ),
    ("k8: a bare string", "What is this?", text("What is this?")),
    (
        "k9: non_standard video_url",
        {
            "type": "non_standard",
            "value": {"type": "video_url", "video_url": {"url": VIDEO_URL}, "fps": 2},
        },
        video(VIDEO_URL, fps=2),
    ),
    ("k10: oss address", {"type": "image", "url": "oss://tmp/cat.png"}, image("oss://tmp/cat.png")),
]


@pytest.mark.parametrize(
    ("block", "expected"), [shape[1:] for shape in SHAPES], ids=[s[0] for s in SHAPES]
)
def test_content_leaves_as_the_service_takes_it(
    block: Any,
    expected: dict[str, Any],
    protocol: str,
    chat: ChatQwenVL,
    qwen_vl_sandbox: Sandbox,
) -> None:
    chat.invoke([HumanMessage([block, {"type": "text", "text": "Describe it."}])])

    assert qwen_vl_sandbox.last_request.json == {
        "model": "qwen3-vl-plus",
        "messages": [
            {"role": "user", "content": [as_sent_by(protocol, expected), text("Describe it.")]}
        ],
    }


def test_shapes_are_the_same_streamed(chat: ChatQwenVL, qwen_vl_sandbox: Sandbox) -> None:
    list(chat.stream([HumanMessage([{"type": "image", "image": CHELSEA}])]))

    assert qwen_vl_sandbox.last_request.json == {
        "model": "qwen3-vl-plus",
        "messages": [{"role": "user", "content": [image(PNG_URL)]}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_oss_address_brings_its_header(chat: ChatQwenVL, qwen_vl_sandbox: Sandbox) -> None:
    chat.invoke([HumanMessage([{"type": "image", "url": "oss://tmp/cat.png"}])])
    with_oss = qwen_vl_sandbox.last_request.headers
    chat.invoke("Hello")

    assert with_oss["x-dashscope-ossresourceresolve"] == "enable"
    assert "x-dashscope-ossresourceresolve" not in qwen_vl_sandbox.last_request.headers


@pytest.mark.parametrize("key", ["image", "url"])
def test_pil_picture_keeps_its_pixels(key: str, chat: ChatQwenVL, qwen_vl_sandbox: Sandbox) -> None:
    with Image.open(COFFEE) as image:
        image.load()
    chat.invoke([HumanMessage([{"type": "image", key: image}])])

    sent = _sent_picture(qwen_vl_sandbox)
    assert np.array_equal(np.asarray(sent), np.asarray(image))


def test_array_keeps_its_pixels(chat: ChatQwenVL, qwen_vl_sandbox: Sandbox) -> None:
    pixels = np.arange(64 * 48 * 3, dtype=np.uint8).reshape(48, 64, 3)
    chat.invoke([HumanMessage([{"type": "image", "image": pixels}])])

    assert np.array_equal(np.asarray(_sent_picture(qwen_vl_sandbox)), pixels)


def test_file_object_is_sent_and_left_where_it_was(
    chat: ChatQwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    with ROCKET.open("rb") as file:
        file.seek(7)
        chat.invoke([HumanMessage([{"type": "image", "image": file}])])
        assert file.tell() == 7

    assert qwen_vl_sandbox.last_request.json["messages"][0]["content"] == [image(JPEG_URL)]


def test_pdf_by_its_path(chat: ChatQwenVL, qwen_vl_sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "scan.pdf"
    Image.new("RGB", (64, 64)).save(path, "PDF")
    for held in (path, path.read_bytes()):
        chat.invoke([HumanMessage([{"type": "file", "file": held}])])
        label = qwen_vl_sandbox.last_request.json["messages"][0]["content"][0]["text"]
        assert label == ('Page 1 of 1 of "scan.pdf":' if held is path else "Page 1 of 1:")


@pytest.mark.parametrize("spelling", ["path", "file_url"])
@pytest.mark.parametrize(
    "shape",
    [
        lambda value: {"type": "image_url", "image_url": {"url": value}},
        lambda value: {"type": "image", "url": value},
        lambda value: {"image": value},
    ],
    ids=["i1-i2", "i5", "i3-i4"],
)
def test_text_path_is_read_within_media_roots(
    shape: Callable[[str], dict[str, Any]],
    spelling: str,
    make_chat: Callable[..., ChatQwenVL],
    qwen_vl_sandbox: Sandbox,
) -> None:
    value = str(CHELSEA) if spelling == "path" else CHELSEA.as_uri()
    make_chat(media_roots=[CHELSEA.parent]).invoke([HumanMessage([shape(value)])])

    assert qwen_vl_sandbox.last_request.json["messages"][0]["content"] == [image(PNG_URL)]


def test_text_path_of_a_video_is_read_within_media_roots(
    make_chat: Callable[..., ChatQwenVL], qwen_vl_sandbox: Sandbox
) -> None:
    chat = make_chat(media_roots=[BIG_BUCK_BUNNY.parent])
    chat.invoke([HumanMessage([{"video": BIG_BUCK_BUNNY.as_uri()}])])

    assert qwen_vl_sandbox.last_request.json["messages"][0]["content"] == [video(MP4_URL)]


def test_knobs_of_the_part_count_before_the_call_before_the_instance(
    make_chat: Callable[..., ChatQwenVL], qwen_vl_sandbox: Sandbox
) -> None:
    chat = make_chat(min_pixels=70_000, max_pixels=400_000, fps=1.0, total_pixels=9_000_000)
    blocks = [
        {"type": "image", "url": URL, "max_pixels": 600_000},
        {"type": "image", "url": URL},
        {"type": "video", "url": VIDEO_URL, "fps": 4},
    ]
    chat.invoke([HumanMessage(blocks)], max_pixels=500_000)

    assert qwen_vl_sandbox.last_request.json["messages"][0]["content"] == [
        image(URL, min_pixels=70_000, max_pixels=600_000),
        image(URL, min_pixels=70_000, max_pixels=500_000),
        video(VIDEO_URL, fps=4, min_pixels=70_000, max_pixels=500_000, total_pixels=9_000_000),
    ]


def test_roles_and_text_leave_as_they_came(chat: ChatQwenVL, qwen_vl_sandbox: Sandbox) -> None:
    chat.invoke(
        [
            SystemMessage("Be brief."),
            HumanMessage([{"type": "image", "url": URL}, "图中描绘的是什么景象?"]),
            AIMessage([{"type": "text", "text": "A beach."}]),
            HumanMessage("And the dog?", name="ann"),
        ]
    )

    assert qwen_vl_sandbox.last_request.json["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [image(URL), text("图中描绘的是什么景象?")]},
        {"role": "assistant", "content": "A beach."},
        {"role": "user", "name": "ann", "content": "And the dog?"},
    ]


def _sent_picture(sandbox: Sandbox) -> Image.Image:
    url = sandbox.last_request.json["messages"][0]["content"][0]["image_url"]["url"]
    return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
