"""Reading what a request asks of the answer, strictly: what both protocols have in common.

Rules are those of the OpenAI-Chat and Native-API pages (2026-10 and 2026-09), the
Structured page (2026-10) and the Errors page (2026-07).
"""

import re
from typing import Any, Literal

from qwen_vl_sandbox.errors.api_error import ALGO, reject
from qwen_vl_sandbox.reading.conversation import Options, Tool
from qwen_vl_sandbox.reading.messages import MEDIA_OPTIONS
from qwen_vl_sandbox.reading.validation import Fields
from qwen_vl_sandbox.specs.models import ModelSpec

SHARED_FIELDS = frozenset(
    {
        "temperature",
        "top_p",
        "top_k",
        "repetition_penalty",
        "presence_penalty",
        "seed",
        "stop",
        "n",
        "logprobs",
        "top_logprobs",
        "max_tokens",
        "max_completion_tokens",
        "enable_thinking",
        "thinking_budget",
        "reasoning_effort",
        "preserve_thinking",
        "thinking_display",
        "response_format",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "tool_stream",
        "vl_high_resolution_images",
        "enable_search",
        "search_options",
        "enable_code_interpreter",
    }
)
"""Documented fields of both protocols."""

EFFORTS = {
    "xhigh": 262_144,
    "max": 262_144,
    "high": 262_144,
    "medium": 16_384,
    "low": 4_096,
    "minimal": 4_096,
    "none": 0,
    "off": 0,
}
"""Reasoning tokens by `reasoning_effort` word (OpenAI-Chat page, 2026-10)."""

TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
MAX_SCHEMA_NAME = 64
MAX_TOP_LOGPROBS = 5
MAX_SEED = 2**31 - 1

NEEDS_STREAM = (
    "This model only support stream mode, please enable the stream parameter to access the model. "
)
NEEDS_NO_THINKING = "parameter.enable_thinking must be set to false for non-streaming calls"
ALWAYS_THINKS = "The value of the enable_thinking parameter is restricted to True."
NEEDS_JSON_WORD = (
    "'messages' must contain the word 'json' in some form, to use 'response_format' of type "
    "'json_object'."
)
NO_JSON_WHILE_THINKING = "Json mode response is not supported when enable_thinking is true"
NO_FORCED_TOOLS = (
    "The tool_choice parameter does not support being set to required or object in thinking mode"
)


def read_options(values: dict[str, Any], spec: ModelSpec, *, stream: bool, strict: bool) -> Options:
    """Read and check the shared fields.

    Raises:
        ApiError: A field has a value the service does not take, or two fields exclude each other.
    """
    fields = Fields(values)
    if strict and (options := MEDIA_OPTIONS & values.keys()):
        # unsure: they may be ignored here; the page shows them in content parts only.
        reject(f"{sorted(options)} must stand in a content part, not at the top level.")
    _check_sampling(fields)
    thinking, budget = _read_thinking(fields, spec, stream=stream, strict=strict)
    tools = _read_tools(fields, spec)
    answer_format, schema = _read_format(fields, spec, thinking=thinking, strict=strict)
    logprobs = fields.boolean("logprobs")
    top_logprobs = fields.integer("top_logprobs", 0, MAX_TOP_LOGPROBS)
    if top_logprobs is not None and not logprobs:
        reject("top_logprobs needs logprobs to be true.")
    max_tokens = fields.integer("max_tokens", 1, _most_tokens(spec))
    max_completion_tokens = fields.integer(
        "max_completion_tokens", 1, spec.max_output + spec.max_thinking_tokens
    )
    if spec.max_tokens_cover_reasoning and max_tokens is not None:
        max_completion_tokens = min(max_tokens, max_completion_tokens or max_tokens)
        max_tokens = None
    return Options(
        thinking=thinking,
        summarized=_read_display(fields, spec, strict=strict) and thinking,
        preserves_thinking=fields.boolean("preserve_thinking"),
        thinking_budget=budget,
        answer_format=answer_format,
        schema=schema,
        tools=tools,
        tool_choice=_read_choice(fields, tools, thinking=thinking),
        parallel_tool_calls=fields.boolean("parallel_tool_calls"),
        stop=_read_stop(fields),
        max_tokens=max_tokens,
        max_completion_tokens=max_completion_tokens,
        # unsure: whether the new generation gives logprobs; they are left out there.
        logprobs=logprobs and spec.logprobs,
        top_logprobs=top_logprobs or 0,
        high_resolution=fields.boolean("vl_high_resolution_images"),
    )


