"""What comes back: a whole reply, or the deltas of a stream, and how these add up to a reply."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from qwen_vl.content import Replacement, ToolCall
from qwen_vl.display.html import to_table


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens that a request cost; a number is `None` where the service did not give it.

    Args:
        input_tokens: All of the input.
        output_tokens: All of the output, the reasoning too.
        total_tokens: Both.
        image_tokens: Of the input, images.
        video_tokens: Of the input, videos.
        audio_tokens: Tokens of audio in the input.
        text_tokens: Of the input, text.
        cached_tokens: Of the input, what was read from the context cache.
        cache_creation_tokens: Of the input, what was written to the context cache.
        reasoning_tokens: Of the output, what the model thought before it answered.
        raw: The service's own object.
    """

    input_tokens: int
    output_tokens: int
    total_tokens: int
    image_tokens: int | None = None
    video_tokens: int | None = None
    audio_tokens: int | None = None
    text_tokens: int | None = None
    cached_tokens: int | None = None
    cache_creation_tokens: int | None = None
    reasoning_tokens: int | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def _repr_html_(self) -> str:
        """Return what notebooks show: a table of the counts that are known."""
        counts = {name: getattr(self, name) for name in _COUNTS if getattr(self, name) is not None}
        return to_table(
            [name.replace("_", " ") for name in counts],
            [[f"{count:,}" for count in counts.values()]],
        )


