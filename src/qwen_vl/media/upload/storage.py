"""The service's temporary storage, as the client of one account sees it."""

import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import BinaryIO

from qwen_vl.content import Source, Video
from qwen_vl.errors import MediaTooLargeError, ServiceError, extra_required, warn
from qwen_vl.media.streams import find_video_type
from qwen_vl.media.upload.cache import UploadCache
from qwen_vl.media.upload.policy import UploadPolicy
from qwen_vl.media.upload.send import UploadCancelled, WatchedFile, send_file
from qwen_vl.media.video.container import HEAD_BYTES
from qwen_vl.media.video.file import open_file
from qwen_vl.request.types import MediaPolicy
from qwen_vl.specs.upload_hosts import UploadHosts

_PIECE_BYTES = 2**20
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 8.0
_POLICY_EXPIRED = "policy expired"
# Of a URL that does not hold, in the words of the Errors and Temp-URL pages (2026).
_REFUSED = re.compile(
    r"provided url does not appear to be valid|media format is not supported"
    r"|download (the )?(multimodal content|media resource)|download the media resource timed out",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class _Stored:
    """What a request names of what was uploaded before."""

    cache: UploadCache
    entry: str
    url: str


@dataclass(frozen=True, slots=True)
class _Job:
    """A file to upload, for one model."""

    file: BinaryIO
    n_bytes: int
    media_type: str
    model: str
    where: str


class TemporaryStorage:
    """Puts files where the service can read them, for 48 hours, for one model and one account.

    It serves one request: what that request found remembered can be forgotten again, if the
    service refuses it.

    Args:
        fetch_policy: Asks the endpoint for leave to upload for a model, until an event is set.
        account: From `name_account`.
        hosts: Where files may be put.
        cache: `True` for the folder that is meant for it in the user's home, `False` for none,
            or a folder.
        max_retries: Further attempts after a failure that may pass.
    """

    def __init__(
        self,
        fetch_policy: Callable[[str, threading.Event], UploadPolicy],
        account: str,
        hosts: UploadHosts,
        *,
        cache: Path | bool = True,
        max_retries: int = 2,
    ) -> None:
        self._fetch_policy = fetch_policy
        self._account = account
        self._hosts = hosts
        self._wanted_cache = cache
        self._max_retries = max_retries
        self._cancelled = threading.Event()
        self._own: dict[str, str] = {}
        self._remembered: list[_Stored] = []

    def put(self, file: BinaryIO, media_type: str, model: str, where: str) -> str:
        """Upload a file, unless it is there already.

        Args:
            file: Seekable; it is read in pieces, twice where it has to be uploaded.
            media_type: As sniffed.
            model: The model that will read it; no other can.
            where: The part, for errors.

        Returns:
            Its URL, `oss://…`, which needs the header `X-DashScope-OssResourceResolve`.

        Raises:
            MissingExtraError: A package that uploads need is not installed.
            MediaTooLargeError: It is longer than the storage takes.
            ServiceError: The endpoint gave no leave, or the storage refused it.
        """
        _check_packages(where)
        sha256, n_bytes = self._read_through(file)
        entry = UploadCache.name(sha256=sha256, model=model, account=self._account)
        if entry not in self._own:
            job = _Job(file, n_bytes, media_type, model, where)
            self._own[entry] = self._find_or_send(entry, job)
        return self._own[entry]

    def forgets(self, error: ServiceError) -> bool:
        """Return whether another try is worth it: the service refused what was only remembered.

        Args:
            error: What the service answered to the request.

        Returns:
            Whether something was forgotten, so that the next try uploads it again.
        """
        stale, self._remembered = self._remembered, []
        if not (stale and _REFUSED.search(error.message)):
            return False
        for stored in stale:
            stored.cache.forget(stored.entry, stored.url)
            self._own.pop(stored.entry, None)
        return True

    def confirm(self) -> None:
        """Take what this request names for good: an answer that has begun is not asked for again.

        Its beginning has been passed on, and would come twice.
        """
        self._remembered = []

    def cancel(self) -> None:
        """Stop what is under way: nobody waits for it any more. Safe from any thread."""
        self._cancelled.set()

    def _find_or_send(self, entry: str, job: "_Job") -> str:
        cache = self._open_cache()
        if cache is None:
            return self._send(job)[0]
        with cache.locked(entry, self._cancelled.is_set):
            found = cache.find(entry)
            if found:
                self._remembered.append(_Stored(cache, entry, found))
                return found
            url, sha256 = self._send(job)
            # A file that was written to meanwhile is remembered as what was sent.
            sent = UploadCache.name(sha256=sha256, model=job.model, account=self._account)
            with _unremembered_reported():
                cache.remember(sent, url)
            return url

    def _open_cache(self) -> UploadCache | None:
        if self._wanted_cache is False:
            return None
        with _unremembered_reported():
            return UploadCache.open(find_cache_folder(self._wanted_cache))
        self._wanted_cache = False
        return None

    def _send(self, job: "_Job") -> tuple[str, str]:
        tries_left = self._max_retries
        pause = _FIRST_PAUSE_SECONDS
        while True:
            policy = self._fetch_policy(job.model, self._cancelled)
            self._hosts.check(policy.host)
            _check_length(job, policy)
            watched = WatchedFile(job.file, job.n_bytes, self._cancelled)
            try:
                url = send_file(policy, watched, job.media_type, self._cancelled)
            except ServiceError as error:
                may_pass = error.is_retryable or _POLICY_EXPIRED in error.message.lower()
                if not (may_pass and tries_left):
                    raise
            else:
                return url, watched.sha256
            finally:
                watched.close()
            tries_left -= 1
            if self._cancelled.wait(pause):
                raise UploadCancelled
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _read_through(self, file: BinaryIO) -> tuple[str, int]:
        file.seek(0)
        digest, n_bytes = hashlib.sha256(), 0
        while piece := file.read(_PIECE_BYTES):
            if self._cancelled.is_set():
                raise UploadCancelled
            digest.update(piece)
            n_bytes += len(piece)
        file.seek(0)
        return digest.hexdigest(), n_bytes


def find_cache_folder(cache: Path | bool) -> Path:
    """Return the folder in which uploads are remembered.

    Args:
        cache: A folder, or `True` for the user's own.
    """
    if isinstance(cache, Path):
        return cache
    from platformdirs import user_cache_path  # noqa: PLC0415 - not for requests without uploads

    return user_cache_path("qwen-vl", appauthor=False) / "uploads"


def name_account(endpoint: str, api_key: str) -> str:
    """Return an identifier of an account at an endpoint that does not reveal the key.

    Args:
        endpoint: URL of the endpoint.
        api_key: The key.

    Example:
        >>> name_account("https://dashscope.aliyuncs.com", "sk-1")[:8]
        '61301d9b'
    """
    return hashlib.sha256(f"{endpoint}\n{api_key}".encode()).hexdigest()


def _check_packages(where: str) -> None:
    """Import what an upload needs, before anything is read or sent."""
    with extra_required(f"{where or 'A video'} is to be uploaded, which", extra="upload"):
        for name in ("filelock", "platformdirs", "tqdm"):
            import_module(name)


@contextmanager
def _unremembered_reported() -> Iterator[None]:
    """Warn of a cache that does not work, instead of failing: the file itself can be sent."""
    try:
        yield
    except OSError as error:
        warn(
            f"Uploads cannot be remembered: {error}. Give upload_cache=… a folder that this "
            "program may write to, or set it to False."
        )


def _check_length(job: _Job, policy: UploadPolicy) -> None:
    if policy.max_bytes is None or job.n_bytes <= policy.max_bytes:
        return
    raise MediaTooLargeError(
        f"It has {job.n_bytes:,} bytes; the service's temporary storage takes "
        f"{policy.max_bytes:,}.",
        where=job.where,
        value=job.n_bytes,
        limit=policy.max_bytes,
        remedy=(
            "Put it where the service can fetch it and give its https:// URL, or send it as "
            'frames (video_mode="frames").'
        ),
    )


def check_upload(part: Video, source: Source, policy: MediaPolicy) -> None:
    """Check the head of a video before it is uploaded, so that nothing is sent in vain.

    Args:
        part: The video.
        source: Its source: a file, an open file, or bytes.
        policy: Which files may be read.

    Raises:
        MediaError: It is not there, may not be read, or is not a video.
    """
    with open_file(source, policy, part.where) as file:
        file.seek(0)
        find_video_type(file.read(HEAD_BYTES), part.where)


def upload_video(
    part: Video, source: Source, policy: MediaPolicy, storage: TemporaryStorage, model: str
) -> str:
    """Put a video into the service's temporary storage, whole, in memory that does not grow.

    Args:
        part: The video.
        source: Its source: a file, an open file, or bytes.
        policy: Which files may be read.
        storage: Where it is put.
        model: The model that will read it.

    Returns:
        Its URL, `oss://…`.

    Raises:
        MediaError: It cannot be read, is not a video, or longer than the storage takes.
        ServiceError: It could not be stored.
    """
    with open_file(source, policy, part.where) as file:
        file.seek(0)
        media_type = find_video_type(file.read(HEAD_BYTES), part.where)
        return storage.put(file, media_type, model, part.where)
