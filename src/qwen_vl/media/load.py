"""Bytes from where they are: memory, an open file, or a file that the policy lets be read."""

import inspect
import io
import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Never

from qwen_vl.content import DataUrl, Inline, LocalFile, OpenFile, Source, Url, to_source
from qwen_vl.errors import (
    MediaAccessError,
    MediaFormatError,
    MediaNotFoundError,
    MediaTooLargeError,
)
from qwen_vl.media.data_url import (
    MediaBytes,
    decode_base64,
    decode_data_url,
    decode_head,
    excerpt,
    read_data_url,
)
from qwen_vl.media.roots import OutsideRootsError, open_file, open_within, resolve_within
from qwen_vl.media.sniff import UNKNOWN, describe, sniff
from qwen_vl.request.types import MediaPolicy

_HOSTED = re.compile(
    r"https?://(?:[^/?#@]*@)?(?:\[[^\]/?#]+\]|[^/?#:@\[\]\s]+)(?::\d*)?(?:[/?#]|$)", re.IGNORECASE
)
_STORED = re.compile(r"oss://[^/\s]+/[^/]", re.IGNORECASE)
_SPACED_URL = re.compile(r"\s+(?:https?|oss|data|file):", re.IGNORECASE)
_MIB = 2**20
_LONGEST_NAME = 255
_LONGEST_PATH = 4_096
_SHOWN_CHARS = 100
_LONGEST_PREFIX = 1_024

_TRUST = (
    "Pass a pathlib.Path if the program itself chose this file, or set media_roots=[...] "
    "to the folders that messages may name files from."
)
_INSIDE = "Move the file into one of the folders of media_roots, or add its folder there."
_REENCODE = "Pass an https:// URL, the image's bytes, their Base64, or a pathlib.Path."
_WHOLE_FILE = "Open it with mode 'rb', or give its bytes."


def check_remote(url: str, where: str) -> None:
    """Check a URL that goes out as it is.

    Raises:
        MediaFormatError: It lacks a host or a key, or is surrounded by whitespace.
    """
    if url[-1:].isspace():
        _refuse_spaced(url, where)
    if not (_HOSTED.match(url) or _STORED.match(url)):
        wanted = "bucket and key" if url[:3].lower() == "oss" else "host"
        raise MediaFormatError(
            f"The URL {excerpt(url)} lacks a {wanted}.",
            where=where,
            value=excerpt(url),
            remedy="Pass a whole URL: https://example.com/cat.png, or oss://bucket/key.",
        )


def load(
    source: Url | Inline | LocalFile | OpenFile | DataUrl, policy: MediaPolicy, where: str
) -> MediaBytes:
    """Read media whole, unless it is longer than the policy lets be inlined.

    Args:
        source: Where it is; a `Url` must be a data URL.
        policy: Which files may be read, and how much.
        where: The part, for errors.

    Raises:
        MediaAccessError: The file may not be read.
        MediaNotFoundError: The file does not exist.
        MediaFormatError: Empty, wrong Base64, or no URL at all.
        MediaTooLargeError: More bytes than `policy.max_inline_bytes`.
    """
    match source:
        case DataUrl():
            media = MediaBytes(read_data_url(source), source.base64)
        case Url():
            media = _load_url(source.url, policy, where)
        case Inline():
            media = _load_inline(source, policy, where)
        case LocalFile():
            media = _load_file(source, policy, where)
        case OpenFile():
            media = MediaBytes(_load_open_file(source.file, policy, where))
    _check_not_empty(media, where)
    check_inline_bytes(len(media.data), policy.max_inline_bytes, where)
    return media


def _load_url(url: str, policy: MediaPolicy, where: str) -> MediaBytes:
    if url[:1].isspace():
        _refuse_spaced(url, where)
    if url[:5].lower() != "data:":
        raise MediaFormatError(
            f"{excerpt(url)} is not a URL that the service takes.",
            where=where,
            value=excerpt(url),
            remedy="Pass https://, http://, oss:// or data:; a file as a pathlib.Path.",
        )
    _check_text_length(url, policy, where)
    return decode_data_url(url, where)


def _load_inline(source: Inline, policy: MediaPolicy, where: str) -> MediaBytes:
    data = source.data
    if isinstance(data, str):
        if data[:5].lower() == "data:":
            return _load_url(data, policy, where)
        _check_text_length(data, policy, where)
        return decode_base64(data, where)
    data = bytes(data)
    if source.media_type is not None:
        return MediaBytes(data, media_type=source.media_type)
    if data[:5].lower() == b"data:":
        return _load_url(data.decode("utf-8", errors="replace"), policy, where)
    # Empty for bytes of any file of a kilobyte, as every format has bytes that Base64 lacks.
    head = decode_head(data)
    decoded_type = sniff(head) if head else None
    if decoded_type is None:
        media_type = sniff(data)
        if media_type is not None or not head or describe(head) in {UNKNOWN, "text"}:
            return MediaBytes(data, media_type=media_type)
    # Any short text may be Base64 by accident; Base64 of a known media type is not.
    _check_text_length(data, policy, where)
    return replace(decode_base64(data, where), media_type=decoded_type)


