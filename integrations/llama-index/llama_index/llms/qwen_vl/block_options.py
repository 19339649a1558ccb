"""How a block carries options that LlamaIndex's own blocks lack fields for.

`fps` is an integer there, frames and pixel limits are missing, and a subclass of a block turns
into its base class as soon as a message is stored. What does survive JSON, `Memory` and the RAG
engines are URLs, media types and bytes. So the options of media given by URL stand in
its fragment (`walk.mp4#fps=0.5`), those of other media in the parameters of its type
(`video/mp4;fps=0.5`), and a list of frames is JSON of the type `video/x-qwen-frames+json`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import orjson

from qwen_vl.content import VideoMode, find_scheme, is_url
from qwen_vl.errors import MediaFormatError, MediaOptionError

FRAMES_TYPE = "video/x-qwen-frames+json"
"""Media type of a list of frames."""

_EXAMPLES = {
    "fps": 2.0,
    "start": 10.0,
    "end": 20.0,
    "max_frames": 64,
    "dpi": 150.0,
    "video_mode": "auto",
    "pages": "1-2",
}
_COMMA = "%2C"
_NUMBERS = {float: "number", int: "whole number"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What stands beside an image or video.

    Args:
        fps: Frames per second to sample, or at which frames were taken.
        timestamps: Seconds at which each of a list of frames was taken.
        min_pixels: Minimum number of pixels of an image or frame.
        max_pixels: Maximum number of pixels of an image or frame.
        total_pixels: Maximum number of pixels of all frames.
        start: Seconds from the beginning of a local video at which to begin to look.
        end: Seconds from the beginning of a local video at which to stop.
        max_frames: Maximum number of frames to take of a local video.
        video_mode: How a local video is sent.
        pages: Pages of a TIFF to send, as `"1-2,7"`.
    """

    fps: float | None = None
    timestamps: list[float] | None = None
    min_pixels: int | None = None
    max_pixels: int | None = None
    total_pixels: int | None = None
    start: float | None = None
    end: float | None = None
    max_frames: int | None = None
    video_mode: VideoMode | None = None
    pages: str | None = None

    def set_values(self) -> dict[str, Any]:
        """Name those that are set."""
        return {name: value for name, value in asdict(self).items() if value is not None}


_NAMES = tuple(field.name for field in fields(Options))


def write_fragment(url: str, options: Options) -> str:
    """Append options to a URL, in its fragment.

    Args:
        url: `http:`, `https:`, `oss:` or `file:`.
        options: What it should carry.

    Example:
        >>> write_fragment("https://example.com/walk.mp4", Options(fps=0.5))
        'https://example.com/walk.mp4#fps=0.5'
    """
    set_values = _encode(options, "&")
    if not set_values:
        return url
    return f"{url}{'&' if '#' in url else '#'}{set_values}"


def read_fragment(url: str, where: str) -> tuple[str, Options]:
    """Take the options from a URL; other things that its fragment holds stay.

    Args:
        url: Any URL.
        where: The part, for errors.

    Raises:
        MediaOptionError: An option is not a number.

    Example:
        >>> read_fragment("https://example.com/walk.mp4#t=5&fps=0.5", "")[0]
        'https://example.com/walk.mp4#t=5'
    """
    if not (is_url(url) and find_scheme(url) != "data"):
        return url, Options()
    base, _, fragment = url.partition("#")
    options, rest = _read(fragment.split("&") if fragment else [], where)
    return (f"{base}#{'&'.join(rest)}" if rest else base), options


def write_parameters(media_type: str, options: Options) -> str:
    """Put options behind a media type.

    Args:
        media_type: `"video/mp4"`.
        options: What it should carry.

    Example:
        >>> write_parameters("video/mp4", Options(fps=0.5, max_pixels=655360))
        'video/mp4;fps=0.5;max_pixels=655360'
    """
    return ";".join(filter(None, [media_type, _encode(options, ";")]))


def read_parameters(media_type: str | None, where: str) -> tuple[str | None, Options]:
    """Take the options from a media type.

    Args:
        media_type: As a block has it.
        where: The part, for errors.

    Raises:
        MediaOptionError: An option is not a number.
    """
    if not media_type or ";" not in media_type:
        return media_type, Options()
    base, *parameters = media_type.split(";")
    options, rest = _read(parameters, where)
    return ";".join([base, *rest]), options


