"""LangChain's messages to turns, and replies to LangChain's messages."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    InvalidToolCall,
    SystemMessage,
    ToolCall,
    ToolMessage,
)
from langchain_core.messages import AIMessageChunk as LangChainMessageChunk
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata
from langchain_core.messages.tool import (
    ToolCallChunk,
    invalid_tool_call,
    tool_call,
    tool_call_chunk,
)
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.utils.json import parse_partial_json
from pydantic import model_validator

from langchain_qwen_vl.blocks import to_part, to_tool_part
from langchain_qwen_vl.tools import Tool, to_tools
from qwen_vl import content
from qwen_vl.content import Part, Reasoning, Role, Text, ToolPart, ToolResult, Turn
from qwen_vl.errors import AnswerFormatError, UnsupportedContentError
from qwen_vl.parsing import check_depth, parse_arguments
from qwen_vl.prototype import Prototype
from qwen_vl.reply import Delta, Reply, ResponseMetadata, Usage, omit_none, to_dicts
from qwen_vl.request.build import build_request
from qwen_vl.request.types import Request
from qwen_vl.settings import QwenVLSettings
from qwen_vl.specs.prices import Prices
from qwen_vl.tokens.conversation import ASSUMED_VIDEO_SECONDS, count_tokens
from qwen_vl.tokens.cost import Cost, estimate_request_cost
from qwen_vl.tokens.text import estimate_text_tokens
from qwen_vl.wire.protocols import read_usage

PROVIDER = "qwen_vl"
"""Name of the provider in LangChain's metadata (`model_provider`, `ls_provider`)."""

ENCRYPTED = "encrypted_content"
"""Key of encrypted reasoning, in `additional_kwargs` and in the `extras` of a reasoning block."""

# In an assistant's content these repeat what `tool_calls` holds, if it holds any.
_CALL_BLOCKS = frozenset({"tool_call", "invalid_tool_call", "tool_use", "function_call"})
# Pieces of calls, which LangChain itself adds up to `tool_calls`.
_CALL_PIECES = frozenset({"tool_call_chunk", "input_json_delta"})
_CHAT_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "ai": "assistant",
}


def to_turns(messages: Sequence[BaseMessage]) -> tuple[Turn, ...]:
    """Convert a conversation; the messages themselves stay as they are.

    Args:
        messages: LangChain's messages.

    Raises:
        UnsupportedContentError: A block or a message is not supported by the service.

    Example:
        >>> from langchain_core.messages import HumanMessage
        >>> to_turns([HumanMessage("Hello")])[0].role
        'user'
    """
    return tuple(_to_turn(message, f"messages[{index}]") for index, message in enumerate(messages))


def _to_turn(message: BaseMessage, where: str) -> Turn:
    match message:
        case HumanMessage():
            return Turn(role="user", parts=_parts(message, where), name=message.name)
        case SystemMessage():
            return Turn(role="system", parts=_parts(message, where), name=message.name)
        case AIMessage():
            return Turn(
                role="assistant",
                parts=tuple(_assistant_parts(message, where)),
                name=message.name,
                is_partial=bool(message.additional_kwargs.get("partial")),
            )
        case ToolMessage():
            result = ToolResult(
                tool_call_id=message.tool_call_id,
                parts=tuple(_tool_parts(message, where)),
                where=where,
            )
            return Turn(role="tool", parts=(result,))
        case ChatMessage() if message.role in _CHAT_ROLES:
            role = _CHAT_ROLES[message.role]
            return Turn(role=role, parts=_parts(message, where), name=message.name)
        case _:
            raise UnsupportedContentError(
                f"A message of type {message.type!r} is not supported by Qwen VL.",
                where=where,
                remedy="Pass system, human, ai and tool messages.",
            )


