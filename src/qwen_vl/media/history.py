"""Media of earlier turns: what an agent or a thread carries along, and need not see as sharply.

The newest turn is the one that is still unanswered. What comes before it was answered once: it
must neither end the conversation when a file is gone, nor when it has grown too long.
"""

import io
import operator
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from qwen_vl.content import (
    DataUrl,
    Document,
    Frames,
    Image,
    Inline,
    LocalFile,
    Part,
    Pixels,
    Source,
    Text,
    ToolPart,
    ToolResult,
    Turn,
    Url,
    Video,
    is_remote,
)
from qwen_vl.errors import ConfigurationError, ContentError
from qwen_vl.media.cache_keys import CachedImages, hash_bytes
from qwen_vl.media.color_modes import to_jpeg_mode, with_plain_mode
from qwen_vl.media.data_url import MediaBytes, read_data_url, to_data_url
from qwen_vl.media.encode import encode_jpeg
from qwen_vl.media.measure import measure_pages
from qwen_vl.media.pixels import upright
from qwen_vl.request.types import MediaPolicy

_Content = TypeVar("_Content")


@dataclass(frozen=True, slots=True)
class Sharpness:
    """How an image of an earlier turn is encoded again.

    Args:
        quality: Of the JPEG.
        scale: Width and height, beside those of the image as it would be sent.
    """

    quality: int
    scale: float


LEVELS = (None, Sharpness(85, 1.0), Sharpness(60, 1.0), Sharpness(60, 0.5), Sharpness(45, 0.35))
"""From the sharpest to the smallest: a screenshot of 1920 x 1080 pixels and 2.3 MB as PNG has 577,
354, 103 and 40 KB. `None` is as it is. All images of earlier turns have the same level, so that a
conversation that grows changes what was sent before, and loses the service's cache, only where the
level changes."""


_MIN_SIDE = 32
# At most so many pixels of a page are sent, and a byte for each of them as JPEG of quality 90.
_PAGE_PIXELS = 16_777_216


def find_newest_turn(turns: Sequence[Turn]) -> int:
    """Return the index of the first turn that is still unanswered.

    Args:
        turns: A conversation. What the assistant says at its very end is the beginning of the
            answer (`partial`), not an answer.

    Example:
        >>> turns = [Turn(role=role, parts=()) for role in ("user", "assistant", "user")]
        >>> find_newest_turn(turns), find_newest_turn(turns[:2]), find_newest_turn([])
        (2, 0, 0)
    """
    end = len(turns)
    while end and turns[end - 1].role == "assistant":
        end -= 1
    return next((index for index in range(end, 0, -1) if turns[index - 1].role == "assistant"), 0)