def _load_open_file(file: BinaryIO, policy: MediaPolicy, where: str) -> bytes:
    data = read_open_file(file, policy.max_inline_bytes + 1, where)
    check_inline_bytes(len(data), policy.max_inline_bytes, where, "at least ")
    return data


def read_open_file(file: BinaryIO, limit: int | None, where: str) -> bytes:
    """Read a file object from its start, and leave it where it was if it can be wound back.

    Args:
        file: A binary file object.
        limit: Maximum number of bytes to read; `None` for all.
        where: The part, for errors.

    Raises:
        MediaAccessError: It cannot be read.
        MediaFormatError: It gives text.
    """
    if isinstance(file, io.TextIOBase):
        _refuse_text_file(where)
    if inspect.iscoroutinefunction(getattr(file, "read", None)):
        # Such as FastAPI's UploadFile.
        has_file = getattr(file, "file", None) is not None
        raise MediaFormatError(
            f"A {type(file).__name__} is read asynchronously, which is not done here.",
            where=where,
            value=type(file).__name__,
            remedy="Pass its file object: upload.file." if has_file else "Pass its bytes.",
        )
    try:
        if not is_seekable(file):
            return _read_at_most(file, limit, where)
        position = file.tell()
        file.seek(0)
        try:
            return _read_at_most(file, limit, where)
        finally:
            file.seek(position)
    except (OSError, ValueError) as error:
        raise _refuse_file_object(error, where) from error


def _refuse_file_object(error: Exception, where: str) -> MediaAccessError:
    return MediaAccessError(
        f"The file object cannot be read: {error}".rstrip(".") + ".",
        where=where,
        remedy="Pass a file that is open for reading, or its bytes.",
    )


def is_seekable(file: BinaryIO) -> bool:
    """Return whether a file object can be read twice.

    Raises:
        ValueError: It is closed.
    """
    seekable = getattr(file, "seekable", None)
    return bool(seekable()) if callable(seekable) else False


def check_seekable(file: BinaryIO, where: str) -> None:
    """Check that a file object is seekable and open before it is read.

    Raises:
        MediaAccessError: It can be read only once, or is closed.
    """
    try:
        is_read_again = is_seekable(file)
    except (OSError, ValueError) as error:
        raise _refuse_file_object(error, where) from error
    if not is_read_again:
        raise MediaAccessError(
            "The file object can be read only once, and looking at its header would use it up.",
            where=where,
            value=type(file).__name__,
            remedy="Read it first, and give its bytes.",
        )


def _read_at_most(file: BinaryIO, limit: int | None, where: str) -> bytes:
    """Read to the end, or to `limit`; a pipe gives its bytes in pieces."""
    pieces: list[bytes] = []
    left = sys.maxsize if limit is None else limit
    while left > 0:
        piece: object = file.read(-1 if limit is None else left)
        if not isinstance(piece, bytes | bytearray):
            _refuse_text_file(where, found=type(piece).__name__)
        if not piece:
            break
        pieces.append(bytes(piece))
        left -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


@contextmanager
def open_local(source: LocalFile, policy: MediaPolicy, where: str) -> Iterator[BinaryIO]:
    """Open a file that the policy lets be read; errors while reading it are translated too.

    Args:
        source: The file.
        policy: Which files may be read.
        where: The part, for errors.

    Raises:
        MediaAccessError: The file may not be read.
        MediaNotFoundError: The file does not exist.
    """
    shown = _shown(source.path)
    try:
        with open(_open_allowed(source, policy, where), "rb") as file:
            yield file
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MediaNotFoundError(
            f"The file {shown} does not exist.",
            where=where,
            value=str(source.path),
            remedy="Check the path; relative ones count from the working folder, ~ is not read.",
        ) from error
    except (OSError, RuntimeError, ValueError) as error:
        raise MediaAccessError(
            f"The file {shown} cannot be read: {getattr(error, 'strerror', None) or error}.",
            where=where,
            value=str(source.path),
            remedy="Check that the path is meant, and that this program may read it.",
        ) from error


def _load_file(source: LocalFile, policy: MediaPolicy, where: str) -> MediaBytes:
    with open_local(source, policy, where) as file:
        return read_local(file, policy, where)


