"""From turns to messages: what every protocol and every server has in common.

A `PartEncoder` writes the parts; where each may stand, and in which order, is decided here.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias, assert_never

import orjson

from qwen_vl.content import (
    Audio,
    DataUrl,
    Document,
    File,
    Frames,
    Image,
    Media,
    Part,
    Reasoning,
    Source,
    Text,
    ToolCall,
    ToolPart,
    ToolResult,
    Turn,
    Unsupported,
    Url,
    Video,
)
from qwen_vl.errors import ConfigurationError, QwenVLError, UnsupportedContentError
from qwen_vl.reply import omit_none
from qwen_vl.request.types import Request
from qwen_vl.specs.servers import DEFAULT_SERVER
from qwen_vl.wire.body import Attachment, Body

Json: TypeAlias = dict[str, Any]


class PartEncoder(ABC):
    """How one protocol writes the parts of a message."""

    reasoning = "reasoning_content"
    """Name of earlier reasoning in an assistant's message."""

    @abstractmethod
    def text(self, text: Text) -> Json:
        """Write words."""

    @abstractmethod
    def image(self, image: Image) -> Json:
        """Write an image."""

    @abstractmethod
    def video(self, video: Video) -> list[Json]:
        """Write a video: one part, or several images."""

    @abstractmethod
    def audio(self, audio: Audio) -> Json:
        """Encode audio."""

    @abstractmethod
    def user_content(self, parts: list[Json]) -> str | list[Json]:
        """Write the content of a system's or a user's message."""

    @abstractmethod
    def assistant_content(self, texts: list[Json]) -> str | list[Json]:
        """Write the content of an assistant's message."""


def encode_turns(request: Request, encoder: PartEncoder) -> list[Json]:
    """Write the messages.

    The media of tool results follows the whole run of tool messages in one user message, since a
    tool message takes only text and the results of parallel calls must stand together.

    Args:
        request: What to ask.
        encoder: How the parts are written.

    Raises:
        UnsupportedContentError: The turn's role does not support a part.
    """
    messages: list[Json] = []
    tool_media: list[Json] = []
    first_reasoned = find_first_reasoned(request)
    with_encrypted = sends_encrypted(request)
    for index, turn in enumerate(request.turns):
        if tool_media and turn.role != "tool":
            messages.append({"role": "user", "content": tool_media})
            tool_media = []
        match turn.role:
            case "system" | "user":
                messages.append(_encode_spoken(turn, encoder))
            case "assistant":
                with_reasoning = index >= first_reasoned
                message = _encode_assistant(turn, encoder, with_reasoning=with_reasoning)
                # Each one goes back, also of turns whose reasoning is not read again.
                messages.append({**message, **(_encode_encrypted(turn) if with_encrypted else {})})
            case "tool":
                for result in turn.parts:
                    message, media = _encode_tool_result(result, encoder)
                    messages.append(message)
                    tool_media += media
            case _:
                assert_never(turn.role)
    if tool_media:
        messages.append({"role": "user", "content": tool_media})
    return messages


def find_first_reasoned(request: Request) -> int:
    """Find from which turn on reasoning is sent back: all of it, or that since the last question.

    Args:
        request: What to ask.
    """
    asked = request.parameters.get("preserve_thinking")
    if request.spec.preserves_thinking if asked is None else asked:
        return 0
    # Within the tool loop of the last question every thinking model reads its reasoning again
    # (Function calling page, 2026-07).
    questions = (index for index, turn in enumerate(request.turns) if turn.role == "user")
    return max(questions, default=-1) + 1


def sends_encrypted(request: Request) -> bool:
    """Return whether encrypted reasoning of earlier answers is sent back.

    Other models and self-hosted servers cannot read it. A gateway gets it if the caller has said
    that it passes `thinking_display` on: by `extra_body`.

    Args:
        request: What to ask.
    """
    if request.server == DEFAULT_SERVER:
        return request.spec.encrypts_reasoning or "thinking_display" in request.parameters
    return "thinking_display" in request.extra_body


