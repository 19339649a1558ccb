"""One file to the storage, in a stream, with a progress bar where a terminal is there.

The storage is another host than the endpoint: it gets the file and what the policy says, and never
the API key.
"""

import hashlib
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Self

import orjson

from qwen_vl.errors import APIConnectionError, APITimeoutError, ServiceError
from qwen_vl.wire.errors import decode_error

_MIB = 2**20
_MAX_MEGABYTES = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadPolicy:
    """Leave to put one file into the service's temporary storage (Temp-URL page, 2026).

    Args:
        host: URL that the file is posted to.
        folder: What the file's key begins with.
        form: Fields of the form that stand before the file, the key apart. They are secrets for
            as long as the policy holds, five minutes.
        max_bytes: Longest file; `None` where the service does not say.
    """

    host: str
    folder: str
    form: Mapping[str, str] = field(repr=False)
    max_bytes: int | None = None

    @classmethod
    def read(cls, body: bytes) -> Self:
        """Read the answer to `GET /api/v1/uploads?action=getPolicy`.

        Args:
            body: The HTTP body of a 200.

        Raises:
            ServiceError: It is something else.

        Example:
            >>> UploadPolicy.read(b'{"data": {}}')
            Traceback (most recent call last):
            qwen_vl.errors.ServiceError: The service gave no leave to upload: its answer lacks \
upload_host.
        """
        try:
            answer: Any = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise _refusal("is not JSON") from error
        data = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(data, dict):
            raise _refusal("lacks data")
        return cls(
            host=_text(data, "upload_host"),
            folder=_text(data, "upload_dir").rstrip("/"),
            form={
                "OSSAccessKeyId": _text(data, "oss_access_key_id"),
                "Signature": _text(data, "signature"),
                "policy": _text(data, "policy"),
                "x-oss-object-acl": _text(data, "x_oss_object_acl"),
                "x-oss-forbid-overwrite": _text(data, "x_oss_forbid_overwrite"),
            },
            max_bytes=_to_bytes(data.get("max_file_size_mb")),
        )


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    if not isinstance(value, str | int) or value == "":
        raise _refusal(f"lacks {name}")
    return str(value)


def _to_bytes(megabytes: object) -> int | None:
    if not isinstance(megabytes, int | float) or not 0 < megabytes < _MAX_MEGABYTES:
        return None
    return int(megabytes * _MIB)


def _refusal(problem: str) -> ServiceError:
    return ServiceError(f"The service gave no leave to upload: its answer {problem}.")


_HTTP_ERRORS = 400
# Of one step of the connection, not of the whole: slow lines take minutes for 100 MB.
_STEP_SECONDS = 60.0
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


class WatchedFile:
    """A file that reports what is read of it: to a progress bar, a hash, and a stop check.

    Args:
        file: Seekable.
        n_bytes: How long it is.
        is_cancelled: Asked before each piece.
    """

    def __init__(self, file: BinaryIO, n_bytes: int, is_cancelled: Callable[[], bool]) -> None:
        from tqdm import tqdm  # noqa: PLC0415 - not for requests without uploads

        self._file = file
        self._is_cancelled = is_cancelled
        self._hash = hashlib.sha256()
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
        """Read the next piece."""
        if self._is_cancelled():
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


def send_file(policy: UploadPolicy, file: WatchedFile, media_type: str) -> str:
    """Put a file into the storage.

    Its name does not go along: the key has a random one, with the extension of its type.

    Args:
        policy: Where to.
        file: Read in pieces of 64 KiB.
        media_type: As sniffed.

    Returns:
        Its URL, `oss://…`.

    Raises:
        ServiceError: The storage refused it, or could not be reached.
    """
    import httpx2  # noqa: PLC0415 - not for requests without uploads

    key = f"{policy.folder}/{uuid.uuid4().hex}.{_EXTENSIONS.get(media_type, 'bin')}"
    fields = {
        **policy.form,
        "key": key,
        "success_action_status": "200",
        "x-oss-content-type": media_type,
    }
    # The page's order: the file comes last.
    parts: Any = {"file": (key.rsplit("/", 1)[1], file, media_type)}
    try:
        answer = httpx2.post(policy.host, data=fields, files=parts, timeout=_STEP_SECONDS)
    except httpx2.TimeoutException as error:
        raise APITimeoutError("The service's temporary storage did not answer in time.") from error
    except httpx2.HTTPError as error:
        raise APIConnectionError(
            f"The service's temporary storage cannot be reached: {error}."
        ) from error
    if answer.status_code >= _HTTP_ERRORS:
        raise _read_refusal(answer.status_code, answer.text)
    return f"oss://{key}"


def _read_refusal(status: int, text: str) -> ServiceError:
    """Read the storage's own form of an error, which is XML."""
    code = _find_element(text, "Code")
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
