"""Pieces of an answer that look the same in both protocols."""

import math
from collections.abc import Iterator
from typing import Any

from qwen_vl_sandbox.media.hosted import MediaReport, arguments_text
from qwen_vl_sandbox.media.hosted_tokens import pieces
from qwen_vl_sandbox.reading.conversation import ToolCall
from qwen_vl_sandbox.reading.messages import KEPT_SECONDS

PIECES_PER_CHUNK = 4
"""Tokens of text in one chunk of a stream."""


def chunks_of(text: str) -> list[str]:
    """Cut a text as a stream does."""
    parts = pieces(text)
    return [
        "".join(parts[at : at + PIECES_PER_CHUNK]) for at in range(0, len(parts), PIECES_PER_CHUNK)
    ]


def whole_call(call: ToolCall, at: int, request_id: str) -> dict[str, Any]:
    """Shape a tool call."""
    return {
        "id": call.id or f"call_{request_id[-24:].replace('-', '')}{at}",
        "type": "function",
        "index": at,
        "function": {"name": call.name, "arguments": arguments_text(call)},
    }


def call_deltas(
    call: ToolCall, at: int, request_id: str, *, later_name: str | None
) -> Iterator[dict[str, Any]]:
    """Shape a tool call in a stream: its name first, then its arguments in pieces.

    Deltas after the first carry an empty id and `later_name` in place of the name.
    """
    whole = whole_call(call, at, request_id)
    yield {**whole, "function": {"name": call.name, "arguments": ""}}
    for chunk in chunks_of(whole["function"]["arguments"]):
        yield {**whole, "id": "", "function": {"name": later_name, "arguments": chunk}}


def probabilities(text: str, alternatives: int | None) -> list[dict[str, Any]] | None:
    """Shape the log probabilities of a text; `alternatives` is how many to list."""
    if alternatives is None:
        return None
    content = []
    for token in pieces(text):
        certain = {"token": token, "logprob": 0.0, "bytes": list(token.encode())}
        other = {"token": " ", "logprob": math.log(1e-6), "bytes": [32]}
        content.append({**certain, "top_logprobs": [certain, *[other] * 4][:alternatives]})
    return content


def cache_details(report: MediaReport) -> dict[str, Any]:
    """Return what was cached: a zero, and more where there were markers (Cache page, 2026-10)."""
    use = report.cache
    if use is None:
        return {"cached_tokens": 0}
    return {
        "cached_tokens": use.found,
        "cache_creation_input_tokens": use.created,
        # unsure: the name for an hour, by analogy.
        "cache_creation": {
            f"ephemeral_{'1h' if use.seconds > KEPT_SECONDS else '5m'}_input_tokens": use.created
        },
        "cache_type": "ephemeral",
    }