def write_body(request: Request, body: Json) -> Body:
    """Write a body as JSON.

    Args:
        request: Where it comes from, for errors.
        body: What to write.

    Raises:
        UnsupportedContentError: A text is not valid Unicode.
        ConfigurationError: A parameter is nothing that JSON has.
    """
    try:
        return Body.write(body)
    except orjson.JSONEncodeError as error:
        raise _unwritable(request, error) from error


def encode_arguments(arguments: str) -> str:
    r"""Encode the arguments of a past tool call, so that every server can read them.

    Servers parse what a model wrote, for their chat templates want a mapping. Arguments that are
    not a JSON object (cut off at `max_tokens`, say) would be an error at every later turn of the
    conversation with SGLang, llama.cpp, Ollama and vLLM before 0.26; later versions of vLLM
    replace them with `{}`, and the model no longer sees what it wrote.

    Args:
        arguments: The text that the model wrote, valid or not.

    Returns:
        The same text if it is a JSON object, `{}` if it is empty, or else an object that holds it
        as `_invalid_arguments`.

    Example:
        >>> encode_arguments('{"city": "Paris"}')
        '{"city": "Paris"}'
        >>> encode_arguments('{"city": "Par')
        '{"_invalid_arguments":"{\\"city\\": \\"Par"}'
    """
    if not arguments.strip():
        return "{}"
    try:
        # No server is stricter: NaN, half of a surrogate pair, numbers beyond a double and
        # thousands of nested lists are refused by some of them, and here.
        is_object = isinstance(orjson.loads(arguments), dict)
    except orjson.JSONDecodeError:
        is_object = False
    if is_object:
        return arguments
    text = arguments.encode("utf-8", "backslashreplace").decode()
    return orjson.dumps({"_invalid_arguments": text}).decode()


def to_wire_url(source: Source) -> str | Attachment:
    """Return what stands in a body for the URL of media that was made ready."""
    match source:
        case Url():
            return source.url
        case DataUrl():
            return Attachment(source)
    raise TypeError(f"Media was not made ready: {type(source).__name__}")


def uses_oss(turns: Iterable[Turn]) -> bool:
    """Return whether any media lies in the service's temporary storage.

    Its URLs need the header `X-DashScope-OssResourceResolve: enable` (Temp-URL page).

    Args:
        turns: The conversation.
    """
    return any(_is_oss(part) for turn in turns for part in turn.parts)


def name_kind(part: Part | ToolPart) -> str:
    """Name the kind of a part, for errors."""
    names: Mapping[type[Any], str] = {
        Text: "text",
        Image: "image",
        Video: "video",
        Audio: "audio",
        Document: "document",
        Reasoning: "reasoning",
        ToolCall: "tool call",
        ToolResult: "tool result",
        File: "file",
        Unsupported: "content",
    }
    return names[type(part)]


def _encode_spoken(turn: Turn, encoder: PartEncoder) -> Json:
    parts = [
        part for user_content in turn.parts for part in _encode_part(user_content, turn, encoder)
    ]
    return {"role": turn.role, **omit_none(name=turn.name), "content": encoder.user_content(parts)}


def _encode_assistant(turn: Turn, encoder: PartEncoder, *, with_reasoning: bool) -> Json:
    texts: list[Json] = []
    reasoning: list[str] = []
    calls: list[Json] = []
    for part in turn.parts:
        match part:
            case Text():
                texts.append(encoder.text(part))
            case Reasoning():
                reasoning.append(part.text)
            case ToolCall():
                calls.append(_encode_tool_call(part))
            case _:
                raise _misplaced(part, turn)
    return {
        "role": "assistant",
        **omit_none(name=turn.name),
        "content": encoder.assistant_content(texts),
        **({encoder.reasoning: "".join(reasoning)} if with_reasoning and any(reasoning) else {}),
        **({"tool_calls": calls} if calls else {}),
        **({"partial": True} if turn.is_partial else {}),
    }


def _encode_encrypted(turn: Turn) -> Json:
    parts = (part.encrypted_content for part in turn.parts if isinstance(part, Reasoning))
    encrypted = "".join(dict.fromkeys(parts))
    return {"encrypted_content": encrypted} if encrypted else {}


