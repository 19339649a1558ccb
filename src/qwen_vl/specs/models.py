"""What each model accepts: pixel and frame limits, thinking, tools, schemas.

One table of facts, matched by pattern. The list is open: an id that matches no row gets what
the newest models do. The figures are those of the service's pages as of 2026-11-28 (OpenAI-Chat,
Native-API, Vision, Structured output, Qwen4); `# unsure` marks what the pages leave open.
"""

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from qwen_vl.specs.audio import LONG_AUDIO, QWEN3_AUDIO, TURBO_AUDIO, AudioSpec
from qwen_vl.specs.processors import Family, family_of

DEFAULT_MODEL = "qwen3-vl-plus"
"""The model that the service's own guide begins with (Vision page, 2025-10)."""

DEFAULT_OCR_MODEL = "qwen-vl-ocr"
"""The stable model that reads text (OCR page, 2026)."""

Thinking = Literal["never", "off", "on", "always"]

CoordinateSpace = Literal["normalized", "resized", "sent"]
"""Coordinate space of a model's answers, from the image's top left: thousandths of its
width and height, 0 to 1000; pixels of the image as the model processes it; or pixels of the
image as it was sent."""

REASONING_EFFORTS = ("low", "medium", "xhigh")
"""Levels of `reasoning_effort` of Qwen3.8; other names stand for one of them (Native-API page,
2026-09)."""

DEFAULT_REASONING_EFFORT = "xhigh"
"""Where none is given (Native-API page, 2026-09)."""

_MIB = 2**20
_GIB = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """What one model accepts.

    Args:
        family: Name of the row, for people.
        factor: Pixels along one side of a visual token.
        image_min_pixels: `min_pixels` of an image where none is given, and its lowest value.
        image_max_pixels: `max_pixels` of an image where none is given.
        image_pixels_limit: Highest `max_pixels` of an image, and its value with
            `vl_high_resolution_images`.
        frame_min_pixels: Lowest `min_pixels` of a video's frame.
        frame_pixels_limit: Highest `max_pixels` of a video's frame.
        frame_default_min_pixels: `min_pixels` of a video's frame where none is given.
        frame_default_max_pixels: `max_pixels` of a video's frame where none is given.
        total_pixels_limit: Highest `total_pixels` of a video, and its value where none is given.
        max_frames: Longest list of frames.
        max_images: Most images of one request.
        thinking: `"never"`, `"off"` or `"on"` until `enable_thinking` says otherwise, `"always"`.
        accepts_reasoning_effort: Whether `reasoning_effort` is read.
        reasoning_efforts: Levels of `reasoning_effort`; other names stand for one of them.
        default_reasoning_effort: Where none is given; `None` where no page gives it.
        accepts_effort_off: Whether `reasoning_effort` may be `"off"`, another name of `"none"`.
        encrypts_reasoning: Whether `thinking_display` is read: reasoning comes as a summary, with
            the whole of it encrypted.
        max_tokens_covers_reasoning: Whether `max_tokens` limits reasoning and answer together.
        preserves_thinking: Whether earlier reasoning is expected back unless
            `preserve_thinking` says otherwise.
        accepts_vision: Whether images and videos are taken at all.
        accepts_video: Whether videos are taken.
        audio: What it takes of audio; `None` for nothing.
        streams_only: Whether it answers only in streams.
        accepts_tools: Whether tools can be called.
        accepts_json_schema: Whether `response_format` may carry a schema.
        accepts_json_while_thinking: Whether JSON mode goes with thinking.
        accepts_system: Whether a system message is taken.
        accepts_ocr_tasks: Whether the native protocol's `ocr_options` are read.
        cache_ttls: Lifetimes of a cached prefix that may be asked for; empty where there is one
            lifetime for all.
        accepts_cache_breakpoint: Whether `prompt_cache_breakpoint` marks the end of a prefix.
        coordinates: Coordinate space of its answers.
        context_window: Tokens of input and output together; `None` where no page gives it.
        max_input_tokens: Maximum number of tokens of input.
        max_output_tokens: Maximum number of tokens of an answer.
    """

    family: str
    factor: Literal[28, 32] = 32
    image_min_pixels: int = 65_536
    image_max_pixels: int = 2_621_440
    image_pixels_limit: int = 16_777_216
    frame_min_pixels: int = 4_096
    frame_pixels_limit: int = 2_048_000
    frame_default_min_pixels: int = 65_536
    frame_default_max_pixels: int = 655_360
    total_pixels_limit: int = 819_200_000
    max_frames: int = 8_000
    max_images: int = 256
    thinking: Thinking = "on"
    accepts_reasoning_effort: bool = False
    reasoning_efforts: tuple[str, ...] = REASONING_EFFORTS
    default_reasoning_effort: str | None = DEFAULT_REASONING_EFFORT
    accepts_effort_off: bool = False
    encrypts_reasoning: bool = False
    max_tokens_covers_reasoning: bool = False
    preserves_thinking: bool = False
    accepts_vision: bool = True
    accepts_video: bool = True
    audio: AudioSpec | None = None
    streams_only: bool = False
    accepts_tools: bool = True
    accepts_json_schema: bool = False
    accepts_json_while_thinking: bool = False
    accepts_system: bool = True
    accepts_ocr_tasks: bool = False
    cache_ttls: tuple[str, ...] = ()
    accepts_cache_breakpoint: bool = False
    # Vision page, 2026-08, of Qwen3-VL; QwenLM/Qwen3.8-Flash-Next#4 of Qwen3.8.
    # unsure: of 3.5, 3.6 and 3.7, and of Qwen2-VL, of which no page says anything; and whether the
    # last number is 1000 or 999, as that page has it: they are 0.1 % apart.
    coordinates: CoordinateSpace = "normalized"
    context_window: int | None = 1_000_000
    max_input_tokens: int | None = 991_808
    max_output_tokens: int | None = 65_536

    @property
    def accepts_audio(self) -> bool:
        """Whether audio is taken."""
        return self.audio is not None


