"""Reads boxes and points from answers, in any of the forms that models give them."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from qwen_vl.errors import AnswerFormatError, CoordinateSpaceError
from qwen_vl.grounding.coordinates import CoordinateFrame
from qwen_vl.grounding.damaged_json import read_damaged_json
from qwen_vl.grounding.results import Box, Corners, Grounding, Point, SkippedEntry
from qwen_vl.ocr.results import OcrResult, to_corners
from qwen_vl.parsing import find_text

_BOX_KEYS = ("bbox_2d", "bbox", "box", "bounding_box", "bboxes", "boxes")
_POINT_KEYS = ("point_2d", "point", "points", "points_2d")
_QUAD_KEYS = ("location", "quad", "polygon", "rotate_rect")
_PLACE_KEYS = (*_BOX_KEYS, *_POINT_KEYS, *_QUAD_KEYS)
_LABEL_KEYS = ("label", "name", "category", "class", "object", "text", "description")
# Keys that say nothing of what is in them.
_PLAIN_KEYS = frozenset({"answer", "data", "detections", "items", "objects", "results"})
# As objects: the keys of the four edges, by the names that annotation formats have for them.
_EDGES = (
    ("x1", "y1", "x2", "y2"),
    ("xmin", "ymin", "xmax", "ymax"),
    ("x_min", "y_min", "x_max", "y_max"),
    ("left", "top", "right", "bottom"),
)
_AXES = ("x", "y")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_NUMBERS_ALONE = re.compile(r"[\s\d.,;()\[\]eE+-]+")
_N_POINT, _N_BOX, _N_RECT, _N_QUAD = 2, 4, 5, 8
_TAG = re.compile(
    r"<\|?(?P<slash>/?)(?P<name>object_ref|ref|box|quad|point)(?P<end>_start|_end|)\|?>"
)
# Of an entry that is not JSON.
_LABEL = re.compile(
    rf"""["']?\b(?:{"|".join(_LABEL_KEYS)})["']?\s*+:\s*+["']?(?P<label>[^"'\[\]{{}},\n]*+)"""
)
_INNERMOST = re.compile(r"\[([^\[\]]*+)\]")
# One in so many may be a slip of the model.
_FEW = 10
_SHOWN_CHARS = 80
# Containers stand in one another two or three deep.
_DEEPEST = 16

_Kind: TypeAlias = Literal["box", "point", "quad"]


@dataclass(frozen=True, slots=True)
class _Place:
    """One place as the model wrote it: 2 numbers, 4, or the 8 of four corners."""

    numbers: tuple[float, ...]
    label: str
    entry: Mapping[str, Any]

    @property
    def pairs(self) -> tuple[tuple[float, float], ...]:
        return tuple(zip(self.numbers[::2], self.numbers[1::2], strict=True))


@dataclass(slots=True)
class _Finds:
    """What has been read so far."""

    text: str
    shapes: list[_Place] = field(default_factory=list)
    not_found: list[str] = field(default_factory=list)
    skipped: list[SkippedEntry] = field(default_factory=list)
    has_container: bool = False

    def add(self, others: "_Finds") -> None:
        self.shapes += others.shapes
        self.skipped += others.skipped


def read_grounding(text: str, frame: CoordinateFrame) -> Grounding:
    """Read boxes and points from an answer.

    Taken are JSON in a fence or bare, with prose around it, as one object, a list, or objects
    that hold lists; `bbox_2d`, `bbox` or `box`, `point_2d` or `point`, the OCR models' `location`
    of 8 numbers and `rotate_rect`; labels under their usual names, or as the key that a box stands
    under; numbers that are text; corners in the wrong order; comments, and quotes within labels;
    and lists that break off, of which the whole entries are kept. The older forms
    `<ref>cat</ref><box>(1,2),(3,4)</box>` and `<|box_start|>(1,2),(3,4)<|box_end|>` are read as
    well. What lies a little outside of the image is clipped, and marked. Entries that cannot be
    used are in `skipped`, with reasons.

    Args:
        text: The answer.
        frame: Its coordinate space, from `find_frame`.

    Raises:
        CoordinateSpaceError: Most numbers are too large for that space, all fit pixels of the image
            instead, or all are fractions of 1; the space is not guessed from them.
        AnswerFormatError: It contains no usable boxes or points.

    Example:
        >>> from qwen_vl.grounding.coordinates import find_frame
        >>> answer = '[{"bbox_2d": [250, 500, 750, 1000], "label": "cup"}]'
        >>> read_grounding(answer, find_frame("qwen3-vl-plus", (600, 400))).boxes
        (Box(x1=150.0, y1=200.0, x2=450.0, y2=400.0, label='cup', is_clipped=False, corners=None),)
    """
    found = read_damaged_json(text)
    finds, tagged = _Finds(text), _Finds(text)
    _read_tags(tagged, found.values)
    has_tags = bool(tagged.shapes or tagged.skipped)
    # Lists of numbers may stand between tags, where they are corners and no points.
    values = [value for value in found.values if not has_tags or _holds_boxes(value)]
    _walk_entries(values, "", finds, 0)
    finds.add(tagged)
    finds.skipped += [_to_skipped(entry) for entry in found.unread if not _is_tagged(entry)]
    if finds.skipped and not (finds.shapes or finds.not_found):
        raise AnswerFormatError(f"An entry {finds.skipped[0].reason}.", text=text)
    is_empty = not (finds.shapes or finds.not_found)
    if is_empty and (found.is_cut_off or not finds.has_container):
        problem = (
            "The answer breaks off before its first place is whole."
            if found.is_cut_off
            else "The answer holds no boxes and no points in JSON."
        )
        raise AnswerFormatError(problem, text=text)
    _check_space(finds, frame)
    return Grounding(
        boxes=tuple(
            _to_box(place, frame) for place in finds.shapes if len(place.numbers) > _N_POINT
        ),
        points=tuple(
            _to_point(place, frame) for place in finds.shapes if len(place.numbers) == _N_POINT
        ),
        width=frame.image[0],
        height=frame.image[1],
        space=frame.space,
        not_found=tuple(finds.not_found),
        skipped=tuple(finds.skipped),
        is_cut_off=found.is_cut_off,
        text=text,
    )


def ground_ocr_result(result: OcrResult, frame: CoordinateFrame) -> Grounding:
    """Return the lines of text that an OCR model found as boxes.

    Args:
        result: Of `advanced_recognition`.
        frame: From `find_frame`, with `space="sent"` where `result.in_pixels`, else with
            `space="normalized"`.

    Raises:
        CoordinateSpaceError: The numbers are too large for that space.

    Example:
        >>> from qwen_vl.grounding.coordinates import find_frame
        >>> from qwen_vl.ocr.results import OcrWord
        >>> word = OcrWord(text="Hi", location=((10, 10), (50, 10), (50, 30), (10, 30)))
        >>> result = OcrResult(
        ...     task="advanced_recognition", text="Hi", words=(word,), in_pixels=True
        ... )
        >>> frame = find_frame("qwen-vl-ocr", (200, 100), space="sent", sent=(100, 50))
        >>> ground_ocr_result(result, frame).boxes[0].xyxy
        (20.0, 20.0, 100.0, 60.0)
    """
    finds = _Finds(result.text)
    for word in result.words:
        numbers = tuple(float(value) for corner in word.corners for value in corner)
        finds.shapes.append(_Place(numbers, word.text, {"text": word.text}))
    _check_space(finds, frame)
    return Grounding(
        boxes=tuple(_to_box(place, frame) for place in finds.shapes),
        width=frame.image[0],
        height=frame.image[1],
        space=frame.space,
        text=result.text,
    )


def _walk(value: Any, label: str, finds: _Finds, depth: int) -> None:
    """Look for places in a value; what stands around them, such as counts, is passed over."""
    if depth > _DEEPEST:
        raise AnswerFormatError("The answer's JSON is nested too deeply.", text=finds.text)
    if isinstance(value, dict):
        _walk_object(value, label, finds, depth)
    elif isinstance(value, list):
        if _is_numbers(value):
            # Alone it may be a reference, as in "see [1]".
            if depth or len(value) in {_N_POINT, _N_BOX, _N_QUAD}:
                _add(value, _kind_of(value), label, {}, finds)
            return
        finds.has_container = finds.has_container or not value
        _walk_entries(value, label, finds, depth + 1)


def _walk_entries(entries: Sequence[Any], label: str, finds: _Finds, depth: int) -> None:
    has_places = any(isinstance(entry, dict) and _holds_places(entry) for entry in entries)
    for entry in entries:
        reason = _find_fault(entry) if has_places else None
        if reason is None:
            _walk(entry, label, finds, depth)
            continue
        own_label = find_text(entry, _LABEL_KEYS) if isinstance(entry, dict) else None
        finds.skipped.append(SkippedEntry(reason=reason, label=own_label or label, value=entry))
    stray = [entry for entry in entries if _is_number(entry)]
    if stray and any(isinstance(entry, list) for entry in entries):
        reason = f"has {_shorten(stray)} outside of brackets"
        finds.skipped.append(SkippedEntry(reason=reason, label=label, value=stray))


def _find_fault(entry: Any) -> str | None:
    """Find why an entry beside others that have places is not one; `None` where it may be.

    A quote or bracket that is missing leaves its numbers without its label, or the reverse.
    """
    if _is_numbers(entry) and len(entry) in {_N_POINT, _N_BOX, _N_QUAD}:
        return f"has {_shorten(entry)} outside of an object"
    if not isinstance(entry, dict) or not entry or _holds_places(entry):
        return None
    has_more = any(isinstance(inner, dict | list) and inner for inner in entry.values())
    return None if has_more else "has no box and no point"


def _holds_places(entry: dict[str, Any]) -> bool:
    return _edges_of(entry) is not None or _holds_boxes(entry)


def _walk_object(entry: dict[str, Any], label: str, finds: _Finds, depth: int) -> None:
    own_label = find_text(entry, _LABEL_KEYS)
    own = label if own_label is None else own_label
    keys = [key for key in _PLACE_KEYS if key in entry]
    if not keys and (edges := _edges_of(entry)):
        _add(edges, _kind_of(edges), own, entry, finds)
        return
    holds_objects = any(_holds_objects(entry[key]) for key in keys)
    if keys and not holds_objects:
        for key in _preferred(keys, entry):
            _read_place(key, entry[key], own, entry, finds)
        # Its parts, if it has any; a list of numbers beside it may be anything.
        for key, inner in entry.items():
            if key not in _PLACE_KEYS and _holds_boxes(inner):
                _walk(inner, "", finds, depth + 1)
        return
    finds.has_container = finds.has_container or not entry
    for key, inner in entry.items():
        if isinstance(inner, dict | list):
            # A list under a key, {"cats": [...]}, is labeled by the key; where the
            # entries name themselves, that counts.
            is_name = own_label is None and key not in (*_PLACE_KEYS, *_PLAIN_KEYS)
            _walk(inner, key if is_name else own, finds, depth + 1)


def _holds_objects(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(inner, dict) for inner in value)


def _holds_boxes(value: Any, depth: int = 0) -> bool:
    if isinstance(value, dict):
        inner = list(value.values())
        return any(key in value for key in _PLACE_KEYS) or _holds_boxes(inner, depth + 1)
    is_list = isinstance(value, list) and depth < _DEEPEST
    return is_list and any(_holds_boxes(inner, depth + 1) for inner in value)


def _preferred(keys: list[str], entry: Mapping[str, Any]) -> list[str]:
    """Choose among the forms of one place: `location` and `rotate_rect` are equivalent.

    Words and single numbers under such names are something else, such as a player's points, where
    there is a place beside them.
    """
    keys = [key for key in keys if isinstance(entry[key], dict | list)] or keys
    quads = [key for key in keys if key in _QUAD_KEYS]
    boxes = [key for key in keys if key in _BOX_KEYS]
    points = [key for key in keys if key in _POINT_KEYS]
    return [*(boxes or quads)[:1], *points[:1]]


def _read_place(key: str, value: Any, label: str, entry: dict[str, Any], finds: _Finds) -> None:
    is_null = isinstance(value, list) and all(inner is None for inner in value)
    if value is None or is_null or value in ({}, ""):
        if label:
            finds.not_found.append(label)
        finds.has_container = True
        return
    kind: _Kind = "point" if key in _POINT_KEYS else "quad" if key in _QUAD_KEYS else "box"
    if isinstance(value, str):
        value = _read_numbers(_TAG.sub("", value)) or value
    if isinstance(value, dict):
        value = _edges_of(value) or value
    pairs = _flatten(value, kind)
    if pairs is not None:
        _add(pairs, kind, label, entry, finds)
        return
    if isinstance(value, list) and all(isinstance(inner, list) for inner in value):
        for inner in value:
            _add(_flatten(inner, kind) or inner, kind, label, entry, finds)
        return
    _add(value, kind, label, entry, finds)


def _flatten(value: Any, kind: _Kind) -> list[Any] | None:
    """Flatten corners that are nested lists."""
    if _is_numbers(value):
        return list(value)
    n_pairs = {"box": _N_BOX, "quad": _N_QUAD, "point": _N_POINT}[kind] // 2
    if not isinstance(value, list) or len(value) != n_pairs:
        return None
    if all(_is_numbers(pair) and len(pair) == _N_POINT for pair in value):
        return [number for pair in value for number in pair]
    return None


def _edges_of(value: Mapping[str, Any]) -> list[Any] | None:
    for names in (*_EDGES, _AXES):
        if all(name in value for name in names):
            has_size = names is _AXES and {"width", "height", "w", "h"} & value.keys()
            return None if has_size else [value[name] for name in names]
    return None


def _to_float(number: Any) -> float:
    try:
        return float(number)
    except OverflowError:
        # A model that repeats one digit writes integers of any length.
        return math.inf


def _is_numbers(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_number, value))


