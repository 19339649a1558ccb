"""From the bytes of an answer to a reply (Native-API page, 2026-09)."""

from collections.abc import Mapping

from qwen_vl.reply import Reply, Usage
from qwen_vl.wire.errors import decode_error
from qwen_vl.wire.json import (
    Json,
    as_count,
    as_object,
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


def decode_reply(body: bytes, headers: Mapping[str, str], *, model: str | None = None) -> Reply:
    """Read a whole answer.

    Args:
        body: The HTTP body of a 200.
        headers: Its headers, names in lower case.
        model: The model that was asked: answers of this protocol do not name it.

    Raises:
        ServiceError: The body is an error all the same, or no answer at all.

    Example:
        >>> body = b'{"output":{"choices":[{"message":{"content":[{"text":"A cat."}]}}]}}'
        >>> decode_reply(body, {}).text
        'A cat.'
    """
    data = load_json(body)
    choice = find_choice(data)
    message = as_object(choice.get("message"))
    reason = decode_finish_reason(choice)
    if not (message or reason):
        raise decode_error(None, body, headers)
    return Reply(
        text=decode_text(message.get("content")),
        reasoning=decode_reasoning(message),
        encrypted_content=decode_encrypted(message),
        tool_calls=decode_tool_calls(message, is_cut=may_be_cut(reason, headers)),
        finish_reason=reason,
        usage=decode_usage(data.get("usage")),
        model=model,
        request_id=find_request_id(data, headers),
        logprobs=decode_logprobs(choice.get("logprobs")),
        is_truncated=is_truncated(headers),
        image_hw=decode_image_sizes(message.get("content")),
        ocr_result=decode_ocr_result(message.get("content")),
        search_info=decode_search_info(as_object(data.get("output"))),
    )


def find_choice(data: object) -> Json:
    """Find the answer among `output.choices`; empty where there is none."""
    choices = as_object(as_object(data).get("output")).get("choices")
    return as_object(choices[0]) if isinstance(choices, list) and choices else {}


def decode_usage(usage: object) -> Usage | None:
    """Read the token counts; any detail may be missing or null."""
    held = as_object(usage)
    if not held:
        return None
    into = as_object(held.get("input_tokens_details"))
    out = as_object(held.get("output_tokens_details"))
    cache = as_object(held.get("prompt_tokens_details"))
    input_tokens = as_count(held.get("input_tokens")) or 0
    output_tokens = as_count(held.get("output_tokens")) or 0
    return Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        total_tokens=as_count(held.get("total_tokens")) or input_tokens + output_tokens,
        image_tokens=first_count(held.get("image_tokens"), into.get("image_tokens")),
        video_tokens=first_count(held.get("video_tokens"), into.get("video_tokens")),
        audio_tokens=first_count(held.get("audio_tokens"), into.get("audio_tokens")),
        text_tokens=first_count(into.get("text_tokens")),
        cached_tokens=first_count(cache.get("cached_tokens")),
        cache_creation_tokens=first_count(cache.get("cache_creation_input_tokens")),
        reasoning_tokens=first_count(out.get("reasoning_tokens")),
        raw=repair_counts(held),
    )


def decode_image_sizes(content: object) -> tuple[tuple[int, int], ...] | None:
    """Read `image_hw`: height and width of each image, as the model processed it."""
    sizes = _find_in_parts(content, "image_hw")
    if not isinstance(sizes, list):
        return None
    # unsure: the page's example leaves open whether a single image's pair stands in a list.
    pairs = sizes if all(isinstance(size, list) for size in sizes) else [sizes]
    counts = [tuple(map(as_count, pair)) for pair in pairs]
    return tuple(
        (pair[0], pair[1])
        for pair in counts
        if len(pair) == len("hw") and pair[0] is not None and pair[1] is not None
    )


def decode_ocr_result(content: object) -> Json | None:
    """Read `ocr_result`, what a task of the OCR models found."""
    result = _find_in_parts(content, "ocr_result")
    return result if isinstance(result, dict) else None


def _find_in_parts(content: object, name: str) -> object:
    parts = content if isinstance(content, list) else []
    return next((part[name] for part in parts if isinstance(part, dict) and name in part), None)
