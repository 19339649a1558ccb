"""The endpoints of files for batch jobs (Batch-File and OpenAI-File pages, 2026)."""

import asyncio
from pathlib import PurePath
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from qwen_vl_sandbox.batches.files import DOWNLOADABLE, BatchFile
from qwen_vl_sandbox.errors.api_error import ApiError, reject
from qwen_vl_sandbox.http.forms import FormLimits, read_form
from qwen_vl_sandbox.http.managing import cut_page, manage, read_limit
from qwen_vl_sandbox.recorder import Recorder
from qwen_vl_sandbox.specs.batches import MAX_FILE_BYTES

# unsure: the status and the wording of a refusal for the size; no page prints them.
_LIMITS = FormLimits(
    max_file_bytes=MAX_FILE_BYTES,
    too_large=ApiError(f"The file is larger than {MAX_FILE_BYTES} bytes.", status=413),
)
# unsure: the size of a page of the list.
_MAX_PAGE = 2_000


class FileEndpoints:
    """Keeps files for one ledger."""

    def __init__(self, recorder: Recorder) -> None:
        self._ledger = recorder
        self._store = recorder.batch_files

    async def upload(self, request: Request) -> Response:
        """Take a file in."""
        form: FormData | ApiError
        try:
            # The body is read whole first: a client that is still sending hears no answer.
            form = await read_form(request, _LIMITS)
        except ApiError as error:
            form = error

        async def work(account: str) -> Any:
            if isinstance(form, ApiError):
                raise form
            file = _find_file(form)
            name = PurePath(file.filename or "").name or "file"
            made = await asyncio.to_thread(self._store.upload, account, file.file, name)
            return made.to_json()

        try:
            return await manage(self._ledger, request, "files", work, call="file_upload")
        finally:
            if not isinstance(form, ApiError):
                await form.close()

    async def list(self, request: Request) -> Response:
        """List the files of an account, the newest first."""

        async def work(account: str) -> Any:
            query = request.query_params
            limit = read_limit(request, _MAX_PAGE, _MAX_PAGE)
            purpose = query.get("purpose")
            found = [
                file
                for file in reversed(self._store.files)
                if file.account == account and purpose in {None, file.to_json()["purpose"]}
            ]
            page, has_more = cut_page(found, query.get("after"), limit)
            data = [file.to_json() for file in page]
            return {"object": "list", "data": data, "has_more": has_more}

        return await manage(self._ledger, request, "file", work, call="file")

    async def retrieve(self, request: Request) -> Response:
        """Return the object of a file."""

        async def work(account: str) -> Any:
            return self._find(request, account).to_json()

        return await manage(self._ledger, request, "file", work, call="file")

    async def content(self, request: Request) -> Response:
        """Return the bytes of a file of results."""

        async def work(account: str) -> Any:
            file = self._find(request, account)
            if not file.id.startswith(DOWNLOADABLE):
                # unsure: the wording; the page says that results only can be downloaded.
                reject(f"The file {file.id} cannot be downloaded: only results of batch jobs can.")
            return FileResponse(file.path, media_type="application/octet-stream")

        # unsure: whether it counts as a retrieval.
        return await manage(self._ledger, request, "file_content", work, call="file")

    async def delete(self, request: Request) -> Response:
        """Remove a file."""

        async def work(account: str) -> Any:
            file = self._find(request, account)
            self._store.delete(file)
            return {"object": "file", "deleted": True, "id": file.id}

        return await manage(self._ledger, request, "file", work, call="file")

    def _find(self, request: Request, account: str) -> BatchFile:
        file_id = str(request.path_params["id"])
        found = self._store.find(file_id, account)
        # unsure: the wording; no page prints it.
        return found or reject(f"No such File object: {file_id}", status=404, code="not_found")


def _find_file(form: FormData) -> UploadFile:
    items = form.multi_items()
    files = [value for name, value in items if name == "file" and isinstance(value, UploadFile)]
    if len(files) != 1:
        reject("The form must have one file, in the field 'file'.")
    purposes = [value for name, value in items if name == "purpose"]
    if purposes != ["batch"]:
        reject("The sandbox takes files with the purpose 'batch' only.")
    return files[0]