def _is_number(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    is_text = isinstance(value, str) and _NUMBER.fullmatch(value.strip())
    return bool(is_text) or isinstance(value, int | float)


def _kind_of(numbers: list[Any]) -> _Kind:
    return {_N_POINT: "point", _N_QUAD: "quad"}.get(len(numbers), "box")  # type: ignore[return-value]


def _add(value: Any, kind: _Kind, label: str, entry: Mapping[str, Any], finds: _Finds) -> None:
    counts = {"point": (_N_POINT,), "box": (_N_BOX,), "quad": (_N_QUAD, _N_RECT, _N_BOX)}[kind]
    numbers = tuple(map(_to_float, value)) if _is_numbers(value) else ()
    if len(numbers) not in counts or not all(map(math.isfinite, numbers)):
        wanted = " or ".join(map(str, counts))
        reason = f"has {_shorten(value)} in place of {wanted} numbers"
        finds.skipped.append(SkippedEntry(reason=reason, label=label, value=value))
        return
    if len(numbers) == _N_RECT:
        x, y, width, height, angle = numbers
        corners = to_corners((x, y, width, height, angle))
        numbers = tuple(number for corner in corners for number in corner)
    finds.shapes.append(_Place(numbers, label, entry))


def _check_space(finds: _Finds, frame: CoordinateFrame) -> None:
    numbers = [number for place in finds.shapes for number in place.numbers]
    is_fraction = any(number != int(number) for number in numbers)
    if is_fraction and all(0 <= number <= 1 for number in numbers):
        raise CoordinateSpaceError(
            f"The answer's places are fractions of 1, but {frame} were expected.", text=finds.text
        )
    outside = {
        index: pair
        for index, place in enumerate(finds.shapes)
        if (pair := next((pair for pair in place.pairs if frame.is_beyond(*pair)), None))
    }
    if not outside:
        return
    if _counts_in_something_else(finds.shapes, len(outside), frame):
        x, y = next(iter(outside.values()))
        raise CoordinateSpaceError(
            f"A place is at {x:g}, {y:g}, which is not within {frame}. If the model answers in "
            "something else, say so with space=…",
            text=finds.text,
        )
    for index, (x, y) in outside.items():
        place = finds.shapes[index]
        reason = f"is at {x:g}, {y:g}, which is not within {frame}"
        finds.skipped.append(SkippedEntry(reason=reason, label=place.label, value=place.numbers))
    finds.shapes = [place for index, place in enumerate(finds.shapes) if index not in outside]


def _counts_in_something_else(
    shapes: Sequence[_Place], n_outside: int, frame: CoordinateFrame
) -> bool:
    """Return whether the answer as a whole, and not a few entries of it, is off.

    Where pixels of the image explain each number, even a few outside mean that the others, which
    happen to fit, are in pixels too.
    """
    pixels = replace(frame, scale=frame.image)
    fits_pixels = not any(pixels.is_beyond(*pair) for place in shapes for pair in place.pairs)
    return 2 * n_outside >= len(shapes) or (fits_pixels and n_outside * _FEW >= len(shapes))


def _read_tags(finds: _Finds, values: Sequence[Any]) -> None:
    """Read the forms of Qwen-VL and Qwen2-VL, in which tags stand around labels and numbers.

    Those in texts of JSON values are parts of these.
    """
    label, opened = "", None
    text = finds.text.rpartition("</think>")[2]
    held = "\n".join(_find_tagged_texts(values))
    for tag in _TAG.finditer(text):
        is_end = bool(tag["slash"]) or tag["end"] == "_end"
        if not is_end:
            opened = tag
            continue
        if opened is None or opened["name"] != tag["name"]:
            continue
        inner = text[opened.end() : tag.start()]
        if tag["name"].endswith("ref"):
            label = inner.strip()
        elif not held or text[opened.start() : tag.end()] not in held:
            _read_tagged(opened, inner, label, finds)
        opened = None
    if opened is not None and not opened["name"].endswith("ref"):
        # Where the end is a stop word, servers leave it out.
        inner = text[opened.end() :].rstrip()
        if inner.endswith((")", "]")):
            _read_tagged(opened, inner, label, finds)


def _find_tagged_texts(values: Any, depth: int = 0) -> Iterator[str]:
    if isinstance(values, str):
        if _TAG.search(values):
            yield values
    elif isinstance(values, Mapping | list | tuple) and depth < _DEEPEST:
        for inner in values.values() if isinstance(values, Mapping) else values:
            yield from _find_tagged_texts(inner, depth + 1)


def _read_tagged(tag: re.Match[str], inner: str, label: str, finds: _Finds) -> None:
    numbers = _read_numbers(inner)
    if not numbers:
        return
    kind: _Kind = tag["name"]  # type: ignore[assignment]
    if kind == "box" and len(numbers) == _N_POINT:
        # Of models that click.
        kind = "point"
    for each in _split_boxes(inner) if kind == "box" else [numbers]:
        _add(each, kind, label, {}, finds)


def _split_boxes(inner: str) -> list[list[str]]:
    """Split `[1, 2, 3, 4], [5, 6, 7, 8]`, which may be two boxes or four corners by number."""
    numbers = _NUMBER.findall(inner)
    for split in (_INNERMOST.findall(inner), inner.split(";")):
        boxes = [_NUMBER.findall(part) for part in split]
        boxes = [box for box in boxes if box]
        if len(boxes) * _N_BOX == len(numbers) and all(len(box) == _N_BOX for box in boxes):
            return boxes
    return [numbers]


def _read_numbers(text: str) -> list[str]:
    return _NUMBER.findall(text) if _NUMBERS_ALONE.fullmatch(text) else []


def _is_tagged(unread: str) -> bool:
    """Return whether it is an entry in tags, which are read apart from JSON."""
    return bool(_TAG.search(unread) and _NUMBERS_ALONE.fullmatch(_TAG.sub("", unread)))


def _to_skipped(unread: str) -> SkippedEntry:
    label = _LABEL.search(unread)
    return SkippedEntry(
        reason=f"is not JSON: {_shorten(unread)}",
        label=label["label"] if label else "",
        value=unread,
    )


def _shorten(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= _SHOWN_CHARS else f"{shown[:_SHOWN_CHARS]}…"


def _to_box(place: _Place, frame: CoordinateFrame) -> Box:
    corners = [frame.to_pixels(x, y) for x, y in place.pairs]
    low = min(x for x, _ in corners), min(y for _, y in corners)
    high = max(x for x, _ in corners), max(y for _, y in corners)
    (x1, y1), (x2, y2) = frame.clip(*low), frame.clip(*high)
    turned: Corners | None = tuple(corners) if len(corners) == _N_QUAD // 2 else None
    return Box(
        x1=x1,
        y1=y1,
        x2=x2,
        y2=y2,
        label=place.label,
        is_clipped=(x1, y1, x2, y2) != (*low, *high),
        corners=turned,
        entry=place.entry,
    )


def _to_point(place: _Place, frame: CoordinateFrame) -> Point:
    x, y = frame.to_pixels(*place.pairs[0])
    clipped = frame.clip(x, y)
    return Point(
        x=clipped[0],
        y=clipped[1],
        label=place.label,
        is_clipped=clipped != (x, y),
        entry=place.entry,
    )
