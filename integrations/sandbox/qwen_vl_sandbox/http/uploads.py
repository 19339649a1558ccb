"""The two endpoints of an upload: the policy, and the storage host that takes the file.

The storage host is another machine at the service and another path here.
"""

import asyncio
import uuid

import orjson
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import Response

from qwen_vl_sandbox.errors.api_error import ApiError, reject
from qwen_vl_sandbox.errors.hosted import NATIVE, STORAGE
from qwen_vl_sandbox.faults import NO_FAULT, Fault
from qwen_vl_sandbox.http.forms import FormLimits, read_form
from qwen_vl_sandbox.http.requests import check_key, record
from qwen_vl_sandbox.http.responses import error_answer, fault_answer, whole_answer
from qwen_vl_sandbox.recorder import Recorder
from qwen_vl_sandbox.specs.models import MIB, admitted_spec
from qwen_vl_sandbox.storage import MAX_FILE_MIB, TOO_LARGE, account_of

POLICY_PATH = "/api/v1/uploads"
STORAGE_PATH = "/oss"
_LIMITS = FormLimits(
    max_file_bytes=MAX_FILE_MIB * MIB,
    too_large=ApiError(TOO_LARGE, code="EntityTooLarge"),
    malformed="MalformedPOSTRequest",
)


class UploadEndpoints:
    """Answers for one ledger's storage."""

    def __init__(self, recorder: Recorder) -> None:
        self._ledger = recorder

    async def policy(self, request: Request) -> Response:
        """Issue a policy."""
        request_id = str(uuid.uuid4())
        record(self._ledger, request)
        try:
            check_key(self._ledger, request)
            fault = self._ledger.next_fault("uploads") or NO_FAULT
            await asyncio.sleep(fault.latency)
            if fault.is_an_error_answer:
                return fault_answer(fault, request_id, NATIVE, stream=False)
            body = orjson.dumps({"request_id": request_id, "data": self._granted(request)})
        except ApiError as error:
            return error_answer(error, request_id, NATIVE)
        return whole_answer(body, fault, request_id, NATIVE)

    def _granted(self, request: Request) -> dict[str, object]:
        # unsure: the wording for a missing or unknown action is not documented.
        if request.query_params.get("action") != "getPolicy":
            reject("The query parameter 'action' must be 'getPolicy'.")
        model = request.query_params.get("model", "")
        admitted_spec(model)
        host = f"{request.url.scheme}://{request.url.netloc}{STORAGE_PATH}"
        account = account_of(request.headers["authorization"])
        return self._ledger.storage.grant(model, account, host)

    async def store(self, request: Request) -> Response:
        """Take a file in."""
        request_id = str(uuid.uuid4())
        record(self._ledger, request)
        try:
            # The body is read whole first: a client that is still sending hears no answer.
            form = await read_form(request, _LIMITS)
            try:
                return await self._stored(request, form, request_id)
            finally:
                await form.close()
        except ApiError as error:
            return error_answer(error, request_id, STORAGE)

    async def _stored(self, request: Request, form: FormData, request_id: str) -> Response:
        fault = self._ledger.next_fault("storage") or NO_FAULT
        await asyncio.sleep(fault.latency)
        if fault.is_an_error_answer:
            return fault_answer(fault, request_id, STORAGE, stream=False)
        # unsure: what the storage host says to a second kind of credentials. The API key
        # does not belong there, and a client that sends it should get an error.
        if "authorization" in request.headers:
            reject("The Authorization header must not be sent to the storage host.")
        fields, file = _split_form(form)
        values = fields.get("x-oss-content-type") or file.content_type or ""
        await asyncio.to_thread(self._ledger.storage.put, fields, file.file, file.size or 0, values)
        return _stored_answer(fields, fault, request_id)


def _stored_answer(fields: dict[str, str], fault: Fault, request_id: str) -> Response:
    status = 200 if fields.get("success_action_status") == "200" else 204
    return whole_answer(b"", fault, request_id, STORAGE, status=status)


def _split_form(form: FormData) -> tuple[dict[str, str], UploadFile]:
    items = form.multi_items()
    files = [value for name, value in items if name == "file" and isinstance(value, UploadFile)]
    fields = {name: value for name, value in items if isinstance(value, str)}
    if len(files) != 1 or len(items) != len(fields) + 1:
        reject(
            "POST requires exactly one file upload per request, and each field once.",
            code="IncorrectNumberOfFilesInPOSTRequest",
        )
    # unsure: the page says that the file stands last, not what becomes of fields after it.
    if items[-1][0] != "file":
        reject("The file must be the last field of the form.")
    return fields, files[0]