def read_local(file: BinaryIO, policy: MediaPolicy, where: str) -> MediaBytes:
    """Read a file whole that `open_local` opened.

    Args:
        file: The file.
        policy: How much may be read.
        where: The part, for errors.

    Raises:
        MediaFormatError: It is empty.
        MediaTooLargeError: More bytes than `policy.max_inline_bytes`.
    """
    n_bytes = os.fstat(file.fileno()).st_size
    check_inline_bytes(n_bytes, policy.max_inline_bytes, where)
    media = MediaBytes(file.read(n_bytes))
    _check_not_empty(media, where)
    return media


def _check_not_empty(media: MediaBytes, where: str) -> None:
    if not media.data:
        raise MediaFormatError(
            "There is nothing in it: 0 bytes.",
            where=where,
            value=0,
            remedy="Pass a file with an image or video in it.",
        )


def _open_allowed(source: LocalFile, policy: MediaPolicy, where: str) -> int:
    """Open a file if it may be read, and return its descriptor."""

    def check_mode(mode: int) -> None:
        _check_regular(mode, _shown(source.path), where)

    if not source.is_trusted:
        _check_path_text(str(source.path), where)
    if policy.media_roots is None:
        if source.is_trusted:
            return open_file(source.path, check_mode)
        _refuse_access(source, "is named by text, and media_roots is not set", _TRUST, where)
    try:
        root, path = resolve_within(source.path, policy.media_roots)
    except OutsideRootsError:
        _refuse_access(source, "is outside media_roots", _INSIDE, where)
    return open_within(root, path, check_mode)


def _refuse_access(source: LocalFile, reason: str, remedy: str, where: str) -> Never:
    # Whether the file exists is not checked, and so not revealed.
    raise MediaAccessError(
        f"The file {_shown(source.path)} may not be read: it {reason}.",
        where=where,
        value=str(source.path),
        remedy=remedy,
    )


def _shown(path: Path) -> str:
    """Shorten a path to its end, which identifies the file."""
    text = str(path)
    return repr(text if len(text) <= _SHOWN_CHARS else f"…{text[-_SHOWN_CHARS:]}")


def _check_path_text(text: str, where: str) -> None:
    """Refuse text that became a path only because it was nothing else."""
    if _SPACED_URL.match(text):
        _refuse_spaced(text, where)
    if len(text) > _LONGEST_PATH or any(len(name) > _LONGEST_NAME for name in text.split("/")):
        raise MediaFormatError(
            f"{excerpt(text)} is not a URL or Base64, and is too long for a path.",
            where=where,
            value=excerpt(text),
            remedy=_REENCODE,
        )


def _refuse_spaced(url: str, where: str) -> Never:
    raise MediaFormatError(
        f"There is whitespace around the URL {excerpt(url.strip())}.",
        where=where,
        value=excerpt(url),
        remedy="Strip it.",
    )


def _refuse_text_file(where: str, found: str = "str") -> Never:
    raise MediaFormatError(
        f"Reading the file object gives {found}, not bytes.",
        where=where,
        value=found,
        remedy=_WHOLE_FILE,
    )


def _check_regular(mode: int, shown: str, where: str) -> None:
    if stat.S_ISREG(mode):
        return
    kind = "a folder" if stat.S_ISDIR(mode) else "a pipe, socket or device"
    raise MediaAccessError(
        f"{shown} is {kind}, not a file.",
        where=where,
        value=shown,
        remedy="Pass the path of an image or video file.",
    )


def _check_text_length(text: str | bytes, policy: MediaPolicy, where: str) -> None:
    """Refuse before decoding what is too long in any spelling: `%20` is 3 characters a byte."""
    if len(text) > policy.max_inline_bytes * 3 + _LONGEST_PREFIX:
        check_inline_bytes(len(text) // 4 * 3, policy.max_inline_bytes, where, "about ")


def check_inline_bytes(n_bytes: int, limit: int, where: str, about: str = "") -> None:
    """Check the length of what is inlined.

    Raises:
        MediaTooLargeError: More raw bytes than `limit`.
    """
    if n_bytes <= limit:
        return
    raise MediaTooLargeError(
        f"It has {about}{n_bytes:,} bytes; inline, at most {limit:,} ({limit / _MIB:.1f} MiB) "
        "are taken.",
        where=where,
        value=n_bytes,
        limit=limit,
        remedy=(
            "Put it where the service can fetch it and give its https:// URL, make it "
            "smaller, or give a video as a list of frames."
        ),
    )


def require_source(value: object, where: str) -> Source:
    """Return where an image or video comes from; see `qwen_vl.content.to_source`.

    Args:
        value: A URL, a path, bytes, an open file or a decoded image.
        where: The part, for errors.

    Raises:
        MediaFormatError: It is none of these.
    """
    source = to_source(value)
    if source is None:
        raise MediaFormatError(
            f"A {type(value).__name__} is not an image or a video.",
            where=where,
            value=type(value).__name__,
            remedy="Pass a path, bytes, an open file, a decoded image or a URL.",
        )
    return source
