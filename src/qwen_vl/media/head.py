"""The beginning of media, where they are, without reading all of them."""

from qwen_vl.content import Inline, LocalFile, OpenFile, Url
from qwen_vl.errors import MediaError
from qwen_vl.media.data_url import decode_head
from qwen_vl.media.load import check_seekable, open_local, read_open_file
from qwen_vl.media.sniff import sniff
from qwen_vl.request.types import MediaPolicy

_HEAD_BYTES = 32_768
"""Enough for the header of most JPEG files, which have their thumbnail before it."""

_HEAD_CHARS = _HEAD_BYTES // 3 * 4
_LONGEST_PREFIX = 256


def read_head(
    source: Url | Inline | LocalFile | OpenFile, policy: MediaPolicy, where: str
) -> bytes:
    """Read the beginning of media, as far as that is cheaper than the whole; empty where it is not.

    Args:
        source: Where it is; a `Url` must be a `data:` URL.
        policy: Which files may be read.
        where: The part, for errors.

    Raises:
        MediaError: It cannot be read, or can be read only once.
    """
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


def sniff_open_file(source: OpenFile) -> str | None:
    """Return the media type of a file object, by its first bytes.

    Args:
        source: The file object, which is left where it was.

    Returns:
        A media type, or `None` where it is not known, or the file can be read only once.
    """
    try:
        return sniff(read_head(source, MediaPolicy(), ""))
    except MediaError:
        # Raised where it is read, with its place.
        return None


def _head_of_text(text: str) -> bytes:
    start = 0
    if text[:5].lower() == "data:":
        start = text.find(",", 0, _LONGEST_PREFIX) + 1
        if not text[:start].lower().endswith(";base64,"):
            return b""
    return decode_head(text[start : start + _HEAD_CHARS].encode(), _HEAD_CHARS)
