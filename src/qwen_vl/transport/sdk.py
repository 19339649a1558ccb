"""Requests through a client of the `openai` SDK that the program made.

Its retries, time limits, pools and headers are wanted; its models of requests and answers are not.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

import openai

from qwen_vl.errors import ConfigurationError
from qwen_vl.process_local import Process, current_process
from qwen_vl.transport.base import Answer, AsyncStream, AsyncTransport, Post, Stream, Transport


class SdkTransport(Transport):
    """Sends requests through an `openai.OpenAI`.

    Args:
        client: The program's own; it stays open.

    Raises:
        ConfigurationError: The client was used before this process was forked.
    """

    def __init__(self, client: Any) -> None:
        _check_process(client, "openai_client")
        super().__init__(str(client.base_url), str(client.api_key), client.max_retries)
        self._client = client

    def post(self, post: Post) -> Answer:
        """Get a whole answer."""
        answer: Answer = self._client.post(**_to_arguments(post), **_WHOLE).response
        return answer

    def stream(self, post: Post) -> Stream:
        """Get an answer whose body is read as it comes."""
        asked = {"cast_to": object, "stream": True, "stream_cls": openai.Stream[object]}
        stream: Stream = self._client.post(**_to_arguments(post), **asked).response
        return stream

    def get(self, url: str, params: Mapping[str, str]) -> Answer:
        """Get what lies at an address."""
        answer: Answer = self._client.get(url, **_WHOLE, options={"params": params}).response
        return answer

    def close(self) -> None:
        """Leave the connections to whoever made them."""


class AsyncSdkTransport(AsyncTransport):
    """Sends requests through an `openai.AsyncOpenAI`.

    Args:
        client: The program's own; it stays open.

    Raises:
        ConfigurationError: The client was used before this process was forked.
    """

    def __init__(self, client: Any) -> None:
        _check_process(client, "async_openai_client")
        super().__init__(str(client.base_url), str(client.api_key), client.max_retries)
        self._client = client

    async def post(self, post: Post) -> Answer:
        """Get a whole answer."""
        answer: Answer = (await self._client.post(**_to_arguments(post), **_WHOLE)).response
        return answer

    async def stream(self, post: Post) -> AsyncStream:
        """Get an answer whose body is read as it comes."""
        asked = {"cast_to": object, "stream": True, "stream_cls": openai.AsyncStream[object]}
        stream: AsyncStream = (await self._client.post(**_to_arguments(post), **asked)).response
        return stream

    async def get(self, url: str, params: Mapping[str, str]) -> Answer:
        """Get what lies at an address."""
        answered = await self._client.get(url, **_WHOLE, options={"params": params})
        answer: Answer = answered.response
        return answer

    async def close(self) -> None:
        """Leave the connections to whoever made them."""


_WHOLE = {"cast_to": openai.HttpxBinaryResponseContent}


def _to_arguments(post: Post) -> dict[str, Any]:
    options: dict[str, Any] = {"headers": post.headers}
    if post.timeout is not None:
        options["timeout"] = post.timeout
    # Whole: the program's client may have hooks that read it.
    return {"path": post.path, "content": bytes(post.body), "options": options}


_used_in: WeakKeyDictionary[Any, Process] = WeakKeyDictionary()
"""Processes in which clients were used first. They are not ours to open again in another."""


def _check_process(client: Any, name: str) -> None:
    process = current_process()
    # What stands in for a client may be nothing that can be a key here.
    with suppress(TypeError):
        if _used_in.setdefault(client, process) is not process:
            raise ConfigurationError(
                f"The client that was passed as {name}=… was used before this process was forked. "
                "Its connections are the parent's, and answers would go to the wrong process. "
                "Make the client, and the model that it is passed to, in the child: in gunicorn's "
                "post_fork, or at Celery's worker_process_init."
            )
