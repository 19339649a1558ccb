"""What servers that hold the model themselves take: one table.

vLLM is described as 0.32.0 was measured, started with `--trust-request-mm-kwargs`,
`--enable-prompt-tokens-details`, a reasoning parser and a tool parser, and reasoning off
by default. unsure: the other three are described from their published source and
documents, of which some may be older or newer than any release.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from qwen_vl_sandbox.errors.hosted import ErrorForm
from qwen_vl_sandbox.errors.self_hosted import LLAMACPP, OLLAMA, SCHEMA, SGLANG, VLLM

ServerName = Literal["dashscope", "vllm", "sglang", "llamacpp", "ollama"]
Endpoint = Literal["http", "data", "base64", "path"]

_OPENAI_FIELDS = frozenset(
    {
        "model",
        "messages",
        "stream",
        "stream_options",
        "temperature",
        "top_p",
        "presence_penalty",
        "frequency_penalty",
        "seed",
        "stop",
        "logprobs",
        "top_logprobs",
        "max_tokens",
        "response_format",
        "tools",
        "reasoning_effort",
    }
)
"""Fields that all four read."""

_MORE_FIELDS = _OPENAI_FIELDS | {
    "n",
    "tool_choice",
    "parallel_tool_calls",
    "max_completion_tokens",
    "logit_bias",
    "user",
    "top_k",
    "min_p",
    "chat_template_kwargs",
}
"""Fields that all but ollama read."""

_VLLM_FIELDS = _MORE_FIELDS | {
    "repetition_penalty",
    "stop_token_ids",
    "min_tokens",
    "ignore_eos",
    "skip_special_tokens",
    "spaces_between_special_tokens",
    "include_stop_str_in_output",
    "add_generation_prompt",
    "continue_final_message",
    "echo",
    "chat_template",
    "structured_outputs",
    "include_reasoning",
    "thinking_token_budget",
    "mm_processor_kwargs",
    "media_io_kwargs",
    "priority",
    "request_id",
    "cache_salt",
}
_SGLANG_FIELDS = _MORE_FIELDS | {
    "repetition_penalty",
    "stop_token_ids",
    "min_tokens",
    "ignore_eos",
    "skip_special_tokens",
    "continue_final_message",
    "regex",
    "ebnf",
    "separate_reasoning",
    "stream_reasoning",
}
_LLAMACPP_FIELDS = _MORE_FIELDS | {
    "repeat_penalty",
    "typical_p",
    "grammar",
    "json_schema",
    "cache_prompt",
    "id_slot",
    "ignore_eos",
    "n_predict",
    "n_probs",
    "min_keep",
    "samplers",
    "return_progress",
    "timings_per_token",
    "reasoning_format",
    "add_generation_prompt",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What one server takes, and how it answers.

    Whatever is neither taken nor refused is ignored, and recorded as unknown.
    """

    name: ServerName
    errors: ErrorForm
    fields: frozenset[str]
    """Fields of the body that it reads."""
    parts: Mapping[str, frozenset[str]]
    """Types of part that it takes, with what it reads inside each."""
    urls: frozenset[Endpoint]
    """How images and videos may be named."""
    inline_types: frozenset[str] | None = None
    """Media types of data URLs that it takes; any if not given."""
    bad_url: str = "Invalid url value"
    """What it says to other URLs."""
    no_links: str = ""
    """What it says to links, where it takes none."""
    no_files: str = ""
    """Its message for `file:`, if that is special."""
    details: frozenset[str] | None
    """Words of `detail` that it takes; `None` where it reads none."""
    served: Mapping[str, str] = field(default_factory=dict)
    """Names under which models are served, with the models: `--served-model-name`."""
    trusts_kwargs: bool = True
    """Whether it was started with `--trust-request-mm-kwargs`: it refuses such options else."""
    image_areas: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Minimum and maximum pixels of a scaled image, by family, if not the checkpoint's."""
    small_sides: Mapping[str, int] = field(default_factory=dict)
    """Pixels below which the sides of an image are refused, by family of models."""
    small_sides_status: int = 500
    """HTTP status of that."""
    frame_lists: bool = False
    """Whether `data:video/jpeg;base64,` may hold several images."""
    untyped_parts: bool = False
    """Whether a part may go without its `type`."""
    unknown_kind: str
    """What it says to other types of part."""
    wrong_shape: str | None = None
    """Its message for other shapes, if it is constant."""
    shape_code: str | None = None
    """The kind of that error, where it is not the status's own."""
    missing_status: int = 400
    """HTTP status where the URL of a medium answers with 4xx."""
    unreachable_status: int = 400
    """HTTP status where it answers with 5xx or not at all."""
    plain_image_url: bool = False
    """Whether `image_url` may be a text."""
    tool_choices: frozenset[str] = frozenset({"auto", "none", "required"})
    names_tools: bool = True
    """Whether `tool_choice` may name a tool."""
    named_finish: str = "tool_calls"
    """Finish reason of a call that was asked for by name."""
    cuts_calls: bool = False
    """Whether a call longer than the limit comes as text, cut."""
    call_id: str = "call_"
    """What the ids of its calls begin with."""
    streams_arguments: bool = True
    """Whether a stream gives a call's arguments in pieces."""
    needs_tools: bool = False
    """Whether it refuses an empty list of tools, and a choice without tools."""
    bad_arguments: str | None = None
    """What it says to arguments of past calls that are not JSON; `None` if it takes them."""
    no_object: str | None = None
    """What it says to arguments that are JSON, but not an object; `None` if it takes them."""
    arguments_status: int = 400
    """HTTP status of both."""
    empties_arguments: bool = False
    """Whether it replaces arguments that are not JSON by an empty object."""
    checks_sampling: bool = False
    """Whether sampling parameters and limits have to be in their ranges."""
    needs_schema_name: bool = False
    flat_schemas: bool = False
    """Whether a JSON schema may stand in `response_format` itself."""
    reasoning_key: str = "reasoning_content"
    efforts: frozenset[str] = frozenset({"none", "low", "medium", "high"})
    pieces_per_chunk: int = 1
    checks_keys: bool = True
    not_found: tuple[bytes, str] = (b'{"detail":"Not Found"}', "application/json")
    """Body and media type where it lacks a URL."""


