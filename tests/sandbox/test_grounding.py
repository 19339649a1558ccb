"""What the sandbox measures, and in what it answers, through the official SDK."""

import io
import re
from collections.abc import Callable
from typing import Any

import openai
import orjson
import pybase64
import pytest
from PIL import Image

from qwen_vl_sandbox import Sandbox
from qwen_vl_sandbox.media.colors import find_boxes
from qwen_vl_sandbox.media.fetch import Content

BOX = (192, 108, 960, 540)
BOXES = "Detect all {} boxes in the image and output their bbox coordinates in JSON format."
COLORS = {
    "red": "#e02020",
    "orange": "#ff8c00",
    "yellow": "#ffe000",
    "green": "#00a040",
    "cyan": "#00c8d0",
    "blue": "#2040e0",
    "purple": "#8020e0",
    "pink": "#ff40b0",
}

Draw = Callable[..., str]


def draw(size: tuple[int, int], boxes: dict[str, tuple[int, int, int, int]]) -> bytes:
    image = Image.linear_gradient("L").resize(size).convert("RGB")
    for color, box in boxes.items():
        image.paste(color, box)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def spell(data: bytes) -> str:
    return f"data:image/png;base64,{pybase64.b64encode(data).decode()}"


@pytest.fixture(scope="module")
def red_box() -> str:
    """An image of 1920 x 1080 with a red box in it."""
    return spell(draw((1920, 1080), {"red": BOX}))


def ask(client: openai.OpenAI, url: str, text: str, model: str, **options: Any) -> str:
    content: Any = [
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "text", "text": text},
    ]
    messages: Any = [{"role": "user", "content": content}]
    answer = client.chat.completions.create(model=model, messages=messages, **options)
    return answer.choices[0].message.content or ""


def unfence(text: str) -> Any:
    fenced = re.fullmatch(r"```json\n(.*)\n```", text, re.DOTALL)
    assert fenced
    return orjson.loads(fenced[1])


def test_box_counts_in_the_coordinates_of_the_model(client: openai.OpenAI, red_box: str) -> None:
    # Qwen2.5-VL sees 1316 x 728 of 1920 x 1080 (Vision page, 2026-08).
    expected = {
        "qwen3-vl-plus": [100, 100, 500, 500],
        "qwen3.8-max": [100, 100, 500, 500],
        "qwen2.5-vl-72b-instruct": [132, 73, 658, 364],
    }
    for model, box in expected.items():
        found = unfence(ask(client, red_box, BOXES.format("red"), model))
        assert found == [{"bbox_2d": box, "label": "red"}]


def test_points_pixels_and_chinese_are_understood(client: openai.OpenAI, red_box: str) -> None:
    text = "以点的形式定位图中所有红色盒子，以JSON格式输出其point坐标"
    found = unfence(ask(client, red_box, text, "qwen3-vl-plus"))
    assert found == [{"point_2d": [300, 300], "label": "红色"}]
    text = BOXES.format("red") + " Use pixels."
    assert unfence(ask(client, red_box, text, "qwen3-vl-plus")) == [
        {"bbox_2d": list(BOX), "label": "red"}
    ]


def test_what_is_not_there_is_not_found(client: openai.OpenAI, red_box: str) -> None:
    for what in ("blue", "big"):
        assert unfence(ask(client, red_box, BOXES.format(what), "qwen3-vl-plus")) == []


def test_schema_is_filled_with_what_was_found(client: openai.OpenAI, red_box: str) -> None:
    item = {"type": "object", "properties": {"bbox_2d": {"type": "array"}}}
    schema = {"type": "object", "properties": {"things": {"type": "array", "items": item}}}
    held = {"type": "json_schema", "json_schema": {"name": "Things", "schema": schema}}
    text = ask(client, red_box, BOXES.format("red"), "qwen3.7-plus", response_format=held)
    assert orjson.loads(text) == {"things": [{"bbox_2d": [100, 100, 500, 500], "label": "red"}]}


def test_other_questions_are_answered_as_ever(client: openai.OpenAI, red_box: str) -> None:
    answer = ask(client, red_box, "What is in the red box?", "qwen3-vl-plus")
    assert answer.startswith("I am the qwen-vl sandbox")
    url = "https://example.com/red.png"
    answer = ask(client, url, BOXES.format("red"), "qwen3-vl-plus")
    assert answer.startswith("I am the qwen-vl sandbox")


def test_every_color_is_told_from_the_others() -> None:
    boxes = {
        code: (40 * number, 10, 40 * number + 30, 50) for number, code in enumerate(COLORS.values())
    }
    content = Content(draw((400, 60), boxes), "image/png")
    found = find_boxes(content, tuple((name, name) for name in COLORS))
    assert [place.word for place in found] == list(COLORS)
    assert [place.box for place in found] == list(boxes.values())


def test_events_of_a_list_of_frames(client: openai.OpenAI, qwen_vl_sandbox: Sandbox) -> None:
    urls = [spell(draw((64, 64), {color: (0, 0, 64, 64)})) for color in ("red", "blue")]
    frames = [*[urls[0]] * 3, *[urls[1]] * 5]
    text = "Give start_time, end_time and event of each scene."
    content: Any = [
        {"type": "video", "video": frames, "fps": 2},
        {"type": "text", "text": text},
    ]
    messages: Any = [{"role": "user", "content": content}]
    answer = client.chat.completions.create(model="qwen3-vl-plus", messages=messages)
    assert unfence(answer.choices[0].message.content or "") == {
        "events": [
            {
                "start_time": "00:00:00",
                "end_time": "00:00:01.500",
                "event": "scene 1, mean color #ff0000 (red)",
            },
            {
                "start_time": "00:00:01.500",
                "end_time": "00:00:04",
                "event": "scene 2, mean color #0000ff (blue)",
            },
        ]
    }