MIN_FRAMES = 4
"""Shortest list of frames, for every model (Vision page, 2026-08)."""

MIN_SIDE_PIXELS = 11
"""Shortest side of an image: the page says "greater than 10" (Vision page, 2026-08)."""

MAX_ASPECT_RATIO = 200
"""Longest side of an image by its shortest (Vision page, 2026-08)."""

PIXELS_OF_4K = 3_840 * 2_160
"""Largest image in formats other than JPEG and PNG (Vision page, 2026-08)."""

MAX_INLINE_IMAGES = 250
"""Most Base64 images of one request (Vision page, 2026-08)."""

MAX_VIDEOS = 64
"""Most videos of one request (Vision page, 2026-08)."""

MIN_FPS, MAX_FPS = 0.1, 10.0
"""Range of `fps` (Native-API page, 2026-09)."""

MAX_BODY_BYTES = 64 * _MIB
"""Longest request body; a longer one is answered with HTTP 413 (Rate-limit page, 2026)."""

_QWEN38 = ModelSpec(
    family="Qwen3.8",
    max_images=2_048,
    accepts_reasoning_effort=True,
    preserves_thinking=True,
    accepts_json_schema=True,
    accepts_json_while_thinking=True,
    max_output_tokens=131_072,
)
_QWEN4 = replace(
    _QWEN38,
    family="Qwen4",
    # unsure: a gateway's calls of 2026-11-17; the model's page does not list them.
    reasoning_efforts=("minimal", "low", "medium", "high", "xhigh", "max"),
    default_reasoning_effort=None,
    accepts_effort_off=True,
    encrypts_reasoning=True,
    # unsure: of the same calls.
    max_tokens_covers_reasoning=True,
    # Qwen4-Cache page, 2026-11. unsure: the page names both lifetimes, and the copies that were
    # read lack the name of the field; `ttl` is that of the protocol that the marker comes from.
    cache_ttls=("5m", "1h"),
    accepts_cache_breakpoint=True,
    # unsure: pixel limits, tokens of an image, the longest list of frames (a gateway has 80) and
    # coordinates are found nowhere; those of Qwen3.8 are taken.
)
_QWEN38_OPEN = replace(
    _QWEN38,
    preserves_thinking=False,
    max_images=256,
    accepts_json_schema=False,
    # OpenAI-Chat page, 2026-10.
    max_output_tokens=65_536,
)
_QWEN37 = ModelSpec(family="Qwen3.7", accepts_json_schema=True, accepts_json_while_thinking=True)
_QWEN36 = ModelSpec(family="Qwen3.6")
_QWEN35 = ModelSpec(family="Qwen3.5")
# The omni models: Omni page, 2026-09.
_OMNI = ModelSpec(
    family="Qwen omni",
    image_min_pixels=24_576,
    image_max_pixels=1_310_720,
    total_pixels_limit=184_549_376,
    max_frames=2_048,
    max_images=2_048,
    audio=LONG_AUDIO,
    context_window=1_000_000,
    max_input_tokens=None,
    # unsure: from LiteLLM's page on its release.
    max_output_tokens=131_072,
)
_QWEN35_OMNI = replace(
    _OMNI,
    family="Qwen3.5-Omni",
    thinking="never",
    streams_only=True,
    context_window=None,
    max_output_tokens=None,
)
_QWEN3_OMNI = replace(
    _QWEN35_OMNI,
    family="Qwen3-Omni",
    image_min_pixels=4_096,
    image_pixels_limit=1_310_720,
    frame_default_max_pixels=786_432,
    total_pixels_limit=16_777_216,
    max_frames=128,
    thinking="off",
    audio=QWEN3_AUDIO,
    context_window=65_536,
    max_input_tokens=49_152,
    max_output_tokens=16_384,
)
_OMNI_TURBO = replace(
    _QWEN3_OMNI,
    family="Qwen-Omni-Turbo (no longer updated)",
    factor=28,
    image_min_pixels=3_136,
    image_max_pixels=1_003_520,
    image_pixels_limit=1_003_520,
    frame_min_pixels=3_136,
    frame_pixels_limit=602_112,
    frame_default_min_pixels=50_176,
    frame_default_max_pixels=602_112,
    total_pixels_limit=12_845_056,
    max_frames=80,
    thinking="never",
    audio=TURBO_AUDIO,
    context_window=32_768,
    max_input_tokens=30_720,
    max_output_tokens=2_048,
)
_QWEN3_VL = ModelSpec(
    family="Qwen3-VL",
    total_pixels_limit=134_217_728,
    max_frames=2_000,
    thinking="off",
    context_window=262_144,
    max_input_tokens=260_096,
    max_output_tokens=32_768,
)
_QWEN3_VL_OPEN = replace(
    _QWEN3_VL,
    family="Qwen3-VL, open weights",
    frame_pixels_limit=786_432,
    total_pixels_limit=67_108_864,
    max_frames=512,
)
_QWEN_VL = ModelSpec(
    family="Qwen-VL, later (retired)",
    image_min_pixels=4_096,
    image_max_pixels=1_310_720,
    frame_pixels_limit=786_432,
    total_pixels_limit=67_108_864,
    max_frames=512,
    thinking="never",
    accepts_tools=False,
    # unsure: they are between Qwen2.5-VL and Qwen3-VL.
    coordinates="resized",
    context_window=131_072,
    max_input_tokens=129_024,
    max_output_tokens=8_192,
)
_QWEN25_VL = ModelSpec(
    family="Qwen2.5-VL",
    factor=28,
    image_min_pixels=3_136,
    image_max_pixels=1_003_520,
    image_pixels_limit=12_845_056,
    frame_min_pixels=3_136,
    frame_pixels_limit=602_112,
    frame_default_min_pixels=50_176,
    frame_default_max_pixels=501_760,
    total_pixels_limit=51_380_224,
    max_frames=512,
    thinking="never",
    accepts_tools=False,
    coordinates="resized",  # Vision page, 2026-08.
    context_window=131_072,
    max_input_tokens=129_024,
    max_output_tokens=8_192,
)
_QVQ = replace(_QWEN25_VL, family="QVQ", thinking="always", max_output_tokens=16_384)
_QWEN2_VL = replace(
    _QWEN25_VL,
    family="Qwen2-VL and before",
    max_frames=80,
    coordinates="normalized",
)
_OCR = ModelSpec(
    family="Qwen OCR",
    image_min_pixels=3_072,
    image_max_pixels=8_388_608,
    max_frames=0,
    thinking="never",
    accepts_video=False,
    accepts_tools=False,
    accepts_system=False,
    accepts_ocr_tasks=True,
    context_window=38_192,
    max_input_tokens=30_000,
    max_output_tokens=8_192,
)

