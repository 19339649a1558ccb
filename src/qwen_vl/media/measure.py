"""How large images and videos are, from their headers: nothing is decoded, nothing fetched."""

from dataclasses import replace

from qwen_vl.content import (
    DataUrl,
    Document,
    Image,
    Pixels,
    Source,
    Url,
    is_remote,
)
from qwen_vl.errors import MediaFormatError, MediaTooLargeError
from qwen_vl.media.data_url import read_data_url
from qwen_vl.media.decoding import decoding_limited
from qwen_vl.media.downscale import MAX_FILE_BYTES
from qwen_vl.media.head import read_head
from qwen_vl.media.image import open_image, read_image_header
from qwen_vl.media.load import check_remote, load
from qwen_vl.media.pages import PageSize
from qwen_vl.media.part import measure_tiff_pages
from qwen_vl.media.pdf.document import measure_pdf_pages
from qwen_vl.media.pixels import read_pixel_size
from qwen_vl.media.sniff import sniff
from qwen_vl.media.streams import find_video_type
from qwen_vl.media.tiff import TIFF_HEADS, TIFF_TYPE
from qwen_vl.media.video.animation import is_animation
from qwen_vl.media.video.container import HEAD_BYTES, has_av
from qwen_vl.media.video.file import open_file
from qwen_vl.media.video.probe import Clip, probe
from qwen_vl.request.types import MediaPolicy

# Formats whose size stands near their beginning.
_HEAD_TYPES = frozenset({"image/bmp", "image/gif", "image/jpeg", "image/png"})


def measure_image(source: Source, policy: MediaPolicy, where: str) -> tuple[int, int] | None:
    """Return the width and height of an image.

    Args:
        source: Where it comes from.
        policy: Which files may be read.
        where: The part, for errors.

    Returns:
        Pixels, or `None` where the service fetches it, or nothing installed reads the format.

    Raises:
        MediaError: It cannot be read, or is not an image, as in `prepare_media`.

    Example:
        >>> from qwen_vl.content import LocalFile
        >>> from qwen_vl.samples import CHELSEA
        >>> measure_image(LocalFile(CHELSEA, is_trusted=True), MediaPolicy(), "")
        (451, 300)
    """
    if isinstance(source, Url) and is_remote(source.url):
        check_remote(source.url, where)
        return None
    if isinstance(source, Pixels):
        return read_pixel_size(source.image, where)
    if isinstance(source, DataUrl):
        return source.size or _size_in(read_data_url(source), where)
    head = read_head(source, policy, where)
    if sniff(head) in _HEAD_TYPES:
        try:
            return _size_in(head, where)
        except MediaFormatError:
            # The header is longer than the head, or broken, which only the whole file shows.
            pass
    return _size_in(load(source, policy, where).data, where)


def measure_pages(part: Image | Document, policy: MediaPolicy) -> Image | list[PageSize]:
    """Return the sizes of the pages of a PDF or TIFF, in pixels, without rendering them.

    Args:
        part: Where it is, and which pages are wanted.
        policy: Which files may be read, `pdf_dpi` and `pdf_max_pages`.

    Returns:
        Labels and sizes; for what is one image, that image.

    Raises:
        MediaError: It cannot be read, or does not have such pages.
        MissingExtraError: pypdfium2 is not installed.
    """
    if isinstance(part, Document):
        measured = measure_pdf_pages(part, policy)
        if isinstance(measured, list):
            return measured
        part = measured
    source, where = part.source, part.where
    if isinstance(source, Pixels):
        return measure_tiff_pages(part, source.image, policy) or part
    if isinstance(source, DataUrl) or (isinstance(source, Url) and is_remote(source.url)):
        return part
    if read_head(source, policy, where)[:4] not in TIFF_HEADS:
        return part
    roomy = replace(policy, max_inline_bytes=max(policy.max_inline_bytes, MAX_FILE_BYTES))
    image = open_image(load(source, roomy, where).data, TIFF_TYPE, where)
    if image is None:  # pragma: no cover - Pillow always reads TIFF.
        return part
    with image:
        return measure_tiff_pages(part, image, policy) or part


def measure_video(source: Source, policy: MediaPolicy, where: str) -> Clip | None:
    """Return the size, length and frames of a video file.

    Args:
        source: Where it comes from.
        policy: Which files may be read.
        where: The part, for errors.

    Returns:
        `None` where the service fetches it, PyAV is not installed, or the header does not say.

    Raises:
        MediaError: It cannot be read, or is not a video, as in `prepare_media`.

    Example:
        >>> from qwen_vl.content import LocalFile
        >>> from qwen_vl.samples import BIG_BUCK_BUNNY
        >>> measure_video(LocalFile(BIG_BUCK_BUNNY, is_trusted=True), MediaPolicy(), "")
        Clip(width=1280, height=720, seconds=5.28, n_frames=132)
    """
    if isinstance(source, Url) and is_remote(source.url):
        check_remote(source.url, where)
        return None
    with decoding_limited(policy.max_decode_memory), open_file(source, policy, where) as file:
        head = file.read(HEAD_BYTES)
        find_video_type(head, where, takes_animations=True)
        if is_animation(head):
            return probe(file, where)
        if not has_av():
            return None
        try:
            return probe(file, where)
        except (MediaFormatError, MediaTooLargeError):
            # Whether the service can read it is the service's to say.
            return None


def _size_in(data: bytes, where: str) -> tuple[int, int] | None:
    header = read_image_header(data, where)
    if header.width is None or header.height is None:
        return None
    return header.width, header.height
