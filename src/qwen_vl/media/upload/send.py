"""One file to the storage, in a stream, with a progress bar where a terminal is there.

The storage is another host than the endpoint: it gets the file and what the policy says, and never
the API key.
"""

import contextlib
import hashlib
import socket
import threading
import uuid
from collections.abc import Mapping
from concurrent.futures import Future, wait
from typing import Any, BinaryIO, TypeVar

import orjson

from qwen_vl.errors import APIConnectionError, APITimeoutError, ServiceError
from qwen_vl.media.upload.policy import UploadPolicy
from qwen_vl.wire.errors import decode_error

_Result = TypeVar("_Result")

_STORED_STATUSES = frozenset({200, 204})
"""What the storage answers to a file that it has stored; a redirect is not followed."""

_HTTP_ERRORS = 400
# Of one step of the connection, not of the whole: slow lines take minutes for 100 MB.
_STEP_SECONDS = 60.0
_CANCEL_STEP_SECONDS = 0.1
_LONGEST_READ_SECONDS = 0.5
# Its errors are short.
_MAX_ANSWER_BYTES = 65_536
# Files that are there sooner need no bar.
_BAR_AFTER_SECONDS = 1.0
_EXTENSIONS = {
    "video/3gpp": "3gp",
    "video/mp4": "mp4",
    "video/mpeg": "mpg",
    "video/quicktime": "mov",
    "video/webm": "webm",
    "video/x-flv": "flv",
    "video/x-matroska": "mkv",
    "video/x-ms-wmv": "wmv",
    "video/x-msvideo": "avi",
}


class UploadCancelled(Exception):  # noqa: N818 - the caller's wish, not an error.
    """Ends an upload that nobody waits for any more."""


def wait_unless(cancelled: threading.Event, future: "Future[_Result]") -> _Result:
    """Return the result of a future, or give up on it.

    Args:
        cancelled: Set once nobody waits for it any more.
        future: What is waited for; it is cancelled with the wait.

    Raises:
        UploadCancelled: It was cancelled.
    """
    while not cancelled.is_set():
        done, _ = wait([future], timeout=_CANCEL_STEP_SECONDS)
        if done:
            return future.result()
    future.cancel()
    raise UploadCancelled


class WatchedFile:
    """A file that reports what is read of it, to a progress bar and a hash, until it is closed.

    Args:
        file: Seekable; it stays open.
        n_bytes: How long it is.
        cancelled: Nothing is read once it is set.
    """

    def __init__(self, file: BinaryIO, n_bytes: int, cancelled: threading.Event) -> None:
        from tqdm import tqdm  # noqa: PLC0415 - not for requests without uploads

        self._file = file
        self._hash = hashlib.sha256()
        self._cancelled = cancelled
        self._reading = threading.Lock()
        self._is_closed = False
        self.bar: Any = tqdm(
            total=n_bytes,
            desc="Uploading",
            unit="B",
            unit_scale=True,
            unit_divisor=1024,
            delay=_BAR_AFTER_SECONDS,
            disable=None,
            leave=False,
        )

    @property
    def sha256(self) -> str:
        """Of what was read since the beginning, in hexadecimal digits."""
        return self._hash.hexdigest()

    def read(self, size: int = -1) -> bytes:
        """Read the next piece.

        Raises:
            UploadCancelled: It was closed, or the upload cancelled.
        """
        with self._reading:
            if self._is_closed or self._cancelled.is_set():
                raise UploadCancelled
            piece = self._file.read(size)
        self._hash.update(piece)
        self.bar.update(len(piece))
        return piece

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a place; only from the beginning on is the hash that of the file."""
        self._hash = hashlib.sha256()
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the position."""
        return self._file.tell()

    def close(self) -> None:
        """Let nothing be read any more, and remove the bar."""
        is_idle = self._reading.acquire(timeout=_LONGEST_READ_SECONDS)
        self._is_closed = True
        if is_idle:
            self._reading.release()
        self.bar.close()


