"""Blocks that say what LlamaIndex's own constructors cannot: pixel limits, `fps` below one, frames.

They are plain `ImageBlock` and `VideoBlock` objects and may go where these may: messages, tools'
results, `Memory`, nodes, the engines with `multimodal=True`. `block_options` says how.
"""

import mimetypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeAlias

from llama_index.core.base.llms.types import DocumentBlock, ImageBlock, VideoBlock

from llama_index.llms.qwen_vl.block_options import (
    FRAMES_TYPE,
    Options,
    join_pages,
    write_fragment,
    write_frames,
    write_page_options,
    write_parameters,
)
from qwen_vl.content import Inline, LocalFile, OpenFile, Pixels, Url, VideoMode, to_source
from qwen_vl.errors import MediaNotFoundError, UnsupportedContentError
from qwen_vl.media import sniff, to_json_safe
from qwen_vl.media.downscale import MAX_FILE_BYTES
from qwen_vl.media.load import load, read_open_file
from qwen_vl.media.pdf.document import PDF_TYPE
from qwen_vl.media.pixels import has_animation
from qwen_vl.request.types import MediaPolicy

Media: TypeAlias = str | bytes | Path | BinaryIO
ImageInput: TypeAlias = Any
"""Those, a `PIL.Image.Image`, or a numpy array, height x width (x 1 to 4): gray, RGB or RGBA."""

_Kind = Literal["image", "video"]
_FALLBACK_TYPES = {"image": "image/png", "video": "video/mp4"}
_ARTICLES = {"image": "An", "video": "A"}


def image_block(
    image: ImageInput,
    *,
    min_pixels: int | None = None,
    max_pixels: int | None = None,
    detail: str | None = None,
    pages: str | Sequence[int] | None = None,
) -> ImageBlock:
    """Create a block of an image.

    Args:
        image: Its URL (`https:`, `http:`, `oss:`, `data:`), bytes, path, an open file, a
            decoded image or array.
        min_pixels: Minimum number of pixels that the model processes: a smaller image is enlarged.
        max_pixels: Maximum number of pixels that the model processes: a larger one is shrunk.
        detail: Passed on as it is.
        pages: Of a TIFF with several pages: numbers from 1 on, as `[1, 2, 7]` or `"1-2,7"`; `None`
            for all.

    Raises:
        MediaError: The file does not exist, or the bytes are not an image.
        UnsupportedContentError: A value that nothing can be made of.

    Example:
        >>> str(image_block("https://example.com/cat.png", max_pixels=655360).url)
        'https://example.com/cat.png#max_pixels=655360'
    """
    options = Options(min_pixels=min_pixels, max_pixels=max_pixels, pages=join_pages(pages))
    where, media_type = _locate(image, "image", options)
    return ImageBlock(**where, image_mimetype=media_type, detail=detail)


def video_block(  # noqa: PLR0913 - what may stand beside a video.
    video: Media,
    *,
    fps: float | None = None,
    min_pixels: int | None = None,
    max_pixels: int | None = None,
    total_pixels: int | None = None,
    start: float | None = None,
    end: float | None = None,
    max_frames: int | None = None,
    video_mode: VideoMode | None = None,
) -> VideoBlock:
    """Create a block of a video.

    Args:
        video: Its URL (`https:`, `http:`, `oss:`, `data:`), bytes, path or an open file.
        fps: Frames per second to sample, 0.1 to 10.
        min_pixels: Minimum number of pixels of a frame.
        max_pixels: Maximum number of pixels of a frame.
        total_pixels: Maximum number of pixels of all frames together.
        start: Seconds from the beginning of a local video at which to begin to look.
        end: Seconds from the beginning of a local video at which to stop.
        max_frames: Maximum number of frames to take of a local video.
        video_mode: How a local video is sent: `"inline"`, `"frames"`, `"upload"` or `"auto"`.

    Raises:
        MediaError: The file does not exist, or the bytes are not a video.
        UnsupportedContentError: A value that nothing can be made of.

    Example:
        >>> str(video_block("https://example.com/walk.mp4", fps=0.5).url)
        'https://example.com/walk.mp4#fps=0.5'
    """
    options = Options(
        fps=fps,
        min_pixels=min_pixels,
        max_pixels=max_pixels,
        total_pixels=total_pixels,
        start=start,
        end=end,
        max_frames=max_frames,
        video_mode=video_mode,
    )
    where, media_type = _locate(video, "video", options)
    return VideoBlock(**where, video_mimetype=media_type)


def frames_block(
    frames: Sequence[ImageInput],
    *,
    fps: float | None = None,
    timestamps: Sequence[float] | None = None,
    min_pixels: int | None = None,
    max_pixels: int | None = None,
    total_pixels: int | None = None,
) -> VideoBlock:
    """Create a block of a video that is given as its frames.

    Paths are read here and now: a block that holds them would be text, which nobody may read
    files by.

    Args:
        frames: Four or more images in order: URLs, paths, bytes, `PIL.Image` or arrays.
        fps: At how many frames per second they were taken.
        timestamps: Seconds at which each was taken, where they are not evenly spaced.
        min_pixels: Minimum number of pixels of a frame.
        max_pixels: Maximum number of pixels of a frame.
        total_pixels: Maximum number of pixels of all frames together.

    Raises:
        MediaError: A frame is not an image, or the file does not exist.
        UnsupportedContentError: A frame is of a kind that nothing can be made of.

    Example:
        >>> urls = [f"https://example.com/{number}.jpg" for number in range(4)]
        >>> frames_block(urls, fps=2).video_mimetype
        'video/x-qwen-frames+json'
    """
    options = Options(
        fps=fps,
        timestamps=None if timestamps is None else [float(time) for time in timestamps],
        min_pixels=min_pixels,
        max_pixels=max_pixels,
        total_pixels=total_pixels,
    )
    urls = [_frame(frame, f"frames[{index}]") for index, frame in enumerate(frames)]
    return VideoBlock(video=write_frames(urls, options), video_mimetype=FRAMES_TYPE)


