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
from qwen_vl.reply import Delta, Facts, Reply, ToolCallDelta, Usage
from qwen_vl.wire.errors import decode_error
from qwen_vl.wire.fields import Json, as_object, find_request_id, is_truncated, load_json

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_STATUS_LINE = b":HTTP_STATUS/"
_FIRST_ERROR = 400


class EventDecoder(ABC):
    """Takes the bytes of one stream as they come and gives the deltas in them.

    Args:
        headers: The answer's headers.
        replaced: Content from tools that was replaced by notes in the request.
    """

    def __init__(self, headers: Mapping[str, str], replaced: tuple[Replacement, ...] = ()) -> None:
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
        self.told: dict[str, Any] = {}
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

    @abstractmethod
    def tells_error(self, event: Json) -> bool:
        """Tell whether an event is an error."""

    def feed(self, raw: bytes) -> Iterator[Delta]:
        """Give the deltas of the events that these bytes complete.

        Args:
            raw: The next bytes, cut anywhere.

        Raises:
            ServiceError: An event tells of an error.
            PartialResponseError: An event is damaged.
        """
        *lines, self._rest = (self._rest + raw).split(b"\n")
        for line in lines:
            event = self._take_line(line)
            if event and (delta := self._read(event)):
                yield delta

    def finish(self) -> Iterator[Delta]:
        """Give what is left when the connection has ended.

        Raises:
            PartialResponseError: The answer was not complete.
            ServiceError: The body was no stream but told of an error.
        """
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

    def broken(self, problem: str) -> PartialResponseError:
        """Make the error of a stream that breaks off here, with the text that had come."""
        return PartialResponseError(
            f"{problem}, after {sum(map(len, self._text))} characters of text.",
            text="".join(self._text),
            request_id=self._request_id,
        )

    def new_facts(self, finish_reason: str | None = None, **found: Any) -> Facts | None:
        """Give what holds for the whole answer and was not told yet: chunks that add up repeat.

        Args:
            finish_reason: Why the answer ended, told once too.
            **found: Facts by their names, empty ones among them.
        """
        new = {name: fact for name, fact in found.items() if fact and name not in self.told}
        if finish_reason and not self._is_complete:
            self._is_complete = True
            new["finish_reason"] = finish_reason
        new |= self._unsaid()
        if not new:
            return None
        self.told.update(new)
        return Facts(**new)

    def _unsaid(self) -> dict[str, Any]:
        """Give what was replaced in the request, once: with the first event."""
        replaced, self._replaced = self._replaced, ()
        return {"replaced_content": replaced} if replaced else {}

    def settle(self, delta: Delta, usage: Usage | None) -> Delta:
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

    def _take_line(self, line: bytes) -> bytes:
        """Take a line, and give the event that it ends, if it ends one."""
        line = line.rstrip(b"\r")
        if not self._is_begun:
            line = line.removeprefix(_BYTE_ORDER_MARK)
        if not line:
            return self._take_event()
        if line.startswith(b"data:"):
            self._data.append(line[5:].strip())
        elif line.startswith(_STATUS_LINE):
            status = line.removeprefix(_STATUS_LINE)
            self._status = int(status) if status.isdigit() else None
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
        if raw == b"[DONE]":
            self._is_complete = True
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
        is_cut = is_truncated(self._headers)
        return Delta(facts=Facts(usage=self._usage, is_truncated=is_cut, **self._unsaid()))


class ToolCallIndex:
    """Gives every call an index of its own, whatever the server does with its indexes and ids."""

    def __init__(self) -> None:
        self._by_wire: dict[int, int] = {}
        self._ids: list[str | None] = []

    def place(self, call: Json) -> ToolCallDelta:
        """Read a piece of a call."""
        function = as_object(call.get("function"))
        call_id = call.get("id") or None
        name = function.get("name") or None
        given = call.get("index")
        wire = given if isinstance(given, int) else self._guess(call_id, name)
        known = self._by_wire.get(wire)
        if known is None or (call_id and self._ids[known] not in {None, call_id}):
            known = len(self._ids)
            self._by_wire[wire] = known
            self._ids.append(call_id)
        elif call_id and self._ids[known] == call_id:
            # Repeated by some gateways; merging frameworks would write it twice.
            call_id = name = None
        elif call_id:
            self._ids[known] = call_id
        return ToolCallDelta(
            index=known, id=call_id, name=name, arguments=function.get("arguments") or ""
        )

    def _guess(self, call_id: str | None, name: str | None) -> int:
        starts_new = bool(call_id or name) or not self._by_wire
        return len(self._ids) if starts_new else max(self._by_wire)


def _whole(reply: Reply) -> Iterator[Delta]:
    yield Delta(
        text=reply.text,
        reasoning=reply.reasoning,
        tool_calls=tuple(
            ToolCallDelta(index=index, id=call.id, name=call.name, arguments=call.arguments)
            for index, call in enumerate(reply.tool_calls)
        ),
        logprobs=reply.logprobs,
        facts=Facts(**{fact.name: getattr(reply, fact.name) for fact in fields(Facts)}),
    )
