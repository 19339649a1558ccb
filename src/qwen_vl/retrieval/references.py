"""Images, pages, frames and videos as documents of frameworks, which refer to them by metadata."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from qwen_vl.content import Document, Frames, Image, LocalFile, Url, Video
from qwen_vl.errors import ConfigurationError, MediaFormatError
from qwen_vl.media.metadata import PAGE_KEY
from qwen_vl.media.video.thumbnails import take_thumbnails
from qwen_vl.request.types import MediaPolicy
from qwen_vl.retrieval.files import (
    FRAME_WIDTH,
    FrameOptions,
    Unit,
    find_files,
    find_units,
    open_file,
)

SECONDS_KEY = "seconds"
"""Metadata key of the time of a frame, whose video is in `source`."""
TOTAL_KEY = "total_pages"
"""Metadata key of the number of pages of a file."""

# Pages are found one by one, and nothing is sent.
_ALL_PAGES = MediaPolicy(pdf_max_pages=100_000)
_FRAME_QUALITY = 90
# Decoded frames of full HD take 6 MB each.
_FRAMES_AT_A_TIME = 8
_DIGEST_LETTERS = 12


def find_references(
    sources: Iterable[str | Path],
    *,
    frames: FrameOptions | None = None,
    frames_folder: str | Path | None = None,
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Find images, PDF pages and videos as documents of frameworks: text, and metadata.

    Args:
        sources: Files and folders. Of a folder, what `find_files` takes.
        frames: Which frames of a video, with `frames_folder`.
        frames_folder: Folder to save frames of videos in, which are found one by one then; videos
            are found whole if `None`. Frames that are there are not taken again.

    Yields:
        The text that a PDF page holds, empty otherwise; and `source`, `digest` (of the file's
        bytes), `image_path` or `video_path`, and `page` (from 1 on) and `total_pages` of PDF and
        TIFF files. A frame has its image in `image_path`, the video in `source`, and `seconds`.

    Raises:
        MediaError: A file does not exist, cannot be read, or is neither image, PDF nor video.
        MissingExtraError: There is a PDF, and pypdfium2 is not installed; or PyAV, for frames.

    Example:
        >>> from qwen_vl.samples import CHELSEA
        >>> [(text, metadata)] = find_references([CHELSEA])
        >>> text, sorted(metadata)
        ('', ['digest', 'image_path', 'source'])
    """
    folder = None if frames_folder is None else Path(frames_folder)
    for source in map(Path, sources):
        taken, others = find_files(source)
        if source in others:
            raise MediaFormatError(
                f"{str(source)!r} is neither an image, a PDF nor a video.", value=str(source)
            )
        for path in taken:
            yield from _find_references(path, frames or FrameOptions(), folder)


def check_frames_folder(folder: str | Path | None, sources: Iterable[str | Path]) -> None:
    """Check that saved frames are not found as images by the next run.

    Args:
        folder: Where frames are saved; `None` for nowhere.
        sources: Files and folders that are searched for media.

    Raises:
        ConfigurationError: It is within one of them, and not hidden.
    """
    if folder is None:
        return
    inner = Path(folder).absolute()
    for source in sources:
        outer = Path(source).absolute()
        if inner.is_relative_to(outer) and not any(
            part.startswith(".") for part in inner.relative_to(outer).parts
        ):
            raise ConfigurationError(
                f"frames_folder {str(folder)!r} is inside of {str(source)!r}: the next run would "
                "find its frames as images. Pass a folder outside of it, or a hidden one."
            )


def _find_references(
    path: Path, frames: FrameOptions, frames_folder: Path | None
) -> Iterator[tuple[str, dict[str, Any]]]:
    file = open_file(path)
    name = str(path.absolute())
    metadata: dict[str, Any] = {"source": name, "digest": file.digest}
    if file.media_type.startswith("video/"):
        if frames_folder is None:
            yield "", {**metadata, "video_path": name}
            return
        units = list(find_units(file, _ALL_PAGES, frames))
        saved = _save_frames(units, frames_folder.absolute())
        for unit, frame in zip(units, saved, strict=True):
            yield "", {**metadata, "image_path": str(frame), SECONDS_KEY: unit.seconds}
        return
    for unit in find_units(file, _ALL_PAGES, frames):
        pages = {PAGE_KEY: unit.number, TOTAL_KEY: unit.total} if unit.kind == "page" else {}
        yield unit.text, {**metadata, "image_path": name, **pages}


