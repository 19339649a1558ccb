"""Media inside a framework's message, spelt so that the message is plain JSON."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Literal

from qwen_vl.content import LocalFile, LocalFileUrl, Source, to_source
from qwen_vl.errors import MediaFormatError, MediaTooLargeError
from qwen_vl.media.downscale import MAX_FILE_BYTES
from qwen_vl.media.part import PreparedMedia, prepare_image, prepare_video
from qwen_vl.request.types import MediaPolicy


def to_json_safe(
    value: object,
    kind: Literal["image", "video"],
    where: str,
    policy: MediaPolicy | None = None,
) -> str | None:
    """Spell the value in a message's media position as text.

    Traces and cache keys are JSON, and the same picture must give the same key. Files are not
    read: the address of a path bears the file's time and size instead.

    Args:
        value: What stands there.
        kind: What is wanted.
        where: The part, for errors.
        policy: How much may be inlined; the default policy if `None`.

    Returns:
        Text as it is; for a path a `LocalFileUrl`, which remains trusted; for bytes, a file
        object or pixels a `data:` address; `None` for anything else.

    Raises:
        MediaError: Bytes, file object or pixels cannot be sent, as in `prepare_media`.

    Example:
        >>> to_json_safe("https://example.com/cat.png", "image", "")
        'https://example.com/cat.png'
        >>> to_json_safe({"cat": 1}, "image", "") is None
        True
    """
    if isinstance(value, str):
        return value
    if isinstance(value, Path):
        return LocalFileUrl.of(value, version=_version(value))
    if isinstance(value, io.TextIOBase):
        raise MediaFormatError(
            "The file is open as text, so its bytes cannot be read.",
            where=where,
            value=type(value).__name__,
            remedy="Open it with mode 'rb', or give its bytes.",
        )
    source = to_source(value)
    if source is None or isinstance(source, LocalFile):
        return None
    return prepare_one(source, kind, where, policy or MediaPolicy()).url


def prepare_one(
    source: Source, kind: Literal["image", "video"], where: str, policy: MediaPolicy
) -> PreparedMedia:
    """Prepare a picture or video before it is known which model is asked.

    Args:
        source: Where it comes from.
        kind: What is wanted.
        where: The part, for errors.
        policy: How much may be inlined.

    Raises:
        MediaError: It cannot be sent, as in `prepare_media`.
    """
    if kind == "video":
        return prepare_video(source, policy, where)
    try:
        return prepare_image(source, policy, where)
    except MediaTooLargeError:
        if policy.downscale_images is False:
            raise
    # It may become short enough once it is as large as the model looks at it.
    longest = max(policy.max_inline_bytes, MAX_FILE_BYTES)
    return prepare_image(source, replace(policy, max_inline_bytes=longest), where)


def _version(path: Path) -> str:
    try:
        status = path.stat()
    except (OSError, ValueError):
        # The error comes where the file is read, and names the part.
        return ""
    return f"mtime_ns={status.st_mtime_ns}&size={status.st_size}"
