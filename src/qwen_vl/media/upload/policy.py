"""What the service lets be uploaded: where to, for how long, and how large."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import orjson

from qwen_vl.errors import ServiceError

_MIB = 2**20
_MAX_MEGABYTES = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadPolicy:
    """Leave to put one file into the service's temporary storage (Temp-URL page, 2026).

    Args:
        host: Address that the file is posted to.
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
            raise _refusal("is no JSON") from error
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
