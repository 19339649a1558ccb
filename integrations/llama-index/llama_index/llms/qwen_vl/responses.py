"""Replies and deltas to LlamaIndex's responses."""

from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import closing
from dataclasses import replace
from typing import Any, TypeVar

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    ContentBlock,
    LogProb,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.llms.llm import ToolSelection
from pydantic_core import from_json

from llama_index.llms.qwen_vl.blocks import ENCRYPTED
from qwen_vl.content import ToolCall
from qwen_vl.errors import AnswerFormatError
from qwen_vl.generators import Owned
from qwen_vl.parsing import parse_arguments
from qwen_vl.process_local import ProcessBoundAsyncIterator, ProcessBoundIterator
from qwen_vl.prototype import Prototype
from qwen_vl.reply import Delta, Reply, ReplyBuilder, Usage, describe_cut, omit_none, to_dicts
from qwen_vl.wire.protocols import read_usage

_T = TypeVar("_T")
_R = TypeVar("_R")


def to_chat_response(reply: Reply) -> ChatResponse:
    """Convert a whole reply.

    Args:
        reply: What came back.

    Returns:
        A response whose message holds the thinking, the text and the tool calls, in this order.
        Encrypted reasoning is in the `ThinkingBlock`'s `additional_information` and in the
        message's `additional_kwargs`, as `encrypted_content`.
        `raw` is a dict with the service's own `usage`, and `additional_kwargs` has the token
        counts by name.

    Example:
        >>> response = to_chat_response(Reply(text="A cat.", reasoning="Whiskers."))
        >>> [block.block_type for block in response.message.blocks], response.message.content
        (['thinking', 'text'], 'A cat.')
    """
    return _to_response(reply, _to_logprobs(reply.logprobs))


def to_completion_response(response: ChatResponse) -> CompletionResponse:
    """Convert a chat's response for `complete`, with all that stands beside the text.

    Args:
        response: What `chat` or `stream_chat` gave.
    """
    return CompletionResponse(
        text=response.message.content or "",
        delta=response.delta,
        raw=response.raw,
        logprobs=response.logprobs,
        additional_kwargs=response.additional_kwargs,
    )


def get_usage(response: ChatResponse | CompletionResponse) -> Usage:
    """Return the token counts of a response, those of images and videos included.

    Args:
        response: Of `QwenVL`; of a stream, the last one.

    Raises:
        ConfigurationError: The response lacks token counts.

    Example:
        >>> from llama_index.llms.qwen_vl import QwenVL
        >>> from qwen_vl_sandbox import Sandbox
        >>> with Sandbox() as sandbox:
        ...     response = QwenVL(base_url=sandbox.base_url, api_key="sk-sandbox").complete("Hello")
        >>> get_usage(response).input_tokens == response.additional_kwargs["prompt_tokens"]
        True
    """
    return read_usage(response.raw.get("usage") if isinstance(response.raw, Mapping) else None)