def forget_images(turns: tuple[Turn, ...], n_kept: int | None) -> tuple[Turn, ...]:
    """Put notes in the place of the oldest images in tool messages.

    Whenever twice as many as are kept are held, the older half becomes notes at once: with one
    more note at each step, what was sent before would change, and the service would read it all
    again, at each step.

    Args:
        turns: A conversation. Images of the newest turn are neither counted nor replaced.
        n_kept: Number of images that are kept at least; `None` for all.

    Example:
        >>> from qwen_vl.content import Url
        >>> shot = Image(source=Url("https://example.com/a.png"))
        >>> result = ToolResult(tool_call_id="", parts=(shot,))
        >>> steps = [Turn(role="tool", parts=(result,)), Turn(role="assistant", parts=())] * 4
        >>> turns = forget_images((*steps, Turn(role="user", parts=())), 2)
        >>> [type(turn.parts[0].parts[0]).__name__ for turn in turns[::2][:4]]
        ['Text', 'Text', 'Image', 'Image']
    """
    if n_kept is None:
        return turns
    n_earlier = find_newest_turn(turns)
    n_held = sum(map(_count_images, turns[:n_earlier]))
    n_forgotten = max(n_held // n_kept - 1, 0) * n_kept
    kept: list[Turn] = []
    for turn in turns[:n_earlier]:
        n_here = min(_count_images(turn), n_forgotten)
        n_forgotten -= n_here
        kept.append(_forget(turn, n_here, n_kept) if n_here else turn)
    return (*kept, *turns[n_earlier:])


def _count_images(turn: Turn) -> int:
    results = (part for part in turn.parts if isinstance(part, ToolResult))
    return sum(isinstance(part, Image) for result in results for part in result.parts)


def _forget(turn: Turn, n_images: int, n_kept: int) -> Turn:
    parts: list[Part] = []
    for part in turn.parts:
        if isinstance(part, ToolResult):
            inner: list[ToolPart] = []
            for held in part.parts:
                if isinstance(held, Image) and n_images:
                    n_images -= 1
                    # A constant text, so that the request's prefix does not change.
                    note = f"An older image is not shown: history_images={n_kept}."
                    inner.append(Text(text=note, where=held.where))
                else:
                    inner.append(held)
            parts.append(replace(part, parts=tuple(inner)))
        else:
            parts.append(part)
    return replace(turn, parts=tuple(parts))


def may_be_made_to_fit(turns: Sequence[Turn], policy: MediaPolicy) -> bool:
    """Return whether media may become smaller, since there is not room for all of it.

    Args:
        turns: A conversation, before any of its media is prepared.
        policy: How much may be inlined.
    """
    media = [list(_find_media(turn)) for turn in turns]
    videos = [part for parts in media for part in parts if isinstance(part, Video)]
    # A single turn's images are never downscaled, and one video has all the room.
    if not any(media[: find_newest_turn(turns)]) and len(videos) <= 1:
        return False
    n_bytes = sum(_estimate_bytes(part, policy) for parts in media for part in parts)
    # Half of the room is kept for videos that are sampled.
    return n_bytes > policy.max_total_inline_bytes // (2 if videos else 1)


def _find_media(turn: Turn) -> Iterator[Image | Video | Document]:
    for part in turn.parts:
        held = part.parts if isinstance(part, ToolResult) else (part,)
        yield from (media for media in held if isinstance(media, Image | Video | Document))


def _estimate_bytes(part: Image | Video | Document, policy: MediaPolicy) -> int:
    if not isinstance(part, Video):
        return _estimate_pages(part, policy)
    if isinstance(part.source, Frames):
        return sum(map(_size_of, part.source.frames))
    n_bytes = _size_of(part.source)
    # One that is too long is sampled.
    return 0 if n_bytes > policy.max_inline_bytes else n_bytes


def _estimate_pages(part: Image | Document, policy: MediaPolicy) -> int:
    """Return as many bytes as pages may have, since a few lines of a PDF may draw anything."""
    try:
        pages = measure_pages(part, policy)
    except (ContentError, ConfigurationError):
        # A note is sent in its place.
        return 0
    if isinstance(pages, Image):
        return _size_of(pages.source)
    return sum(min(width * height, _PAGE_PIXELS) for width, height in (p.size for p in pages))


def _size_of(source: Source) -> int:
    match source:
        case DataUrl(n_bytes=n_bytes):
            return n_bytes
        case Inline(data=data) if isinstance(data, str):
            return len(data) * 3 // 4
        case Inline(data=data):
            return len(data)
        case Url(url=url) if not is_remote(url):
            return len(url) * 3 // 4
        case LocalFile(path=path, is_trusted=True):
            with suppress(OSError, ValueError):
                return path.stat().st_size
        case LocalFile():
            # Access is checked where it is read.
            return 2**20
        case Pixels(image=pixels) if hasattr(pixels, "getbands"):
            # As PNG, a screenshot has a fifth to a half of that.
            return int(pixels.width * pixels.height * len(pixels.getbands()))
        case Pixels(image=pixels):
            return int(getattr(pixels, "nbytes", 0))
    return 0


class ImageBlur:
    """Encodes the images of one request's earlier turns again, so that they take fewer bytes.

    Args:
        policy: Brings the cache of prepared images.
    """

    def __init__(self, policy: MediaPolicy) -> None:
        self._policy = policy
        # To hash a screenshot takes a millisecond, at each level and in each call.
        self._hashes: dict[int, bytes] = {}

    def apply(self, content: Sequence[_Content], sharpness: Sharpness | None) -> list[_Content]:
        """Return what stands in one slot, its images as sharp as said.

        An image that would not become shorter, or cannot be decoded here, is the same object.

        Args:
            content: Ready to be sent. It must not be freed while this is used.
            sharpness: How much of its images is kept; `None` for all.
        """
        if sharpness is None:
            return list(content)
        return [self._blur_part(made, sharpness) for made in content]

    def _blur_part(self, made: Any, sharpness: Sharpness) -> Any:
        match made:
            case Image(source=DataUrl() as source):
                blurred = self._blur(source, sharpness)
                return made if blurred.n_bytes >= source.n_bytes else replace(made, source=blurred)
            case Video(source=Frames() as source):
                return replace(made, source=self._blur_frames(source, sharpness))
        return made

    def _blur_frames(self, source: Frames, sharpness: Sharpness) -> Frames:
        # Either all or none: servers want frames of one size.
        ready = [frame for frame in source.frames if isinstance(frame, DataUrl)]
        made = [self._blur(frame, sharpness) for frame in ready]
        is_shorter = sum(new.n_bytes for new in made) < sum(old.n_bytes for old in ready)
        if not is_shorter or any(map(operator.is_, made, ready)):
            return source
        blurred = iter(made)
        frames: tuple[Source, ...] = tuple(
            next(blurred) if isinstance(frame, DataUrl) else frame for frame in source.frames
        )
        return replace(source, frames=frames)

    def _blur(self, source: DataUrl, sharpness: Sharpness) -> DataUrl:
        data = read_data_url(source)
        cached = CachedImages(self._policy, sharpness)
        identity = self._hashes.get(id(source))
        if identity is None:
            identity = self._hashes[id(source)] = hash_bytes(data)
        found = cached.get(identity)
        if found is None:
            found = _encode(data, source, sharpness)
            cached.put(identity, found)
        return found


def _encode(data: bytes, source: DataUrl, sharpness: Sharpness) -> DataUrl:
    from PIL import Image as Pillow  # noqa: PLC0415 - slow to import

    try:
        with Pillow.open(io.BytesIO(data)) as opened:
            plain = to_jpeg_mode(with_plain_mode(upright(opened, ""), ""))
            # At least so many pixels on the short side, and the same shape.
            scale = min(max(sharpness.scale, _MIN_SIDE / min(plain.size)), 1.0)
            width, height = plain.size
            size = (max(round(width * scale), 1), max(round(height * scale), 1))
            jpeg = encode_jpeg(plain.resize(size), sharpness.quality)
    except Exception:  # noqa: BLE001 - whatever decoders trip over: the service may read it.
        return source
    made = to_data_url("image/jpeg", MediaBytes(jpeg), size)
    return replace(made, original_size=source.original_size)
