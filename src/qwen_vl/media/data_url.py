"""Base64 and data URLs: read, checked and written. Nothing here knows what an image is."""

import binascii
import re
from dataclasses import dataclass, field
from typing import Never
from urllib.parse import unquote, unquote_to_bytes

import pybase64

from qwen_vl.content import DataUrl
from qwen_vl.errors import MediaFormatError

_HEAD_CHARS = 1_368
"""Length of the Base64 of the bytes that `sniff` reads."""

_EXCERPT_CHARS = 40
_REMEDY = "Encode the file's bytes again, for instance with base64.b64encode, or give the bytes."
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_WHITESPACE = b" \t\n\r\v\f"
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/\-_ \t\n\r\v\f]")


@dataclass(frozen=True, slots=True)
class MediaBytes:
    """Media whose bytes are at hand.

    Args:
        data: The bytes.
        base64: Their Base64, where it was given without a flaw: it need not be written again.
        media_type: Their type, if it was sniffed already.
    """

    data: bytes = field(repr=False)
    base64: bytes | memoryview | None = field(default=None, repr=False)
    media_type: str | None = None


def excerpt(text: str) -> str:
    """Cut a text to what an error may show of it."""
    short = text if len(text) <= _EXCERPT_CHARS else f"{text[: _EXCERPT_CHARS - 1]}…"
    return repr(short)


def decode_base64(text: str | bytes | memoryview, where: str) -> MediaBytes:
    """Decode Base64, in whatever way it is written.

    Whitespace is left out, the URL-safe alphabet is translated, and missing padding is added.

    Args:
        text: Base64; bytes of it are kept, and not copied.
        where: The part, for errors.

    Raises:
        MediaFormatError: It is not Base64; the first bad character and its place are named.

    Example:
        >>> decode_base64("R0lG ODlh", "").data
        b'GIF89a'
    """
    try:
        held = text.encode("ascii") if isinstance(text, str) else text
        try:
            return MediaBytes(pybase64.b64decode(held, validate=True), base64=held)
        except (binascii.Error, ValueError):
            clean = _to_standard(bytes(held))
            return MediaBytes(pybase64.b64decode(clean, validate=True), base64=clean)
    except (binascii.Error, ValueError) as error:
        spelt = text if isinstance(text, str) else str(text, "utf-8", errors="replace")
        _refuse(spelt, where, error)


def decode_head(data: bytes, n_chars: int = _HEAD_CHARS) -> bytes:
    """Decode the beginning of what may be Base64; empty if it is not.

    Args:
        data: Bytes of any kind.
        n_chars: How many characters to decode.
    """
    try:
        clean = _to_standard(data[:n_chars]).rstrip(b"=")
        return pybase64.b64decode(clean[: len(clean) // 4 * 4], validate=True)
    except (binascii.Error, ValueError):
        return b""


def decode_data_url(url: str, where: str) -> MediaBytes:
    """Decode a data URL: with any media type or none, Base64 or percent-encoded.

    Args:
        url: `data:image/png;base64,…`, `data:,…`.
        where: The part, for errors.

    Raises:
        MediaFormatError: Not a valid data URL: no comma, or invalid Base64.
    """
    comma = url.find(",")
    if comma < 0:
        raise MediaFormatError(
            f"The URL {excerpt(url)} is not valid: no comma after the media type.",
            where=where,
            value=excerpt(url),
            remedy="Write data:image/png;base64, and then the Base64.",
        )
    options = url[:comma].lower().split(";")
    if "base64" not in (option.strip() for option in options[1:]):
        return MediaBytes(unquote_to_bytes(url[comma + 1 :]))
    if "%" in url or not url.isascii():
        return decode_base64(unquote(url[comma + 1 :]), where)
    return decode_base64(memoryview(url.encode("ascii"))[comma + 1 :], where)


def to_data_url(media_type: str, media: MediaBytes, size: tuple[int, int] | None = None) -> DataUrl:
    """Return media in the form in which it is sent.

    Args:
        media_type: As sniffed; may be empty.
        media: The bytes, and their Base64 where it is at hand.
        size: Width and height of an image in pixels, if they are known.

    Example:
        >>> to_data_url("image/gif", MediaBytes(b"GIF89a")).url
        'data:image/gif;base64,R0lGODlh'
    """
    data = media.data if media.base64 is None else None
    return DataUrl(media_type, data, media.base64, len(media.data), size)


def read_data_url(url: DataUrl) -> bytes:
    """Return the raw bytes of media that was made ready."""
    return url.data if url.data is not None else pybase64.b64decode(url.base64 or b"")


def _to_standard(text: bytes) -> bytes:
    clean = text.translate(_TO_STANDARD, _WHITESPACE)
    bare = clean.rstrip(b"=")
    if len(clean) - len(bare) > len("=="):
        return clean
    return bare + b"=" * (-len(bare) % 4)


def _refuse(text: str, where: str, error: Exception) -> Never:
    bad = _NOT_BASE64.search(text.rstrip().rstrip("="))
    if bad:
        problem = f"Wrong Base64: {bad[0]!r} at index {bad.start()} is not a Base64 character."
    else:
        problem = f"Wrong Base64: {len(text)} characters are not a whole number of bytes."
    raise MediaFormatError(problem, where=where, value=excerpt(text), remedy=_REMEDY) from error
