"""From the bytes of an answer to a reply (OpenAI-Chat page, 2026-10)."""

from collections.abc import Mapping

from qwen_vl.reply import Reply, Usage
from qwen_vl.wire.errors import decode_error
from qwen_vl.wire.json import (
    Json,
    as_count,
    as_object,
    as_text,
    decode_encrypted,
    decode_finish_reason,
    decode_logprobs,
    decode_reasoning,
    decode_search_info,
    decode_text,
    find_request_id,
    first_count,
    is_truncated,
    load_json,
    may_be_cut,
    repair_counts,
)
from qwen_vl.wire.tool_calls import decode_tool_calls


def find_model_root(body: bytes, model: str) -> str | None:
    """Find which model a server serves under a name: `root` of `/v1/models` (vLLM, SGLang).

    Args:
        body: The HTTP body of the list of models.
        model: The name.

    Example:
        >>> find_model_root(b'{"data":[{"id":"vision","root":"/models/Qwen2.5-VL-7B"}]}', "vision")
        '/models/Qwen2.5-VL-7B'
    """
    cards = as_object(load_json(body)).get("data")
    for card in cards if isinstance(cards, list) else ():
        if as_object(card).get("id") == model:
            return as_text(as_object(card).get("root")) or None
    return None


def decode_reply(body: bytes, headers: Mapping[str, str]) -> Reply:
    """Read a whole answer.

    Args:
        body: The HTTP body of a 200.
        headers: Its headers, names in lower case.

    Raises:
        ServiceError: The body is an error all the same, or no answer at all.

    Example:
        >>> decode_reply(b'{"choices":[{"message":{"content":"A cat."}}]}', {}).text
        'A cat.'
    """
    data = load_json(body)
    choice = find_choice(data)
    message = as_object(choice.get("message")) or as_object(choice.get("delta"))
    reason = decode_finish_reason(choice)
    if not (message or reason):
        raise decode_error(None, body, headers)
    calls = decode_tool_calls(message, is_cut=may_be_cut(reason, headers))
    return Reply(
        text=decode_text(message.get("content")),
        reasoning=decode_reasoning(message),
        encrypted_content=decode_encrypted(message),
        tool_calls=calls,
        finish_reason=resolve_finish_reason(reason, has_calls=bool(calls)),
        usage=decode_usage(data.get("usage")),
        model=as_text(data.get("model")),
        id=as_text(data.get("id")),
        request_id=find_request_id(data, headers),
        logprobs=decode_logprobs(choice.get("logprobs")),
        is_truncated=is_truncated(headers),
        # unsure: this protocol returns no sources, by the Web-search page (2026).
        search_info=decode_search_info(data, choice, message),
    )


def resolve_finish_reason(reason: str | None, *, has_calls: bool) -> str | None:
    """Call an answer that calls tools one: vLLM says "stop" of a tool that was forced by name.

    Args:
        reason: As the server has it.
        has_calls: Whether the answer calls tools.
    """
    return "tool_calls" if reason == "stop" and has_calls else reason


def find_choice(data: object) -> Json:
    """Find the answer among `choices`; empty where there is none."""
    choices = as_object(data).get("choices")
    return as_object(choices[0]) if isinstance(choices, list) and choices else {}


def decode_usage(usage: object) -> Usage | None:
    """Read the token counts; any detail may be missing or null."""
    if not usage or not isinstance(usage, dict):
        return None
    into = as_object(usage.get("prompt_tokens_details"))
    out = as_object(usage.get("completion_tokens_details"))
    # vLLM's name for the same breakdown.
    media = as_object(into.get("multimodal_tokens"))
    input_tokens = as_count(usage.get("prompt_tokens")) or 0
    output_tokens = as_count(usage.get("completion_tokens")) or 0
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        total_tokens=as_count(usage.get("total_tokens")) or input_tokens + output_tokens,
        image_tokens=first_count(into.get("image_tokens"), media.get("image")),
        video_tokens=first_count(into.get("video_tokens"), media.get("video")),
        audio_tokens=first_count(into.get("audio_tokens"), media.get("audio")),
        text_tokens=first_count(into.get("text_tokens")),
        cached_tokens=first_count(into.get("cached_tokens")),
        cache_creation_tokens=first_count(into.get("cache_creation_input_tokens")),
        reasoning_tokens=first_count(out.get("reasoning_tokens")),
        raw=repair_counts(usage),
    )
