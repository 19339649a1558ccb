"""Blocks of the known shapes with values in them that programs really put there."""

import base64
from typing import Any

import numpy as np
import pytest
from langchain_core.messages import HumanMessage

from langchain_qwen_vl import ChatQwenVL
from qwen_vl.errors import MediaFormatError, UnsupportedContentError
from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA
from qwen_vl_sandbox import Sandbox

MP4 = BIG_BUCK_BUNNY.read_bytes()
MP4_URL = f"data:video/mp4;base64,{base64.b64encode(MP4).decode()}"
PNG = base64.b64encode(CHELSEA.read_bytes()).decode()
PNG_URL = f"data:image/png;base64,{PNG}"


def leave(chat: ChatQwenVL, sandbox: Sandbox, block: dict[str, Any]) -> dict[str, Any]:
    chat.invoke([HumanMessage([block])])
    part: dict[str, Any] = sandbox.last_request.json["messages"][0]["content"][0]
    return part


@pytest.mark.parametrize(
    "block",
    [
        {"fps": 2, "video": MP4},
        {"type": "non_standard", "value": {"type": "video", "fps": 2, "video": MP4}},
        {"type": "file", "fps": 2, "file": {"file_data": MP4}},
        {"type": "file", "fps": 2, "base64": MP4, "mime_type": "image/png"},
        {"type": "media", "fps": 2, "data": memoryview(MP4), "mime_type": "video/mp4"},
    ],
    ids=["native, fps first", "wrapped", "OpenAI file", "file with a wrong type", "memoryview"],
)
def test_bytes_of_a_video_are_taken_in_every_shape(
    block: dict[str, Any], chat: ChatQwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    assert leave(chat, qwen_vl_sandbox, block) == {
        "type": "video_url",
        "video_url": {"url": MP4_URL},
        "fps": 2,
    }


def test_numbers_of_numpy_are_taken_as_options(chat: ChatQwenVL, qwen_vl_sandbox: Sandbox) -> None:
    image = {"type": "image", "image": CHELSEA, "max_pixels": np.int64(100_000)}
    video = {"type": "video", "video": BIG_BUCK_BUNNY, "extras": {"fps": np.float32(2)}}

    assert leave(chat, qwen_vl_sandbox, image)["max_pixels"] == 100_000
    assert leave(chat, qwen_vl_sandbox, video)["fps"] == 2


def test_path_under_base64_is_read(chat: ChatQwenVL, qwen_vl_sandbox: Sandbox) -> None:
    part = leave(chat, qwen_vl_sandbox, {"type": "image", "base64": CHELSEA})

    assert part["image_url"]["url"] == PNG_URL


def test_empty_address_counts_as_none(chat: ChatQwenVL, qwen_vl_sandbox: Sandbox) -> None:
    both = {"type": "image", "url": "", "base64": PNG, "mime_type": "image/png"}

    assert leave(chat, qwen_vl_sandbox, both)["image_url"]["url"] == PNG_URL
    with pytest.raises(UnsupportedContentError, match="holds no image"):
        leave(chat, qwen_vl_sandbox, {"type": "image_url", "image_url": {"url": ""}})


def test_option_inside_the_address_that_is_not_sent_is_warned_about(chat: ChatQwenVL) -> None:
    inside = {"url": "https://example.com/walk.mp4", "max_frame": 10}
    with pytest.warns(UserWarning, match="'max_frame' is not something"):
        chat.invoke([HumanMessage([{"type": "video_url", "video_url": inside}])])


@pytest.mark.parametrize("url", ["ftp://example.com/a.png", "s3://bucket/a.png", "blob://a"])
def test_address_that_the_service_does_not_take_is_told_as_one(
    url: str, chat: ChatQwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    with pytest.raises(MediaFormatError, match="not a URL that the service takes"):
        leave(chat, qwen_vl_sandbox, {"type": "image", "url": url})

    assert not qwen_vl_sandbox.requests
