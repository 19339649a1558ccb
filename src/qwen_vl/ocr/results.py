"""What the tasks of the OCR models find, as values.

Forms are those of the OCR page (2026) and of answers that others have published.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from qwen_vl.display.html import to_note, to_table, to_text
from qwen_vl.errors import AnswerFormatError
from qwen_vl.parsing import find_fences, load_json
from qwen_vl.request.ocr import OcrTask

Point: TypeAlias = tuple[float, float]
Corners: TypeAlias = tuple[Point, Point, Point, Point]
"""Top left, top right, bottom right, bottom left, as x and y from the image's top left."""
RotateRect: TypeAlias = tuple[float, float, float, float, float]
"""x and y of the middle, width, height, and an angle of -90 to 90 degrees."""

_TABLE_TAG = re.compile(r"<(/?)table\b", re.IGNORECASE)
_ROW_TAG = re.compile(r"<tr\b", re.IGNORECASE)
_N_LOCATION, _N_RECT = 8, 5


@dataclass(frozen=True, slots=True, kw_only=True)
class OcrWord:
    """A line of text, and where it stands: in one of two forms at least.

    Args:
        text: What is written there.
        location: The four corners.
        rotate_rect: The same as a turned rectangle.
    """

    text: str
    location: Corners | None = None
    rotate_rect: RotateRect | None = None

    def __post_init__(self) -> None:
        if self.location is None and self.rotate_rect is None:
            raise AnswerFormatError("A line of text comes without its place.", text=self.text)

    @property
    def corners(self) -> Corners:
        """The four corners, from the form that the answer uses."""
        if self.location is not None:
            return self.location
        # One of them is there, see above.
        return to_corners(self.rotate_rect or (0, 0, 0, 0, 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class OcrResult:
    """What a task found.

    Args:
        task: Which task.
        text: What was read, without a Markdown fence: plain text, JSON (values), HTML (tables) or
            LaTeX (documents and formulas), as the task has it. The lines that
            `advanced_recognition` finds stand one below the other.
        words: The lines that `advanced_recognition` finds, and their places.
        values: What `key_information_extraction` finds; `None` with other tasks.
        tables: What `table_parsing` finds: each table as HTML.
        in_pixels: Whether the places are pixels of the image as it was given, its top left being
            (0, 0), which holds for what the native protocol gives in a whole answer, beside the
            text (OCR page, 2026). Places that stand only in the text, which is all that the other
            protocol and streams give, are the model's own: in the answers of qwen-vl-ocr that
            were seen (2025-11) thousandths of the image's width and height.
            # unsure: of other versions, which may use pixels there.
    """

    task: OcrTask
    text: str
    words: tuple[OcrWord, ...] = ()
    values: Mapping[str, Any] | None = None
    tables: tuple[str, ...] = ()
    in_pixels: bool = False

    def to_metadata(self) -> dict[str, Any]:
        """Return task, words, values and tables as JSON values, without those that are empty.

        Example:
            >>> word = OcrWord(text="Hi", rotate_rect=(20, 10, 40, 20, 0))
            >>> result = OcrResult(task="advanced_recognition", text="Hi", words=(word,))
            >>> result.to_metadata()["words"][0]["location"]
            [[0.0, 0.0], [40.0, 0.0], [40.0, 20.0], [0.0, 20.0]]
        """
        metadata: dict[str, Any] = {"task": self.task}
        if self.task == "advanced_recognition":
            metadata["words"] = [_to_json(word) for word in self.words]
            metadata["in_pixels"] = self.in_pixels
        if self.values is not None:
            metadata["values"] = dict(self.values)
        if self.tables:
            metadata["tables"] = list(self.tables)
        return metadata

    def _repr_html_(self) -> str:
        """Return what notebooks show: a table of lines or values, or else the text."""
        if self.words:
            corners = ("top left", "top right", "bottom right", "bottom left")
            rows = [
                (word.text, *(f"{x:.0f}, {y:.0f}" for x, y in word.corners)) for word in self.words
            ]
            unit = "pixels of the image" if self.in_pixels else "the units of the model"
            return to_table(("text", *corners), rows) + to_note(f"Corners are in {unit}.")
        if self.values is not None:
            return to_table(("name", "value"), self.values.items())
        return f"<pre>{to_text(self.text, 10_000)}</pre>"


def read_ocr_result(
    task: OcrTask, text: str, ocr_result: Mapping[str, Any] | None = None
) -> OcrResult:
    r"""Read what a task found from an answer.

    Args:
        task: What was asked for.
        text: The answer's text, in a Markdown fence or without.
        ocr_result: What the native protocol gives beside it, which takes precedence over the text.

    Raises:
        AnswerFormatError: The answer does not have the form that the task promises: no lines with
            places, no JSON object, no table.

    Example:
        >>> answer = "```html\n<table><tr><td>1</td></tr></table>\n```"
        >>> read_ocr_result("table_parsing", answer).tables
        ('<table><tr><td>1</td></tr></table>',)
    """
    beside = ocr_result or {}
    match task:
        case "advanced_recognition":
            listed = beside.get("words_info")
            in_pixels = isinstance(listed, list)
            words = tuple(_read_words(listed if in_pixels else load_json(text), text))
            lines = "\n".join(word.text for word in words)
            return OcrResult(task=task, text=lines, words=words, in_pixels=in_pixels)
        case "key_information_extraction":
            held = beside.get("kv_result")
            values = held if isinstance(held, dict) else load_json(text)
            if not isinstance(values, dict):
                raise AnswerFormatError("The answer is not a JSON object of values.", text=text)
            return OcrResult(task=task, text=_unfence(text), values=values)
        case "table_parsing":
            tables = tuple(_find_tables(text))
            if not tables:
                raise AnswerFormatError("The answer holds no HTML table.", text=text)
            return OcrResult(task=task, text=_unfence(text), tables=tables)
        case "document_parsing" | "formula_recognition" | "text_recognition" | "multi_lan":
            return OcrResult(task=task, text=_unfence(text))


def to_corners(rotate_rect: RotateRect) -> Corners:
    """Return the corners of a turned rectangle.

    The angle is clockwise, as the image is seen: that is how `location` and `rotate_rect` of the
    answers that give both fit together (seen 2025-11).

    Args:
        rotate_rect: x and y of the middle, width, height, angle in degrees.

    Returns:
        Top left, top right, bottom right, bottom left of the line as it stands in the image,
        regardless of which side the service calls the width. Of a line that runs upwards or
        downwards the top left in the image comes first too.

    Example:
        >>> [(round(x), round(y)) for x, y in to_corners((150, 80, 49, 197, -89))]
        [(52, 54), (249, 57), (248, 106), (51, 103)]
    """
    x, y, width, height, angle = rotate_rect
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    along = (cosine * width / 2, sine * width / 2)
    across = (-sine * height / 2, cosine * height / 2)
    # Clockwise, from where the angle has put the first.
    signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    around = [
        (x + one * along[0] + two * across[0], y + one * along[1] + two * across[1])
        for one, two in signs
    ]
    first = min(range(4), key=lambda at: round(sum(around[at]), 6))
    turned = around[first:] + around[:first]
    return turned[0], turned[1], turned[2], turned[3]


def _read_words(listed: Any, text: str) -> Iterator[OcrWord]:
    """Read lines: a list of them, or the object that holds it under one of its two names."""
    if isinstance(listed, dict):
        held = listed.get("words_info", listed.get("pos_list"))
        listed = held if isinstance(held, list) else [listed]
    if not isinstance(listed, list) or not all(isinstance(entry, dict) for entry in listed):
        raise AnswerFormatError("The answer is not a list of lines with their places.", text=text)
    for entry in listed:
        if isinstance(entry.get("pos_list"), list):
            yield from _read_words(_with_text(entry), text)
            continue
        yield OcrWord(
            text=str(entry.get("text") or ""),
            location=_read_location(entry.get("location"), text),
            rotate_rect=_read_rect(entry.get("rotate_rect"), text),
        )


def _with_text(entry: Mapping[str, Any]) -> list[Any]:
    """Return the places of one text that has several of them."""
    said = {"text": entry["text"]} if "text" in entry else {}
    return [{**said, **place} if isinstance(place, dict) else place for place in entry["pos_list"]]


def _read_location(value: Any, text: str) -> Corners | None:
    if value is None:
        return None
    flat = _read_numbers(value, _N_LOCATION, text)
    return (flat[0], flat[1]), (flat[2], flat[3]), (flat[4], flat[5]), (flat[6], flat[7])


def _read_rect(value: Any, text: str) -> RotateRect | None:
    if value is None:
        return None
    x, y, width, height, angle = _read_numbers(value, _N_RECT, text)
    return x, y, width, height, angle


def _read_numbers(value: Any, count: int, text: str) -> list[float]:
    is_list = isinstance(value, list) and len(value) == count
    if is_list and all(type(number) in {int, float} for number in value):
        return list(value)
    raise AnswerFormatError(f"A place is {value!r}, not {count} numbers.", text=text)


def _to_json(word: OcrWord) -> dict[str, Any]:
    rect = {"rotate_rect": list(word.rotate_rect)} if word.rotate_rect else {}
    return {"text": word.text, "location": [list(point) for point in word.corners], **rect}


def _find_tables(text: str) -> Iterator[str]:
    """Find the outermost tables, and rows that stand in none."""
    depth = start = 0
    has_table = False
    for tag, end in _find_table_tags(text):
        if not tag[1]:
            start = start if depth else tag.start()
            depth += 1
        elif depth:
            depth -= 1
            if not depth:
                has_table = True
                yield text[start:end]
    if not has_table and not depth and _ROW_TAG.search(text):
        # The prompt of the OpenAI-compatible protocol asks for rows and cells only.
        yield f"<table>{_unfence(text)}</table>"


def _find_table_tags(text: str) -> Iterator[tuple[re.Match[str], int]]:
    """Find the tags of tables, and where each ends."""
    at = 0
    while tag := _TABLE_TAG.search(text, at):
        at = text.find(">", tag.end()) + 1
        if not at:
            # No tag that follows ends either.
            return
        yield tag, at


def _unfence(text: str) -> str:
    """Take the answer out of its fence, if one stands around all of it."""
    stripped = text.strip()
    fence = next(find_fences(stripped), None)
    return fence.body if fence and (fence.start, fence.end) == (0, len(stripped)) else text
