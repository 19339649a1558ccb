"""Specs of the servers that speak the OpenAI-compatible protocol.

One row a server, one field a difference. The service's own row is what the pages of the service
say; that of vLLM was measured, at 0.32.0 (2026-11-22). Those of SGLang, llama.cpp and Ollama are
from their documents and sources as of 2026-11; `# unsure` marks what these leave open.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from qwen_vl.errors import ConfigurationError
from qwen_vl.specs.models import (
    CAREFUL,
    MAX_ASPECT_RATIO,
    MIN_SIDE_PIXELS,
    NEWEST,
    PIXELS_OF_4K,
    ModelSpec,
    get_model_spec,
)
from qwen_vl.specs.processors import PROCESSORS, Family

Server: TypeAlias = Literal[
    "dashscope", "vllm", "sglang", "llamacpp", "ollama", "openai_compatible"
]
"""Which server is asked: the hosted service, a self-hosted one, or a gateway before any of them."""

DEFAULT_SERVER: Server = "dashscope"

Protocol: TypeAlias = Literal["openai", "native"]
"""How the hosted service is spoken to: by the OpenAI-compatible protocol, or by its own."""

DEFAULT_PROTOCOL: Protocol = "openai"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLimits:
    """Which images a server takes.

    Args:
        min_side: Minimum pixels of a side.
        max_ratio: How many times as long as wide an image may be; `None` for any number.
        max_odd_pixels: Maximum pixels in formats other than JPEG and PNG; `None` for any number.
    """

    min_side: int = 1
    max_ratio: int | None = None
    max_odd_pixels: int | None = None


SERVICE_IMAGES = ImageLimits(
    min_side=MIN_SIDE_PIXELS, max_ratio=MAX_ASPECT_RATIO, max_odd_pixels=PIXELS_OF_4K
)
"""Those of the hosted service (Vision page, 2026-08)."""

# `smart_resize` of transformers, and what SGLang and Ollama have of it.
_TRANSFORMERS_IMAGES = ImageLimits(max_ratio=MAX_ASPECT_RATIO)
# vllm-project/vllm#15080 and #21109, ollama/ollama#11297: HTTP 500. Newest versions of transformers
# take them, but which one a server runs cannot be known.
_SMALL_SIDES: Mapping[Family, int] = {"qwen2_5_vl": 28}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSpec:
    """How one server is spoken to.

    Args:
        title: Its name, for people.
        thinking: Field that turns thinking on and off.
        thinking_budget: Field with the maximum reasoning tokens; `None` if it has none.
        template_parameters: Parameters that the chat template reads, in `chat_template_kwargs`.
        reasoning: Name of earlier reasoning in an assistant's message.
        pixels: Where `min_pixels` and `max_pixels` stand: beside each image, or once for all
            of a request, in `mm_processor_kwargs`; `None` where only the server's flags set them.
        fps: Where `fps` stands: beside each video, or once for all of a request, in
            `media_io_kwargs`; `None` if it is not supported.
        video: Part that a video file stands in; `None` where no video file is taken.
        frames: Form of a list of frames: a separate part, one `data:video/jpeg` URL of
            all, or an image each.
        audio: Part that audio stands in: by its URL, or as Base64 with its format; `None` where no
            audio is taken.
        audio_formats: Formats that are taken; empty for any.
        takes_urls: Whether images and videos may be given by `http:` and `https:`.
        takes_detail: Whether `detail` stands beside an image's URL.
        renamed: Parameters that go by another name.
        unread: Parameters that the server would pass over in silence.
        forced_tools: Whether `tool_choice` can make the model call a tool: one that it names,
            any with `"required"` alone, or not at all.
        partial: Parameters with which the model goes on with an assistant's last message; `None`
            where it cannot.
        tokens: Whose rule counts images and videos.
        images: Which images are taken.
        small_sides: Minimum pixels of a side, for the families of which it has another.
        image_areas: Minimum and maximum pixels that it scales images to, by family, where it does
            not go by the checkpoint's own.
        decodes_mpegts: Whether it sees anything in MPEG-TS.
        min_video_seconds: Length of the shortest video file that is taken.
    """

    title: str
    thinking: Literal["enable_thinking", "chat_template_kwargs", "reasoning_effort"]
    thinking_budget: str | None
    template_parameters: tuple[str, ...] = ()
    reasoning: Literal["reasoning_content", "reasoning"]
    pixels: Literal["part", "mm_processor_kwargs"] | None
    fps: Literal["part", "media_io_kwargs"] | None
    video: Literal["video_url", "input_video"] | None
    frames: Literal["video", "video/jpeg", "images"]
    audio: Literal["audio_url", "input_audio"] | None = None
    audio_formats: tuple[str, ...] = ()
    takes_urls: bool = True
    takes_detail: bool = False
    renamed: Mapping[str, str]
    unread: frozenset[str] = frozenset()
    forced_tools: Literal["named", "required", "no"] = "named"
    partial: Mapping[str, bool] | None
    tokens: Literal["service", "transformers"] = "transformers"
    decodes_mpegts: bool = True
    min_video_seconds: float = 0.0
    images: ImageLimits = ImageLimits()
    small_sides: Mapping[Family, int] = field(default_factory=dict)
    image_areas: Mapping[Family, tuple[int, int]] = field(default_factory=dict)

    def image_area(self, family: Family) -> tuple[int, int]:
        """Return the minimum and maximum pixels that images are scaled to.

        Args:
            family: Architecture of the model.
        """
        return self.image_areas.get(family, PROCESSORS[family].image)

    def image_limits(self, family: Family) -> ImageLimits:
        """Return which images are taken for a model.

        Args:
            family: Its architecture.
        """
        least = self.small_sides.get(family)
        return self.images if least is None else replace(self.images, min_side=least)

    @property
    def is_shared(self) -> bool:
        """Whether limits of pixels hold for all parts of a request, and not for each."""
        return self.pixels == "mm_processor_kwargs"


_SERVICE_ONLY = frozenset(
    {
        "enable_code_interpreter",
        "enable_search",
        "search_options",
        "thinking_display",
        "tool_stream",
        "vl_high_resolution_images",
    }
)
# Of OpenAI's API.
_OPENAI_AUDIO = ("wav", "mp3")
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
        # With a data URL in the place of bare Base64 (Omni page, 2026-09).
        audio="input_audio",
        takes_detail=True,
        renamed={},
        partial={},
        tokens="service",
        images=SERVICE_IMAGES,
        # Vision page, 2026-08.
        min_video_seconds=2.0,
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
        # docs.vllm.ai, "Multimodal Inputs". unsure: not measured, no omni weights were served.
        audio="audio_url",
        renamed={},
        unread=_SERVICE_ONLY,
        # Measured with vLLM 0.32: it decodes no frame of it.
        decodes_mpegts=False,
        partial={"continue_final_message": True, "add_generation_prompt": False},
        images=_TRANSFORMERS_IMAGES,
        small_sides=_SMALL_SIDES,
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
        frames="images",
        # sgl-project/sglang, entrypoints/openai/protocol.py. unsure: not measured.
        audio="audio_url",
        takes_detail=True,
        renamed={},
        unread=_SERVICE_ONLY,
        partial={"continue_final_message": True},
        images=_TRANSFORMERS_IMAGES,
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
        frames="images",
        # ggml-org/llama.cpp, tools/server/server-common.cpp. unsure: not measured.
        audio="input_audio",
        audio_formats=_OPENAI_AUDIO,
        # unsure: from its README, not measured.
        renamed={"repetition_penalty": "repeat_penalty", "max_completion_tokens": "max_tokens"},
        unread=_SERVICE_ONLY,
        # unsure: a package of another's says that a named tool is taken for "auto" in silence.
        forced_tools="required",
        partial=None,
        # ggml-org/llama.cpp, tools/mtmd/clip.cpp, `set_limit_image_tokens(8, 4096)`. unsure: the
        # flags --image-min-tokens and --image-max-tokens change it.
        image_areas={
            family: (8 * processor.factor**2, 4_096 * processor.factor**2)
            for family, processor in PROCESSORS.items()
        },
    ),
    "ollama": ServerSpec(
        title="Ollama",
        thinking="reasoning_effort",
        thinking_budget=None,
        reasoning="reasoning",
        pixels=None,
        fps=None,
        video=None,
        frames="images",
        # unsure: the newest page lists image URLs, the source of 2026-08 refuses them.
        takes_urls=False,
        renamed={"max_completion_tokens": "max_tokens"},
        unread=_SERVICE_ONLY
        | {"parallel_tool_calls", "preserve_thinking", "repetition_penalty", "top_k"},
        # unsure: the newest page lists tool_choice, the source of 2026-08 passes over it.
        forced_tools="no",
        partial=None,
        images=_TRANSFORMERS_IMAGES,
        small_sides=_SMALL_SIDES,
        # ollama/ollama, model/models/{qwen25vl,qwen3vl}, `newImageProcessor`: "2M limit". unsure:
        # before 2025-11 the first had half of it.
        image_areas={
            "qwen2_5_vl": (PROCESSORS["qwen2_5_vl"].image[0], 2**21),
            "qwen3_vl": (PROCESSORS["qwen3_vl"].image[0], 2**21),
        },
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
        frames="images",
        # unsure: OpenAI's form. A gateway that passes it on to the service as it is gets an error
        # there, which wants a data URL.
        audio="input_audio",
        audio_formats=_OPENAI_AUDIO,
        takes_detail=True,
        renamed={},
        unread=_SERVICE_ONLY | {"preserve_thinking", "repetition_penalty", "top_k"},
        partial=None,
    ),
}
"""Every server, by its name."""


def get_served_spec(model: str, server: Server, family: Family | None = None) -> ModelSpec:
    """Find what a model accepts where a server may have another name for it.

    Args:
        model: A model id, or a gateway's name.
        server: Which server is asked.
        family: Architecture of the model, if the name does not show it.

    Example:
        >>> get_served_spec("my-vision", "openai_compatible").accepts_json_schema
        False
    """
    unknown = CAREFUL if server == "openai_compatible" else NEWEST
    return get_model_spec(model, family, unknown=unknown)


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
