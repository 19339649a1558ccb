"""What the transport's errors mean.

They are recognized by their classes: those of httpx2; of openai, where requests go through a client
of it; and, while a body is read through such a client, those of the HTTP library below it, which is
httpx for openai 2 and httpx2 for openai 3. Whatever an error holds of the request (its headers, and
so the key) stays behind.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from qwen_vl.errors import (
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    ConfigurationError,
    InvalidRequestError,
    PartialResponseError,
    QwenVLError,
    ResponseTooLargeError,
)
from qwen_vl.specs.endpoints import explain_refused_key, hide_password
from qwen_vl.transport.limits import BrokenAnswerError, DeadlineError, ResponseTooLongError
from qwen_vl.wire.errors import decode_error
from qwen_vl.wire.events import EventDecoder

_PACKAGES = ("httpx2", "openai", "httpx")


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
    except QwenVLError:
        raise
    except Exception as error:
        meaning = _meaning(error, url, decoder)
        if meaning is None:
            raise
        if decoder is not None and (decoder.is_complete or decoder.is_done):
            # The answer is whole; its connection was cut, or left open, behind it.
            return
        if isinstance(meaning, ConfigurationError):
            # The library's own message may quote a header, and with it the key.
            raise meaning from None
        raise meaning from error


def _meaning(error: Any, url: str, decoder: EventDecoder | None) -> QwenVLError | None:
    if _is(error, "HTTPStatusError", "APIStatusError"):
        return _read_status(error.response, url)
    if isinstance(error, DeadlineError):
        return APITimeoutError(
            f"{url} did not answer within deadline={error.seconds:g} seconds, retries included. "
            "Raise deadline=…, or stream the answer."
        )
    if isinstance(error, TimeoutError) or _is(error, "TimeoutException", "APITimeoutError"):
        return APITimeoutError(
            f"{url} did not answer in time. Raise timeout=… (seconds), or stream the answer."
        )
    if isinstance(error, ResponseTooLongError):
        text = decoder.text if decoder else ""
        return ResponseTooLargeError(f"The answer of {url}", limit=error.max_bytes, text=text)
    if _is(error, "DecodingError"):
        return _broken(f"The answer of {url} is compressed and damaged: {error}", decoder)
    if isinstance(error, UnicodeError) or _is(
        error, "InvalidURL", "UnsupportedProtocol", "LocalProtocolError"
    ):
        return ConfigurationError(
            f"The request to {url} cannot be sent as HTTP: its URL or one of its headers is not "
            "valid. Check base_url, default_headers and extra_headers."
        )
    if isinstance(error, BrokenAnswerError) or (
        decoder is not None and _is(error, "TransportError", "StreamError")
    ):
        return _broken(f"The connection to {url} was cut", decoder)
    if isinstance(error, OSError | ExceptionGroup) or _is(
        error, "TransportError", "APIConnectionError"
    ):
        reason = str(error.__cause__ or error).rstrip(".")
        return APIConnectionError(
            f"{url} cannot be reached: {reason}. Check base_url, region and the network."
            f"{_describe_proxy(url)}"
        )
    return None


def _describe_proxy(url: str) -> str:
    """Return which proxy the environment has for a URL: nothing else in an error names it."""
    parts, proxies = urlsplit(url), getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or not parts.hostname or proxy_bypass(parts.hostname):
        return ""
    # Without the user and the password before it.
    return f" The environment has a proxy: {urlsplit(proxy).netloc.rpartition('@')[2]}."


@contextmanager
def broken_if_cut() -> Iterator[None]:
    """Raise `BrokenAnswerError` if the connection is cut within the block.

    Before an answer began, the same errors mean that the endpoint cannot be reached.
    """
    try:
        yield
    except Exception as error:
        if _is(error, "TimeoutException") or not _is(error, "TransportError"):
            raise
        raise BrokenAnswerError from error


def _read_status(response: Any, url: str) -> QwenVLError:
    location = response.headers.get("location")
    if response.is_redirect and location:
        # What may be a secret is not shown: a password, and the query.
        target = hide_password(location).partition("?")[0]
        return InvalidRequestError(
            f"{url} redirects to {target}, which is not followed: the API key and the messages "
            "would be sent there. If it is the right endpoint, set base_url to it.",
            status=response.status_code,
            headers=dict(response.headers),
        )
    meant = decode_error(response.status_code, response.content, response.headers)
    advice = explain_refused_key(url) if isinstance(meant, AuthenticationError) else ""
    return meant.with_advice(advice) if advice else meant


def _broken(problem: str, decoder: EventDecoder | None) -> PartialResponseError:
    return PartialResponseError(f"{problem}.") if decoder is None else decoder.broken(problem)


def _is(error: Exception, *names: str) -> bool:
    modules = filter(None, map(sys.modules.get, _PACKAGES))
    kinds = tuple(
        kind for module in modules for name in names if (kind := getattr(module, name, None))
    )
    return isinstance(error, kinds)