# The first pattern found in the id counts, so the special cases stand before their families.
_ROWS: tuple[tuple[str, ModelSpec], ...] = (
    (r"ocr", _OCR),
    # Native-API page, 2026-09: of the omni models it is this one that reads reasoning_effort.
    (r"qwen3\.8-omni", replace(_OMNI, accepts_reasoning_effort=True)),
    (r"qwen3\.5-omni", _QWEN35_OMNI),
    (r"qwen3[-_.]?omni", _QWEN3_OMNI),
    (r"qwen-omni|qwen2[._]5[-_.]?omni", _OMNI_TURBO),
    (r"omni", _OMNI),
    (r"qvq", _QVQ),
    # What is newer than the newest is taken for it: "qwen5-max", "qwen3.9-flash", "qwen4.1-max".
    (r"qwen([4-9]|3\.9|3\.\d\d)([-.]|$)", _QWEN4),
    (r"qwen3\.8-2\.4t", replace(_QWEN38_OPEN, thinking="always")),
    (r"qwen3\.8-\d+b", _QWEN38_OPEN),
    (r"qwen3\.8", _QWEN38),
    (r"qwen3\.7-flash", replace(_QWEN37, max_output_tokens=131_072)),
    (r"qwen3\.7-plus", replace(_QWEN37, max_images=2_048)),
    # unsure: the bare id is text-only by third-party model cards, its snapshot takes images.
    (r"qwen3\.7-max$", replace(_QWEN37, accepts_vision=False, accepts_video=False)),
    (r"qwen3\.7", _QWEN37),
    (r"qwen3\.6", _QWEN36),
    (r"qwen3\.5", _QWEN35),
    (r"qwen3-vl-235b.*thinking", replace(_QWEN3_VL, thinking="always")),
    (r"qwen3-vl-235b", replace(_QWEN3_VL, thinking="never")),
    (r"qwen3-vl.*-thinking", replace(_QWEN3_VL_OPEN, thinking="always")),
    (r"qwen3-vl.*-instruct", replace(_QWEN3_VL_OPEN, thinking="never")),
    (r"qwen3-vl-plus", _QWEN3_VL),
    (r"qwen3-vl-flash", _QWEN3_VL),
    (r"qwen3[-_.]?vl", _QWEN3_VL_OPEN),
    (r"qwen2[._]5[-_.]?vl", _QWEN25_VL),
    (r"qwen2[-_.]?vl", _QWEN2_VL),
    (r"qwen-vl-(max|plus)(-latest|-2025-08-1[35]|-2025-07-10|-0813|-0815|-0710)?$", _QWEN_VL),
    # The snapshots of early 2025 are Qwen2.5-VL.
    (r"qwen-vl-(max|plus)-(2025|0)", _QWEN25_VL),
    (r"qwen-vl", _QWEN2_VL),
)
NEWEST = _QWEN4
"""The facts that an unknown id gets."""