def _parts(message: BaseMessage, where: str) -> tuple[Part, ...]:
    if isinstance(message.content, str):
        return (Text(text=message.content, where=f"{where}.content"),)
    return tuple(
        to_part(block, f"{where}.content[{index}]") for index, block in enumerate(message.content)
    )


def _assistant_parts(message: AIMessage, where: str) -> Iterator[Part]:
    if message.additional_kwargs.get("function_call") and not message.tool_calls:
        raise UnsupportedContentError(
            "A function_call, which OpenAI's API has given up, is not supported by Qwen VL.",
            where=f"{where}.additional_kwargs",
            remedy="Put it into tool_calls, with an id.",
        )
    # Other providers encrypt reasoning too, which their own endpoints can read.
    is_own = message.response_metadata.get("model_provider") in {None, PROVIDER}
    thought = message.additional_kwargs.get("reasoning_content")
    encrypted = message.additional_kwargs.get(ENCRYPTED) if is_own else None
    if thought or encrypted:
        yield Reasoning(
            text=str(thought or ""), encrypted_content=str(encrypted or ""), where=where
        )
    blocks = [message.content] if isinstance(message.content, str) else message.content
    has_calls = bool(message.tool_calls or message.invalid_tool_calls)
    for index, block in enumerate(blocks):
        place = f"{where}.content[{index}]"
        kind = block.get("type") if isinstance(block, dict) else None
        if isinstance(block, dict) and kind in _CALL_BLOCKS and not has_calls:
            yield _to_call(block, place)
        if kind in _CALL_BLOCKS or kind in _CALL_PIECES:
            continue
        part = to_part(block, place)
        if isinstance(part, Reasoning):
            # The blocks repeat what stands beside the content.
            part = replace(
                part,
                text="" if thought else part.text,
                encrypted_content="" if encrypted or not is_own else part.encrypted_content,
            )
            if not (part.text or part.encrypted_content):
                continue
        yield part
    for call in message.tool_calls:
        yield content.ToolCall(
            id=call["id"] or "",
            name=call["name"],
            arguments=_to_json(call["args"], where),
            where=where,
        )
    for wrong in message.invalid_tool_calls:
        yield content.ToolCall(
            id=wrong["id"] or "",
            name=wrong["name"] or "",
            arguments=_to_text(wrong["args"] or "", where),
            where=where,
        )


def _to_call(block: dict[str, Any], where: str) -> content.ToolCall:
    """Read a call that is only in the content, as LangChain, Anthropic or OpenAI write it."""
    values: Any = next((block[key] for key in ("args", "input", "arguments") if block.get(key)), {})
    return content.ToolCall(
        id=str(block.get("call_id") or block.get("id") or ""),
        name=str(block.get("name") or ""),
        arguments=_to_text(values, where),
        where=where,
    )


def _to_text(arguments: object, where: str) -> str:
    """Return the text that the model wrote as it is, and write anything else as JSON."""
    return arguments if isinstance(arguments, str) else _to_json(arguments, where)


