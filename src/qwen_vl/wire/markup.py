"""Answers that show how a server was started: reasoning and tool calls in the wrong place."""

from collections.abc import Mapping
from typing import NamedTuple

from qwen_vl.errors import warn
from qwen_vl.reply import is_cut, is_length
from qwen_vl.request.types import Request
from qwen_vl.specs.servers import DEFAULT_SERVER


class _Flags(NamedTuple):
    """What to start a server with."""

    tools: str
    reasoning: str
    no_reasoning: str


_FLAGS: Mapping[str, _Flags] = {
    # vLLM's and SGLang's pages on tool calling and reasoning (2026-10).
    "vllm": _Flags(
        "--enable-auto-tool-choice --tool-call-parser hermes",
        "--reasoning-parser qwen3",
        "without --reasoning-parser",
    ),
    "sglang": _Flags(
        "--tool-call-parser qwen25",
        "--reasoning-parser qwen3",
        "without --reasoning-parser",
    ),
    "llamacpp": _Flags("--jinja", "--reasoning-format deepseek", "with --reasoning-format none"),
}
_TOOL_CALL = "<tool_call>"
_THINKING_END = "</think>"


def warn_of_misplaced(
    request: Request, *, text: str, has_reasoning: bool, has_calls: bool, finish_reason: str | None
) -> None:
    """Warn of an answer that stands where programs do not look for it.

    Args:
        request: What was asked.
        text: The text of the whole answer.
        has_reasoning: Whether the answer has reasoning.
        has_calls: Whether it has tool calls.
        finish_reason: Why it ended.
    """
    flags = _FLAGS.get(request.server)
    if not text:
        if not has_calls and is_length(finish_reason) and _shares_max_tokens(request):
            warn(
                f"The answer is empty: max_tokens of {request.model} covers reasoning and answer "
                "together, and the reasoning has taken it. Raise max_tokens, or lower "
                "reasoning_effort."
            )
        elif has_reasoning and not has_calls:
            warn(_explain_empty(flags, is_cut(finish_reason)))
        return
    if _THINKING_END in text:
        remedy = f" Start the server with {flags.reasoning}." if flags else ""
        warn(f"The text of the answer holds its reasoning, up to {_THINKING_END}.{remedy}")
    wants_calls = request.parameters.get("tools") and (
        request.parameters.get("tool_choice") != "none"
    )
    if wants_calls and not has_calls and _TOOL_CALL in text and not is_cut(finish_reason):
        remedy = f" Start the server with {flags.tools}." if flags else ""
        warn(f"The text of the answer holds a tool call that was not parsed.{remedy}")


def _shares_max_tokens(request: Request) -> bool:
    is_hosted = request.server in {DEFAULT_SERVER, "openai_compatible"}
    return is_hosted and request.spec.max_tokens_covers_reasoning


def _explain_empty(flags: _Flags | None, is_cut_off: bool) -> str:
    if is_cut_off:
        return (
            "The answer is empty: its reasoning has taken all tokens that it may have. Raise "
            "max_tokens, or limit the reasoning."
        )
    remedy = (
        f" Start the server {flags.no_reasoning} for models that do not think." if flags else ""
    )
    return (
        "The answer is empty, and all of its text stands in its reasoning (LangChain: "
        f'additional_kwargs["reasoning_content"]; LlamaIndex: the ThinkingBlock).{remedy}'
    )