def _most_tokens(spec: ModelSpec) -> int:
    # unsure: of Qwen4, the sum of both limits.
    shared = spec.max_thinking_tokens if spec.max_tokens_cover_reasoning else 0
    return spec.max_output + shared


def _read_display(fields: Fields, spec: ModelSpec, *, strict: bool) -> bool:
    display = fields.string("thinking_display")
    if display is None:
        return False
    if not spec.summarizes:
        if strict:  # unsure: other models may ignore the field.
            reject("The model does not support thinking_display.")
        return False
    # unsure: what the default is called.
    return display == "summarized" or reject("thinking_display must be summarized.")


def check_json_word(options: Options, text: str) -> None:
    """Check that the prompt says "json" where the answer is to be a JSON object."""
    if options.answer_format == "json_object" and "json" not in text.lower():
        reject(ALGO + NEEDS_JSON_WORD)


def _check_sampling(fields: Fields) -> None:
    fields.number("temperature", 0, 2, high_excluded=True)
    fields.number("top_p", 0, 1, low_excluded=True)
    fields.integer("top_k", 0, MAX_SEED)
    fields.number("repetition_penalty", 0, float("inf"), low_excluded=True)
    fields.number("presence_penalty", -2, 2)
    fields.integer("seed", 0, MAX_SEED)
    # unsure: 1 to 4 is for text models without thinking; 1 is assumed for vision.
    fields.integer("n", 1, 1)
    for name in ("preserve_thinking", "tool_stream", "enable_search", "enable_code_interpreter"):
        fields.boolean(name)


def _read_stop(fields: Fields) -> tuple[str, ...]:
    stop = fields.get("stop")
    if stop is None:
        return ()
    values = stop if isinstance(stop, list) else [stop]
    if all(isinstance(value, str) and value for value in values):
        return tuple(values)
    if all(isinstance(value, int) and not isinstance(value, bool) for value in values):
        return ()  # Token ids: the sandbox has no vocabulary to look them up in.
    return reject("stop must be a string, a list of strings or a list of token ids, not a mix.")


def _read_thinking(
    fields: Fields, spec: ModelSpec, *, stream: bool, strict: bool
) -> tuple[bool, int | None]:
    asked = fields.get("enable_thinking")
    enabled = fields.boolean("enable_thinking")
    effort = _read_effort(fields, spec)
    budget = fields.integer("thinking_budget", 1, spec.max_thinking_tokens)
    if effort is not None and budget is not None:
        reject("reasoning_effort and thinking_budget cannot be set at the same time.")
    if spec.thinking == "always" and (effort == 0 or (asked is not None and not enabled)):
        reject(ALGO + ALWAYS_THINKS)
    thinking = {
        "always": True,
        "never": False,  # unsure: enable_thinking is taken as ignored here.
        "default_on": enabled or asked is None,
        "default_off": enabled,
    }[spec.thinking]
    if effort == 0:
        thinking = False
    if spec.streams_only and not stream:
        reject(ALGO + NEEDS_STREAM)
    if thinking and spec.thinks_only_in_streams and not stream:
        if spec.thinking == "always":
            reject(ALGO + NEEDS_STREAM)
        if strict:  # unsure: see `ModelSpec` of qwen3-vl-plus.
            reject(NEEDS_NO_THINKING)
    return thinking, budget if effort is None else effort