class ResponseBuilder:
    """Makes of each event of a stream the response so far.

    Example:
        >>> builder = ResponseBuilder()
        >>> first, second = (builder.add(Delta(text=text)) for text in ("A ", "cat."))
        >>> second.delta, second.message.content
        ('cat.', 'A cat.')
    """

    def __init__(self) -> None:
        self._builder = ReplyBuilder()
        # What most events leave as it is.
        self._raw: dict[str, Any] = {}
        self._beside: dict[str, Any] = {}
        # Of all tokens so far: to convert them again with each event would take ever longer.
        self._logprobs: list[list[LogProb]] = []

    def add(self, delta: Delta) -> ChatResponse:
        """Take in the next event.

        Args:
            delta: What it brought.

        Returns:
            A response with all that has come, in a new message; `delta` is the new text,
            `additional_kwargs["thinking_delta"]` the new thinking.
        """
        if delta.logprobs:
            self._logprobs += _to_logprobs(delta.logprobs) or ()
            delta = replace(delta, logprobs=None)
        self._builder.add(delta)
        # Where agents look for it.
        thought = {"thinking_delta": delta.reasoning} if delta.reasoning else {}
        if delta.metadata or self._builder.has_calls:
            response = _to_response(self._builder.reply(), list(self._logprobs) or None)
            self._raw, self._beside = dict(response.raw or {}), dict(response.additional_kwargs)
            response.delta = delta.text
            response.additional_kwargs.update(thought)
            return response
        encrypted = self._builder.encrypted_content
        blocks = [
            *_to_thinking(self._builder.reasoning, encrypted),
            _TEXT.copy_with(text=self._builder.text),
        ]
        return _RESPONSE.copy_with(
            message=_MESSAGE.copy_with(
                blocks=blocks, additional_kwargs={ENCRYPTED: encrypted} if encrypted else {}
            ),
            delta=delta.text,
            raw=dict(self._raw),
            logprobs=list(self._logprobs) or None,
            additional_kwargs={**self._beside, **thought},
        )


def convert_each(
    items: ProcessBoundIterator[_T] | Generator[_T, None, None], convert: Callable[[_T], _R]
) -> Generator[_R, None, None]:
    """Convert the items of a stream as they come.

    Args:
        items: Closed when this is, so that a stream that is given up frees its connection at once.
        convert: Called with each item, in order.
    """
    with closing(items):
        for item in items:
            yield convert(item)


async def aconvert_each(
    items: ProcessBoundAsyncIterator[_T] | AsyncGenerator[_T, None], convert: Callable[[_T], _R]
) -> AsyncGenerator[_R, None]:
    """Convert the items of a stream as they come; see `convert_each`."""
    async with Owned(items) as owned:
        async for item in owned:
            yield convert(item)


def select_tools(response: ChatResponse) -> list[ToolSelection]:
    """Read which tools a response asks for.

    Args:
        response: Of `chat`, or of a stream; while a stream runs, arguments may be partial.

    Raises:
        AnswerFormatError: The answer is whole, and its arguments are not a JSON object.
    """
    return [
        ToolSelection(
            tool_id=block.tool_call_id or "",
            tool_name=block.tool_name,
            tool_kwargs=_read_arguments(block, response),
        )
        for block in response.message.blocks
        if isinstance(block, ToolCallBlock)
    ]


def find_cut(response: ChatResponse) -> str | None:
    """Return why an answer stopped before its end; `None` where it did not.

    Args:
        response: Of `chat`, or the last one of a stream.
    """
    beside = response.additional_kwargs
    return describe_cut(beside.get("finish_reason"), is_truncated=bool(beside.get("is_truncated")))


def keep_first_call(response: ChatResponse) -> ChatResponse:
    """Leave one tool call of several, where only one was allowed.

    Args:
        response: Stays as it is.
    """
    calls = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
    if len(calls) <= 1:
        return response
    blocks = [block for block in response.message.blocks if block not in calls[1:]]
    beside = response.message.additional_kwargs
    message = response.message.model_copy(
        update={
            "blocks": blocks,
            "additional_kwargs": {**beside, "tool_calls": beside.get("tool_calls", [])[:1]},
        }
    )
    return response.model_copy(update={"message": message})


def _to_thinking(reasoning: str, encrypted: str, n_tokens: int | None = None) -> list[ContentBlock]:
    if encrypted:
        # Made by its constructor, so that it counts as set for whatever stores what is set.
        information = {ENCRYPTED: encrypted}
        return [
            ThinkingBlock(
                content=reasoning, num_tokens=n_tokens, additional_information=information
            )
        ]
    if not reasoning:
        return []
    return [
        _THINKING.copy_with(content=reasoning)
        if n_tokens is None
        else ThinkingBlock(content=reasoning, num_tokens=n_tokens)
    ]


