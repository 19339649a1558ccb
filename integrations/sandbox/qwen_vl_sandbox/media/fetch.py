"""From a URL in a request to the bytes behind it.

Data URLs are decoded, loopback links are fetched, and uploaded files are read; nothing
else is ever contacted.
Other links are taken as unseen, and the answer says so.
"""

import http.client
import ipaddress
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, urlsplit

import pybase64

from qwen_vl_sandbox.errors.api_error import ALGO, reject
from qwen_vl_sandbox.media.download import TooLongError, UnreachableError, download
from qwen_vl_sandbox.reading.conversation import Conversation
from qwen_vl_sandbox.specs.models import MIB
from qwen_vl_sandbox.storage import Storage, StoredFile

Kind = Literal["image", "video", "audio"]

MAX_BODY_BYTES = 64 * MIB
"""Largest body (Rate-limit page, newest copy, 2026-11); above it the gateway says 413."""

MAX_DECODED_BYTES = 16 * MIB
"""Largest sum of all data URLs once decoded (the same page)."""

MAX_INLINE_VIDEO_CHARS = 10 * MIB
"""Longest Base64 text of a video (Vision page, 2026-08), and of audio (Omni page, 2026-09)."""

MAX_INLINE_IMAGES = 250
"""Most images sent as data URLs (Vision page, 2026-08)."""

MAX_UPLOADED_IMAGE_BYTES = 10 * MIB
"""Largest image by local path, which the official SDK uploads (Vision page, 2026-08)."""

BAD_URL = ALGO + "The provided URL does not appear to be valid. Ensure it is correctly formatted."
UNREACHABLE = ALGO + "Failed to download multimodal content"

