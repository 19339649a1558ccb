"""Tool calls in answers: whole ones, and those that a stream brings in pieces.

By the protocol, a call's first piece has its `index`, `id` and `name`, and the others the same
`index` and more of its `arguments` (OpenAI-Chat page, 2026-10). Servers and gateways send many
other forms, each of which is listed in `tests/tool_call_forms.py` with its source.
"""

import re
from collections.abc import Iterator
from secrets import token_hex

from qwen_vl.content import ToolCall
from qwen_vl.reply import ToolCallDelta
from qwen_vl.wire.json import Json, as_count, as_object, as_text, load_json

_MARK = re.compile(r'[\[\]{}"\\]')
# What some servers send before the arguments that follow.
_PLACEHOLDERS = frozenset({"{}", "null"})

_CUT = " "


def decode_tool_calls(message: Json, *, is_cut: bool) -> tuple[ToolCall, ...]:
    """Read the whole tool calls of a message.

    A call without an id gets one, and so does a call whose id another one has: results are matched
    to calls by their ids.

    Args:
        message: The answer's message.
        is_cut: Whether the answer stopped before its end.
    """
    assembler = ToolCallAssembler()
    for call in find_tool_calls(message):
        assembler.add_whole(call)
    return assembler.calls(is_cut=is_cut)


def find_tool_calls(message: Json) -> list[object]:
    """Find the tool calls of a message or a delta, or the pieces of them."""
    calls = message.get("tool_calls")
    if isinstance(calls, dict):
        is_call = not calls.keys().isdisjoint({"function", "name", "arguments", "id"})
        calls = [calls] if is_call else list(calls.values())
    if isinstance(calls, list) and calls:
        return _with_indexes([call for call in calls if call is not None])
    # The form that OpenAI's API had before, of one call without an id.
    old = as_object(message.get("function_call"))
    return [{"index": 0, "function": old}] if old else []


class ToolCallAssembler:
    """Finds out which call each piece belongs to, whatever the server does with indexes and ids.

    Args:
        is_cumulative: Whether each piece repeats all that came before it.

    Example:
        >>> assembler = ToolCallAssembler()
        >>> head = {"index": 1, "id": "c1", "function": {"name": "find", "arguments": ""}}
        >>> tail = {"index": 0, "id": "", "function": {"name": "", "arguments": "{}"}}
        >>> [assembler.add(piece).index for piece in (head, tail)]
        [0, 0]
    """

    def __init__(self, *, is_cumulative: bool = False) -> None:
        self._is_cumulative = is_cumulative
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._by_id: dict[str, _Call] = {}
        # Where pieces without id and name count otherwise than the first pieces do.
        self._by_tail_index: dict[int, _Call] | None = None

    def __bool__(self) -> bool:
        return bool(self._calls)

    def add(self, held: object) -> ToolCallDelta:
        """Read one piece.

        Args:
            held: One entry of `tool_calls`.

        Returns:
            What is new of the call: its id and name come once, and `index` counts calls.
        """
        piece = _Piece.read(held)
        call = self._find(piece) or self._open(piece)
        return self._take(call, piece)

    def add_whole(self, held: object) -> None:
        """Read a call that is whole."""
        piece = _Piece.read(held)
        self._take(self._open(piece), piece)

    def finish(self, *, is_cut: bool, is_last: bool = False) -> Iterator[ToolCallDelta]:
        """Return what is still missing of the calls when the answer has ended: ids, mostly.

        A call that was cut before its arguments gets a space for them. No reader takes that for
        the JSON of an object, while nothing at all stands for a call without arguments.

        Args:
            is_cut: Whether the answer stopped before its end.
            is_last: Whether nothing more can come: some servers give a reason with every piece.
        """
        for call in self._calls:
            if (rest := call.finish(is_cut=is_cut, is_last=is_last)) is not None:
                yield rest

    def calls(self, *, is_cut: bool) -> tuple[ToolCall, ...]:
        """Return all calls; see `finish`."""
        for _ in self.finish(is_cut=is_cut, is_last=True):
            pass
        return tuple(
            ToolCall(id=call.id or "", name=call.name, arguments=call.arguments)
            for call in self._calls
        )

    def _open(self, piece: "_Piece") -> "_Call":
        call = _Call(len(self._calls), piece.index)
        self._calls.append(call)
        if piece.index is not None:
            self._by_index[piece.index] = call
        if piece.id in self._by_id:
            call.replace_id()
        return call

    def _take(self, call: "_Call", piece: "_Piece") -> ToolCallDelta:
        if piece.id is not None:
            self._by_id[piece.id] = call
        return call.take(piece, is_cumulative=self._is_cumulative)

    def _find(self, piece: "_Piece") -> "_Call | None":
        """Find the call of a piece; `None` where it begins one."""
        if not self._calls:
            return None
        if self._is_cumulative:
            return self._find_cumulative(piece)
        if piece.id is None and not piece.name:
            return self._find_bare(piece)
        if piece.id in self._by_id:
            same_id = self._by_id[piece.id]
            return None if same_id.is_followed_by(piece) else same_id
        last = self._calls[-1]
        known = last if piece.index is None else self._by_index.get(piece.index)
        if known is None:
            # A new index begins a call, unless the last one still wants what this brings.
            return last if last.lacks(piece) else None
        if piece.id is not None and known.sent_id is not None:
            return known if known.goes_on_with_another_id(piece) else None
        return known if known.goes_on_without_id(piece) else None

    def _find_cumulative(self, piece: "_Piece") -> "_Call | None":
        if piece.index is not None:
            return self._by_index.get(piece.index)
        return self._calls[-1] if piece.id is None else self._by_id.get(piece.id)

    def _find_bare(self, piece: "_Piece") -> "_Call":
        last = self._calls[-1]
        if piece.index is None:
            return last
        if self._by_tail_index is None:
            known = self._by_index.get(piece.index)
            if known is not None and not self._belongs_elsewhere(piece, known):
                return known
            self._by_tail_index = {}
        if piece.index not in self._by_tail_index:
            taken = list(self._by_tail_index.values())
            waiting = (call for call in self._calls if not call.is_closed and call not in taken)
            self._by_tail_index[piece.index] = next(waiting, last)
        return self._by_tail_index[piece.index]

    def _belongs_elsewhere(self, piece: "_Piece", known: "_Call") -> bool:
        """Return whether a piece belongs to another call than the one that began with its index."""
        if not known.is_closed or not piece.arguments.strip() or known.repeats(piece):
            return False
        return any(not call.is_closed for call in self._calls)