def read_data_url(url: str, where: str) -> tuple[str, Options]:
    """Take the options from a data URL, as the RAG engines make it of a block.

    Args:
        url: `data:video/mp4;fps=0.5;base64,…`.
        where: The part, for errors.

    Raises:
        MediaOptionError: An option is not a number.
    """
    comma = url.find(",")
    header = url[:comma]
    # Frames are long, and of ten URLs nine carry nothing.
    if comma < 0 or not any(f";{name}=" in header for name in _NAMES):
        return url, Options()
    media_type, options = read_parameters(header, where)
    return f"{media_type}{url[comma:]}", options


def write_frames(frames: Sequence[str], options: Options) -> bytes:
    """Write a list of frames.

    Args:
        frames: URLs, `data:` ones too.
        options: What stands beside them.
    """
    return orjson.dumps({"frames": list(frames), **options.set_values()})


def read_frames(data: bytes, where: str) -> tuple[list[str], Options]:
    """Read a list of frames.

    Args:
        data: What `write_frames` wrote.
        where: The part, for errors.

    Raises:
        MediaFormatError: It is not such a list.
        MediaOptionError: An option is not a number.
    """
    try:
        held = orjson.loads(data)
    except orjson.JSONDecodeError:
        held = None
    frames = held.get("frames") if isinstance(held, Mapping) else None
    if not isinstance(frames, list) or not all(isinstance(frame, str) for frame in frames):
        raise MediaFormatError(
            f"The type is {FRAMES_TYPE}, but this is not a list of frames.",
            where=where,
            remedy="Make it with frames_block(…).",
        )
    return frames, Options(**{name: _value(name, held.get(name), where) for name in _NAMES})


def join_pages(pages: str | Sequence[int] | None) -> str | None:
    """Write page numbers as text.

    Args:
        pages: Numbers from 1 on, as `[1, 2, 7]` or `"1-2,7"`.

    Example:
        >>> join_pages([1, 2, 7])
        '1,2,7'
    """
    return pages if pages is None or isinstance(pages, str) else ",".join(map(str, pages))


def write_page_options(
    media_type: str,
    pages: str | Sequence[int] | None,
    dpi: float | None,
    min_pixels: int | None = None,
    max_pixels: int | None = None,
) -> str:
    """Put the pages of a document that are wanted behind its media type.

    Args:
        media_type: `"application/pdf"`.
        pages: Numbers from 1 on, as `[1, 2, 7]` or `"1-2,7"`.
        dpi: Dots per inch.
        min_pixels: Minimum number of pixels of a page.
        max_pixels: Maximum number of pixels of a page.

    Example:
        >>> write_page_options("application/pdf", [1, 2], 100)
        'application/pdf;pages=1,2;dpi=100'
    """
    limits = {"min_pixels": min_pixels, "max_pixels": max_pixels}
    set_values = {"pages": join_pages(pages), "dpi": dpi, **limits}
    return ";".join([media_type, *(f"{k}={v}" for k, v in set_values.items() if v is not None)])


def read_page_options(media_type: str | None, where: str) -> dict[str, Any]:
    """Take what `write_page_options` wrote from a media type.

    Args:
        media_type: As a block has it.
        where: The part, for errors.

    Raises:
        MediaOptionError: `dpi` or a pixel limit is not a number.

    Example:
        >>> read_page_options("application/pdf;pages=1,2;dpi=100", "")
        {'pages': '1,2', 'dpi': 100.0}
    """
    found: dict[str, str] = {}
    for pair in (media_type or "").split(";")[1:]:
        name, _, value = pair.partition("=")
        found[name.strip()] = value.strip()
    names = ("pages", "dpi", "min_pixels", "max_pixels")
    return {name: _value(name, found[name], where) for name in names if name in found}


def _encode(options: Options, separator: str) -> str:
    # A comma ends the header of a data URL.
    values = (
        (name, str(value).replace(",", _COMMA)) for name, value in options.set_values().items()
    )
    return separator.join(f"{name}={value}" for name, value in values)


def _read(pairs: Sequence[str], where: str) -> tuple[Options, list[str]]:
    found: dict[str, Any] = {}
    rest: list[str] = []
    for pair in pairs:
        name, _, value = pair.partition("=")
        if name.strip() in _NAMES:
            text = value.strip().replace(_COMMA, ",")
            found[name.strip()] = _value(name.strip(), text, where)
        else:
            rest.append(pair)
    return Options(**found), rest


def _value(name: str, value: Any, where: str) -> Any:
    if value is None or name == "timestamps":
        # Checked with the frames; it stands in no URL and no media type.
        return value
    example: Any = _EXAMPLES.get(name, 655_360)
    try:
        return type(example)(value)
    except (TypeError, ValueError) as error:
        raise MediaOptionError(
            f"{name} is {value!r}, which is not a {_NUMBERS[type(example)]}.",
            where=where,
            value=value,
            remedy=f"Write {name}={example}.",
        ) from error
