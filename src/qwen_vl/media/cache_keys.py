"""What identifies an image in the cache of prepared images: its content and all options."""

import hashlib
import os
import time
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, BinaryIO

from qwen_vl.content import DataUrl
from qwen_vl.media.pixels import read_orientation
from qwen_vl.request.types import MediaPolicy

_SETTLED_NS = 2 * 10**9
"""A file modified more recently may change again without a newer time: clocks of file systems tick
every 2 seconds at worst."""

_ENCODED_INFO = ("icc_profile", "transparency")


@dataclass(frozen=True, slots=True)
class FileStamp:
    """What distinguishes one content of a file from another without reading it."""

    device: int
    inode: int
    mtime_ns: int
    ctime_ns: int
    n_bytes: int


def stamp_file(file: BinaryIO) -> FileStamp | None:
    """Return the stamp of an open file; `None` if it was modified too recently to be trusted.

    Args:
        file: A file with a descriptor.
    """
    status = os.fstat(file.fileno())
    if time.time_ns() - status.st_mtime_ns < _SETTLED_NS:
        return None
    return FileStamp(
        status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size
    )


def hash_bytes(data: bytes) -> bytes:
    """Return the SHA-256 of a file's bytes.

    Args:
        data: The whole file.
    """
    return hashlib.sha256(data).digest()


def hash_pixels(pixels: Any) -> bytes | None:
    """Return the SHA-256 of decoded pixels and of what else changes their encoding.

    Args:
        pixels: A `PIL.Image.Image`, or an array of `uint8`.

    Returns:
        `None` for pixels that cannot be read.

    Example:
        >>> from PIL import Image
        >>> hash_pixels(Image.new("L", (9, 9))) == hash_pixels(Image.new("L", (9, 9), 1))
        False
    """
    digest = hashlib.sha256()
    try:
        if hasattr(pixels, "getbands"):
            data = pixels.tobytes()
            palette = pixels.palette and pixels.palette.getdata()
            info = [pixels.info.get(name) for name in _ENCODED_INFO]
            kind: tuple[object, ...] = (
                "PIL",
                pixels.mode,
                pixels.size,
                read_orientation(pixels),
                palette,
                info,
            )
        else:
            data = pixels.tobytes()
            kind = (pixels.__array_interface__["typestr"], pixels.__array_interface__["shape"])
    except Exception:  # noqa: BLE001 - whatever decoders trip over is raised where it is encoded
        return None
    digest.update(repr(kind).encode())
    digest.update(data)
    return digest.digest()


class CachedImages:
    """The cache of a policy, asked for one image with the options that change its result.

    Args:
        policy: Brings the cache, which may be none or of 0 bytes.
        *options: Everything else that the result depends on.
    """

    def __init__(self, policy: MediaPolicy, *options: Hashable) -> None:
        self._cache = policy.cache if policy.media_cache > 0 else None
        self._max_bytes = policy.media_cache
        self._options = (policy.max_inline_bytes, *options)

    @property
    def is_on(self) -> bool:
        """Whether anything is held at all."""
        return self._cache is not None

    def get(self, identity: Hashable | None) -> DataUrl | None:
        """Return the prepared image, if it is held.

        Args:
            identity: A stamp or a hash; `None` for what cannot be identified.
        """
        if self._cache is None or identity is None:
            return None
        return self._cache.get((identity, self._options))

    def put(self, identity: Hashable | None, image: DataUrl) -> None:
        """Hold a prepared image.

        Args:
            identity: As of `get`.
            image: As it is sent.
        """
        if self._cache is not None and identity is not None:
            self._cache.put((identity, self._options), image, self._max_bytes)