class _Piece:
    """One entry of `tool_calls`, read: each field is empty where the server sent nothing."""

    def __init__(self, index: int | None, call_id: str | None, name: str, arguments: str) -> None:
        self.index = index
        self.id = call_id
        self.name = name
        self.arguments = arguments

    @classmethod
    def read(cls, held: object) -> "_Piece":
        if not isinstance(held, dict):
            return cls(None, None, "", as_text(held) or "")
        # Some servers leave the inner object out.
        function = as_object(held.get("function")) or held
        arguments = function.get("arguments")
        return cls(
            index=_read_index(held.get("index")),
            call_id=as_text(held.get("id")),
            name=as_text(function.get("name")) or "",
            arguments="{}" if arguments == {} else as_text(arguments) or "",
        )

    @property
    def begins_object(self) -> bool:
        return self.arguments.lstrip().startswith("{")

    @property
    def is_placeholder(self) -> bool:
        return self.arguments.strip() in _PLACEHOLDERS


class _Call:
    """A call as far as it has come."""

    def __init__(self, at: int, index: int | None) -> None:
        self._at = at
        self._index = index
        self.id: str | None = None
        self.sent_id: str | None = None
        """The id that the server uses, which another call may have too."""
        self.name = ""
        self._arguments: list[str] = []
        self._length = 0
        self._placeholder = ""
        self._brackets = _Brackets()

    @property
    def arguments(self) -> str:
        self._arguments = ["".join(self._arguments)]
        return self._arguments[0]

    @property
    def is_closed(self) -> bool:
        """Whether the arguments that have come are a whole object."""
        return self._brackets.are_closed

    def replace_id(self) -> None:
        """Assign a new id to this call: another one has the id that the server sends."""
        self.id = _make_id()

    def take(self, piece: _Piece, *, is_cumulative: bool) -> ToolCallDelta:
        """Add a piece, and return what is new in it."""
        new_id = self._take_id(piece)
        name = self._take_name(piece)
        if is_cumulative:
            arguments = piece.arguments[self._length :]
        else:
            arguments = self._take_arguments(piece.arguments)
        self._append(arguments)
        return ToolCallDelta(index=self._at, id=new_id, name=name or None, arguments=arguments)

    def finish(self, *, is_cut: bool, is_last: bool) -> ToolCallDelta | None:
        """Return what was held back, and an id where the server sent none."""
        new_id = None
        if self.id is None:
            self.id = new_id = _make_id()
        arguments = ""
        if is_cut and not self._length:
            # What stands before the arguments says nothing of them.
            arguments, self._placeholder = _CUT, ""
        elif is_last:
            arguments, self._placeholder = self._placeholder, ""
        self._append(arguments)
        if new_id is None and not arguments:
            return None
        return ToolCallDelta(index=self._at, id=new_id, arguments=arguments)

    def is_followed_by(self, piece: _Piece) -> bool:
        """Return whether a piece with this call's id is another call that was given the same id."""
        if piece.name and self.name and not piece.name.startswith(self.name):
            is_elsewhere = piece.index is not None and piece.index != self._index
            return self.is_closed or bool(self._placeholder) or is_elsewhere
        return self.is_closed and piece.begins_object and not self._is_repeated(piece.arguments)

    def repeats(self, piece: _Piece) -> bool:
        """Return whether a piece is all of this call's arguments once more."""
        return self._is_repeated(piece.arguments)

    def lacks(self, piece: _Piece) -> bool:
        """Return whether a piece brings the id or the name that this call is still without."""
        if piece.id is None:
            return not self.name and not self._length
        return self.sent_id is None and not piece.name and not self._length

    def goes_on_with_another_id(self, piece: _Piece) -> bool:
        """Return whether a piece goes on with this call although it has another id.

        Some servers make a new id for every piece.
        """
        if piece.name and (piece.name != self.name or piece.is_placeholder):
            return False
        return bool(piece.arguments) and not self.is_closed

    def goes_on_without_id(self, piece: _Piece) -> bool:
        """Return whether a piece that need not have this call's id goes on with it."""
        if not piece.name:
            # An id in a separate piece, before or after the name.
            return not self.is_closed
        if not self.name:
            return True
        if piece.name == self.name:
            if piece.is_placeholder and self._placeholder:
                return False
            is_repeated = piece.index is not None and self._is_repeated(piece.arguments)
            return not piece.arguments or not self.is_closed or is_repeated
        if piece.begins_object and not self._length:
            return False
        # A name in pieces; without an index to tie it to this call, it is another one's.
        return piece.index is not None and not self.is_closed and not self._placeholder

    def _take_id(self, piece: _Piece) -> str | None:
        if self.sent_id is not None or piece.id is None:
            return None
        self.sent_id = piece.id
        self.id = self.id or piece.id
        return self.id

    def _take_name(self, piece: _Piece) -> str:
        if piece.name == self.name:
            return ""
        # Some servers repeat what came before.
        new = piece.name.removeprefix(self.name)
        self.name += new
        return new

    def _take_arguments(self, piece: str) -> str:
        if not self._length and piece.strip() in _PLACEHOLDERS:
            self._placeholder = piece
            return ""
        if self._placeholder and piece.strip():
            held, self._placeholder = self._placeholder, ""
            return piece if piece.lstrip().startswith("{") else held + piece
        # Sent once more when it is whole.
        return "" if self.is_closed and self._is_repeated(piece) else piece

    def _is_repeated(self, piece: str) -> bool:
        """Return whether a piece is all of the arguments once more, maybe spaced otherwise."""
        if not piece.lstrip().startswith("{"):
            return False
        if piece == self.arguments:
            return True
        repeated = load_json(piece.encode("utf-8", "surrogatepass"))
        return repeated is not None and repeated == load_json(
            self.arguments.encode("utf-8", "surrogatepass")
        )

    def _append(self, arguments: str) -> None:
        if arguments:
            self._arguments.append(arguments)
            self._length += len(arguments)
            self._brackets.add(arguments)


