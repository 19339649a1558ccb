"""Forms with a file, read in bounded memory."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request

from qwen_vl_sandbox.errors.api_error import ApiError
from qwen_vl_sandbox.specs.models import MIB

# Of the fields beside the file.
_MAX_FIELD_BYTES = MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class FormLimits:
    """How large a form may be, and what is answered otherwise.

    Args:
        max_file_bytes: Of the file.
        too_large: The refusal of a larger one.
        malformed: The code of the refusal of a form that cannot be read.
    """

    max_file_bytes: int
    too_large: ApiError
    malformed: str | None = None


class _Upload(Request):
    """A request whose form is malformed if the client disconnects, or sends too much.

    Older releases of starlette close the files of a form only for this error.
    """

    max_bytes = 0
    is_too_long = False

    async def stream(self) -> AsyncGenerator[bytes, None]:
        size = 0
        try:
            async for chunk in super().stream():
                size += len(chunk)
                # Read to its end, since a client that is still sending hears no answer, and
                # kept no longer.
                self.is_too_long = size > self.max_bytes
                if not self.is_too_long:
                    yield chunk
        except ClientDisconnect as error:
            raise MultiPartException("The client has disconnected.") from error
        if self.is_too_long:
            raise MultiPartException(f"There are more than {self.max_bytes} bytes.")


async def read_form(request: Request, limits: FormLimits) -> FormData:
    """Read a form whole; its files are on the disk, and to be closed by the caller.

    Raises:
        ApiError: It is too large, or is none.
    """
    upload = _Upload(request.scope, request.receive)
    upload.max_bytes = limits.max_file_bytes + _MAX_FIELD_BYTES
    try:
        return await upload.form()
    # Which of them it is depends on the release of starlette.
    except (FormParserError, HTTPException, MultiPartException) as error:
        if upload.is_too_long:
            raise limits.too_large from None
        raise ApiError(
            f"The body of your POST request is not well-formed multipart/form-data: {error}",
            code=limits.malformed,
        ) from error
