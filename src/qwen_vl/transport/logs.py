"""What the logger `qwen_vl` says of each call: sizes, ids, counts; never a key, text or media."""

import logging
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from qwen_vl.content import Frames, Image, ToolResult, Video
from qwen_vl.reply import Delta, Usage
from qwen_vl.request.types import Request
from qwen_vl.transport.base import Outgoing

_logger = logging.getLogger("qwen_vl")


class CallLog:
    """Logs one attempt to get an answer, at level DEBUG.

    Args:
        url: Of the endpoint.
        request: Whose media is ready.
    """

    def __init__(self, url: str, request: Request) -> None:
        self._is_on = _logger.isEnabledFor(logging.DEBUG)
        self._url = url
        self._request = request
        self._started = time.monotonic()
        self._usage: Usage | None = None
        self._request_id: str | None = None

    def log_request(self, outgoing: Outgoing) -> None:
        """Log what is about to be sent."""
        if not self._is_on:
            return
        images = sum(_count_images(part) for turn in self._request.turns for part in turn.parts)
        _logger.debug(
            "Request: %s %s model=%s bytes=%d images=%d stream=%s",
            outgoing.method,
            urlsplit(self._url).netloc,
            self._request.model,
            0 if outgoing.body is None else len(outgoing.body),
            images,
            self._request.stream,
        )

    def watch(self, deltas: Iterator[Delta]) -> Iterator[Delta]:
        """Return pieces of a stream as they are, and take note of what they say of the answer.

        Args:
            deltas: As they were decoded.
        """
        return self._watch(deltas) if self._is_on else deltas

    def _watch(self, deltas: Iterator[Delta]) -> Iterator[Delta]:
        for delta in deltas:
            if delta.metadata is not None:
                self._usage = delta.metadata.usage or self._usage
                self._request_id = delta.metadata.request_id or self._request_id
            yield delta

    def log_answer(self, usage: Usage | None = None, request_id: str | None = None) -> None:
        """Log an answer that was read.

        Args:
            usage: What it cost; what the pieces of a stream said where it is `None`.
            request_id: The service's.
        """
        if self._is_on:
            self._log("200", request_id or self._request_id, usage or self._usage)

    def log_error(self, error: Any) -> None:
        """Log an error.

        Args:
            error: A `ServiceError`.
        """
        if self._is_on:
            self._log(f"{error.status} {type(error).__name__}", error.request_id, self._usage)

    def _log(self, status: str, request_id: str | None, usage: Usage | None) -> None:
        _logger.debug(
            "Answer: status=%s request_id=%s seconds=%.3f input_tokens=%s output_tokens=%s",
            status,
            request_id,
            time.monotonic() - self._started,
            usage and usage.input_tokens,
            usage and usage.output_tokens,
        )


def _count_images(part: Any) -> int:
    match part:
        case Image():
            return 1
        case Video(source=Frames() as video):
            return len(video.frames)
        case ToolResult():
            return sum(map(_count_images, part.parts))
        case _:
            return 0
