"""What was measured, as a model writes it: places in its own coordinates, times of a clock."""

from collections.abc import Callable, Iterator
from typing import Any

import orjson

from qwen_vl_sandbox.answers.pages import write_page
from qwen_vl_sandbox.media.colors import Place
from qwen_vl_sandbox.media.hosted import InspectedMedia, MediaReport
from qwen_vl_sandbox.media.scenes import Scene
from qwen_vl_sandbox.ocr.find import find_text
from qwen_vl_sandbox.reading.conversation import Conversation
from qwen_vl_sandbox.reading.grounding_question import Question, find_question
from qwen_vl_sandbox.specs.models import coordinates_of

_THOUSANDTHS = 1_000
_SIXTY = 60
_MARGIN = 0.3
"""Around a text that is located, in heights of its letters."""


def write_findings(conversation: Conversation, report: MediaReport) -> str | None:
    """Write what was asked for; `None` where nothing was, or no medium could be decoded."""
    question = find_question(conversation)
    if question is None:
        return None
    if question.kind == "page":
        return write_page(question.form, conversation, report)
    entries = _boxes(question, conversation, report)
    if question.kind == "events":
        entries = _events(report)
    if entries is None:
        return None
    schema = conversation.options.schema
    if schema is not None:
        # An object, in the one list that the schema has.
        properties = schema.get("properties", {})
        lists = (name for name, rule in properties.items() if rule.get("type") == "array")
        return orjson.dumps({next(lists, "results"): entries}).decode()
    value: Any = {"events": entries} if question.kind == "events" else entries
    written = orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    return f"```json\n{written}\n```"


def _boxes(
    question: Question, conversation: Conversation, report: MediaReport
) -> list[dict[str, Any]] | None:
    seen = next(
        (inspected for inspected in reversed(report.sights) if inspected.boxes is not None), None
    )
    if seen is None or seen.boxes is None or seen.size is None:
        return None
    scale = _scale(question, conversation, seen, seen.size)
    found = [*seen.boxes, *_find_texts(question, seen)]
    return [_entry(place, scale, wants_points=question.wants_points) for place in found]


def _find_texts(question: Question, seen: InspectedMedia) -> Iterator[Place]:
    width, height = seen.size or (0, 0)
    for text in question.texts:
        for left, top, right, bottom in find_text(text, seen.lines or ()):
            # A frame that is drawn along the letters would hide them.
            margin = round(_MARGIN * (bottom - top))
            edges = max(left - margin, 0), max(top - margin, 0)
            yield Place(text, (*edges, min(right + margin, width), min(bottom + margin, height)))


def _scale(
    question: Question, conversation: Conversation, seen: InspectedMedia, size: tuple[int, int]
) -> Callable[[float, float], list[int]]:
    width, high = _THOUSANDTHS, _THOUSANDTHS
    if question.in_pixels:
        width, high = size
    elif coordinates_of(conversation.model) == "resized":
        width, high = seen.scaled or size

    def to_own(x: float, y: float) -> list[int]:
        return [round(x * width / size[0]), round(y * high / size[1])]

    return to_own


def _entry(
    place: Place, to_own: Callable[[float, float], list[int]], *, wants_points: bool
) -> dict[str, Any]:
    x1, y1, x2, y2 = place.box
    if wants_points:
        return {"point_2d": to_own((x1 + x2) / 2, (y1 + y2) / 2), "label": place.word}
    return {"bbox_2d": [*to_own(x1, y1), *to_own(x2, y2)], "label": place.word}


def _events(report: MediaReport) -> list[dict[str, Any]] | None:
    seen = next(
        (inspected for inspected in reversed(report.sights) if inspected.scenes is not None), None
    )
    if seen is None or seen.scenes is None:
        return None
    return [_event(number, scene) for number, scene in enumerate(seen.scenes, 1)]


def _event(number: int, scene: Scene) -> dict[str, Any]:
    return {
        "start_time": _clock(scene.start),
        "end_time": _clock(scene.end),
        "event": f"scene {number}, mean color {scene.color}",
    }


def _clock(seconds: float) -> str:
    """Write HH:mm:ss, with milliseconds where it is not a whole second.

    Example:
        >>> _clock(65), _clock(2.5)
        ('00:01:05', '00:00:02.500')
    """
    milliseconds = round(seconds * 1_000)
    whole, rest = divmod(milliseconds, 1_000)
    minutes, second = divmod(whole, _SIXTY)
    hours, minute = divmod(minutes, _SIXTY)
    clock = f"{hours:02}:{minute:02}:{second:02}"
    return f"{clock}.{rest:03}" if rest else clock