class _Brackets:
    """Reports whether text that grows is a closed object, and reads each character once."""

    def __init__(self) -> None:
        self._unread: list[str] = []
        self._depth = 0
        self._is_text = False
        self._is_escaped = False
        self._has_closed = False

    def add(self, piece: str) -> None:
        """Take the next piece; most are never read, since nothing depends on them."""
        self._unread.append(piece)

    @property
    def are_closed(self) -> bool:
        """Whether the first bracket has been closed, and no other is open."""
        for piece in self._unread:
            self._read(piece)
        self._unread.clear()
        return self._has_closed and self._depth == 0

    def _read(self, text: str) -> None:
        escaped_at = 0 if self._is_escaped else -1
        for mark in _MARK.finditer(text):
            sign, at = mark[0], mark.start()
            if at == escaped_at:
                continue
            if sign == "\\":
                escaped_at = at + 1 if self._is_text else -1
            elif sign == '"':
                self._is_text = not self._is_text
            elif not self._is_text:
                self._depth += 1 if sign in "[{" else -1
                self._has_closed = self._depth == 0
        self._is_escaped = escaped_at == len(text)


def _with_indexes(calls: list[object]) -> list[object]:
    """Use the positions of several entries as their indexes, if the server sends none."""
    is_single = len(calls) == 1
    if is_single or any(_read_index(as_object(call).get("index")) is not None for call in calls):
        return calls
    return [
        {**call, "index": position} if isinstance(call, dict) else call
        for position, call in enumerate(calls)
    ]


def _read_index(value: object) -> int | None:
    if isinstance(value, str):
        value = as_count(value.strip())
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _make_id() -> str:
    return f"call_{token_hex(12)}"
