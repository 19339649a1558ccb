"""Where a video's scenes change: determined from the frames that a model would sample."""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import av
from PIL import Image, ImageChops, ImageStat

from qwen_vl_sandbox.media.colors import Color
from qwen_vl_sandbox.media.fetch import Content, FileContent

# Small enough to pass over noise and small movements.
_THUMBNAIL = (16, 16)
_LEAST_CHANGE = 24


@dataclass(frozen=True, slots=True)
class Scene:
    """A part of a video in which little changes; both times in seconds from its beginning."""

    start: float
    end: float
    color: Color


def find_scenes_of_file(
    content: Content | FileContent, numbers: Sequence[int], seconds: float
) -> tuple[Scene, ...]:
    """Find the scenes of a video file.

    Args:
        content: A video that can be opened.
        numbers: The frames that are sampled, from 0.
        seconds: How long it is.
    """
    source = str(content.path) if isinstance(content, FileContent) else io.BytesIO(content.data)
    wanted = set(numbers)
    seen = []
    with av.open(source, mode="r") as container:
        stream = container.streams.video[0]
        rate = float(stream.average_rate or 1)
        for number, frame in enumerate(container.decode(stream)):
            if number in wanted:
                scaled = frame.reformat(*_THUMBNAIL, format="rgb24")
                # PyAV's stub leaves this method untyped.
                seen.append((number / rate, scaled.to_image()))
    return _find_scenes(seen, seconds)


def find_scenes_of_list(images: Iterable[Content], fps: float) -> tuple[Scene, ...]:
    """Find the scenes of a list of frames, each of which is dated by its number.

    Args:
        images: Images that can be decoded.
        fps: How many there are in a second.
    """
    seen = []
    for number, content in enumerate(images):
        with Image.open(io.BytesIO(content.data)) as opened:
            small = opened.convert("RGB").resize(_THUMBNAIL, Image.Resampling.BOX)
        seen.append((number / fps, small))
    return _find_scenes(seen, len(seen) / fps)


def spread_numbers(count: int, frames: int) -> tuple[int, ...]:
    """Spread the sampled frames evenly, from the first to the last.

    unsure: no page says which frames the service takes; this is what the models' makers do in
    `qwen-vl-utils` 0.0.14.

    Example:
        >>> spread_numbers(4, 16)
        (0, 5, 10, 15)
    """
    step = (frames - 1) / max(count - 1, 1)
    return tuple(round(at * step) for at in range(count))


def _find_scenes(seen: Sequence[tuple[float, Image.Image]], seconds: float) -> tuple[Scene, ...]:
    if not seen:
        return ()
    starts = [seen[0]]
    starts += [after for before, after in pairwise(seen) if _differs(before[1], after[1])]
    ends = [time for time, _ in starts[1:]] + [max(seconds, seen[-1][0])]
    return tuple(
        Scene(time, end, _mean(image)) for (time, image), end in zip(starts, ends, strict=True)
    )


def _differs(one: Image.Image, other: Image.Image) -> bool:
    means = ImageStat.Stat(ImageChops.difference(one, other)).mean
    return sum(means) / len(means) >= _LEAST_CHANGE


def _mean(image: Image.Image) -> Color:
    red, green, blue = (round(mean) for mean in ImageStat.Stat(image).mean)
    return Color(red, green, blue)
