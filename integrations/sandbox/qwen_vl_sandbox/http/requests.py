"""What each endpoint does first: read the body, record the request, check the key."""

from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request

from qwen_vl_sandbox.errors.api_error import reject
from qwen_vl_sandbox.http.log import log_entry
from qwen_vl_sandbox.media.fetch import MAX_BODY_BYTES
from qwen_vl_sandbox.recorder import RecordedRequest, Recorder, redacted


async def read_body(request: Request) -> bytes:
    """Read the whole body.

    Raises:
        ApiError: It is larger than the service takes.
    """
    parts: list[bytes] = []
    size = 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > MAX_BODY_BYTES:
                reject(f"The request body is larger than {MAX_BODY_BYTES} bytes.", status=413)
            parts.append(part)
    except ClientDisconnect:
        reject("The client has gone away.")
    return b"".join(parts)


def parsed(raw: bytes) -> Any:
    """Read a body as JSON; `None` if it is not."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None


def record(
    recorder: Recorder, request: Request, raw: bytes = b"", unknown_fields: tuple[str, ...] = ()
) -> None:
    """Remember a request."""
    if raw:
        log_entry(request).received[:] = [f"body of {len(raw):,} B"]
    recorder.record(
        RecordedRequest(
            method=request.method,
            path=request.url.path,
            headers=redacted(request.headers),
            body=raw,
            unknown_fields=unknown_fields,
            query=request.url.query,
        )
    )


def check_key(recorder: Recorder, request: Request) -> None:
    """Let only good keys pass.

    Raises:
        ApiError: The key is missing, or is not among those that may pass.
    """
    if not recorder.accepts(request.headers.get("authorization", "")):
        reject("Incorrect API key provided.", status=401)