_URL = frozenset({"url"})
_MEDIA_URL = frozenset({"url", "detail"})

_VLLM = Server(
    name="vllm",
    errors=VLLM,
    fields=_VLLM_FIELDS,
    parts={
        "text": frozenset(),
        "image_url": _MEDIA_URL,
        "video_url": _URL,
        # unsure: docs.vllm.ai, "Multimodal Inputs"; not measured.
        "audio_url": _URL,
    },
    urls=frozenset({"http", "data"}),
    details=frozenset({"auto", "low", "high"}),
    bad_url="The URL must be either a HTTP, data or file URL.",
    no_files="Cannot load local files without `--allowed-local-media-path`.",
    frame_lists=True,
    # vllm-project/vllm#15080, #21109: refused with older versions of transformers. 0.32.0 with
    # 5.19 took them when it was measured; the stricter is imitated.
    small_sides={"qwen2_5_vl": 28},
    untyped_parts=True,
    unknown_kind="Unsupported chat content part type: {kind!r}",
    shape_code=SCHEMA,
    missing_status=422,
    unreachable_status=500,
    named_finish="stop",
    cuts_calls=True,
    needs_tools=True,
    checks_sampling=True,
    needs_schema_name=True,
    call_id="chatcmpl-tool-",
    # vllm-project/vllm, vllm/entrypoints/chat_utils.py, `_postprocess_messages`, since July 2026.
    # Versions up to 0.25 answer 400 with Python's own words: "Expecting ',' delimiter: line 1 …".
    empties_arguments=True,
    reasoning_key="reasoning",
    # unsure: which words beside "none" and the three of OpenAI are taken.
    efforts=frozenset({"none", "minimal", "low", "medium", "high", "xhigh", "max"}),
)
_SGLANG = Server(
    name="sglang",
    errors=SGLANG,
    fields=_SGLANG_FIELDS,
    # unsure: the video part; an older stored version has none, the documents show one.
    parts={
        "text": frozenset(),
        "image_url": _MEDIA_URL,
        "video_url": _URL,
        # unsure: its entrypoints/openai/protocol.py; not measured.
        "audio_url": _URL,
    },
    urls=frozenset({"http", "data", "path"}),
    details=frozenset({"auto", "low", "high"}),
    unknown_kind="Input tag {kind!r} found using 'type' does not match any of the expected tags.",
    checks_sampling=True,
    needs_schema_name=True,
    # sgl-project/sglang, python/sglang/srt/entrypoints/openai/serving_chat.py,
    # `parse_tool_call_arguments`, since June 2026.
    bad_arguments="Assistant tool call function.arguments must be valid JSON.",
    no_object="Assistant tool call function.arguments must be a JSON object.",
)
_LLAMACPP = Server(
    name="llamacpp",
    errors=LLAMACPP,
    fields=_LLAMACPP_FIELDS,
    # unsure: the video part stands in the newest document, maybe in no release.
    parts={
        "text": frozenset(),
        "image_url": _URL,
        "input_video": frozenset({"url", "data"}),
        "input_audio": frozenset({"data", "format"}),
    },
    urls=frozenset({"http", "data", "base64"}),
    details=None,
    unknown_kind="unsupported content[].type",
    names_tools=False,
    # ggml-org/llama.cpp, tools/mtmd/clip.cpp, `set_limit_image_tokens(8, 4096)`
    image_areas={"qwen2_5_vl": (6_272, 3_211_264), "qwen3_vl": (8_192, 4_194_304)},
    # ggml-org/llama.cpp, common/chat.cpp, `func_args_not_string`: a `std::runtime_error`, which
    # the server answers with 500. What stands behind the position is the parser's own advice.
    bad_arguments=(
        "Failed to parse tool call arguments as JSON: [json.exception.parse_error.101] parse error "
        "at line {line}, column {column}: syntax error while parsing value"
    ),
    arguments_status=500,
    flat_schemas=True,
    call_id="",
    efforts=frozenset({"none", "minimal", "low", "medium", "high"}),
    not_found=(
        b'{"error":{"code":404,"message":"File Not Found","type":"not_found_error"}}',
        "application/json",
    ),
)
_OLLAMA = Server(
    name="ollama",
    errors=OLLAMA,
    fields=_OPENAI_FIELDS | {"reasoning"},
    parts={"text": frozenset(), "image_url": _URL},
    urls=frozenset({"data"}),
    details=None,
    unknown_kind="invalid message format",
    wrong_shape="invalid message format",
    inline_types=frozenset({"", "image/jpeg", "image/jpg", "image/png", "image/webp"}),
    bad_url="invalid image input",
    no_links="image URLs are not currently supported, please use base64 encoded data instead",
    plain_image_url=True,
    # ollama/ollama, model/models/{qwen25vl,qwen3vl}, `newImageProcessor`
    image_areas={"qwen2_5_vl": (3_136, 2_097_152), "qwen3_vl": (65_536, 2_097_152)},
    # ollama/ollama#11297
    small_sides={"qwen2_5_vl": 28},
    # ollama/ollama, openai/openai.go, `FromCompletionToolCall`.
    bad_arguments="invalid tool call arguments",
    no_object="invalid tool call arguments",
    # The source of August 2026 reads no `tool_choice`; the newest document lists it.
    tool_choices=frozenset(),
    names_tools=False,
    streams_arguments=False,
    reasoning_key="reasoning",
    efforts=frozenset({"none", "low", "medium", "high", "max"}),
    checks_keys=False,
    not_found=(b"404 page not found", "text/plain"),
)

SERVERS: dict[str, Server] = {
    server.name: server for server in (_VLLM, _SGLANG, _LLAMACPP, _OLLAMA)
}
"""All except the service itself."""
