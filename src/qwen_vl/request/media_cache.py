"""Images that were prepared in earlier calls of the same model object."""

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

from qwen_vl.content import DataUrl
from qwen_vl.process_local import ProcessLocal

DEFAULT_MEDIA_CACHE_BYTES = 64 * 2**20
"""Holds more than a hundred photographs, each downscaled to what the model sees."""


class _Entries:
    """What one process holds."""

    def __init__(self) -> None:
        self.images: OrderedDict[Hashable, DataUrl] = OrderedDict()
        self.n_bytes = 0
        self.lock = threading.Lock()


class MediaCache:
    """Prepared images by content and options; those used longest ago are dropped first.

    Shallow copies of a model share its cache. Deep copies and pickles begin with an empty one, and
    so does a forked child.

    Example:
        >>> cache = MediaCache()
        >>> cache.put("cat", DataUrl("image/gif", b"GIF89a", None, 6), max_bytes=10)
        >>> cache.get("cat").media_type
        'image/gif'
        >>> cache.put("dog", DataUrl("image/gif", b"GIF87a", None, 6), max_bytes=10)
        >>> cache.get("cat") is None, cache.n_bytes
        (True, 6)
    """

    def __init__(self) -> None:
        self._entries = ProcessLocal(_Entries)

    @property
    def n_bytes(self) -> int:
        """Bytes of all images that it holds."""
        return self._entries.get().n_bytes

    def get(self, key: Hashable) -> DataUrl | None:
        """Return what is held for a key, and mark it as just used."""
        entries = self._entries.get()
        with entries.lock:
            image = entries.images.get(key)
            if image is not None:
                entries.images.move_to_end(key)
            return image

    def put(self, key: Hashable, image: DataUrl, max_bytes: int) -> None:
        """Hold an image.

        Args:
            key: Equal only for what gives the same result.
            image: What is given for it.
            max_bytes: Maximum bytes of all images together; a longer image is not held.
        """
        if image.n_bytes > max_bytes:
            return
        entries = self._entries.get()
        with entries.lock:
            replaced = entries.images.pop(key, None)
            entries.n_bytes += image.n_bytes - (replaced.n_bytes if replaced else 0)
            entries.images[key] = image
            while entries.n_bytes > max_bytes:
                _, oldest = entries.images.popitem(last=False)
                entries.n_bytes -= oldest.n_bytes

    def __deepcopy__(self, memo: dict[int, Any]) -> "MediaCache":
        return MediaCache()

    def __reduce__(self) -> tuple[type["MediaCache"], tuple[()]]:
        return MediaCache, ()
