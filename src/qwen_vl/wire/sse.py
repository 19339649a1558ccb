"""Server-sent events: from the bytes of a stream to the data of its events.

Reads what the standard describes (WHATWG HTML, section 9.2.6), and streams of servers that do not
follow it. Names and ids of events are ignored: the service says everything in their data.
"""

from collections.abc import Iterator

from qwen_vl.errors import ResponseTooLargeError

MAX_EVENT_BYTES = 64 * 2**20
"""Default limit on the bytes of one event."""

DONE = b"[DONE]"
"""Data of the event that ends a stream of the OpenAI-compatible protocol."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_IGNORED_FIELDS = (b":", b"event:", b"id:", b"retry:")
_STATUS_COMMENT = b":HTTP_STATUS/"
_STATUS_DIGITS = 3
_ONLY_DONE = [DONE]
_MAX_DONE_LINE = 32


class EventParser:
    r"""Parses the bytes of one stream as they come, in time that grows as their number does.

    An event ends at an empty line. Some servers leave that line out, so that an event also ends:

    - before `[DONE]`, and behind it, where even the line may lack its end;
    - between two lines of data of which one ends with `}` and the next one begins with `{`, since
      no JSON document holds these on both sides of a line end.

    Args:
        max_event_bytes: Limit on the bytes of one event.

    Example:
        >>> parser = EventParser()
        >>> list(parser.feed(b'\xef\xbb\xbf: ping\r\ndata: {"a":'))
        []
        >>> list(parser.feed(b' 1}\r\n\r\ndata: [DONE]'))
        [b'{"a": 1}', b'[DONE]']
    """

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_event_bytes = max_event_bytes
        # The unfinished line: joining it again at each piece would take quadratic time.
        self._line = bytearray()
        self._is_after_return = False
        self._data: list[bytes] = []
        self._other: list[bytes] = []
        self._n_held_bytes = 0
        self.status: int | None = None
        """HTTP status that the service writes into the stream, in a comment beside an error."""

    def feed(self, raw: bytes) -> Iterator[bytes]:
        """Parse the next bytes.

        Args:
            raw: Bytes, cut anywhere.

        Yields:
            The data of each event that they complete; events without data are left out.

        Raises:
            ResponseTooLargeError: An event has more bytes than the limit.
        """
        if self._is_after_return and raw:
            raw = raw.removeprefix(b"\n")
            # The second of two line feeds ends another line.
            self._is_after_return = False
        lines = raw.splitlines()
        if not lines:
            return
        self._is_after_return = raw.endswith(b"\r")
        rest = b"" if raw.endswith((b"\n", b"\r")) else lines.pop()
        if lines and self._line:
            lines[0] = bytes(self._line + lines[0])
            self._line.clear()
        for line in lines:
            if event := self._take_line(line):
                yield event
                if self._data == _ONLY_DONE:
                    yield self._take_event()
        if not rest:
            return
        self._line += rest
        self._check_size(len(self._line))
        if len(self._line) <= _MAX_DONE_LINE and self._line_is_done():
            # Some servers leave the connection open behind it.
            if event := self._take_event():
                yield event
            self._line.clear()
            yield DONE

    def finish(self) -> Iterator[bytes]:
        """Parse what is left after the connection has ended.

        Yields:
            The data of the last events, which may be incomplete.
        """
        line = bytes(self._line)
        self._line.clear()
        for event in (self._take_line(line), self._take_event()):
            if event:
                yield event

    @property
    def other(self) -> bytes:
        """All lines outside of events: the body, if it is not a stream."""
        return b"\n".join(self._other)

    def _take_line(self, line: bytes) -> bytes:
        """Process a line, and return the data of the event that it ends, if any."""
        if line.startswith(b"data:"):
            return self._take_data(line[5:].strip())
        if line.startswith(_BYTE_ORDER_MARK):
            line = line.removeprefix(_BYTE_ORDER_MARK)
            if line.startswith(b"data:"):
                return self._take_data(line[5:].strip())
        if not line:
            return self._take_event()
        if line.startswith(_STATUS_COMMENT):
            status = line.removeprefix(_STATUS_COMMENT)
            is_status = status.isdigit() and len(status) == _STATUS_DIGITS
            self.status = int(status) if is_status else None
        elif not line.startswith(_IGNORED_FIELDS):
            self._hold(self._other, line)
        return b""

    def _take_data(self, data: bytes) -> bytes:
        event = b""
        if data == DONE:
            event = self._take_event()
            if not event:
                return data
        elif self._data and data.startswith(b"{") and self._data[-1].endswith(b"}"):
            event = self._take_event()
        self._hold(self._data, data)
        return event

    def _take_event(self) -> bytes:
        event = b"\n".join(self._data)
        self._data.clear()
        if event:
            # Lines beside events are not the body.
            self._other.clear()
            self._n_held_bytes = 0
        return event

    def _hold(self, lines: list[bytes], line: bytes) -> None:
        lines.append(line)
        self._n_held_bytes += len(line)
        self._check_size(0)

    def _check_size(self, n_more_bytes: int) -> None:
        if self._n_held_bytes + n_more_bytes > self._max_event_bytes:
            raise ResponseTooLargeError("An event of the stream", limit=self._max_event_bytes)

    def _line_is_done(self) -> bool:
        return self._line.startswith(b"data:") and self._line[5:].strip() == DONE
