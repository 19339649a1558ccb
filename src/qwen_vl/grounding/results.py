"""What a model finds in an image: boxes and points, in pixels of the image as you have it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from qwen_vl.display.drawn import Drawable, draw_known
from qwen_vl.display.html import to_note, to_table
from qwen_vl.errors import extra_required
from qwen_vl.specs.models import CoordinateSpace

Corners = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A box, in pixels of the original image from its top left.

    Args:
        x1: Its left edge.
        y1: Its upper edge.
        x2: Its right edge; never left of `x1`.
        y2: Its lower edge; never above `y1`.
        label: What is in it, as the model says; empty where it does not.
        is_clipped: Whether a part of it was outside of the image, and was cut off.
        corners: Of a turned box its four corners, clockwise; the box is what stands around them.
        entry: What the model wrote about it, all of it.
    """

    x1: float
    y1: float
    x2: float
    y2: float
    label: str = ""
    is_clipped: bool = False
    corners: Corners | None = None
    entry: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def xyxy(self) -> tuple[float, float, float, float]:
        """Left, upper, right and lower edge."""
        return self.x1, self.y1, self.x2, self.y2

    @property
    def width(self) -> float:
        """Pixels."""
        return self.x2 - self.x1

    @property
    def height(self) -> float:
        """Pixels."""
        return self.y2 - self.y1

    @property
    def area(self) -> float:
        """Square pixels."""
        return self.width * self.height

    @property
    def center(self) -> tuple[float, float]:
        """X and y of its middle."""
        return (self.x1 + self.x2) / 2, (self.y1 + self.y2) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A point, in pixels of the original image from its top left.

    Args:
        x: Pixels from the left.
        y: Pixels from the top.
        label: What is there, as the model says; empty where it does not.
        is_clipped: Whether it was outside of the image, and was moved to its edge.
        entry: What the model wrote about it, all of it.
    """

    x: float
    y: float
    label: str = ""
    is_clipped: bool = False
    entry: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedEntry:
    """A box or point of the answer that could not be used.

    Args:
        reason: What is wrong with it.
        label: What is there, as the model says; empty where it does not.
        value: What the model wrote in place of coordinates.
    """

    reason: str
    label: str = ""
    value: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounding(Drawable):
    """What was found in an image.

    Args:
        boxes: In the order of the answer.
        points: Likewise.
        width: Pixels of the original image.
        height: Pixels of the original image.
        space: What the model's coordinates counted in.
        not_found: What the model named without a box or point.
        skipped: Entries of the answer that could not be used, with reasons.
        is_cut_off: Whether the answer broke off: there may be more than is here.
        text: The answer.

    Example:
        >>> cat = Box(x1=20, y1=10, x2=220, y2=160, label="cat")
        >>> found = Grounding(boxes=(cat,), width=451, height=300, space="normalized")
        >>> found.to_dict()["boxes"]
        [{'label': 'cat', 'xyxy': [20, 10, 220, 160]}]
    """

    boxes: tuple[Box, ...] = ()
    points: tuple[Point, ...] = ()
    width: int
    height: int
    space: CoordinateSpace
    not_found: tuple[str, ...] = ()
    skipped: tuple[SkippedEntry, ...] = ()
    is_cut_off: bool = False
    text: str = field(default="", repr=False)

    def __len__(self) -> int:
        return len(self.boxes) + len(self.points)

    def __iter__(self) -> Iterator[Box | Point]:
        yield from self.boxes
        yield from self.points

    def __str__(self) -> str:
        return self.describe()

    @property
    def labels(self) -> tuple[str, ...]:
        """Every label once, in the order of the answer."""
        return tuple(dict.fromkeys(found.label for found in self))

    def to_dict(self) -> dict[str, Any]:
        """Return all fields except `text` as JSON values; pixels are rounded to hundredths."""
        found: dict[str, Any] = {
            "width": self.width,
            "height": self.height,
            "space": self.space,
            "boxes": [_box_to_dict(box) for box in self.boxes],
            "points": [_point_to_dict(point) for point in self.points],
        }
        if self.not_found:
            found["not_found"] = list(self.not_found)
        if self.skipped:
            found["skipped"] = [
                {"label": entry.label, "reason": entry.reason} for entry in self.skipped
            ]
        return {**found, "is_cut_off": True} if self.is_cut_off else found

    def describe(self) -> str:
        """Describe what was found where, in pixels, for the result of an agent's tool.

        Example:
            >>> cat = Box(x1=20, y1=10, x2=220, y2=160, label="cat")
            >>> Grounding(boxes=(cat,), width=451, height=300, space="normalized").describe()
            '1 box in an image of 451 x 300 pixels: cat [20, 10, 220, 160].'
        """
        shapes = [
            *(f"{box.label} {_encode(box.xyxy)}".strip() for box in self.boxes),
            *(f"{point.label} {_encode((point.x, point.y))}".strip() for point in self.points),
        ]
        counts = [
            _count(len(self.boxes), "box", "boxes"),
            _count(len(self.points), "point", "points"),
        ]
        head = " and ".join(filter(None, counts)) or "nothing found"
        rest = f": {'; '.join(shapes)}" if shapes else ""
        where = f"{head} in an image of {self.width} x {self.height} pixels{rest}."
        return " ".join([where, *self._describe_rest()])

    def _describe_rest(self) -> Iterator[str]:
        if self.not_found:
            yield f"Not found: {', '.join(self.not_found)}."
        if self.skipped:
            reasons = "; ".join(f"{entry.label} {entry.reason}".strip() for entry in self.skipped)
            yield f"Skipped: {reasons}."
        if self.is_cut_off:
            yield "The list is cut off: there may be more."

    def _repr_html_(self) -> str:
        """Return what notebooks show: the image, if it is known, and a table."""
        if not len(self):
            return to_note(self.describe())
        boxes = [(box.label, *map(round, box.xyxy)) for box in self.boxes]
        points = [(point.label, round(point.x), round(point.y)) for point in self.points]
        tables = (
            to_table(("label", "x1", "y1", "x2", "y2"), boxes) if boxes else "",
            to_table(("label", "x", "y"), points) if points else "",
        )
        return "".join((draw_known(self), *tables, to_note(" ".join(self._describe_rest()))))

    def to_detections(self) -> Any:
        """Return the boxes as `supervision.Detections`; see `to_detections`.

        Raises:
            MissingExtraError: supervision is not installed.
        """
        return to_detections(self)


def _box_to_dict(box: Box) -> dict[str, Any]:
    held: dict[str, Any] = {"label": box.label, "xyxy": [_round(value) for value in box.xyxy]}
    if box.corners:
        held["corners"] = [[_round(x), _round(y)] for x, y in box.corners]
    return {**held, "is_clipped": True} if box.is_clipped else held


def _point_to_dict(point: Point) -> dict[str, Any]:
    held = {"label": point.label, "xy": [_round(point.x), _round(point.y)]}
    return {**held, "is_clipped": True} if point.is_clipped else held


def _round(value: float) -> float:
    rounded = round(value, 2)
    return int(rounded) if rounded == int(rounded) else rounded


def _encode(values: tuple[float, ...]) -> str:
    return f"[{', '.join(f'{value:.0f}' for value in values)}]"


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}" if number else ""


def to_detections(grounding: Grounding) -> Any:
    """Return the boxes of an image as `supervision.Detections`.

    `class_name` has the labels, as supervision's own `Detections.from_vlm` gives them, and
    `class_id` numbers them in the order of the answer. Confidence is missing: the models report
    none. Points and turned corners are not supported there.

    Args:
        grounding: What was found.

    Returns:
        A `supervision.Detections`.

    Raises:
        MissingExtraError: supervision is not installed.
    """
    with extra_required("Converting to Detections", extra="supervision"):
        import numpy as np  # noqa: PLC0415 - comes with the extra
        from supervision import Detections  # noqa: PLC0415 - an extra, and slow to import
    labels = [box.label for box in grounding.boxes]
    numbers = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    boxes = np.array([box.xyxy for box in grounding.boxes], dtype=float)
    return Detections(
        xyxy=boxes.reshape(-1, 4),
        class_id=np.array([numbers[label] for label in labels], dtype=int),
        data={"class_name": np.array(labels, dtype=str)},
    )