CAREFUL = replace(
    NEWEST,
    family="unknown",
    encrypts_reasoning=False,
    max_tokens_covers_reasoning=False,
    cache_ttls=(),
    accepts_cache_breakpoint=False,
    accepts_json_schema=False,
    accepts_json_while_thinking=False,
    context_window=131_072,
    max_input_tokens=129_024,
    max_output_tokens=8_192,
)
"""The facts of a name that a gateway gives: the least that any current vision model can do."""

CURRENT_MODELS: tuple[str, ...] = (
    "qwen4-max",
    "qwen3.8-max",
    "qwen3.8-flash",
    "qwen3.8-omni-flash",
    "qwen3.5-omni-plus",
    "qwen3.5-omni-flash",
    "qwen3.8-27b",
    "qwen3.8-2.4t-a95b",
    "qwen3.7-max-2026-06-08",
    "qwen3.7-plus",
    "qwen3.7-flash",
    "qwen3.6-plus",
    "qwen3.6-flash",
    "qwen3.6-35b-a3b",
    "qwen3.6-27b",
    "qwen3.5-plus",
    "qwen3.5-flash",
    "qwen3.5-397b-a17b",
    "qwen3.5-122b-a10b",
    "qwen3.5-35b-a3b",
    "qwen3.5-27b",
    "qwen3-vl-plus",
    "qwen-vl-ocr",
    "qwen3.5-ocr",
)
"""Ids that the service offers as of 2026-11-28; any other id may be used just as well."""

