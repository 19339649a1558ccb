"""Requests through a client of the `openai` SDK that the program made.

Its retries, timeouts, pools and headers are wanted; its models of requests and answers are not.
"""

import asyncio
import functools
import time
from collections.abc import Awaitable
from typing import Any

import openai

from qwen_vl.process_local import check_process
from qwen_vl.transport.base import (
    Answer,
    AsyncStream,
    AsyncTransport,
    Outgoing,
    Stream,
    Transport,
)
from qwen_vl.transport.flow import Flow, arun, run
from qwen_vl.transport.limits import abounded, bounded
from qwen_vl.transport.retries import Attempts, is_retryable


class SdkTransport(Transport):
    """Sends requests through an `openai.OpenAI`.

    Args:
        client: The program's own; it stays open.
        max_response_bytes: Maximum number of bytes of a decoded answer.

    Raises:
        ConfigurationError: The client was used before this process was forked.
    """

    def __init__(self, client: Any, max_response_bytes: int) -> None:
        check_process(client, "openai_client")
        super().__init__(str(client.base_url), str(client.api_key), client.max_retries)
        self._client = client
        self.max_response_bytes = max_response_bytes

    def send(self, outgoing: Outgoing) -> Answer:
        """Return a whole answer; see `Transport.send`."""
        return run(_send(self, outgoing))

    def stream(self, outgoing: Outgoing) -> Stream:
        """Return an answer whose body is read as it is received; see `Transport.stream`."""
        flow: Flow[Stream] = _open_stream(self, outgoing)
        return run(flow)

    sleep = staticmethod(time.sleep)
    stream_class = Stream

    def send_once(self, outgoing: Outgoing) -> Any:
        """Return the SDK's stream of the answer to one attempt."""
        call = getattr(self._client, outgoing.method.lower())
        with bounded(outgoing.deadline):
            return call(**_to_arguments(outgoing, self._client), stream_cls=openai.Stream[object])

    def close(self) -> None:
        """Do nothing: the caller owns the client."""


class AsyncSdkTransport(AsyncTransport):
    """Sends requests through an `openai.AsyncOpenAI`; see `SdkTransport`.

    Args:
        client: The program's own; it stays open.
        max_response_bytes: Maximum number of bytes of a decoded answer.

    Raises:
        ConfigurationError: The client was used before this process was forked.
    """

    def __init__(self, client: Any, max_response_bytes: int) -> None:
        check_process(client, "async_openai_client")
        super().__init__(str(client.base_url), str(client.api_key), client.max_retries)
        self._client = client
        self.max_response_bytes = max_response_bytes

    async def send(self, outgoing: Outgoing) -> Answer:
        """Return a whole answer; see `Transport.send`."""
        return await arun(_send(self, outgoing))

    async def stream(self, outgoing: Outgoing) -> AsyncStream:
        """Return an answer whose body is read as it is received; see `Transport.stream`."""
        flow: Flow[AsyncStream] = _open_stream(self, outgoing)
        return await arun(flow)

    sleep = staticmethod(asyncio.sleep)
    stream_class = AsyncStream

    def send_once(self, outgoing: Outgoing) -> Awaitable[Any]:
        """Return the SDK's stream of the answer to one attempt."""
        call = getattr(self._client, outgoing.method.lower())
        arguments = {
            **_to_arguments(outgoing, self._client),
            "stream_cls": openai.AsyncStream[object],
        }
        return abounded(outgoing.deadline, lambda: call(**arguments))

    async def close(self) -> None:
        """Do nothing: the caller owns the client."""


def _send(transport: SdkTransport | AsyncSdkTransport, outgoing: Outgoing) -> Flow[Answer]:
    stream = yield from _open_stream(transport, outgoing)
    try:
        content = yield stream.read
    finally:
        yield stream.close
    return Answer(content, stream.headers)


def _open_stream(transport: SdkTransport | AsyncSdkTransport, outgoing: Outgoing) -> Flow[Any]:
    attempts = Attempts(transport.max_retries, outgoing.deadline)
    while True:
        try:
            opened = yield functools.partial(transport.send_once, outgoing)
        except openai.APIError as error:
            seconds = _delay_after(error, attempts)
        else:
            kind = transport.stream_class
            return kind(opened.response, outgoing.deadline, transport.max_response_bytes)
        yield functools.partial(transport.sleep, seconds)


def _to_arguments(outgoing: Outgoing, client: Any) -> dict[str, Any]:
    # A redirect would send the images and the key to a host that the answer names. Attempts are
    # counted here, since the SDK's own know nothing of a deadline.
    options: dict[str, Any] = {
        "headers": outgoing.headers,
        "follow_redirects": False,
        "max_retries": 0,
    }
    # Otherwise the client's own, which is set there already.
    own = getattr(client, "timeout", None) if outgoing.queue_seconds else None
    timeout = outgoing.find_timeout(own)
    if timeout is not None:
        connect, read, write, pool = timeout
        # Of the HTTP library that the SDK stands on.
        options["timeout"] = openai.Timeout(connect=connect, read=read, write=write, pool=pool)
    if outgoing.params:
        options["params"] = outgoing.params
    arguments: dict[str, Any] = {"path": outgoing.path, "cast_to": object, "stream": True}
    if outgoing.body is not None:
        # Whole: the program's client may have hooks that read it.
        arguments["content"] = bytes(outgoing.body)
    return {**arguments, "options": options}


def _delay_after(error: openai.APIError, attempts: Attempts) -> float:
    seconds = None
    if isinstance(error, openai.APIStatusError):
        response = error.response
        if is_retryable(response.status_code, response.headers, response.content):
            seconds = attempts.next_delay(f"HTTP {response.status_code}", response.headers)
    elif isinstance(error, openai.APIConnectionError):
        seconds = attempts.next_delay(type(error).__name__)
    if seconds is None:
        raise error
    return seconds
