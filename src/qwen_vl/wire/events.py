"""From the bytes of a stream to deltas: what both protocols have in common.

Server-sent events of `data:` lines, comment lines to keep the connection open, errors that come as
events, and connections that end too soon (Streaming page, 2026-07).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import Any

from qwen_vl.content import Replacement
from qwen_vl.errors import PartialResponseError, ServiceError
from qwen_vl.reply import Delta, Reply, ResponseMetadata, ToolCallDelta, Usage
from qwen_vl.wire.errors import decode_error
from qwen_vl.wire.json import Json, find_request_id, is_truncated, load_json, may_be_cut
from qwen_vl.wire.tool_calls import ToolCallAssembler

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_STATUS_LINE = b":HTTP_STATUS/"
_FIRST_ERROR = 400
_STATUS_DIGITS = 3
_DONE = b"[DONE]"


class EventDecoder(ABC):
    """Takes the bytes of one stream as they come and gives the deltas in them.

    Args:
        headers: The answer's headers.
        calls: Puts the pieces of tool calls together.
        replaced: Content from tools that was replaced by notes in the request.
    """

    def __init__(
        self,
        headers: Mapping[str, str],
        calls: ToolCallAssembler,
        replaced: tuple[Replacement, ...] = (),
    ) -> None:
        self._replaced = replaced
        # Looked at with every event, which takes time where names are found in any case.
        self._headers = {name.lower(): value for name, value in headers.items()}
        self._request_id = find_request_id({}, self._headers)
        self._rest = b""
        self._data: list[bytes] = []
        self._plain: list[bytes] = []
        self._status: int | None = None
        self._text: list[str] = []
        self._usage: Usage | None = None
        self.calls = calls
        """The tool calls, as far as they have come."""
        self.reported: dict[str, Any] = {}
        """What holds for the whole answer, as far as it was given."""
        self._is_begun = False
        self._is_complete = False
        self._is_done = False

    @abstractmethod
    def decode_event(self, event: Json) -> Delta | None:
        """Read one event."""

    @abstractmethod
    def decode_whole(self, body: bytes) -> Reply:
        """Read a body that is no stream."""

    def ends_stream(self) -> bool:
        """Tell whether the last event was the answer's end by itself, before `[DONE]`."""
        return False

    @abstractmethod
    def tells_error(self, event: Json) -> bool:
        """Tell whether an event is an error."""

    def feed(self, raw: bytes) -> Iterator[Delta]:
        """Give the deltas of the events that these bytes complete.

        What follows the end of the answer is ignored, whatever it is.

        Args:
            raw: The next bytes, cut anywhere.

        Raises:
            ServiceError: An event tells of an error.
            PartialResponseError: An event is damaged.
        """
        if self._is_done:
            return
        *lines, self._rest = (self._rest + raw).split(b"\n")
        for line in lines:
            event = self._take_line(line)
            if event and (delta := self._read(event)):
                yield delta
            if event and self.ends_stream() and (end := self._end()):
                yield end
            if self._is_done:
                return
        if not self._data and _is_done(self._rest) and (end := self._read(_DONE)):
            # Some servers end no line behind it, and leave the connection open.
            yield end

    def finish(self) -> Iterator[Delta]:
        """Give what is left when the connection has ended.

        Raises:
            PartialResponseError: The answer was not complete.
            ServiceError: The body was no stream but told of an error.
        """
        if self._is_done:
            return
        for event in (self._take_line(self._rest), self._take_event()):
            if event and (delta := self._read(event)):
                yield delta
        self._rest = b""
        if not self._is_begun and self._plain:
            # Not a stream: an error in HTTP 200, or a server that does not stream.
            whole = self.decode_whole(b"\n".join(self._plain))
            yield from _whole(replace(whole, **self._unsaid()))
            return
        if not self._is_complete:
            raise self.broken("The connection ended before the answer did")
        if end := self._end():
            yield end

    def finish_calls(self, reason: str | None) -> tuple[ToolCallDelta, ...]:
        """Return what is still missing of the tool calls when the answer says why it ended."""
        return tuple(self.calls.finish(is_cut=may_be_cut(reason, self._headers)))

    def broken(self, problem: str) -> PartialResponseError:
        """Make the error of a stream that breaks off here, with the text that had come."""
        return PartialResponseError(
            f"{problem}, after {sum(map(len, self._text))} characters of text.",
            text="".join(self._text),
            request_id=self._request_id,
        )

    def new_metadata(
        self, finish_reason: str | None = None, **found: Any
    ) -> ResponseMetadata | None:
        """Give what holds for the whole answer and was not told yet: chunks that add up repeat.

        Args:
            finish_reason: Why the answer ended, told once too.
            **found: Facts by their names, empty ones among them.
        """
        new = {name: fact for name, fact in found.items() if fact and name not in self.reported}
        if finish_reason and not self._is_complete:
            self._is_complete = True
            new["finish_reason"] = finish_reason
            if is_truncated(self._headers):
                new["is_truncated"] = True
        new |= self._unsaid()
        if not new:
            return None
        self.reported.update(new)
        return ResponseMetadata(**new)

    def _unsaid(self) -> dict[str, Any]:
        """Give what was replaced in the request, once: with the first event."""
        replaced, self._replaced = self._replaced, ()
        return {"replaced_content": replaced} if replaced else {}

    def track_usage(self, delta: Delta, usage: Usage | None) -> Delta:
        """Take note of what a delta brings, and of the running totals beside it."""
        self._usage = usage or self._usage
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
    def has_text(self) -> bool:
        """Whether text of the answer has come."""
        return bool(self._text)

    @property
    def is_done(self) -> bool:
        """Whether the answer has ended: whatever else the connection brings is none of it."""
        return self._is_done

    def _take_line(self, line: bytes) -> bytes:
        """Take a line, and give the event that it ends, if it ends one."""
        line = line.rstrip(b"\r")
        if not self._is_begun:
            line = line.removeprefix(_BYTE_ORDER_MARK)
        if not line:
            return self._take_event()
        if line.startswith(b"data:"):
            data = line[5:].strip()
            if data == _DONE and not self._data:
                # The empty line that ends the event may never come.
                return data
            # Some servers leave out the empty line before it.
            ended = self._take_event() if data == _DONE else b""
            self._data.append(data)
            return ended
        if line.startswith(_STATUS_LINE):
            status = line.removeprefix(_STATUS_LINE)
            is_status = status.isdigit() and len(status) == _STATUS_DIGITS
            self._status = int(status) if is_status else None
        elif not line.startswith((b":", b"event:", b"id:", b"retry:")):
            self._plain.append(line)
        return b""

    def _take_event(self) -> bytes:
        # Some gateways keep the connection open with events that hold nothing.
        if not self._data:
            return b""
        raw = b"\n".join(self._data)
        self._data.clear()
        return raw

    def _read(self, raw: bytes) -> Delta | None:
        if raw == _DONE:
            if not self._is_begun:
                raise self.broken("The stream ended without an answer")
            return self._end()
        event = load_json(raw)
        if not isinstance(event, dict):
            raise self.broken(f"An event of the stream is not JSON ({raw[:60]!r})")
        if self.tells_error(event):
            raise self._decode_error(raw)
        self._is_begun = True
        return self.decode_event(event)

    def _decode_error(self, raw: bytes) -> ServiceError:
        # The code says more than the status that stands beside it, which may be the stream's own.
        by_code = decode_error(None, raw, self._headers)
        if by_code.status is not None or self._status is None or self._status < _FIRST_ERROR:
            return by_code
        return decode_error(self._status, raw, self._headers)

    def _end(self) -> Delta | None:
        if self._is_done:
            return None
        self._is_done = True
        # Some servers send running totals with every chunk; the last one is the sum.
        metadata = ResponseMetadata(
            usage=self._usage,
            is_truncated=is_truncated(self._headers) and "is_truncated" not in self.reported,
            has_ended=True,
            **self._unsaid(),
        )
        rest = self.calls.finish(is_cut=not self._is_complete, is_last=True)
        return Delta(tool_calls=tuple(rest), metadata=metadata)


def _is_done(line: bytes) -> bool:
    return line.startswith(b"data:") and line[5:].strip() == _DONE


def _whole(reply: Reply) -> Iterator[Delta]:
    yield Delta(
        text=reply.text,
        reasoning=reply.reasoning,
        tool_calls=tuple(
            ToolCallDelta(index=index, id=call.id, name=call.name, arguments=call.arguments)
            for index, call in enumerate(reply.tool_calls)
        ),
        logprobs=reply.logprobs,
        metadata=ResponseMetadata(
            **{fact.name: getattr(reply, fact.name) for fact in fields(ResponseMetadata)}
        ),
    )