def _encode_tool_result(result: Part, encoder: PartEncoder) -> tuple[Json, list[Json]]:
    if not isinstance(result, ToolResult):
        raise UnsupportedContentError(
            f"A tool message holds content ({name_kind(result)}) outside of a result.",
            where=result.where,
            remedy="Answer a tool call with its id.",
        )
    for part in result.parts:
        if isinstance(part, Document | File | Unsupported):
            raise TypeError(f"Media was not made ready: {type(part).__name__}")
    texts = [part.text for part in result.parts if isinstance(part, Text)]
    shown = [part for part in result.parts if isinstance(part, Image | Video | Audio)]
    note = f"The pictures or videos of this result follow in the next message ({len(shown)})."
    if any(isinstance(part, Audio) for part in shown):
        note = f"The media of this result, with audio, follows in the next message ({len(shown)})."
    content = _to_unicode("\n".join([*texts, *([note] if shown else [])]))
    message = {"role": "tool", "tool_call_id": result.tool_call_id, "content": content}
    if not shown:
        return message, []
    label = encoder.text(Text(text=f"From tool call {result.tool_call_id}:"))
    media = (_encode_media(part, encoder) for part in shown)
    return message, [label, *(part for parts in media for part in parts)]


def _encode_media(part: Media, encoder: PartEncoder) -> Sequence[Json]:
    match part:
        case Image():
            return (encoder.image(part),)
        case Video():
            return encoder.video(part)
        case Audio():
            return (encoder.audio(part),)


def _to_unicode(text: str) -> str:
    # A tool that reads files with `surrogateescape` returns lone surrogates, which JSON cannot
    # hold; an error here would come back with every later turn.
    return text.encode("utf-8", "backslashreplace").decode()


def _encode_part(part: Part, turn: Turn, encoder: PartEncoder) -> Sequence[Json]:
    match part:
        case Text():
            return (encoder.text(part),)
        case Image() | Video() | Audio() if turn.role == "user":
            return _encode_media(part, encoder)
        case Image() | Video() | Audio() | Reasoning() | ToolCall() | ToolResult():
            raise _misplaced(part, turn)
        case Document() | Unsupported():
            raise TypeError(f"Media was not made ready: {type(part).__name__}")
        case _:
            assert_never(part)


def _encode_tool_call(call: ToolCall) -> Json:
    function = {"name": call.name, "arguments": encode_arguments(call.arguments)}
    return {"id": call.id, "type": "function", "function": function}


def _misplaced(part: Part, turn: Turn) -> UnsupportedContentError:
    match part:
        case Reasoning() | ToolCall():
            place = "an assistant's"
        case ToolResult():
            place = "a tool's"
        case _:
            place = "a user"
    return UnsupportedContentError(
        f"The service takes no {name_kind(part)} in a message of the {turn.role}.",
        where=part.where,
        remedy=f"Put it in {place} message.",
    )


def _unwritable(request: Request, error: Exception) -> QwenVLError:
    """Find the value that JSON cannot represent."""
    for name, value in request.parameters.items():
        if not _is_writable(value):
            return ConfigurationError(f"{name} cannot be sent as JSON: {error}.")
    for turn in request.turns:
        for part in turn.parts:
            inner = part.parts if isinstance(part, ToolResult) else ()
            for place in (*inner, part):
                if not _is_writable(place):
                    return UnsupportedContentError(
                        f"The {name_kind(place)} cannot be sent as JSON: {error}.",
                        where=place.where,
                        remedy='For text: text.encode("utf-8", "replace").decode().',
                    )
    return ConfigurationError(f"The request cannot be sent as JSON: {error}.")


def _is_writable(value: object) -> bool:
    try:
        orjson.dumps(value, default=_pass_over_bytes)
    except orjson.JSONEncodeError:
        return False
    return True


def _pass_over_bytes(value: object) -> None:
    """Let the media of a part be: it is not what cannot be written."""
    if not isinstance(value, bytes | memoryview):
        raise TypeError


def _is_oss(part: Part | ToolPart) -> bool:
    match part:
        case Image() | Audio():
            sources: tuple[Source, ...] = (part.source,)
        case Video():
            sources = part.source.frames if isinstance(part.source, Frames) else (part.source,)
        case ToolResult():
            return any(_is_oss(inner) for inner in part.parts)
        case _:
            return False
    return any(isinstance(s, Url) and s.url[:6].lower() == "oss://" for s in sources)