_HTTP_OK = 200
_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)?((?:;[\w.+-]+=[\w.+-]+)*);base64,", re.ASCII)


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes, with the media type their sender gave."""

    data: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class FileContent:
    """A file on the disk, with the media type its sender gave."""

    path: Path
    media_type: str


@dataclass(frozen=True, slots=True)
class Unfetched:
    """A link that the sandbox did not follow."""

    url: str


class Loader:
    """Loads all media of one request and keeps count of what the request may hold.

    Three generations of size rules are documented and cannot all hold. The newest are
    applied: per data URL 20 MiB for the models from qwen3-vl on and 10 MiB for others
    (Vision page, 2026-08), 16 MiB for all of them once decoded, else HTTP 413
    (Rate-limit page, 2026-11). unsure: which of these the service checks first.
    """

    def __init__(
        self, conversation: Conversation, storage: Storage, *, reads: bool = False
    ) -> None:
        self.reads = reads
        self._conversation = conversation
        self._spec = conversation.spec
        self._storage = storage
        self._decoded_bytes = 0
        self._inline_images = 0
        self._linked_images = 0
        self._audio_files: Counter[bool] = Counter()

    def load_image(self, url: str) -> Content | Unfetched:
        """Get the bytes of an image.

        Raises:
            ApiError: The URL is not one the service takes, or its content is too large.
        """
        self._check_count(url)
        found = self._find_stored(url, "image")
        if found is None:
            return self._load(url, "image")
        return Content(found.path.read_bytes(), found.media_type)

    def load_video(self, url: str) -> Content | FileContent | Unfetched:
        """Get the bytes of a video; of an uploaded one its file.

        Raises:
            ApiError: The URL is not one the service takes, or its content is too large.
        """
        found = self._find_stored(url, "video")
        return self._load(url, "video") if found is None else found

    def load_audio(self, url: str) -> Content | FileContent | Unfetched:
        """Get the bytes of audio; of an uploaded one its file.

        Raises:
            ApiError: The URL is not one the service takes, or its content is too large.
        """
        spec = self._spec.audio
        if spec is not None:
            self._audio_files[url.startswith("data:")] += 1
            # unsure: the wording; no page prints it.
            if self._audio_files[True] > spec.max_inline:
                reject(f"At most {spec.max_inline} audio files by Base64 are supported.")
            if self._audio_files.total() > spec.max_urls:
                reject(f"At most {spec.max_urls} audio files are supported.")
        found = self._find_stored(url, "audio")
        return self._load(url, "audio") if found is None else found

    def _load(self, url: str, kind: Kind) -> Content | Unfetched:
        if url.startswith("data:"):
            return self._decode(url, kind)
        parts = _split(url)
        host = parts.hostname or ""
        if host.endswith(".invalid"):
            reject(UNREACHABLE)
        if parts.scheme == "oss" or not is_loopback(host):
            return Unfetched(url)
        return _fetch(parts, kind, self._largest_file(kind))

    def _check_count(self, url: str) -> None:
        if url.startswith("data:"):
            return
        self._linked_images += 1
        if self._linked_images > self._spec.max_image_urls:
            reject(f"At most {self._spec.max_image_urls} images by URL are supported.")

    def _find_stored(self, url: str, kind: Kind) -> FileContent | None:
        """Find an uploaded file; `None` if the URL is not an upload's."""
        scheme, _, key = url.partition("://")
        if scheme != "oss":
            return None
        if not self._conversation.resolves_oss:
            # The Temp-URL page names this message for a missing header.
            reject(BAD_URL)
        if not self._storage.is_own(key):
            return None
        found = self._storage.find(key, self._conversation.model, self._conversation.account)
        if found is None:
            # unsure: which message a file has that is unknown, too old, or bound to another
            # model or account.
            reject(UNREACHABLE)
        self._check_stored(found, kind)
        return FileContent(found.path, found.media_type)

    def _check_stored(self, found: StoredFile, kind: Kind) -> None:
        _check_type(found.media_type, kind)
        limit = self._largest_file(kind)
        if kind == "image" and self._conversation.strict:
            # unsure: the page gives this limit for a local path, which only the official SDK
            # turns into an upload; behind a link the limit is twice that for newer models.
            limit = MAX_UPLOADED_IMAGE_BYTES
        if found.n_bytes > limit:
            reject(f"{ALGO}Multimodal file size is too large")

    def _decode(self, url: str, kind: Kind) -> Content:
        head = _DATA_URL.match(url)
        if head is None:
            reject(BAD_URL)
        limit = self._spec.max_image_bytes if kind == "image" else MAX_INLINE_VIDEO_CHARS
        if len(url) > limit:
            reject(f"{ALGO}Exceeded limit on max bytes per data-uri item : {limit}")
        try:
            data = pybase64.b64decode(url[head.end() :], validate=True)
        except ValueError:
            reject(BAD_URL)
        self._decoded_bytes += len(data)
        if self._decoded_bytes > MAX_DECODED_BYTES:
            reject(
                f"The decoded request body is larger than {MAX_DECODED_BYTES} bytes.", status=413
            )
        if kind == "image":
            self._inline_images += 1
            if self._inline_images > MAX_INLINE_IMAGES:
                reject(f"At most {MAX_INLINE_IMAGES} images by Base64 are supported.")
        return Content(data, (head[1] or "").lower())

    def _largest_file(self, kind: Kind) -> int:
        if kind == "video" and self._spec.video is not None:
            return self._spec.video.max_bytes
        if kind == "audio" and self._spec.audio is not None:
            return self._spec.audio.max_bytes
        return self._spec.max_image_bytes


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        reject(BAD_URL)
    # file:// is resolved by one SDK on the client's side and never taken over HTTP
    # (Vision page, 2026-08).
    if parts.scheme not in {"http", "https", "oss"} or not host or " " in url.strip():
        reject(BAD_URL)
    return parts


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _fetch(parts: SplitResult, kind: Kind, limit: int) -> Content:
    try:
        found = download(parts, limit)
    except http.client.InvalidURL:
        reject(BAD_URL)
    except TooLongError:
        reject(f"{ALGO}Multimodal file size is too large")
    except UnreachableError:
        reject(UNREACHABLE)
    if found.status != _HTTP_OK:
        reject(UNREACHABLE)
    if "Content-Length" not in found.headers:
        reject(
            "<500> InternalError.Algo: Missing Content-Length of multimodal url",
            status=500,
        )
    media_type = found.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    _check_type(media_type, kind)
    return Content(found.data, media_type)


def _check_type(media_type: str, kind: Kind) -> None:
    # 3GP and MP4 files with nothing but audio are often called videos.
    families = ("audio/", "video/") if kind == "audio" else (f"{kind}/",)
    if not media_type.startswith(families):
        reject(f"{ALGO}Wrong Content-Type of multimodal url")
