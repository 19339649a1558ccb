"""How large pictures and videos are, from their headers: nothing is decoded, nothing fetched."""

from qwen_vl.content import DataUrl, Inline, LocalFile, OpenFile, Pixels, Source, Url, is_remote
from qwen_vl.errors import MediaFormatError, MediaTooLargeError
from qwen_vl.media.data_url import decode_head, read_data_url
from qwen_vl.media.encode import read_pixel_size
from qwen_vl.media.image import read_image_header
from qwen_vl.media.load import check_remote, check_seekable, load, open_local, read_open_file
from qwen_vl.media.part import find_video_type
from qwen_vl.media.sniff import sniff
from qwen_vl.media.video.container import HEAD_BYTES, has_av
from qwen_vl.media.video.file import open_file
from qwen_vl.media.video.probe import Clip, probe
from qwen_vl.request.types import MediaPolicy

_HEAD_BYTES = 32_768
"""Enough for the header of most JPEG files, which have their thumbnail before it."""

_HEAD_CHARS = _HEAD_BYTES // 3 * 4
_LONGEST_PREFIX = 256
# Formats whose size stands near their beginning.
_HEAD_TYPES = frozenset({"image/bmp", "image/gif", "image/jpeg", "image/png"})


def measure_image(source: Source, policy: MediaPolicy, where: str) -> tuple[int, int] | None:
    """Tell width and height of a picture.

    Args:
        source: Where it comes from.
        policy: Which files may be read.
        where: The part, for errors.

    Returns:
        Pixels, or `None` where the service fetches it, or nothing installed reads the format.

    Raises:
        MediaError: It cannot be read, or is no picture, as in `prepare_media`.

    Example:
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
        return _size_in(read_data_url(source), where)
    head = _read_head(source, policy, where)
    if sniff(head) in _HEAD_TYPES:
        try:
            return _size_in(head, where)
        except MediaFormatError:
            # The header is longer than the head, or broken, which the whole file tells.
            pass
    return _size_in(load(source, policy, where).data, where)


def measure_video(source: Source, policy: MediaPolicy, where: str) -> Clip | None:
    """Tell size, length and frames of a video file.

    Args:
        source: Where it comes from.
        policy: Which files may be read.
        where: The part, for errors.

    Returns:
        `None` where the service fetches it, PyAV is not installed, or the header does not say.

    Raises:
        MediaError: It cannot be read, or is no video, as in `prepare_media`.

    Example:
        >>> from qwen_vl.samples import BIG_BUCK_BUNNY
        >>> measure_video(LocalFile(BIG_BUCK_BUNNY, is_trusted=True), MediaPolicy(), "")
        Clip(width=1280, height=720, seconds=5.28, n_frames=132)
    """
    if isinstance(source, Url) and is_remote(source.url):
        check_remote(source.url, where)
        return None
    with open_file(source, policy, where) as file:
        find_video_type(file.read(HEAD_BYTES), where)
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


def _read_head(
    source: Url | Inline | LocalFile | OpenFile, policy: MediaPolicy, where: str
) -> bytes:
    """Read the beginning, as far as that is cheaper than the whole; empty where it is not."""
    match source:
        case LocalFile():
            with open_local(source, policy, where) as file:
                return file.read(_HEAD_BYTES)
        case OpenFile():
            check_seekable(source.file, where)
            return read_open_file(source.file, _HEAD_BYTES, where)
        case Url():
            return _head_of_text(source.url)
        case Inline(data=data):
            if isinstance(data, str):
                return _head_of_text(data)
            return data[:_HEAD_BYTES] if sniff(data) else decode_head(data, _HEAD_CHARS)


def _head_of_text(text: str) -> bytes:
    start = 0
    if text[:5].lower() == "data:":
        start = text.find(",", 0, _LONGEST_PREFIX) + 1
        if not text[:start].lower().endswith(";base64,"):
            return b""
    return decode_head(text[start : start + _HEAD_CHARS].encode(), _HEAD_CHARS)
