"""Prompts for boxes and events, from the service's guides, and schemas of the answers.

The Chinese prompts are those of the service's guides to object location (2025) and to videos
(2025-10); the English ones are translations. Models label in the language of the prompt.
"""

import re
from collections.abc import Mapping
from typing import Any

from qwen_vl.errors import ConfigurationError

BOXES_PROMPT = (
    "Detect all {what} in the image and output their bbox coordinates in JSON format.",
    "检测图中所有{what}并以JSON格式输出其bbox的坐标",
)
"""For boxes, in English and in Chinese."""

POINTS_PROMPT = (
    "Locate all {what} in the image as points and output their point coordinates in JSON format.",
    "以点的形式定位图中所有{what}，以JSON格式输出其point坐标",
)
"""For points."""

_EVENTS = (
    "Describe {what} in the video. Output in JSON format the start time (start_time), the end time "
    "(end_time) and the event (event) of each. Use HH:mm:ss for timestamps."
)
_EVENTS_CHINESE = (
    "请你描述下视频中的{what}，以JSON格式输出开始时间（start_time）、结束时间（end_time）、"
    "事件（event），请使用HH:mm:ss表示时间戳。"
)
EVENTS_PROMPT = (_EVENTS, _EVENTS_CHINESE)
"""For events."""

FRAMES_NOTE = (
    "\nThe pictures are frames of one video, taken every {step:g} seconds from second 0 on.",
    "\n这些图片是同一段视频的帧，从第0秒开始每隔{step:g}秒截取一帧。",
)
"""Added for servers that take frames as images, which carry no times."""

_SLOT = "{what}"
_CHINESE = re.compile(r"[\u4e00-\u9fff]")


def write_prompt(prompts: tuple[str, str], what: object, own: str | None) -> str:
    """Write a prompt, in Chinese where what is looked for is.

    Args:
        prompts: In English and in Chinese.
        what: What to look for.
        own: A prompt of the caller's instead, with `{what}` in it.

    Raises:
        ConfigurationError: There is nothing to look for, or the caller's prompt lacks a slot for
            it.

    Example:
        >>> write_prompt(BOXES_PROMPT, "cats", None)
        'Detect all cats in the image and output their bbox coordinates in JSON format.'
        >>> write_prompt(BOXES_PROMPT, "猫", None)
        '检测图中所有猫并以JSON格式输出其bbox的坐标'
    """
    if not isinstance(what, str) or not what.strip():
        raise ConfigurationError(f"{what!r} says nothing to look for. Describe it.")
    if own is None:
        own = prompts[is_chinese(what)]
    if _SLOT not in own:
        raise ConfigurationError(
            f"The prompt lacks {_SLOT!r}, which is replaced by what to look for: {own[:80]!r}"
        )
    return own.replace(_SLOT, what.strip())


def is_chinese(text: str) -> bool:
    """Return whether a text has Chinese in it.

    Args:
        text: Any text.
    """
    return _CHINESE.search(text) is not None


def _list_of(title: str, field: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    item = {
        "type": "object",
        "properties": dict(entry),
        "required": list(entry),
        "additionalProperties": False,
    }
    return {
        "title": title,
        "type": "object",
        "properties": {field: {"type": "array", "items": item}},
        "required": [field],
        "additionalProperties": False,
    }


def _numbers(count: int) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "number"}, "minItems": count, "maxItems": count}


_TEXT = {"type": "string"}
BOXES_SCHEMA = _list_of("Boxes", "objects", {"bbox_2d": _numbers(4), "label": _TEXT})
"""What holds answers with boxes, at models that take a schema."""

POINTS_SCHEMA = _list_of("Points", "objects", {"point_2d": _numbers(2), "label": _TEXT})
"""Schema of answers with points."""

EVENTS_SCHEMA = _list_of(
    "Events", "events", {"start_time": _TEXT, "end_time": _TEXT, "event": _TEXT}
)
"""Schema of answers with events."""