def document_block(
    document: Media,
    *,
    pages: str | Sequence[int] | None = None,
    dpi: float | None = None,
    min_pixels: int | None = None,
    max_pixels: int | None = None,
    title: str | None = None,
) -> DocumentBlock:
    """Create a block of a PDF or TIFF, whose pages are sent as images.

    Args:
        document: Its bytes, path or an open file.
        pages: Numbers from 1 on, as `[1, 2, 7]` or `"1-2,7"`; `None` for all.
        dpi: Dots per inch to render a PDF at; the LLM's `pdf_dpi` where none is given.
        min_pixels: Minimum number of pixels of a page; the LLM's own where none is given.
        max_pixels: Maximum number of pixels of a page; the LLM's own where none is given.
        title: Stands in the label of each page; a path's name where none is given.

    Raises:
        MediaError: The file does not exist.
        UnsupportedContentError: A value that nothing can be made of.

    Example:
        >>> document_block(b"%PDF-1.7", pages="1-2,7").document_mimetype
        'application/pdf;pages=1-2,7'
    """
    media_type = write_page_options(PDF_TYPE, pages, dpi, min_pixels, max_pixels)
    match to_source(document):
        case LocalFile(path=path, is_trusted=True):
            _check_exists(path, "document")
            where: dict[str, Any] = {"path": path}
            title = title or path.name
        case Inline(data=data):
            where = {"data": data.encode() if isinstance(data, str) else data}
        case OpenFile(file=file):
            where = {"data": read_open_file(file, None, "document")}
        case _:
            raise UnsupportedContentError(
                f"A document cannot be made of {_describe(document)}.",
                where="document",
                remedy="Pass bytes, a pathlib.Path or an open binary file.",
            )
    return DocumentBlock(**where, document_mimetype=media_type, title=title)


def _locate(media: ImageInput, kind: _Kind, options: Options) -> tuple[dict[str, Any], str | None]:
    """Find the fields that say where media is, and its type with the options in it."""
    match to_source(media):
        case Url(url=url) if url[:5].lower() == "data:":
            return _from_data_url(url, kind, options)
        case Url(url=url):
            return {"url": write_fragment(url, options)}, None
        case LocalFile(path=path, is_trusted=True):
            _check_exists(path, kind)
            return {"path": path}, _with_options(mimetypes.guess_type(path)[0], kind, options)
        case LocalFile() if media[:5].lower() == "file:":
            return {"url": write_fragment(media, options)}, None
        case OpenFile(file=file):
            # A block that holds an open file can neither be stored nor shown to an engine.
            data = read_open_file(file, None, kind)
            return {kind: data}, _with_options(sniff(data), kind, options)
        case Inline(data=data):
            if isinstance(data, str):
                return {kind: data.encode()}, _with_options(None, kind, options)
            return {kind: data}, _with_options(sniff(data), kind, options)
        case Pixels(image=image) if kind == "image" or has_animation(image):
            return _from_data_url(str(to_json_safe(media, kind, kind)), kind, options)
    raise UnsupportedContentError(
        f"{_ARTICLES[kind]} {kind} cannot be made of {_describe(media)}.",
        where=kind,
        remedy="Pass a URL, bytes, a pathlib.Path or an open binary file.",
    )


def _from_data_url(url: str, kind: _Kind, options: Options) -> tuple[dict[str, Any], str | None]:
    header, _, text = url.partition(",")
    if not header.lower().endswith(";base64"):
        # Percent-encoded: rare, and the block keeps it as it is.
        return {"url": url}, None
    media_type = header[len("data:") : -len(";base64")]
    return {kind: text.encode()}, _with_options(media_type or None, kind, options)


def _with_options(media_type: str | None, kind: _Kind, options: Options) -> str | None:
    if not options.set_values():
        return media_type
    # What the bytes say counts in the end; a type must be there for the options to stand behind.
    return write_parameters(media_type or _FALLBACK_TYPES[kind], options)


def _frame(frame: ImageInput, where: str) -> str:
    source = to_source(frame)
    if isinstance(source, LocalFile) and source.is_trusted:
        frame = load(source, MediaPolicy(max_inline_bytes=MAX_FILE_BYTES), where).data
    if isinstance(frame, str):
        return frame
    text = to_json_safe(frame, "image", where)
    if text is None:
        raise UnsupportedContentError(
            f"A frame cannot be made of {_describe(frame)}.",
            where=where,
            remedy="Pass URLs, paths, bytes or decoded images.",
        )
    return text


def _check_exists(path: Path, where: str) -> None:
    # The block's own complaint would be an error of pydantic's.
    if not path.is_file():
        raise MediaNotFoundError(f"The file {path} does not exist.", where=where, value=str(path))


def _describe(value: object) -> str:
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    return f"a value of type {type(value).__name__}"