AUDIO_MODELS = tuple(name for name in CURRENT_MODELS if "omni" in name)
"""Those of them that take audio."""


_ROW_OF_FAMILY: dict[Family, str] = {"qwen2_5_vl": "qwen2.5-vl", "qwen3_vl": "qwen3-vl"}

# The patterns below look for two words in one name, from each first word to the name's end.
_MAX_NAME_CHARS = 256


@lru_cache(maxsize=256)
def get_model_spec(
    model: str, family: Family | None = None, *, unknown: ModelSpec = NEWEST
) -> ModelSpec:
    """Find what a model accepts.

    Args:
        model: A model id; a path before it, as in `Qwen/Qwen3-VL-8B-Instruct`, is passed over.
        family: Architecture of the model, if the id does not show it: it takes precedence.
        unknown: The facts of a model of another name.

    Returns:
        The facts of the first row whose pattern the id holds, or `unknown`.

    Example:
        >>> get_model_spec("qwen3-vl-plus").max_frames
        2000
        >>> get_model_spec("qwen9-vision").family
        'Qwen4'
        >>> get_model_spec("vision", "qwen2_5_vl").factor
        28
    """
    name = model[-_MAX_NAME_CHARS:].rsplit("/", 1)[-1].lower()
    spec = next((spec for pattern, spec in _ROWS if re.search(pattern, name)), unknown)
    if family is None or family_of(spec.factor) == family:
        return spec
    return get_model_spec(_ROW_OF_FAMILY[family])


def find_family(model: str) -> Family | None:
    """Find the architecture of a model by its name or path; `None` if unknown.

    Args:
        model: A model id, or a path such as that of a checkpoint.

    Example:
        >>> find_family("/models/Qwen2.5-VL-7B-Instruct-AWQ"), find_family("vision")
        ('qwen2_5_vl', None)
    """
    name = model[-_MAX_NAME_CHARS:].lower()
    spec = next((spec for pattern, spec in _ROWS if re.search(pattern, name)), None)
    return None if spec is None else family_of(spec.factor)


@lru_cache(maxsize=256)
def is_service_model(model: str) -> bool:
    """Return whether an id is one of the hosted service's, whose limits are known.

    Self-hosted servers name models by a path, and process images with other limits.

    Args:
        model: A model id.

    Example:
        >>> is_service_model("qwen3-vl-plus"), is_service_model("Qwen/Qwen3-VL-8B-Instruct")
        (True, False)
    """
    name = model[:_MAX_NAME_CHARS].lower()
    return "/" not in model and any(re.search(pattern, name) for pattern, _ in _ROWS)


def may_think(model: str, enable_thinking: bool | None) -> bool:
    """Return whether a model may think before it answers.

    Args:
        model: A model id.
        enable_thinking: What the request says; `None` for nothing.
    """
    thinking = get_model_spec(model).thinking
    if thinking in {"always", "never"}:
        return thinking == "always"
    return thinking == "on" if enable_thinking is None else enable_thinking