def _to_json(arguments: object, where: str) -> str:
    try:
        return json.dumps(arguments, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise UnsupportedContentError(
            f"The arguments of a tool call are not JSON: {error}.",
            where=where,
            remedy="Pass them as text, numbers, lists and dicts.",
        ) from error


def _tool_parts(message: ToolMessage, where: str) -> Iterator[ToolPart]:
    content = message.content
    if isinstance(content, str):
        yield Text(text=content, where=f"{where}.content")
    else:
        for index, block in enumerate(content):
            yield to_tool_part(block, f"{where}.content[{index}]")
    yield from _artifact_parts(message, where)


def _artifact_parts(message: ToolMessage, where: str) -> Iterator[ToolPart]:
    """Read what tools of MCP servers leave in the artifact, beside the content.

    Any other artifact is the program's own, and stays with it.
    """
    artifact = message.artifact
    for index, item in enumerate(artifact if isinstance(artifact, list | tuple) else [artifact]):
        block = _to_mcp_block(item)
        if block is not None:
            yield to_tool_part(block, f"{where}.artifact[{index}]")


def _to_mcp_block(item: object) -> dict[str, Any] | None:
    """Read one item of an artifact as a block, if it has the shape of MCP's content."""
    kind = _get(item, "type")
    mime_type = _get(item, "mimeType") or _get(item, "mime_type")
    if kind in ("image", "audio"):
        data = _get(item, "data")
        if isinstance(data, str) and mime_type:
            return {"type": kind, "base64": data}
    elif kind == "resource_link" and _get(item, "uri"):
        names = ("uri", "name", "title")
        return {"type": kind, "mimeType": mime_type, **{name: _get(item, name) for name in names}}
    elif kind == "resource" and _get(_get(item, "resource"), "uri"):
        held = _get(item, "resource")
        kept = {name: _get(held, name) for name in ("uri", "text", "blob")}
        stated = _get(held, "mimeType") or _get(held, "mime_type")
        return {"type": kind, "resource": {**kept, "mimeType": stated}}
    return None


def _get(item: object, name: str) -> Any:
    return item.get(name) if isinstance(item, dict) else getattr(item, name, None)


def to_message(reply: Reply) -> AIMessage:
    """Convert a whole reply.

    Args:
        reply: What came back.

    Returns:
        A message whose `content` is text, with the reasoning in
        `additional_kwargs["reasoning_content"]` and as a block in `content_blocks`. Encrypted
        reasoning is in `additional_kwargs["encrypted_content"]` and in that block's `extras`.

    Example:
        >>> to_message(Reply(text="A cat.", reasoning="Whiskers.")).content_blocks
        [{'type': 'reasoning', 'reasoning': 'Whiskers.'}, {'type': 'text', 'text': 'A cat.'}]
    """
    calls, invalid_calls = _tool_calls(reply)
    return AIMessage(
        content=reply.text,
        additional_kwargs=_to_kwargs(reply),
        tool_calls=calls,
        invalid_tool_calls=invalid_calls,
        usage_metadata=to_usage_metadata(reply.usage),
        response_metadata=to_metadata(reply, reply.logprobs),
    )


def _to_kwargs(answer: Reply | Delta) -> dict[str, Any]:
    kwargs = {"reasoning_content": answer.reasoning} if answer.reasoning else {}
    if answer.encrypted_content:
        kwargs[ENCRYPTED] = answer.encrypted_content
    return kwargs


def to_usage_metadata(usage: Usage | None) -> UsageMetadata | None:
    """Convert token counts; details that the service did not give are left out.

    Args:
        usage: The service's counts.
    """
    if usage is None:
        return None
    into = {
        "audio": usage.audio_tokens,
        "cache_read": usage.cached_tokens,
        "cache_creation": usage.cache_creation_tokens,
        "image": usage.image_tokens,
        "video": usage.video_tokens,
    }
    out = {"reasoning": usage.reasoning_tokens}
    return UsageMetadata(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        total_tokens=usage.total_tokens,
        # Extra keys are allowed there by the type's own documentation.
        input_token_details=InputTokenDetails(**omit_none(**into)),  # type: ignore[typeddict-item]
        output_token_details=OutputTokenDetails(**omit_none(**out)),  # type: ignore[typeddict-item]
    )


def get_usage(message: BaseMessage) -> Usage:
    """Return the token counts of an answer, those of images and videos included.

    They are the counts of `usage_metadata`, whose type lacks keys for images and videos.

    Args:
        message: An answer of `ChatQwenVL`, or the sum of a stream's chunks.

    Raises:
        ConfigurationError: The message lacks token counts.

    Example:
        >>> from langchain_qwen_vl import ChatQwenVL
        >>> from qwen_vl_sandbox import Sandbox
        >>> with Sandbox() as sandbox:
        ...     answer = ChatQwenVL(base_url=sandbox.base_url, api_key="sk-sandbox").invoke("Hello")
        >>> get_usage(answer).input_tokens == answer.usage_metadata["input_tokens"]
        True
    """
    return read_usage(message.response_metadata.get("token_usage"))


def to_metadata(
    metadata: Reply | ResponseMetadata | None, logprobs: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Convert what is known of an answer beside its text, as far as it was reported.

    Args:
        metadata: Of the answer.
        logprobs: Of its text.
    """
    metadata = metadata or ResponseMetadata()
    usage = metadata.usage
    return {
        "model_provider": PROVIDER,
        **omit_none(
            model_name=metadata.model,
            id=metadata.id,
            request_id=metadata.request_id,
            finish_reason=metadata.finish_reason,
            logprobs=logprobs,
            token_usage=dict(usage.raw) if usage else None,
            is_truncated=metadata.is_truncated or None,
            image_hw=metadata.image_hw and [list(size) for size in metadata.image_hw],
            ocr_result=metadata.ocr_result and dict(metadata.ocr_result),
            search_info=metadata.search_info and dict(metadata.search_info),
            replaced_content=to_dicts(metadata.replaced_content) or None,
        ),
    }


def _tool_calls(reply: Reply) -> tuple[list[ToolCall], list[InvalidToolCall]]:
    calls: list[ToolCall] = []
    invalid_calls: list[InvalidToolCall] = []
    for call in reply.tool_calls:
        read = read_call(call.name, call.arguments, call.id or None)
        if read["type"] == "tool_call":
            calls.append(read)
        else:
            invalid_calls.append(read)
    return calls, invalid_calls


def read_call(name: str | None, arguments: str, call_id: str | None) -> ToolCall | InvalidToolCall:
    """Convert a whole tool call; one that cannot be run as the model meant it is invalid.

    Args:
        name: The tool.
        arguments: What the model wrote.
        call_id: Ties the call to its result.
    """
    try:
        parsed = parse_arguments(arguments, name=name or "")
    except AnswerFormatError as error:
        return invalid_tool_call(name=name, args=arguments, id=call_id, error=str(error.args[0]))
    return tool_call(name=name or "", args=parsed, id=call_id)


_JSON_WHITESPACE = " \t\r\n"
_MERGED_FIELDS = (
    *("content", "additional_kwargs", "response_metadata", "usage_metadata"),
    *("tool_call_chunks", "id", "chunk_position"),
)


class _ConvertibleChunk:
    """Makes LangChain convert `AIMessageChunk` below to an `AIMessage`.

    It calls the first base of a chunk's class for that, which is `AIMessage` for its own chunk.
    """

    def __new__(cls, **fields: Any) -> Any:
        return AIMessage(**fields) if cls is _ConvertibleChunk else super().__new__(cls)


class AIMessageChunk(_ConvertibleChunk, LangChainMessageChunk):
    """LangChain's chunk, which repairs no tool call of an answer that has ended.

    While an answer comes, LangChain closes the arguments of its tool calls where they break off,
    so that programs can show them early. It does the same when the answer has ended: a call that
    was cut would be run with what had come of its arguments, and the tool's defaults for the rest.
    """

    __module__ = LangChainMessageChunk.__module__

    def __reduce_ex__(self, protocol: Any) -> Any:
        # The class is found by LangChain's own name, as in its other serialized forms.
        return _restore, (self.__dict__, self.__pydantic_fields_set__)

    @model_validator(mode="after")
    def init_tool_calls(self) -> Self:
        """Read the tool calls from their pieces, in place of LangChain's own validator.

        LangChain's tries again without the last character, to the first, at every piece.
        """
        if self.tool_call_chunks:
            self.read_calls()
        else:
            self.tool_call_chunks = [
                *(_to_chunk(call, json.dumps(call["args"])) for call in self.tool_calls),
                *(_to_chunk(call, call["args"]) for call in self.invalid_tool_calls),
            ]
        return self

    def read_calls(self) -> None:
        """Read the tool calls: as they are when the answer has ended, else as far as they came."""
        has_ended = self.chunk_position == "last" or "finish_reason" in self.response_metadata
        read = [
            read_call(chunk["name"], chunk["args"] or "", chunk["id"])
            if has_ended
            else _read_partial_call(chunk["name"], chunk["args"] or "", chunk["id"])
            for chunk in self.tool_call_chunks
        ]
        self.tool_calls = [call for call in read if call["type"] == "tool_call"]
        self.invalid_tool_calls = [call for call in read if call["type"] == "invalid_tool_call"]
        if self.chunk_position == "last" and isinstance(self.content, list):
            by_id = {call["id"]: call for call in read if call["id"]}
            self.content = [_replace_call(block, by_id) for block in self.content]

    def __eq__(self, other: object) -> bool:
        # Pydantic compares classes too, and this one is LangChain's to all who use it.
        return isinstance(other, LangChainMessageChunk) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]  # As every message has none.

    def __radd__(self, other: Any) -> Any:
        # Asked before LangChain's own chunk on the left, whose class the sum would have.
        if not isinstance(other, LangChainMessageChunk):
            return NotImplemented
        merged = LangChainMessageChunk.__add__(other, self)
        return AIMessageChunk(**{name: getattr(merged, name) for name in _MERGED_FIELDS})


def _replace_call(block: Any, calls: Mapping[str, Any]) -> Any:
    if not isinstance(block, dict) or block.get("type") != "tool_call_chunk":
        return block
    call = calls.get(block.get("id") or "")
    if call is None:
        return block
    return {**call, **({"extras": block["extras"]} if "extras" in block else {})}


def _to_chunk(call: ToolCall | InvalidToolCall, args: str | None) -> ToolCallChunk:
    return tool_call_chunk(name=call["name"], args=args, id=call["id"], index=None)


def _restore(fields: dict[str, Any], fields_set: set[str]) -> LangChainMessageChunk:
    return LangChainMessageChunk.model_construct(fields_set, **fields)


# LangChain's reader of partial JSON tries again without the last character, to the first.
_MAX_PARTIAL_CHARS = 4_096

_MESSAGE = Prototype(AIMessageChunk(content=""))
_GENERATION = Prototype(ChatGenerationChunk(message=AIMessageChunk(content="")))


def to_generation_chunk(delta: Delta) -> ChatGenerationChunk:
    """Convert a piece of a streamed reply for LangChain's own stream.

    Args:
        delta: One event.
    """
    message = to_chunk(delta)
    return _GENERATION.copy_with(message=message, text=message.text)


def to_chunk(delta: Delta) -> AIMessageChunk:
    """Convert a piece of a streamed reply. Chunks add up to the message of the whole reply.

    Args:
        delta: One event.

    Example:
        >>> to_chunk(Delta(text="A cat.")).content
        'A cat.'
    """
    metadata = delta.metadata
    return _MESSAGE.copy_with(
        content=delta.text,
        additional_kwargs=_to_kwargs(delta),
        usage_metadata=to_usage_metadata(metadata.usage) if metadata else None,
        response_metadata=(
            to_metadata(metadata, delta.logprobs)
            if metadata or delta.logprobs
            else {"model_provider": PROVIDER}
        ),
        **(_read_calls(delta) if delta.tool_calls else {}),
    )


def _read_calls(delta: Delta) -> dict[str, Any]:
    """Read tool calls as `AIMessageChunk` itself does."""
    pieces = delta.tool_calls
    # A stream may be of one piece, such as a whole answer where a stream was asked for.
    read_piece = read_call if delta.finish_reason else _read_partial_call
    read = [read_piece(piece.name, piece.arguments, piece.id) for piece in pieces]
    return {
        "tool_calls": [call for call in read if call["type"] == "tool_call"],
        "invalid_tool_calls": [call for call in read if call["type"] == "invalid_tool_call"],
        "tool_call_chunks": [
            tool_call_chunk(name=piece.name, args=piece.arguments, id=piece.id, index=piece.index)
            for piece in pieces
        ],
    }


def _read_partial_call(
    name: str | None, arguments: str, call_id: str | None
) -> ToolCall | InvalidToolCall:
    parsed = _read_arguments(arguments)
    if parsed is None:
        return invalid_tool_call(name=name, args=arguments, id=call_id, error=None)
    return tool_call(name=name or "", args=parsed, id=call_id)


def _read_arguments(text: str) -> dict[str, Any] | None:
    if not text:
        return {}
    # Most pieces come from the middle. LangChain tries to parse them, which fails slowly.
    if not text.lstrip(_JSON_WHITESPACE).startswith("{"):
        return None
    try:
        check_depth(text)
        found = parse_partial_json(text) if len(text) <= _MAX_PARTIAL_CHARS else json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def count_message_tokens(
    messages: Sequence[BaseMessage],
    settings: QwenVLSettings,
    *,
    tools: Sequence[Tool] | None = None,
    video_seconds: float = ASSUMED_VIDEO_SECONDS,
    count_text: Callable[[str], int] = estimate_text_tokens,
    **call: Any,
) -> int:
    """Count the tokens of what would be sent, offline; see `qwen_vl.count_tokens`.

    Args:
        messages: LangChain's messages.
        settings: The model, with its pixel limits, `fps` and media policy.
        tools: Tools that would be bound.
        video_seconds: Assumed length of a video that cannot be read.
        count_text: Counts the tokens of a text.
        **call: Options of the call, such as `model` or `max_pixels`.

    Raises:
        UnsupportedContentError: A block or a message is not supported by the service.
        MediaError: An image or video cannot be read or is none.

    Example:
        >>> from langchain_core.messages import HumanMessage
        >>> from qwen_vl.samples import CHELSEA
        >>> question = HumanMessage([{"type": "image", "image": CHELSEA}, "What is this?"])
        >>> count_message_tokens([question], QwenVLSettings(model="qwen3-vl-plus"))
        142
    """
    request = _to_request(messages, settings, tools, call)
    return count_tokens(
        request.turns,
        request.known_model,
        parameters=request.parameters,
        policy=request.policy,
        server=request.server,
        model_family=request.model_family,
        video_seconds=video_seconds,
        count_text=count_text,
    )


def estimate_message_cost(
    messages: Sequence[BaseMessage],
    settings: QwenVLSettings,
    *,
    tools: Sequence[Tool] | None = None,
    output_tokens: int = 0,
    prices: Prices | None = None,
    count_text: Callable[[str], int] = estimate_text_tokens,
    **call: Any,
) -> Cost:
    """Estimate what messages cost before they are sent, offline; see `qwen_vl.estimate_cost`.

    Args:
        messages: LangChain's messages.
        settings: The model, with its endpoint, its prices and its pixel limits.
        tools: Tools that would be bound.
        output_tokens: Number of tokens of the answer to assume.
        prices: Your own prices, before the settings'.
        count_text: Counts the tokens of a text.
        **call: Options of the call, such as `model` or `max_pixels`.

    Raises:
        UnsupportedContentError: A block or a message is not supported by the service.
        MediaError: An image or video cannot be read or is none.
    """
    return estimate_request_cost(
        _to_request(messages, settings, tools, call),
        settings,
        output_tokens=output_tokens,
        prices=prices,
        count_text=count_text,
    )


def _to_request(
    messages: Sequence[BaseMessage],
    settings: QwenVLSettings,
    tools: Sequence[Tool] | None,
    call: Mapping[str, Any],
) -> Request:
    options = {**call, "tools": to_tools(tools)} if tools else call
    return build_request(settings, to_turns(messages), **options)