_COUNTS = tuple(field.name for field in fields(Usage) if field.name != "raw")


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallDelta:
    """A piece of a tool call; pieces of one call share their `index`.

    The service sends `id` and `name` once, then empty (OpenAI-Chat page, 2026-10); both are
    `None` here where they were empty.
    """

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseMetadata:
    """What holds for an answer as a whole; the names are those of `Reply`."""

    finish_reason: str | None = None
    usage: Usage | None = None
    model: str | None = None
    id: str | None = None
    request_id: str | None = None
    is_truncated: bool = False
    has_ended: bool = False
    image_hw: tuple[tuple[int, int], ...] | None = None
    ocr_result: Mapping[str, Any] | None = None
    search_info: Mapping[str, Any] | None = None
    replaced_content: tuple[Replacement, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Delta:
    """One event of a stream. Only what the event brought is set.

    Args:
        text: The next piece of the answer.
        reasoning: The next piece of what the model thinks.
        encrypted_content: The next piece of the encrypted reasoning.
        tool_calls: The next pieces of tool calls.
        logprobs: Of the text, as the service gives them.
        metadata: What it reports of the whole answer; `None` for most.
    """

    text: str = ""
    reasoning: str = ""
    encrypted_content: str = field(default="", repr=False)
    tool_calls: tuple[ToolCallDelta, ...] = ()
    logprobs: Mapping[str, Any] | None = None
    metadata: ResponseMetadata | None = None

    @property
    def finish_reason(self) -> str | None:
        """Why the answer ended, if this is its end."""
        return self.metadata.finish_reason if self.metadata else None

    @property
    def usage(self) -> Usage | None:
        """Usage of the answer, if this delta reports it."""
        return self.metadata.usage if self.metadata else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A whole answer.

    Args:
        text: The answer.
        reasoning: What the model thought first, empty where it did not; a summary of it with
            `thinking_display="summarized"`.
        encrypted_content: The whole reasoning, encrypted, where it is summarized. It goes back
            with this answer in later requests, as it is.
        tool_calls: The calls that it asks for.
        finish_reason: `"stop"`, `"length"`, `"tool_calls"`, or what else the service says.
        usage: What it cost.
        model: The model that answered, by its own word.
        id: The completion's id.
        request_id: What the service's support asks for.
        logprobs: As the service gives them.
        is_truncated: Whether the service cut the answer at its time limit
            (`x-dashscope-partialresponse`, Streaming page, 2026-07).
        has_ended: Whether all of the answer has come; `False` while a stream runs.
        image_hw: Height and width of each image, in pixels, as the model processed it; on the
            native protocol with `vl_enable_image_hw_output` (Native-API page, 2026-09).
        ocr_result: What a task of the OCR models found, on the native protocol (OCR page, 2026).
        search_info: Sources of an answer with `enable_search`, as the service gives them: on the
            native protocol with `search_options={"enable_source": True}` (Web-search page, 2026).
        replaced_content: Content from tools that could not be sent, so that the model got notes.
    """

    text: str = ""
    reasoning: str = ""
    encrypted_content: str = field(default="", repr=False)
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None
    usage: Usage | None = None
    model: str | None = None
    id: str | None = None
    request_id: str | None = None
    logprobs: Mapping[str, Any] | None = None
    is_truncated: bool = False
    has_ended: bool = True
    image_hw: tuple[tuple[int, int], ...] | None = None
    ocr_result: Mapping[str, Any] | None = None
    search_info: Mapping[str, Any] | None = None
    replaced_content: tuple[Replacement, ...] = ()


# `length` is the service's, the others are those of self-hosted servers and gateways.
_LENGTH_REASONS = frozenset({"length", "max_tokens", "max_output_tokens", "model_length"})
_CUT_REASONS = _LENGTH_REASONS | {
    *("content_filter", "sensitive", "safety", "recitation", "abort", "cancelled", "error"),
    *("insufficient_system_resource", "network_error", "timeout", "incomplete"),
}
_WHOLE_REASONS = frozenset(
    {"stop", "tool_calls", "function_call", "tool_use", "eos", "eos_token", "end_turn"}
    | {"stop_sequence", "complete", "completed"}
)


def is_cut(finish_reason: str | None) -> bool:
    """Return whether an answer stopped before its end.

    Args:
        finish_reason: As the server has it.

    Example:
        >>> is_cut("length"), is_cut("stop"), is_cut(None)
        (True, False, False)
    """
    return finish_reason is not None and finish_reason.lower() in _CUT_REASONS


def is_length(finish_reason: str | None) -> bool:
    """Return whether an answer stopped at a limit of tokens.

    Args:
        finish_reason: As the server has it.

    Example:
        >>> is_length("length"), is_length("content_filter")
        (True, False)
    """
    return finish_reason is not None and finish_reason.lower() in _LENGTH_REASONS


def is_whole(finish_reason: str | None) -> bool:
    """Return whether an answer says that it came to its end by itself.

    Args:
        finish_reason: As the server has it.

    Example:
        >>> is_whole("stop"), is_whole("length"), is_whole("something else"), is_whole(None)
        (True, False, False, False)
    """
    return finish_reason is not None and finish_reason.lower() in _WHOLE_REASONS


def describe_cut(finish_reason: str | None, *, is_truncated: bool = False) -> str | None:
    """Return why an answer stopped before its end and what to do; `None` for a whole one.

    Args:
        finish_reason: As the server has it.
        is_truncated: Whether the service cut it at its time limit.

    Example:
        >>> describe_cut("length")
        'The answer was cut off (finish_reason="length"). Raise max_tokens, or ask for less.'
    """
    if is_truncated:
        return (
            "The service cut the answer off at its time limit "
            "(x-dashscope-partialresponse). Stream it, or ask for less."
        )
    if not is_cut(finish_reason):
        return None
    limit = "Raise max_tokens, or ask for less." if is_length(finish_reason) else ""
    return f'The answer was cut off (finish_reason="{finish_reason}"). {limit}'.rstrip()


_METADATA = tuple(field.name for field in fields(ResponseMetadata))


def to_dicts(replaced: Sequence[Replacement]) -> list[dict[str, str]]:
    """Return replaced content as the dicts that the frameworks' answers list.

    Args:
        replaced: Of a reply.

    Example:
        >>> to_dicts([Replacement(where="messages[2].content[0]", reason="It is damaged.")])
        [{'where': 'messages[2].content[0]', 'reason': 'It is damaged.'}]
    """
    return [asdict(replacement) for replacement in replaced]


class ReplyBuilder:
    """Adds the deltas of a stream up to a reply.

    Example:
        >>> builder = ReplyBuilder()
        >>> metadata = ResponseMetadata(model="qwen")
        >>> for delta in (Delta(text="A "), Delta(text="cat."), Delta(metadata=metadata)):
        ...     builder.add(delta)
        >>> builder.reply().text, builder.reply().model
        ('A cat.', 'qwen')
    """

    def __init__(self) -> None:
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._encrypted: list[str] = []
        self._calls: dict[int, list[ToolCallDelta]] = {}
        self._logprobs: list[Any] = []
        self._spec: dict[str, Any] = {}
        self._sources: list[Any] = []

    def add(self, delta: Delta) -> None:
        """Take in the next event."""
        if delta.text:
            self._text.append(delta.text)
        if delta.reasoning:
            self._reasoning.append(delta.reasoning)
        if delta.encrypted_content:
            self._encrypted.append(delta.encrypted_content)
        for call in delta.tool_calls:
            self._calls.setdefault(call.index, []).append(call)
        if delta.logprobs:
            self._logprobs += delta.logprobs.get("content") or ()
        if delta.metadata:
            for name in _METADATA:
                if value := getattr(delta.metadata, name):
                    self._spec[name] = value
            if delta.metadata.search_info:
                self._sources += delta.metadata.search_info.get("search_results") or ()
                self._spec["search_info"] = {
                    **delta.metadata.search_info,
                    "search_results": list(self._sources),
                }

    @property
    def text(self) -> str:
        """The answer so far."""
        # What is joined once stays joined: it may be wanted after every event.
        self._text = ["".join(self._text)]
        return self._text[0]

    @property
    def reasoning(self) -> str:
        """What the model thought so far."""
        self._reasoning = ["".join(self._reasoning)]
        return self._reasoning[0]

    @property
    def encrypted_content(self) -> str:
        """The encrypted reasoning so far."""
        self._encrypted = ["".join(self._encrypted)]
        return self._encrypted[0]

    @property
    def has_calls(self) -> bool:
        """Whether a piece of a tool call has come."""
        return bool(self._calls)

    def reply(self) -> Reply:
        """Return the reply that the events so far make."""
        self._calls = {index: [_join_pieces(held)] for index, held in self._calls.items()}
        return Reply(
            **{"has_ended": False, **self._spec},
            text=self.text,
            reasoning=self.reasoning,
            encrypted_content=self.encrypted_content,
            tool_calls=tuple(_to_call(self._calls[index][0]) for index in sorted(self._calls)),
            logprobs={"content": list(self._logprobs)} if self._logprobs else None,
        )


def _join_pieces(pieces: list[ToolCallDelta]) -> ToolCallDelta:
    if len(pieces) == 1:
        return pieces[0]
    return ToolCallDelta(
        index=pieces[0].index,
        id=next((piece.id for piece in pieces if piece.id), None),
        name="".join(piece.name for piece in pieces if piece.name) or None,
        arguments="".join(piece.arguments for piece in pieces),
    )


def _to_call(call: ToolCallDelta) -> ToolCall:
    return ToolCall(id=call.id or "", name=call.name or "", arguments=call.arguments)


def omit_none(**values: Any) -> dict[str, Any]:
    """Return the values that are not `None`, by their names.

    Example:
        >>> omit_none(fps=2, max_pixels=None)
        {'fps': 2}
    """
    return {name: value for name, value in values.items() if value is not None}
