"""HTTP answers, and the faults that a test prescribes in them."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping

from starlette.responses import Response, StreamingResponse

from qwen_vl_sandbox.errors.api_error import ApiError
from qwen_vl_sandbox.errors.hosted import ErrorForm
from qwen_vl_sandbox.faults import Fault

EVENT_STREAM = "text/event-stream;charset=UTF-8"
KEEP_ALIVE = b": keep-alive\n\n"
GATEWAY_PAGE = b"<html><head><title>%d</title></head><body><h1>%d</h1></body></html>"


class ConnectionCut(Exception):  # noqa: N818 - an intended end of the connection, not an error.
    """Makes the server close the connection without ending its answer."""


def json_answer(body: bytes, request_id: str, *, status: int = 200) -> Response:
    """Answer with JSON."""
    return Response(body, status, {"x-request-id": request_id}, media_type="application/json")


def error_answer(error: ApiError, request_id: str, form: ErrorForm) -> Response:
    """Answer with a refusal."""
    headers = {"x-request-id": request_id}
    body = form.body(error, request_id)
    return Response(body, error.status, headers, media_type=form.media_type)


def fault_answer(
    fault: Fault, request_id: str, form: ErrorForm, *, stream: bool, status: int | None = None
) -> Response:
    """Answer with a prescribed error."""
    headers = {"x-request-id": request_id}
    if fault.retry_after is not None:
        headers["retry-after"] = f"{fault.retry_after:g}"
    error = fault.error()
    if status is None:
        status = 200 if fault.error_in_200 else error.status
    if fault.html_body:
        page = GATEWAY_PAGE % (status, status)
        return Response(page, status, headers, media_type="text/html")
    if fault.sse_error_body or (stream and fault.error_in_200):
        event = form.event(error, request_id)
        return Response(event, status, headers, media_type=EVENT_STREAM)
    return Response(form.body(error, request_id), status, headers, media_type=form.media_type)


def whole_answer(
    body: bytes,
    fault: Fault,
    request_id: str,
    form: ErrorForm,
    *,
    headers: Mapping[str, str] | None = None,
    status: int = 200,
) -> Response:
    """Answer with one body, as a fault has it."""
    sent = {"x-request-id": request_id, **(headers or {})}
    if fault.error_event_after is not None:
        return fault_answer(fault, request_id, form, stream=False, status=200)
    if fault.broken_event:
        body = body[: len(body) // 2]
    if fault.cut_after_chunks is not None:
        length = str(max(len(body), 1))
        return StreamingResponse(
            _cut_body(body),
            status,
            headers={**sent, "content-length": length},
            media_type=form.media_type,
        )
    return Response(body, status, sent, media_type=form.media_type if body else None)


async def _cut_body(body: bytes) -> AsyncIterator[bytes]:
    yield body[: len(body) // 2]
    raise ConnectionCut


def faulty(
    chunks: Iterator[bytes],
    fault: Fault,
    *,
    broken: bytes,
    error: bytes,
    end: bytes,
) -> Iterator[bytes]:
    """Send the chunks of a stream as a fault has them.

    Args:
        chunks: The stream, without its end.
        fault: The fault that applies to it.
        broken: An event whose data is not JSON.
        error: An error event.
        end: What ends the stream.
    """
    for sent, chunk in enumerate(chunks):
        if fault.cut_after_chunks == sent:
            raise ConnectionCut
        if fault.error_event_after == sent:
            yield error
            return
        yield chunk
        if fault.broken_event and sent == 0:
            yield broken
    if fault.cut_after_chunks is not None:
        raise ConnectionCut
    if end:
        yield end


def streamed_answer(
    chunks: Iterator[bytes], delay: float, headers: Mapping[str, str], *, keep_alive: bool
) -> Response:
    """Answer with a stream; `delay` seconds go before each chunk."""
    paced = _paced(_kept_alive(chunks) if keep_alive else chunks, delay)
    return StreamingResponse(paced, headers=headers, media_type=EVENT_STREAM)


def _kept_alive(chunks: Iterable[bytes]) -> Iterator[bytes]:
    for at, chunk in enumerate(chunks):
        yield chunk
        if at == 0:
            yield KEEP_ALIVE


async def _paced(chunks: Iterable[bytes], delay: float) -> AsyncIterator[bytes]:
    for chunk in chunks:
        # Without a pause the server would send nothing before the last chunk is made.
        await asyncio.sleep(delay)
        yield chunk
