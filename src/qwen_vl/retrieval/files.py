"""The files of a folder that can be searched, and their pages, images and frames."""

import hashlib
import mimetypes
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.parse import unquote, urlsplit

from qwen_vl.content import Document, Image, LocalFile, Pixels, is_url
from qwen_vl.embedding.items import Item
from qwen_vl.errors import (
    ConfigurationError,
    MediaAccessError,
    MediaFormatError,
    MediaNotFoundError,
    MissingExtraError,
    UnsupportedContentError,
)
from qwen_vl.media.measure import measure_pages, measure_video
from qwen_vl.media.pdf.document import PDF_TYPE, read_page_texts, read_page_words
from qwen_vl.media.pdf.page_text import PageText, TextWord
from qwen_vl.media.tiff import TIFF_TYPE
from qwen_vl.media.video.container import has_av
from qwen_vl.media.video.thumbnails import take_thumbnails
from qwen_vl.request.types import MediaPolicy

UnitKind: TypeAlias = Literal["page", "image", "frame", "video", "text"]

DEFAULT_FRAME_SECONDS = 10.0
DEFAULT_MAX_FRAMES = 60
FRAME_WIDTH = 1536
"""Maximum width of a frame, which is more than an embedding model sees."""
_READ_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexedFile:
    """A file, and what its content is.

    Args:
        path: Its absolute path.
        media_type: Type by its name: `image/png`, `application/pdf`, `video/mp4`.
        digest: Hash of its bytes.
    """

    path: Path
    media_type: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What is found: a page of a document, an image, or a frame of a video.

    An index of `Indexer` has these three. Stores of frameworks may also hold whole videos, texts,
    and media by URL.

    Args:
        path: Absolute path of the file, or its URL; empty for a text that does not name a file.
        kind: What it is.
        digest: Hash of the file's bytes.
        number: Number of the page or frame in the file, from 1 on; 1 for an image.
        total: Number of pages or frames of the file.
        seconds: Time of a frame from the beginning of the video.
        text: What it says, as far as known without a model; for keyword search and for answers.
    """

    path: str
    kind: UnitKind
    digest: str
    number: int = 1
    total: int = 1
    seconds: float | None = None
    text: str = ""

    @property
    def name(self) -> str:
        """Return a name for people: `report.pdf, page 3` or `walk.mp4, 0:40`."""
        file = _name_file(self.path) or self.kind
        if self.kind == "frame":
            minutes, seconds = divmod(round(self.seconds or 0.0), 60)
            return f"{file}, {minutes}:{seconds:02}"
        return f"{file}, page {self.number}" if self.total > 1 or self.kind == "page" else file

    @property
    def has_image(self) -> bool:
        """Return whether it is an image, page or frame in a file of this machine."""
        return self.kind in {"page", "image", "frame"} and not is_url(self.path)

    def to_part(self, policy: MediaPolicy, *, is_trusted: bool = True) -> Image | Document:
        """Return what a model sees of it.

        Args:
            policy: Which files may be read.
            is_trusted: Whether the program itself named the file.

        Raises:
            MediaError: The frame cannot be read.
            UnsupportedContentError: It is not in a file of this machine, or not an image.
        """
        if not self.has_image:
            raise UnsupportedContentError(
                f"A {self.kind} of {self.path!r} cannot be shown as an image.", where=self.name
            )
        source = LocalFile(Path(self.path), is_trusted=is_trusted)
        if self.kind == "page":
            return Document(source=source, pages=[self.number], where=self.name)
        if self.kind == "image":
            return Image(source=source, where=self.name)
        times: Sequence[float] = [self.seconds or 0.0]
        (frame,) = take_thumbnails(source, policy, times, width=FRAME_WIDTH, where=self.name)
        return Image(source=Pixels(frame), where=self.name)

    def to_item(self, policy: MediaPolicy) -> Item:
        """Return what becomes its vector.

        Args:
            policy: Which files may be read.
        """
        return Item(parts=(self.to_part(policy),), where=self.name)


def find_files(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the files below a folder that can be searched, and all others.

    Hidden files and folders are left out, and links are not followed.

    Args:
        folder: The folder; a single file is taken too.

    Raises:
        MediaNotFoundError: It does not exist.
    """
    if not folder.exists():
        raise MediaNotFoundError(f"The folder {str(folder)!r} does not exist.", value=str(folder))
    if folder.is_file():
        paths = [folder]
    else:
        paths = sorted(
            path
            for path in folder.rglob("*")
            if not path.is_symlink()
            and path.is_file()
            and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        )
    taken = [path for path in paths if find_media_type(path) is not None]
    return taken, [path for path in paths if find_media_type(path) is None]


def find_media_type(path: Path) -> str | None:
    """Return the type of a file by its name, `None` for what is not searched.

    Args:
        path: Any file.

    Example:
        >>> find_media_type(Path("a.pdf")), find_media_type(Path("a.txt"))
        ('application/pdf', None)
    """
    media_type = mimetypes.guess_type(path.name)[0] or ""
    is_media = media_type.startswith(("image/", "video/")) and media_type != "image/svg+xml"
    return media_type if is_media or media_type == PDF_TYPE else None