def _read_effort(fields: Fields, spec: ModelSpec) -> int | None:
    word = fields.string("reasoning_effort")
    if word is None:
        return None
    words = [word for word in EFFORTS if word != "off" or spec.takes_effort_off]
    if word not in words:
        reject(f"reasoning_effort must be one of {words}.")
    # unsure: models without effort levels are taken to ignore the field.
    return EFFORTS[word] if spec.takes_effort else None


def _read_format(
    fields: Fields, spec: ModelSpec, *, thinking: bool, strict: bool
) -> tuple[Literal["text", "json_object", "json_schema"], dict[str, Any] | None]:
    value = fields.get("response_format")
    if value is None:
        return "text", None
    kind = value.get("type") if isinstance(value, dict) else None
    match kind:
        case "text":
            return "text", None
        case "json_object":
            if not spec.json_object:
                reject("The model does not support response_format of type 'json_object'.")
            # unsure: the newest page says that there is no error and may be no effect.
            if thinking and not spec.json_while_thinking and strict:
                reject(ALGO + NO_JSON_WHILE_THINKING)
            return "json_object", None
        case "json_schema":
            if not spec.json_schema:
                reject("The model does not support response_format of type 'json_schema'.")
            return "json_schema", _read_schema(value.get("json_schema"))
        case _:
            return reject("response_format.type must be text, json_object or json_schema.")


def _read_schema(value: Any) -> dict[str, Any]:
    path = "response_format.json_schema"
    if not isinstance(value, dict):
        reject(f"{path} must be an object.")
    name = Fields(value, path).string("name")
    if not name or len(name) > MAX_SCHEMA_NAME:
        reject(f"{path}.name must have 1 to {MAX_SCHEMA_NAME} characters.")
    schema = value.get("schema")
    if not isinstance(schema, dict):
        reject(f"{path}.schema must be an object.")
    return schema


def _read_tools(fields: Fields, spec: ModelSpec) -> tuple[Tool, ...]:
    tools = fields.get("tools")
    if tools is None:
        return ()
    if not isinstance(tools, list) or not tools:
        # unsure: the wording for an empty list is not documented.
        reject("[] is too short - 'tools'")
    if not spec.tools:
        reject("The model does not support tools.")
    return tuple(_read_tool(tool, f"tools[{at}]") for at, tool in enumerate(tools))


def _read_tool(tool: Any, path: str) -> Tool:
    if not isinstance(tool, dict) or tool.get("type") != "function":
        reject(f"{path}.type must be 'function'.")
    function = tool.get("function")
    if not isinstance(function, dict):
        reject(f"{path}.function must be an object.")
    fields = Fields(function, f"{path}.function")
    name = fields.string("name")
    if not name or not TOOL_NAME.fullmatch(name):
        reject(f"{path}.function.name must match [A-Za-z0-9_-]{{1,64}}.")
    if name == "search":
        reject(f"{path}.function.name must not be 'search'.")
    parameters = function.get("parameters") or {}
    if not isinstance(parameters, dict):
        reject(f"{path}.function.parameters must be an object.")
    return Tool(name, parameters, fields.string("description") or "")


def _read_choice(
    fields: Fields, tools: tuple[Tool, ...], *, thinking: bool
) -> Literal["auto", "none", "required"] | Tool:
    choice = fields.get("tool_choice")
    match choice:
        case None | "auto":
            return "auto"
        case "none":
            return "none"
        case "required":
            # unsure: one page says it works without thinking, another does not promise it.
            picked: Literal["required"] | Tool = "required"
        case {"type": "function", "function": {"name": str(name)}}:
            picked = _named(name, tools)
        case _:
            reject("tool_choice must be auto, none, required or an object naming a function.")
    if thinking:
        reject(ALGO + NO_FORCED_TOOLS)
    return picked if tools else reject("tool_choice needs tools.")


def _named(name: str, tools: tuple[Tool, ...]) -> Tool:
    for tool in tools:
        if tool.name == name:
            return tool
    return reject(f"tool_choice names {name!r}, which is not among the tools.")
