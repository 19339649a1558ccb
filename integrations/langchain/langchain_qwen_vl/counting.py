"""LangChain's messages, counted before they are sent."""

from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.messages import BaseMessage

from langchain_qwen_vl.messages import to_turns
from langchain_qwen_vl.tools import Tool, to_tools
from qwen_vl.counting import ASSUMED_VIDEO_SECONDS, count_tokens
from qwen_vl.settings import QwenVLSettings
from qwen_vl.tokens import estimate_text_tokens


def count_message_tokens(
    messages: Sequence[BaseMessage],
    settings: QwenVLSettings,
    *,
    tools: Sequence[Tool] | None = None,
    video_seconds: float = ASSUMED_VIDEO_SECONDS,
    count_text: Callable[[str], int] = estimate_text_tokens,
    **call: Any,
) -> int:
    """Count the tokens of what would be sent, offline; see `qwen_vl.counting.count_tokens`.

    Args:
        messages: LangChain's messages.
        settings: The model, with its pixel limits, `fps` and media policy.
        tools: Tools that would be bound.
        video_seconds: Length that a video is taken for where it cannot be looked at.
        count_text: Counts the tokens of a text.
        **call: Options of the call, such as `model` or `max_pixels`.

    Raises:
        UnsupportedContentError: A block or a message has no place at the service.
        MediaError: A picture or video cannot be read or is none.

    Example:
        >>> from langchain_core.messages import HumanMessage
        >>> from qwen_vl.samples import CHELSEA
        >>> question = HumanMessage([{"type": "image", "image": CHELSEA}, "What is this?"])
        >>> count_message_tokens([question], QwenVLSettings(model="qwen3-vl-plus"))
        142
    """
    if tools:
        call["tools"] = to_tools(tools)
    request = settings.make_request(to_turns(messages), **call)
    return count_tokens(
        request.turns,
        request.model,
        parameters=request.parameters,
        policy=request.policy,
        dialect=request.dialect,
        video_seconds=video_seconds,
        count_text=count_text,
    )
