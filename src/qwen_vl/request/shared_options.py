"""What vLLM takes once for all images and videos of a request, and not beside each of them.

`mm_processor_kwargs` holds the limits of pixels, `media_io_kwargs` how videos are read. What one
part asks for holds for all parts of its kind, which is said in a warning, and counted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qwen_vl.content import Frames, Image, Video
from qwen_vl.errors import UnsupportedContentError, warn
from qwen_vl.specs.processors import (
    DEFAULT_FRAME_LIST_FPS,
    FRAMES_PER_STEP,
    MAX_LISTED_FRAMES,
    PROCESSORS,
    Family,
    override,
)
from qwen_vl.specs.vision import DEFAULT_FPS

_PIXELS = ("min_pixels", "max_pixels")
_SHOWN_PARTS = 3
# Of a minute, less than a second.
_SAME_RATE = 0.01
_LIKE_RATE = 0.25


@dataclass(frozen=True, slots=True)
class _Asked:
    """A value, and the first part that asks for it."""

    value: Any
    where: str


@dataclass(slots=True)
class _Kind:
    """What holds for all parts of one kind, and each part with its values and its defaults."""

    asked: dict[str, _Asked] = field(default_factory=dict)
    parts: list[tuple[str, Mapping[str, Any], Mapping[str, Any]]] = field(default_factory=list)

    def value(self, name: str) -> Any:
        asked = self.asked.get(name)
        return None if asked is None else asked.value


def find_limits(
    part: Image | Video, family: Family, n_frames: int | None = None
) -> tuple[dict[str, int], set[str]]:
    """Find the limits of pixels that a part asks a processor for.

    Args:
        part: The image or video.
        family: Whose processor is asked.
        n_frames: Number of frames of a video, if it is known before it is sent.

    Returns:
        `min_pixels` and `max_pixels` as the processor means them, and the names of the options
        that it cannot be asked for.

    Example:
        >>> from qwen_vl.content import Url
        >>> part = Video(source=Url("https://example.com/walk.mp4"), max_pixels=100_000)
        >>> find_limits(part, "qwen3_vl", 8), find_limits(part, "qwen3_vl")
        (({'max_pixels': 800000}, set()), ({}, {'max_pixels'}))
    """
    each = {name: value for name in _PIXELS if (value := getattr(part, name)) is not None}
    if isinstance(part, Image):
        return each, set()
    total = part.total_pixels
    if not PROCESSORS[family].is_video_of_clip:
        return each, set() if total is None else {"total_pixels"}
    unread: set[str] = set()
    if n_frames is None:
        # How many frames there are, only the server will know.
        each, unread = {}, set(each)
    limits = {name: value * (n_frames or 1) for name, value in each.items()}
    if total is not None:
        # `total_pixels` is the service's, of pairs of frames; here every frame counts.
        most = total * FRAMES_PER_STEP
        limits["max_pixels"] = min(limits.get("max_pixels", most), most)
    return limits, unread


class SharedOptions:
    """Collects what the parts of a request ask for.

    Args:
        title: Name of the server, for messages.
        family: Whose processor scales images and videos.

    Example:
        >>> from qwen_vl.content import Url
        >>> shared = SharedOptions("vLLM", "qwen3_vl")
        >>> shared.add(Image(source=Url("https://example.com/cat.png"), max_pixels=100_000))
        >>> shared.body()["mm_processor_kwargs"]
        {'images_kwargs': {'size': {'shortest_edge': 65536, 'longest_edge': 100000}}}
    """

    def __init__(self, title: str, family: Family) -> None:
        self._title = title
        self._family = family
        self._images, self._videos, self._reading = _Kind(), _Kind(), _Kind()
        self._sampled: list[_Asked] = []
        self._is_fps_of_sampled = False
        self._longest_list = 0
        self._has_files = False
        self.unread: set[str] = set()

    def add(self, part: Image | Video) -> None:
        """Add what a part asks for.

        Args:
            part: As it is sent: a video that is sampled here as the list of its frames.

        Raises:
            UnsupportedContentError: Another part asks for something else.
        """
        processor = PROCESSORS[self._family]
        if isinstance(part, Image):
            limits, _ = find_limits(part, self._family)
            self._collect(self._images, part.where, limits, _named(processor.image))
            return
        n_frames = len(part.source.frames) if isinstance(part.source, Frames) else None
        limits, unread = find_limits(part, self._family, n_frames)
        self.unread |= unread
        self._collect(self._videos, part.where, limits, _named(processor.video))
        self._add_fps(part)
        self._longest_list = max(self._longest_list, n_frames or 0)
        self._has_files = self._has_files or n_frames is None

    def _add_fps(self, part: Video) -> None:
        """Add the rate of a video: it dates the frames of one that is sampled here, and no more."""
        is_list = isinstance(part.source, Frames)
        default = DEFAULT_FRAME_LIST_FPS if is_list else DEFAULT_FPS
        fps = {} if part.fps is None else {"fps": part.fps}
        held = self._reading.asked.get("fps")
        if isinstance(part.source, Frames) and part.source.is_sampled:
            self._sampled.append(_Asked(part.fps, part.where))
            if held is None:
                self._is_fps_of_sampled = True
            else:
                fps = {"fps": held.value}
        elif fps and self._is_fps_of_sampled:
            # Somebody asked for this one.
            del self._reading.asked["fps"]
            self._is_fps_of_sampled = False
        self._collect(self._reading, part.where, fps, {"fps": default})

    @property
    def fps(self) -> float | None:
        """`fps` of all videos; `None` for each one's default."""
        fps: float | None = self._reading.value("fps")
        return fps

    def limits(self, part: Image | Video) -> dict[str, Any]:
        """Return the pixel limits that apply to a part, from any part that sets them.

        Args:
            part: An image or a video.
        """
        kind = self._images if isinstance(part, Image) else self._videos
        return {name: kind.value(name) for name in ("min_pixels", "max_pixels")}

    def body(self) -> dict[str, Any]:
        """Return the fields of the body."""
        processor = PROCESSORS[self._family]
        sizes = {
            name: {"size": _to_size(own, kind)}
            for name, own, kind in (
                ("images_kwargs", processor.image, self._images),
                ("videos_kwargs", processor.video, self._videos),
            )
            if kind.asked
        }
        reading = self._find_reading()
        return {
            **({"mm_processor_kwargs": sizes} if sizes else {}),
            **({"media_io_kwargs": {"video": reading}} if reading else {}),
        }

    def _find_reading(self) -> dict[str, Any]:
        """Return how videos are read: nothing where that is what the server does by itself.

        Without `--trust-request-mm-kwargs` it refuses a request with any of it.
        """
        fps = {} if self.fps is None else {"fps": self.fps}
        is_default = self.fps in {None, DEFAULT_FRAME_LIST_FPS} and not self._has_files
        if self._longest_list > MAX_LISTED_FRAMES or (self._longest_list and not is_default):
            # unsure: from vLLM's source, not measured.
            return {"num_frames": -1, **fps}
        return {} if is_default else fps

    def warn(self) -> None:
        """Warn of parts that the options of others hold for too."""
        for kind, title in (
            (self._images, "images"),
            (self._videos, "videos"),
            (self._reading, "videos"),
        ):
            for name, asked in kind.asked.items():
                without = [
                    where
                    for where, values, defaults in kind.parts
                    if name not in values and not self._is_alike(kind, asked.value, defaults[name])
                ]
                if without:
                    self._warn_shared(title, name, asked, without)

        for each in self._sampled:
            if self.fps is not None and abs(each.value - self.fps) > _SAME_RATE * each.value:
                self._warn_dates(each, self.fps)

    def _is_alike(self, kind: _Kind, value: float, default: float) -> bool:
        # The rate of a video that is sampled here is a little below the one that was aimed at.
        is_of_sampled = kind is self._reading and self._is_fps_of_sampled
        return abs(value - default) <= (_LIKE_RATE * default if is_of_sampled else 0)

    def _warn_dates(self, part: _Asked, fps: float) -> None:
        warn(
            f"{part.where}: its frames were taken at {part.value:g} per second, but {self._title} "
            f"takes one fps for all videos of a request, which is {fps:g} of "
            f"{self._reading.asked['fps'].where}: times that the model names in this video are to "
            f"be multiplied by {fps / part.value:.3g}. Or use several requests."
        )

    def _warn_shared(self, title: str, name: str, asked: _Asked, without: Sequence[str]) -> None:
        shown = ", ".join(without[:_SHOWN_PARTS])
        more = f" and {len(without) - _SHOWN_PARTS} more" if len(without) > _SHOWN_PARTS else ""
        warn(
            f"{shown}{more}: no {name} is set, but {self._title} takes one {name} for all {title} "
            f"of a request: {asked.value} of {asked.where} applies here too. Set it for each, or "
            "use several requests."
        )

    def _collect(
        self,
        kind: _Kind,
        where: str,
        values: Mapping[str, Any],
        defaults: Mapping[str, Any],
    ) -> None:
        kind.parts.append((where, values, defaults))
        for name, value in values.items():
            asked = kind.asked.setdefault(name, _Asked(value, where))
            if asked.value != value:
                raise UnsupportedContentError(
                    f"{self._title} takes one {name} for all parts of a kind in a request; this "
                    f"one has {value}, and {asked.where} has {asked.value}.",
                    where=where,
                    remedy="Set one value for all, or send several requests.",
                )
        low, high = (kind.asked.get(name) for name in _PIXELS)
        if values and low and high and low.value > high.value:
            raise UnsupportedContentError(
                f"{self._title} takes one min_pixels and one max_pixels for all parts of a kind in "
                f"a request; min_pixels is {low.value} of {low.where or 'one'}, and max_pixels is "
                f"{high.value} of {high.where or 'another'}.",
                where=where,
                remedy="Set values that do not contradict each other, or send several requests.",
            )


def _named(area: tuple[int, int]) -> dict[str, int]:
    return dict(zip(_PIXELS, area, strict=True))


def _to_size(own: tuple[int, int], kind: _Kind) -> dict[str, int]:
    # transformers 5.23 drops `min_pixels` and `max_pixels`, and every version wants both of these.
    low, high = override(own, kind.value("min_pixels"), kind.value("max_pixels"))
    return {"shortest_edge": low, "longest_edge": high}