def send_file(
    policy: UploadPolicy, file: WatchedFile, media_type: str, cancelled: threading.Event
) -> str:
    """Put a file into the storage.

    Its name does not go along: the key has a random one, with the extension of its type.

    Args:
        policy: Where to; its host has been checked.
        file: Read in pieces of 64 KiB.
        media_type: As sniffed.
        cancelled: Set once nobody waits for it any more; the connection is closed then.

    Returns:
        Its URL, `oss://…`.

    Raises:
        ServiceError: The storage refused it, or could not be reached.
        UploadCancelled: It was cancelled.
    """
    key = f"{policy.folder}/{uuid.uuid4().hex}.{_EXTENSIONS.get(media_type, 'bin')}"
    fields = {
        **policy.form,
        "key": key,
        "success_action_status": "200",
        "x-oss-content-type": media_type,
    }
    # The page's order: the file comes last.
    parts: Any = {"file": (key.rsplit("/", 1)[1], file, media_type)}
    status, answer = _Post(policy.host, fields, parts).wait(cancelled)
    if status not in _STORED_STATUSES:
        raise _read_refusal(status, answer.decode("utf-8", errors="replace"))
    return f"oss://{key}"


class _Post:
    """A request in a separate thread, which can be left.

    Neither the lookup of a host nor a connection that is being opened can be interrupted.

    Args:
        url: Where to.
        fields: Of the form.
        parts: Files of the form.
    """

    def __init__(self, url: str, fields: Mapping[str, str], parts: Any) -> None:
        self._url = url
        self._fields = fields
        self._parts = parts
        self._result: Future[tuple[int, bytes]] = Future()
        self._stream: Any = None

    def wait(self, cancelled: threading.Event) -> tuple[int, bytes]:
        """Send it, and return status and body of the answer.

        Args:
            cancelled: Ends it.

        Raises:
            ServiceError: The storage could not be reached.
            UploadCancelled: It was cancelled.
        """
        # A daemon, so that it does not keep the process alive once it has been left.
        threading.Thread(target=self._run, name="qwen-vl-post", daemon=True).start()
        try:
            return wait_unless(cancelled, self._result)
        finally:
            self._close()

    def _run(self) -> None:
        if not self._result.set_running_or_notify_cancel():
            return
        try:
            self._result.set_result(self._post())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            self._result.set_exception(error)

    def _post(self) -> tuple[int, bytes]:
        import httpx2  # noqa: PLC0415 - not for requests without uploads

        try:
            with (
                httpx2.Client(timeout=_STEP_SECONDS) as client,
                client.stream(
                    "POST",
                    self._url,
                    data=self._fields,
                    files=self._parts,
                    extensions={"trace": self._watch},
                ) as answer,
            ):
                body = b""
                for piece in answer.iter_raw():
                    body += piece
                    if len(body) >= _MAX_ANSWER_BYTES:
                        break
                return answer.status_code, body[:_MAX_ANSWER_BYTES]
        except httpx2.TimeoutException as error:
            raise APITimeoutError(
                "The service's temporary storage did not answer in time."
            ) from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise APIConnectionError(
                f"The service's temporary storage cannot be reached: {error}."
            ) from error

    def _watch(self, event: str, info: Mapping[str, Any]) -> None:
        # The connection, and TLS on it once it stands.
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            self._stream = info["return_value"]

    def _close(self) -> None:
        """Wake the thread where it waits for the storage."""
        if self._stream is None or self._result.done():
            return
        connection = self._stream.get_extra_info("socket")
        with contextlib.suppress(OSError):
            # That of a TLS socket would let go of what the thread is using.
            socket.socket.shutdown(connection, socket.SHUT_RDWR)


def _read_refusal(status: int, text: str) -> ServiceError:
    """Read the storage's own form of an error, which is XML."""
    code = _find_element(text, "Code")
    if code is None and status < _HTTP_ERRORS:
        return ServiceError(
            f"The service's temporary storage did not store the file: it answered with HTTP status "
            f"{status}.",
            status=status,
        )
    if code is None:
        return decode_error(status, text, {})
    message = _find_element(text, "Message") or ""
    body = {
        "code": code,
        "message": f"The service's temporary storage refused the file: {message}",
        "request_id": _find_element(text, "RequestId"),
    }
    return decode_error(status, orjson.dumps(body), {})


def _find_element(text: str, name: str) -> str | None:
    _, opening, rest = text.partition(f"<{name}>")
    content, closing, _ = rest.partition(f"</{name}>")
    return content if opening and closing else None