def open_file(path: Path) -> IndexedFile:
    """Read a file to know what its content is.

    Args:
        path: One that `find_media_type` knows.

    Raises:
        OSError: It cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
    media_type = find_media_type(path) or ""
    return IndexedFile(path=path, media_type=media_type, digest=digest.hexdigest())


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameOptions:
    """Which frames of a video are indexed.

    Args:
        seconds: Seconds between two frames.
        max_frames: Maximum number of frames of one video, which are further apart then.
    """

    seconds: float = DEFAULT_FRAME_SECONDS
    max_frames: int = DEFAULT_MAX_FRAMES

    def __post_init__(self) -> None:
        if not self.seconds > 0:
            raise ConfigurationError(f"frame_seconds is {self.seconds}; it must be above 0.")
        if self.max_frames < 1:
            raise ConfigurationError(f"max_frames is {self.max_frames}; it must be 1 or more.")

    def choose_times(self, seconds: float) -> list[float]:
        """Return the middle of each part of a video.

        Args:
            seconds: Length of the video.

        Example:
            >>> FrameOptions(seconds=10).choose_times(25.0)
            [4.167, 12.5, 20.833]
        """
        n_frames = max(1, min(self.max_frames, -int(-seconds // self.seconds)))
        return [round(seconds * (2 * n + 1) / (2 * n_frames), 3) for n in range(n_frames)]


def find_units(file: IndexedFile, policy: MediaPolicy, frames: FrameOptions) -> Iterator[Unit]:
    """Find the pages, the image or the frames of a file.

    Args:
        file: From `open_file`.
        policy: Which files may be read.
        frames: Which frames of a video.

    Raises:
        MediaError: It cannot be read.
        MissingExtraError: What reads such files is not installed.
    """
    source = LocalFile(file.path, is_trusted=True)
    name = file.path.name
    unit = Unit(path=str(file.path), kind="page", digest=file.digest)
    if file.media_type.startswith("video/"):
        if not has_av():
            raise MissingExtraError("Taking frames of a video", extra="video")
        clip = measure_video(source, policy, name)
        if clip is None:
            raise MediaFormatError(
                "The length of the video cannot be read.",
                where=name,
                remedy="Encode it as MP4.",
            )
        times = frames.choose_times(clip.seconds)
        for number, seconds in enumerate(times, 1):
            yield replace(unit, kind="frame", number=number, total=len(times), seconds=seconds)
        return
    document = Document(source=source, where=name)
    if file.media_type == PDF_TYPE:
        texts = read_page_texts(document, policy)
        for text in texts:
            yield replace(unit, number=text.page, total=len(texts), text=text.text)
        return
    sizes = measure_pages(document, policy) if file.media_type == TIFF_TYPE else None
    if not isinstance(sizes, list):
        yield replace(unit, kind="image")
        return
    for size in sizes:
        yield replace(unit, number=size.number, total=size.total)


def check_roots(unit: Unit, roots: Sequence[Path]) -> None:
    """Check that the file of a unit may be read: a store may come from anywhere.

    Args:
        unit: What was found.
        roots: Folders that files may be read from, without links.

    Raises:
        MediaAccessError: It is not within the folders.
    """
    path = Path(unit.path).resolve()
    if not any(path.is_relative_to(root) for root in roots):
        raise MediaAccessError(
            f"The file {unit.path!r} is outside of the folders that may be read.",
            where=unit.name,
            value=unit.path,
            remedy="Pass its folder in media_roots, or index it again.",
        )


def read_lines(unit: Unit, policy: MediaPolicy) -> PageText | None:
    """Return the text of a page with the places of its lines.

    Args:
        unit: What was found.
        policy: Which files may be read.

    Returns:
        `None` for what lacks a text layer: images, frames and scanned pages.

    Raises:
        MediaError: The file cannot be read.
    """
    document = _find_pdf_page(unit)
    if document is None:
        return None
    (text,) = read_page_texts(document, policy)
    return text if text.lines else None


def read_words(unit: Unit, policy: MediaPolicy) -> tuple[TextWord, ...]:
    """Return the words of a page, and where each stands.

    Args:
        unit: What was found.
        policy: Which files may be read.

    Returns:
        None for what lacks a text layer, as of `read_lines`.

    Raises:
        MediaError: The file cannot be read.
    """
    document = _find_pdf_page(unit)
    return () if document is None else read_page_words(document, policy)[0]


def _find_pdf_page(unit: Unit) -> Document | None:
    if unit.kind != "page" or find_media_type(Path(unit.path)) != PDF_TYPE:
        return None
    source = LocalFile(Path(unit.path), is_trusted=True)
    return Document(source=source, pages=[unit.number], where=unit.name)


def _name_file(path: str) -> str:
    if not is_url(path):
        return Path(path).name
    parts = urlsplit(path)
    if parts.scheme.lower() == "data":
        return ""
    return Path(unquote(parts.path)).name or parts.netloc
