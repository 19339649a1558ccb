"""What tells one server from another that speaks the OpenAI-compatible protocol.

One row a server, one field a difference. The service's own row is what the pages of the service
say; that of vLLM was measured, at 0.32.0 (2026-11-22). Those of SGLang, llama.cpp and Ollama are
from their documents and sources as of 2026-11; `# unsure` marks what these leave open.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from qwen_vl.errors import ConfigurationError

Server: TypeAlias = Literal[
    "dashscope", "vllm", "sglang", "llamacpp", "ollama", "openai_compatible"
]
"""Which server is asked: the hosted service, a self-hosted one, or a gateway before any of them."""

DEFAULT_SERVER: Server = "dashscope"

Protocol: TypeAlias = Literal["openai", "native"]
"""How the hosted service is spoken to: by the OpenAI-compatible protocol, or by its own."""

DEFAULT_PROTOCOL: Protocol = "openai"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSpec:
    """How one server is spoken to.

    Args:
        title: Its name, for people.
        thinking: Field that turns thinking on and off.
        thinking_budget: Field with the most tokens of reasoning; `None` where there is none.
        template_parameters: Parameters that the chat template reads, in `chat_template_kwargs`.
        reasoning: Name of earlier reasoning in an assistant's message.
        pixels: Where `min_pixels` and `max_pixels` stand: beside each picture, or once for all
            of a request, in `mm_processor_kwargs`; `None` where only the server's flags set them.
        fps: Where `fps` stands: beside each video, or once for all of a request, in
            `media_io_kwargs`; `None` where it has no place.
        video: Part that a video file stands in; `None` where no video file is taken.
        frames: Form of a list of frames: a part of its own, one `data:video/jpeg` address of
            all, or a picture each.
        takes_urls: Whether pictures and videos may be given by `http:` and `https:`.
        takes_detail: Whether `detail` stands beside a picture's address.
        renamed: Parameters that go by another name.
        unread: Parameters that the server would pass over in silence.
        forced_tools: Whether `tool_choice` can make the model call a tool: one that it names,
            any with `"required"` alone, or not at all.
        partial: Parameters with which the model goes on with an assistant's last message; `None`
            where it cannot.
        tokens: Whose rule counts pictures and videos.
    """

    title: str
    thinking: Literal["enable_thinking", "chat_template_kwargs", "reasoning_effort"]
    thinking_budget: str | None
    template_parameters: tuple[str, ...] = ()
    reasoning: Literal["reasoning_content", "reasoning"]
    pixels: Literal["part", "mm_processor_kwargs"] | None
    fps: Literal["part", "media_io_kwargs"] | None
    video: Literal["video_url", "input_video"] | None
    frames: Literal["video", "video/jpeg", "pictures"]
    takes_urls: bool = True
    takes_detail: bool = False
    renamed: Mapping[str, str]
    unread: frozenset[str] = frozenset()
    forced_tools: Literal["named", "required", "no"] = "named"
    partial: Mapping[str, bool] | None
    tokens: Literal["service", "transformers"] = "transformers"


_SERVICE_ONLY = frozenset(
    {
        "enable_code_interpreter",
        "enable_search",
        "search_options",
        "tool_stream",
        "vl_high_resolution_images",
    }
)
# The templates of the open Qwen3.8 models read these (model cards, 2026-10).
_TEMPLATE = ("enable_thinking", "preserve_thinking")

SERVERS: Mapping[Server, ServerSpec] = {
    "dashscope": ServerSpec(
        title="Model Studio",
        thinking="enable_thinking",
        thinking_budget="thinking_budget",
        reasoning="reasoning_content",
        pixels="part",
        fps="part",
        video="video_url",
        frames="video",
        takes_detail=True,
        renamed={},
        partial={},
        tokens="service",
    ),
    "vllm": ServerSpec(
        title="vLLM",
        thinking="chat_template_kwargs",
        thinking_budget="thinking_token_budget",
        template_parameters=_TEMPLATE,
        reasoning="reasoning",
        pixels="mm_processor_kwargs",
        fps="media_io_kwargs",
        video="video_url",
        frames="video/jpeg",
        renamed={},
        unread=_SERVICE_ONLY,
        partial={"continue_final_message": True, "add_generation_prompt": False},
    ),
    "sglang": ServerSpec(
        title="SGLang",
        thinking="chat_template_kwargs",
        thinking_budget=None,
        template_parameters=_TEMPLATE,
        reasoning="reasoning_content",
        # unsure: newer versions may take limits in a request; what is known are the server's flags.
        pixels=None,
        fps=None,
        # unsure: the part's name in the released versions.
        video="video_url",
        frames="pictures",
        takes_detail=True,
        renamed={},
        unread=_SERVICE_ONLY,
        partial={"continue_final_message": True},
    ),
    "llamacpp": ServerSpec(
        title="llama.cpp",
        thinking="chat_template_kwargs",
        thinking_budget=None,
        template_parameters=_TEMPLATE,
        reasoning="reasoning_content",
        pixels=None,
        fps=None,
        # unsure: only the newest README has videos.
        video="input_video",
        frames="pictures",
        # unsure: from its README, not measured.
        renamed={"repetition_penalty": "repeat_penalty", "max_completion_tokens": "max_tokens"},
        unread=_SERVICE_ONLY,
        # unsure: a package of another's says that a named tool is taken for "auto" in silence.
        forced_tools="required",
        partial=None,
    ),
    "ollama": ServerSpec(
        title="Ollama",
        thinking="reasoning_effort",
        thinking_budget=None,
        reasoning="reasoning",
        pixels=None,
        fps=None,
        video=None,
        frames="pictures",
        # unsure: the newest page lists image addresses, the source of 2026-08 refuses them.
        takes_urls=False,
        renamed={"max_completion_tokens": "max_tokens"},
        unread=_SERVICE_ONLY
        | {"parallel_tool_calls", "preserve_thinking", "repetition_penalty", "top_k"},
        # unsure: the newest page lists tool_choice, the source of 2026-08 passes over it.
        forced_tools="no",
        partial=None,
    ),
    # LiteLLM, OpenRouter, LM Studio and other gateways: only what OpenAI's own API has. What a
    # gateway passes on beyond that, and under which name, only its user knows: `extra_body`.
    "openai_compatible": ServerSpec(
        title="An OpenAI-compatible gateway",
        thinking="reasoning_effort",
        thinking_budget=None,
        reasoning="reasoning_content",
        pixels=None,
        fps=None,
        # unsure: not of OpenAI's API, but LiteLLM and OpenRouter pass it on to models with video.
        video="video_url",
        frames="pictures",
        takes_detail=True,
        renamed={},
        unread=_SERVICE_ONLY | {"preserve_thinking", "repetition_penalty", "top_k"},
        partial=None,
    ),
}
"""Every server, by its name."""


def get_server_spec(server: Server) -> ServerSpec:
    """Find how a server is spoken to.

    Args:
        server: Its name.

    Raises:
        ConfigurationError: The name is not known.

    Example:
        >>> get_server_spec("vllm").frames
        'video/jpeg'
    """
    spec = SERVERS.get(server)
    if spec is None:
        known = ", ".join(SERVERS)
        raise ConfigurationError(f"server {server!r} is not known. Known are {known}.")
    return spec
