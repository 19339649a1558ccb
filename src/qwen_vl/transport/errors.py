"""What the transport's errors mean.

They are known by their names: httpx, httpx2 (on which version 3 of the SDK stands) and openai have
the same ones, and none of these packages need be there.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from qwen_vl.errors import (
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    QwenVLError,
)
from qwen_vl.specs.endpoints import explain_refused_key
from qwen_vl.wire.errors import decode_error
from qwen_vl.wire.events import EventDecoder

_PACKAGES = frozenset({"httpx", "httpx2", "openai"})


@contextmanager
def errors_translated(url: str, decoder: EventDecoder | None = None) -> Iterator[None]:
    """Raise in place of the transport's errors what they mean; let all others pass.

    Behind the end of a stream they mean nothing any more.

    Args:
        url: Of the endpoint, for errors.
        decoder: Of the stream that is being read.
    """
    try:
        yield
    except Exception as error:
        meaning = _meaning(error, url, decoder)
        if meaning is None:
            raise
        if decoder is not None and (decoder.is_complete or decoder.is_done):
            # The answer is whole; its connection was cut, or left open, behind it.
            return
        raise meaning from error


def _meaning(error: Any, url: str, decoder: EventDecoder | None) -> QwenVLError | None:
    if _is(error, "HTTPStatusError", "APIStatusError"):
        response = error.response
        meant = decode_error(response.status_code, response.content, response.headers)
        advice = explain_refused_key(url) if isinstance(meant, AuthenticationError) else ""
        return meant.with_advice(advice) if advice else meant
    if isinstance(error, TimeoutError) or _is(error, "TimeoutException", "APITimeoutError"):
        return APITimeoutError(
            f"{url} did not answer in time. Raise timeout=… (seconds), or stream the answer."
        )
    if decoder is not None and _is(error, "TransportError"):
        return decoder.broken(f"The connection to {url} was cut")
    if _is(error, "TransportError", "APIConnectionError", "TooManyRedirects"):
        reason = str(error.__cause__ or error).rstrip(".")
        return APIConnectionError(
            f"{url} cannot be reached: {reason}. Check base_url, region and the network."
        )
    return None


def _is(error: Exception, *names: str) -> bool:
    return any(
        base.__name__ in names and base.__module__.partition(".")[0] in _PACKAGES
        for base in type(error).__mro__
    )
