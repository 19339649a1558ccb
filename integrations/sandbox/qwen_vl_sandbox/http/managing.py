"""Calls that manage files and batch jobs: recorded, counted, and failing as prescribed."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from qwen_vl_sandbox.errors.api_error import ApiError, reject
from qwen_vl_sandbox.errors.hosted import OPENAI
from qwen_vl_sandbox.faults import NO_FAULT, Endpoint
from qwen_vl_sandbox.http.requests import check_key, record
from qwen_vl_sandbox.http.responses import error_answer, fault_answer, whole_answer
from qwen_vl_sandbox.recorder import Recorder
from qwen_vl_sandbox.storage import account_of


async def manage(
    recorder: Recorder,
    request: Request,
    endpoint: Endpoint,
    work: Callable[[str], Awaitable[Any]],
    *,
    call: str,
    raw: bytes = b"",
    unknown_fields: tuple[str, ...] = (),
) -> Response:
    """Answer a call with a JSON object, or with a file's bytes.

    Args:
        recorder: The ledger.
        request: The call.
        endpoint: Whose faults apply to it.
        work: Returns what is answered to an account; nothing is done where a fault is the answer.
        call: Whose limit of rate it counts for.
        raw: Its body, if it is JSON.
        unknown_fields: Fields of it that no page documents.
    """
    request_id = str(uuid.uuid4())
    record(recorder, request, raw, unknown_fields)
    try:
        check_key(recorder, request)
        recorder.call_rates.admit(call)
        fault = recorder.next_fault(endpoint) or NO_FAULT
        await asyncio.sleep(fault.latency)
        if fault.is_an_error_answer:
            return fault_answer(fault, request_id, OPENAI, stream=False)
        made = await work(account_of(request.headers.get("authorization", "")))
    except ApiError as error:
        return error_answer(error, request_id, OPENAI)
    if isinstance(made, FileResponse):
        if fault is NO_FAULT:
            return made
        content = await asyncio.to_thread(Path(made.path).read_bytes)
        return whole_answer(content, fault, request_id, OPENAI)
    return whole_answer(orjson.dumps(made), fault, request_id, OPENAI)


def read_limit(request: Request, most: int, default: int) -> int:
    """Read how many objects a page of a list has.

    Raises:
        ApiError: It is out of range.
    """
    value = request.query_params.get("limit", str(default))
    if not value.isdecimal() or not 1 <= int(value) <= most:
        reject(f"Range of limit should be [1, {most}]")
    return int(value)


def cut_page(found: list[Any], after: str | None, limit: int) -> tuple[list[Any], bool]:
    """Return a page of a list, and whether more follow.

    Args:
        found: All objects.
        after: Id of the last object of the page before.
        limit: Objects of a page.

    Raises:
        ApiError: There is none of that id.
    """
    begin = 0
    if after:
        ids = [one.id for one in found]
        if after not in ids:
            # unsure: what the service says to an id that is not in the list.
            reject(f"after: no such object: {after}", status=404, code="not_found")
        begin = ids.index(after) + 1
    return found[begin : begin + limit], begin + limit < len(found)
