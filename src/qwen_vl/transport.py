"""The `openai` SDK as it is used here: bytes in, bytes out, and errors that say what they mean.

Its retries, time limits and connection pools are wanted, and whatever a caller's own client
brings; its models of requests and answers are not.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from qwen_vl.connection import Connection
from qwen_vl.endpoints import explain_refused_key, hide_password
from qwen_vl.errors import (
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    QwenVLError,
)
from qwen_vl.wire.errors import decode_error
from qwen_vl.wire.events import EventDecoder


def openai_sdk() -> ModuleType:
    """Import the SDK, at the first request."""
    import openai  # noqa: PLC0415 - a quarter of a framework's import time, and not for a refusal.

    return openai


def make_sdk_client(kind: str, connection: Connection) -> Any:
    """Make a client of the SDK.

    Args:
        kind: `"OpenAI"` or `"AsyncOpenAI"`.
        connection: How to reach the endpoint.

    Raises:
        ConfigurationError: There is no key.
    """
    options: dict[str, Any] = {
        "api_key": connection.require_api_key(),
        "base_url": connection.base_url,
        "max_retries": connection.max_retries,
    }
    if connection.timeout is not None:
        options["timeout"] = connection.timeout
    client = getattr(openai_sdk(), kind)(**options)
    # The SDK reads these from the environment for OpenAI's own service; they are nobody else's.
    client.organization = client.project = None
    client._custom_headers = dict(connection.headers)  # noqa: SLF001 - there is no public way.
    return client


def whole_answer() -> dict[str, Any]:
    """Give the SDK's arguments for an answer as bytes."""
    return {"cast_to": openai_sdk().HttpxBinaryResponseContent}


def streamed_answer(stream_class: str) -> dict[str, Any]:
    """Give the SDK's arguments for an answer whose bytes are read as they come.

    Args:
        stream_class: `"Stream"` or `"AsyncStream"`.
    """
    kind = getattr(openai_sdk(), stream_class)
    return {"cast_to": object, "stream": True, "stream_cls": kind[object]}


def show_address(client: Any) -> str:
    """Give the address of an endpoint for errors.

    Args:
        client: Of the SDK, or a `Connection`.
    """
    return hide_password(str(client.base_url))


def lower_headers(response: Any) -> Mapping[str, str]:
    """Give the headers of an answer, names in lower case."""
    return {name.lower(): value for name, value in response.headers.items()}


@contextmanager
def errors_translated(address: str, decoder: EventDecoder | None = None) -> Iterator[None]:
    """Raise in place of the transport's errors what they mean; let all others pass.

    Args:
        address: Of the endpoint, for errors.
        decoder: Of the stream that is being read.
    """
    try:
        yield
    except Exception as error:
        meaning = _meaning(error, address, decoder)
        if meaning is None:
            raise
        raise meaning from error


def _meaning(error: Exception, address: str, decoder: EventDecoder | None) -> QwenVLError | None:
    sdk = openai_sdk()
    if isinstance(error, sdk.APIStatusError):
        response: Any = error.response
        headers = lower_headers(response)
        meant = decode_error(response.status_code, response.content, headers)
        advice = explain_refused_key(address) if isinstance(meant, AuthenticationError) else ""
        return meant.with_advice(advice) if advice else meant
    if isinstance(error, sdk.APITimeoutError) or _is_transport(error, "TimeoutException"):
        return APITimeoutError(
            f"{address} did not answer in time. Raise timeout=… (seconds), or stream the answer."
        )
    if decoder is not None and _is_transport(error, "TransportError"):
        return decoder.broken(f"The connection to {address} was cut")
    if isinstance(error, sdk.APIConnectionError) or _is_transport(error, "TransportError"):
        return APIConnectionError(
            f"{address} cannot be reached: {error.__cause__ or error}. Check base_url, region "
            "and the network."
        )
    return None


def _is_transport(error: Exception, name: str) -> bool:
    # openai 2 stands on httpx, openai 3 on httpx2: the error's own package has the class.
    package = sys.modules.get(type(error).__module__.split(".")[0])
    kind = getattr(package, name, None)
    is_http = getattr(package, "__name__", "").startswith("httpx")
    return is_http and isinstance(kind, type) and isinstance(error, kind)