def _save_frames(units: Sequence[Unit], folder: Path) -> list[Path]:
    """Save frames of a video, except those that are there already."""
    files = [folder / _name_frame(unit) for unit in units]
    missing = [pair for pair in zip(units, files, strict=True) if not pair[1].exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for start in range(0, len(missing), _FRAMES_AT_A_TIME):
        taken = missing[start : start + _FRAMES_AT_A_TIME]
        video = Path(taken[0][0].path)
        images = take_thumbnails(
            LocalFile(video, is_trusted=True),
            _ALL_PAGES,
            [unit.seconds or 0.0 for unit, _ in taken],
            width=FRAME_WIDTH,
            where=video.name,
        )
        for (_, file), image in zip(taken, images, strict=True):
            # A run that is killed leaves no half of an image.
            written = file.with_suffix(".tmp")
            image.save(written, "JPEG", quality=_FRAME_QUALITY)
            written.replace(file)
    return files


def _name_frame(unit: Unit) -> str:
    milliseconds = round((unit.seconds or 0.0) * 1000)
    return f"{Path(unit.path).stem}-{unit.digest[:_DIGEST_LETTERS]}-{milliseconds:08}.jpg"


def to_unit(
    media: Sequence[object],
    metadata: Mapping[str, Any],
    text: str = "",
    *,
    page_key: str = PAGE_KEY,
    first_page: int = 1,
) -> Unit:
    """Return what a framework's document is, to be named and cited.

    Args:
        media: The images and videos that it refers to, as parts; the first counts.
        metadata: As of `find_references`, as far as it is there.
        text: Of the document.
        page_key: Metadata key of the page number, of documents without media.
        first_page: Number that the first page has in the metadata of documents without media.

    Example:
        >>> image = Image(source=LocalFile(Path("/a/report.pdf"), is_trusted=False), pages=(3,))
        >>> to_unit([image], {"total_pages": 9}).name
        'report.pdf, page 3'
    """
    digest, source = metadata.get("digest"), metadata.get("source")
    origin = source if isinstance(source, str) else ""
    options: dict[str, Any] = {"digest": digest if isinstance(digest, str) else "", "text": text}
    part = next((part for part in media if isinstance(part, Image | Video | Document)), None)
    if part is None:
        page = metadata.get(page_key)
        number = int(page) - first_page + 1 if _is_number(page) else 0
        if number < 1:
            return Unit(path=origin, kind="text", **options)
        # The name of the only page does not have its number.
        total = max(2, _read_total(metadata, number))
        return Unit(path=origin, kind="text", number=number, total=total, **options)
    path = _find_path(part) or origin
    if isinstance(part, Video):
        return Unit(path=path, kind="video", **options)
    seconds = metadata.get(SECONDS_KEY)
    if origin and _is_number(seconds):
        return Unit(path=origin, kind="frame", seconds=float(seconds), **options)
    found = _read_page(part.pages)
    if found is None:
        return Unit(path=path, kind="image", **options)
    total = _read_total(metadata, found)
    return Unit(path=path, kind="page", number=found, total=total, **options)


def _find_path(part: Image | Video | Document) -> str:
    source: object = part.source
    if isinstance(source, Frames):
        source = source.frames[0]
    match source:
        case LocalFile(path=path):
            return str(path)
        case Url(url=url):
            return url
    return ""


def _read_page(pages: str | Sequence[int] | None) -> int | None:
    """Return the first of some pages."""
    first = pages.partition(",")[0].partition("-")[0] if isinstance(pages, str) else pages
    if isinstance(first, str):
        return int(first) if first.strip().isdigit() else None
    return first[0] if first else None


def _read_total(metadata: Mapping[str, Any], page: int) -> int:
    total = metadata.get(TOTAL_KEY)
    return max(page, int(total)) if _is_number(total) else page


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
