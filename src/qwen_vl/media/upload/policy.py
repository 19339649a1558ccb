"""Leave to put one file into the temporary storage, as the endpoint gives it."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from qwen_vl.errors import ServiceError
from qwen_vl.wire.json import load_json

_MIB = 2**20
_MAX_MEGABYTES = 2**30
# Of a key or a field of the form: no control characters, and no end of a header.
_LINE = r"^[\x20-\x7e]+$"
_Text = Annotated[str, Field(pattern=_LINE, max_length=16_384)]
_FOLDER = r"^(?:[A-Za-z0-9_~+=@-][A-Za-z0-9._~+=@-]*/?)+$"


class _Answer(BaseModel):
    """The `data` of the endpoint's answer, as the page lists its fields."""

    # Numbers and booleans of the form's fields are sent as text.
    model_config = ConfigDict(coerce_numbers_to_str=True)

    upload_host: _Text
    upload_dir: Annotated[str, Field(pattern=_FOLDER, max_length=1_024)]
    oss_access_key_id: _Text
    signature: _Text
    policy: _Text
    x_oss_object_acl: _Text
    x_oss_forbid_overwrite: _Text
    max_file_size_mb: Any = None


class UploadPolicy(BaseModel):
    """Leave to put one file into the service's temporary storage (Temp-URL page, 2026).

    Args:
        host: URL that the file is posted to.
        folder: What the file's key begins with.
        form: Fields of the form that stand before the file, the key apart. They are secrets for
            as long as the policy holds, five minutes.
        max_bytes: Longest file; `None` where the service does not say.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str
    folder: str
    form: Mapping[str, str] = Field(repr=False)
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
        answer = load_json(body)
        data = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(data, dict):
            raise _refusal("lacks data")
        try:
            read = _Answer.model_validate(data)
        except ValidationError as error:
            raise _refusal(_explain(error)) from None
        return cls(
            host=read.upload_host,
            folder=read.upload_dir.rstrip("/"),
            form={
                "OSSAccessKeyId": read.oss_access_key_id,
                "Signature": read.signature,
                "policy": read.policy,
                "x-oss-object-acl": read.x_oss_object_acl,
                "x-oss-forbid-overwrite": read.x_oss_forbid_overwrite,
            },
            max_bytes=_to_bytes(read.max_file_size_mb),
        )


def _explain(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False)[0]
    name = str(problem["loc"][0])
    is_missing = problem["type"] == "missing"
    return f"lacks {name}" if is_missing else f"has a {name} of another form than documented"


def _to_bytes(megabytes: object) -> int | None:
    if not isinstance(megabytes, int | float) or isinstance(megabytes, bool):
        return None
    return int(megabytes * _MIB) if 0 < megabytes < _MAX_MEGABYTES else None


def _refusal(problem: str) -> ServiceError:
    return ServiceError(f"The service gave no leave to upload: its answer {problem}.")