def _to_response(reply: Reply, logprobs: list[list[LogProb]] | None) -> ChatResponse:
    usage = reply.usage
    n_tokens = usage.reasoning_tokens if usage else None
    blocks = _to_thinking(reply.reasoning, reply.encrypted_content, n_tokens)
    if reply.text or not reply.tool_calls:
        blocks.append(_TEXT.copy_with(text=reply.text))
    is_whole = reply.has_ended or reply.finish_reason is not None
    blocks += [_to_call_block(call, is_whole=is_whole) for call in reply.tool_calls]
    calls = [_to_dict(call) for call in reply.tool_calls]
    return _RESPONSE.copy_with(
        message=_MESSAGE.copy_with(
            blocks=blocks,
            # Structured streams read calls only from here; dicts survive being stored.
            additional_kwargs={
                **({"tool_calls": calls} if calls else {}),
                **({ENCRYPTED: reply.encrypted_content} if reply.encrypted_content else {}),
            },
        ),
        raw=omit_none(
            id=reply.id,
            model=reply.model,
            request_id=reply.request_id,
            finish_reason=reply.finish_reason,
            usage=dict(usage.raw) if usage else None,
        ),
        logprobs=logprobs,
        additional_kwargs=omit_none(
            **{
                **(_count(usage) if usage else {}),
                "finish_reason": reply.finish_reason,
                "request_id": reply.request_id,
                "is_truncated": reply.is_truncated or None,
                "image_hw": reply.image_hw and [list(size) for size in reply.image_hw],
                "ocr_result": reply.ocr_result and dict(reply.ocr_result),
                "search_info": reply.search_info and dict(reply.search_info),
                "replaced_content": to_dicts(reply.replaced_content) or None,
            }
        ),
    )


# A stream makes one of each for every token.
_TEXT = Prototype(TextBlock(text=""))
_THINKING = Prototype(ThinkingBlock(content=""))
_MESSAGE = Prototype(ChatMessage(role=MessageRole.ASSISTANT, blocks=[]))
_RESPONSE = Prototype(ChatResponse(message=ChatMessage(role=MessageRole.ASSISTANT)))


def _count(usage: Usage) -> dict[str, int | None]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.total_tokens,
        "image_tokens": usage.image_tokens,
        "video_tokens": usage.video_tokens,
        "audio_tokens": usage.audio_tokens,
        "cached_tokens": usage.cached_tokens,
        "cache_creation_tokens": usage.cache_creation_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
    }


def _to_dict(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


def _to_call_block(call: ToolCall, *, is_whole: bool) -> ToolCallBlock:
    arguments: dict[str, Any] | str
    if is_whole:
        try:
            arguments = parse_arguments(call.arguments, name=call.name)
        except AnswerFormatError:
            # What cannot be read stays as the model wrote it, and is refused where it is to be run.
            arguments = call.arguments
    else:
        arguments = _parse_partial(call.arguments)
    return ToolCallBlock(tool_call_id=call.id, tool_name=call.name, tool_kwargs=arguments)


def _read_arguments(block: ToolCallBlock, response: ChatResponse) -> dict[str, Any]:
    held = block.tool_kwargs
    if isinstance(held, dict):
        return held
    cut = find_cut(response)
    if cut:
        raise AnswerFormatError(f"{cut} It stops within a call of {block.tool_name!r}.", text=held)
    return parse_arguments(held, name=block.tool_name)


def _parse_partial(text: str) -> dict[str, Any]:
    """Read arguments that are still coming."""
    try:
        found = from_json(text or "{}", allow_partial="trailing-strings")
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {}


def _to_logprobs(values: Mapping[str, Any] | None) -> list[list[LogProb]] | None:
    if not values:
        return None
    return [
        [
            LogProb(
                token=str(top.get("token") or ""),
                logprob=float(top.get("logprob") or 0.0),
                bytes=list(top.get("bytes") or ()),
            )
            for top in (token.get("top_logprobs") or [token])
        ]
        for token in values.get("content") or ()
    ]
