"""From the events of a stream to deltas: what both protocols have in common.

Errors that come as events, bodies that are not streams, and connections that end too soon
(Streaming page, 2026-07).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import Any

from qwen_vl.content import Replacement
from qwen_vl.errors import PartialResponseError, ResponseTooLargeError, ServiceError
from qwen_vl.reply import Delta, Reply, ResponseMetadata, ToolCallDelta, Usage
from qwen_vl.wire.errors import decode_error
from qwen_vl.wire.json import Json, find_request_id, is_truncated, load_json, may_be_cut
from qwen_vl.wire.sse import DONE, MAX_EVENT_BYTES, EventParser
from qwen_vl.wire.tool_calls import ToolCallAssembler

_FIRST_ERROR = 400
# A piece of encrypted text does not begin with so much of what has come before it, unless it
# repeats it.
_MIN_REPEATED_CHARS = 24


class EventDecoder(ABC):
    """Decodes the bytes of one stream as they come into deltas.

    Args:
        headers: The answer's headers.
        calls: Puts the pieces of tool calls together.
        replaced: Content from tools that was replaced by notes in the request.
        max_event_bytes: Limit on the bytes of one event.
    """

    def __init__(
        self,
        headers: Mapping[str, str],
        calls: ToolCallAssembler,
        *,
        replaced: tuple[Replacement, ...] = (),
        max_event_bytes: int = MAX_EVENT_BYTES,
    ) -> None:
        self._replaced = replaced
        # Read at every event, where lookups that ignore the case would take time.
        self._headers = {name.lower(): value for name, value in headers.items()}
        self._request_id = find_request_id({}, self._headers)
        self._parser = EventParser(max_event_bytes)
        self._text: list[str] = []
        self._usage: Usage | None = None
        self._encrypted = ""
        self.has_reasoning = False
        """Whether reasoning has come."""
        self.calls = calls
        """The tool calls, as far as they have come."""
        self.reported: dict[str, Any] = {}
        """What holds for the whole answer, as far as it was given."""
        self._is_begun = False
        self._is_complete = False
        self._is_done = False

    @abstractmethod
    def decode_event(self, event: Json) -> Delta | None:
        """Decode one event."""

    @abstractmethod
    def decode_whole(self, body: bytes) -> Reply:
        """Decode a body that is not a stream."""

    def ends_stream(self) -> bool:
        """Check whether the last event ended the answer without `[DONE]`."""
        return False

    @abstractmethod
    def is_error(self, event: Json) -> bool:
        """Check whether an event is an error."""

    def feed(self, raw: bytes) -> Iterator[Delta]:
        """Decode the next bytes. Whatever follows the end of the answer is ignored.

        Args:
            raw: Bytes, cut anywhere.

        Yields:
            A delta for each event that they complete and that brings something.

        Raises:
            ServiceError: An event is an error.
            PartialResponseError: An event is damaged.
            ResponseTooLargeError: An event has more bytes than the limit.
        """
        if self._is_done:
            return
        try:
            for event in self._parser.feed(raw):
                if delta := self._read(event):
                    yield delta
                if self.ends_stream() and (end := self._end()):
                    yield end
                if self._is_done:
                    return
        except ResponseTooLargeError as error:
            error.text = self.text
            raise

    def finish(self) -> Iterator[Delta]:
        """Decode what is left after the connection has ended.

        Yields:
            The last deltas; those of a whole answer if the body is not a stream.

        Raises:
            PartialResponseError: The answer was not complete.
            ServiceError: The body is not a stream but an error.
        """
        if self._is_done:
            return
        for event in self._parser.finish():
            try:
                delta = self._read(event)
            except PartialResponseError:
                if not self._is_complete:
                    raise
                # It was cut behind the answer, which is whole.
                continue
            if delta:
                yield delta
        if not self._is_begun and (body := self._parser.other):
            # Not a stream: an error in HTTP 200, or a server that does not stream.
            yield to_delta(replace(self.decode_whole(body), **self._unreported()))
            return
        if not self._is_complete:
            raise self.broken("The connection ended before the answer did")
        if end := self._end():
            yield end

    def finish_calls(self, reason: str | None) -> tuple[ToolCallDelta, ...]:
        """Return what is still missing of the tool calls when the answer says why it ended."""
        return tuple(self.calls.finish(is_cut=may_be_cut(reason, self._headers)))

    def broken(self, problem: str) -> PartialResponseError:
        """Return the error of a stream that breaks off here, with the text that had come."""
        return PartialResponseError(
            f"{problem}, after {sum(map(len, self._text))} characters of text.",
            text=self.text,
            request_id=self._request_id,
        )

    def new_metadata(
        self, finish_reason: str | None = None, **found: Any
    ) -> ResponseMetadata | None:
        """Return what holds for the whole answer and is new: chunks repeat it, and are added up.

        Args:
            finish_reason: Why the answer ended, reported once too.
            **found: Values by their names, empty ones among them.
        """
        new = {name: fact for name, fact in found.items() if fact and name not in self.reported}
        if finish_reason and not self._is_complete:
            self._is_complete = True
            new["finish_reason"] = finish_reason
            if is_truncated(self._headers):
                new["is_truncated"] = True
        new |= self._unreported()
        if not new:
            return None
        self.reported.update(new)
        return ResponseMetadata(**new)

    def _unreported(self) -> dict[str, Any]:
        """Return what was replaced in the request, once: with the first event."""
        replaced, self._replaced = self._replaced, ()
        return {"replaced_content": replaced} if replaced else {}

    def take_encrypted(self, encrypted: str) -> str:
        """Return what is new of the encrypted reasoning.

        unsure: no page says whether it comes in one event, in pieces, or again with later events
        (with everything so far, where these are not incremental). All of them add up to the same.

        Args:
            encrypted: Of the event.
        """
        if not encrypted:
            return ""
        so_far = self._encrypted
        if len(so_far) >= _MIN_REPEATED_CHARS and encrypted.startswith(so_far):
            encrypted = encrypted[len(so_far) :]
        self._encrypted += encrypted
        return encrypted

    def track_usage(self, delta: Delta, usage: Usage | None) -> Delta:
        """Keep what a delta brings for the end of the answer, and the running totals."""
        self._usage = usage or self._usage
        if delta.reasoning:
            self.has_reasoning = True
        if delta.text:
            self._text.append(delta.text)
        return delta

    @property
    def has_begun(self) -> bool:
        """Whether an event of the answer has come."""
        return self._is_begun

    @property
    def is_complete(self) -> bool:
        """Whether the answer has said why it ended."""
        return self._is_complete

    @property
    def text(self) -> str:
        """The text of the answer that has come."""
        return "".join(self._text)

    @property
    def has_text(self) -> bool:
        """Whether text of the answer has come."""
        return bool(self._text)

    @property
    def is_done(self) -> bool:
        """Whether the answer has ended: whatever else the connection brings is not part of it."""
        return self._is_done

    def _read(self, raw: bytes) -> Delta | None:
        if raw == DONE:
            has_answer = self._is_complete or self.has_text or self.has_reasoning or self.calls
            if not has_answer:
                raise self.broken("The stream ended without an answer")
            return self._end()
        event = load_json(raw)
        if not isinstance(event, dict):
            raise self.broken(f"An event of the stream is not JSON ({raw[:60]!r})")
        if self.is_error(event):
            raise self._decode_error(raw)
        self._is_begun = True
        return self.decode_event(event)

    def _decode_error(self, raw: bytes) -> ServiceError:
        # The code is more specific than the status beside it, which may be the stream's own.
        by_code = decode_error(None, raw, self._headers)
        status = self._parser.status
        if by_code.status is not None or status is None or status < _FIRST_ERROR:
            return by_code
        return decode_error(status, raw, self._headers)

    def _end(self) -> Delta | None:
        if self._is_done:
            return None
        self._is_done = True
        # Some servers send running totals with every chunk; the last one is the sum.
        metadata = ResponseMetadata(
            usage=self._usage,
            is_truncated=is_truncated(self._headers) and "is_truncated" not in self.reported,
            has_ended=True,
            **self._unreported(),
        )
        rest = self.calls.finish(is_cut=not self._is_complete, is_last=True)
        return Delta(tool_calls=tuple(rest), metadata=metadata)


def to_delta(reply: Reply) -> Delta:
    """Return a whole answer as the only event of a stream.

    Args:
        reply: The answer.
    """
    return Delta(
        text=reply.text,
        reasoning=reply.reasoning,
        encrypted_content=reply.encrypted_content,
        tool_calls=tuple(
            ToolCallDelta(index=index, id=call.id, name=call.name, arguments=call.arguments)
            for index, call in enumerate(reply.tool_calls)
        ),
        logprobs=reply.logprobs,
        metadata=ResponseMetadata(
            **{fact.name: getattr(reply, fact.name) for fact in fields(ResponseMetadata)}
        ),
    )
