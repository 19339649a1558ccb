"""What the sandbox knows of each model: limits, pixels, thinking, tools, schemas.

A table by pattern, first match wins; an unknown id gets the newest behaviour. The
facts are those of the OpenAI-Chat page (2026-10), the Vision page (2026-08), the
Qwen4 page (2026-11), the Structured page (2026-10) and the model-retirement notice
(2026-07); nothing here is shared with the encoder's own table, so that each can prove
the other wrong.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Literal

from qwen_vl_sandbox.errors.api_error import reject

ThinkingMode = Literal["always", "default_on", "default_off", "never"]

CoordinateSpace = Literal["normalized", "resized"]
"""Coordinate space of answers: thousandths, or pixels of the image as the model sees it."""

MIB = 1024 * 1024
GIB = 1024 * MIB
HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Pixels:
    """How many pixels one kind of media may have, per image or per frame."""

    lowest: int
    """The smallest `min_pixels` that may be asked for."""
    default_min: int
    default_max: int
    highest: int
    """The largest `max_pixels` that may be asked for."""


@dataclass(frozen=True, slots=True)
class VideoSpec:
    """What a model takes in the way of videos."""

    pixels: Pixels
    total_pixels: int
    """Default and largest sum over all sampled frames."""
    max_frames: int
    """Maximum number of frames sampled from a file."""
    longest_list: int
    """Most images in a frame list; the fewest are always 4."""
    max_seconds: float
    max_bytes: int
    """Largest file behind a link."""


@dataclass(frozen=True, slots=True)
class AudioSpec:
    """What a model takes in the way of audio (Omni page, 2026-09)."""

    max_seconds: float
    max_bytes: int
    """Largest file behind a link."""
    max_urls: int
    max_inline: int
    tokens_per_second: float


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What one model accepts."""

    patch: int
    """Side of the square behind one visual token, in pixels: 28 or 32."""
    image: Pixels
    video: VideoSpec | None
    max_image_bytes: int = 20 * MIB
    """Largest image, behind a link or as a data URL (Vision page, 2026-08)."""
    max_image_urls: int = 256
    sees: bool = True
    """Whether the model takes anything but text."""
    audio: AudioSpec | None = None
    streams_only: bool = False
    """Whether requests must ask for a stream (Omni page, 2026-09)."""
    reads: bool = False
    """Whether it is one of the text-reading models, with `ocr_options`."""
    streams_increments: bool = False
    """Default of `incremental_output` (Native-API page, 2026-09)."""
    is_on_text_path: bool = False
    """Which of the two native URLs it has: text generation or multimodal."""
    thinking: ThinkingMode = "default_on"
    thinks_only_in_streams: bool = False
    max_thinking_tokens: int = 262_144
    takes_effort: bool = False
    takes_effort_off: bool = False
    summarizes: bool = False
    """Whether `thinking_display` is read (Thinking-summary page, 2026-11)."""
    max_tokens_cover_reasoning: bool = False
    cache_seconds: Mapping[str, float] = field(default_factory=dict, hash=False)
    """Lifetimes of a cached prefix that can be asked for (Qwen4-Cache page, 2026-11)."""
    takes_breakpoints: bool = False
    """Whether `prompt_cache_breakpoint` is read (the same page)."""
    tools: bool = True
    json_object: bool = True
    json_while_thinking: bool = True
    json_schema: bool = False
    logprobs: bool = False
    max_input: int = 991_808
    max_input_thinking: int = 983_616
    max_output: int = 65_536


_NEW_FRAMES = Pixels(4_096, 65_536, 655_360, 2_048_000)
_MIDDLE_FRAMES = Pixels(4_096, 65_536, 655_360, 786_432)
_OLD_FRAMES = Pixels(3_136, 50_176, 501_760, 602_112)
_NEW_IMAGE = Pixels(65_536, 65_536, 2_621_440, 16_777_216)
_LATE_VL_IMAGE = Pixels(4_096, 4_096, 1_310_720, 16_777_216)
_OLD_IMAGE = Pixels(3_136, 3_136, 1_003_520, 12_845_056)
_OMNI_IMAGE = Pixels(24_576, 24_576, 1_310_720, 16_777_216)
# unsure: no cap on max_pixels is printed for qwen-vl-ocr; the 32 px family's is taken.
_OCR_IMAGE = Pixels(3_072, 3_072, 8_388_608, 16_777_216)

# unsure: max_frames of 3.8 is inferred from 3.7 (Native-API page, 2026-09).
_NEW_VIDEO = VideoSpec(_NEW_FRAMES, 819_200_000, 8000, 8000, 2 * HOUR, 2 * GIB)
_VL3_VIDEO = VideoSpec(_NEW_FRAMES, 134_217_728, 2000, 2000, HOUR, 2 * GIB)
_OPEN_VL3_VIDEO = VideoSpec(_MIDDLE_FRAMES, 67_108_864, 512, 512, HOUR / 3, 2 * GIB)
_VL_PLUS_VIDEO = VideoSpec(_MIDDLE_FRAMES, 67_108_864, 512, 512, HOUR / 6, GIB)
# unsure: max_frames of the 28 px family is not printed; the frame list's limit is taken.
_VL25_VIDEO = VideoSpec(_OLD_FRAMES, 51_380_224, 512, 512, HOUR / 6, GIB)
_OLDEST_VIDEO = VideoSpec(_OLD_FRAMES, 51_380_224, 80, 80, 40.0, 150 * MIB)
# Omni page, 2026-09.
_OMNI_VIDEO = VideoSpec(_NEW_FRAMES, 184_549_376, 2_048, 2_048, 2 * HOUR, 2 * GIB)
_OMNI35_VIDEO = replace(_OMNI_VIDEO, max_seconds=HOUR)
_OMNI3_VIDEO = replace(
    _OMNI_VIDEO,
    pixels=replace(_NEW_FRAMES, default_max=786_432),
    total_pixels=16_777_216,
    max_frames=128,
    longest_list=128,
    max_seconds=150.0,
    max_bytes=256 * MIB,
)
_TURBO_VIDEO = VideoSpec(
    replace(_OLD_FRAMES, default_max=602_112), 12_845_056, 80, 80, 40.0, 150 * MIB
)
_LONG_AUDIO = AudioSpec(3 * HOUR, 2 * GIB, 2_048, 250, 7)
_OMNI3_AUDIO = AudioSpec(HOUR / 3, 100 * MIB, 1, 1, 12.5)
_TURBO_AUDIO = AudioSpec(HOUR / 20, 10 * MIB, 1, 1, 25)

_G38 = ModelSpec(
    patch=32,
    image=_NEW_IMAGE,
    video=_NEW_VIDEO,
    max_image_urls=2048,
    takes_effort=True,
    json_schema=True,
    max_output=131_072,
)

NEWEST = replace(
    _G38,
    # unsure: measured by a gateway, as is what `max_tokens` covers; the page lists neither.
    takes_effort_off=True,
    summarizes=True,
    max_tokens_cover_reasoning=True,
    cache_seconds={"5m": 300.0, "1h": 3_600.0},
    takes_breakpoints=True,
)
"""qwen4-max, and what an unknown id is taken for.

unsure: its pixel limits and coordinates; those of qwen3.8-max are taken (Qwen4 page, 2026-11).
"""

# unsure: qwen3.7-plus's and qwen3.6-plus's longest reasoning is not printed.
_G37_FLASH = replace(_G38, takes_effort=False, max_image_urls=256)
_G37 = replace(_G37_FLASH, max_output=65_536)
_G37_PLUS = replace(_G37, max_image_urls=2048)
_G36 = replace(_G37, json_while_thinking=False, json_schema=False, max_thinking_tokens=131_072)
_G35 = replace(_G36, max_thinking_tokens=81_920)
_OPEN_38 = replace(_G38, json_schema=False, max_image_urls=256, max_output=65_536)
_OMNI = replace(
    _G35,
    image=_OMNI_IMAGE,
    video=_OMNI_VIDEO,
    audio=_LONG_AUDIO,
    max_image_urls=2048,
)
_OMNI35 = replace(_OMNI, video=_OMNI35_VIDEO, thinking="never", streams_only=True)
_OMNI3 = replace(
    _OMNI35,
    image=replace(_OMNI_IMAGE, lowest=4_096, default_min=4_096, highest=1_310_720),
    video=_OMNI3_VIDEO,
    audio=_OMNI3_AUDIO,
    thinking="default_off",
    max_input=49_152,
    max_input_thinking=16_384,
    max_output=16_384,
)
_OMNI_TURBO = replace(
    _OMNI3,
    patch=28,
    image=replace(_OLD_IMAGE, highest=1_003_520),
    video=_TURBO_VIDEO,
    audio=_TURBO_AUDIO,
    thinking="never",
    max_input=30_720,
    max_output=2_048,
)

_VL3 = replace(
    _G35,
    video=_VL3_VIDEO,
    thinking="default_off",
    # The Native-API page (2026-09) says that "Qwen3 commercial thinking" must stream.
    # unsure: other pages are silent on qwen3-vl-plus without streaming.
    thinks_only_in_streams=True,
    logprobs=True,
    streams_increments=True,
    max_input=260_096,
    max_input_thinking=258_048,
    max_output=32_768,
)
_VL3_235B = replace(_VL3, max_input=129_024, max_input_thinking=126_976)
_VL3_OPEN = replace(_VL3_235B, video=_OPEN_VL3_VIDEO)
_VL_LATE = replace(
    _VL3_OPEN,
    image=_LATE_VL_IMAGE,
    max_image_bytes=10 * MIB,
    thinking="never",
    tools=False,
    logprobs=False,
    streams_increments=False,
)
_VL25 = replace(_VL_LATE, patch=28, image=_OLD_IMAGE, video=_VL25_VIDEO)
_QVQ = replace(
    _VL25,
    thinking="always",
    thinks_only_in_streams=True,
    json_object=False,
    streams_increments=True,
)
_OCR = replace(
    _VL_LATE,
    image=_OCR_IMAGE,
    video=None,
    reads=True,
    json_object=False,
    max_input=30_000,
    max_input_thinking=30_000,
    max_output=8_192,
)
_TEXT = replace(_G36, sees=False, video=None, thinking="default_off", is_on_text_path=True)

_TABLE: tuple[tuple[str, ModelSpec], ...] = (
    (r"qwen3\.8-omni.*", replace(_OMNI, takes_effort=True)),
    (r"qwen3\.5-omni.*", _OMNI35),
    (r"qwen3-omni.*", _OMNI3),
    (r"qwen-omni.*|qwen2\.5-omni.*", _OMNI_TURBO),
    (r".*omni.*", _OMNI),
    (r"qwen4.*", NEWEST),
    (r"qwen3\.8-(max|flash).*", _G38),
    (r"qwen3\.8-2\.4t.*", replace(_OPEN_38, thinking="always")),
    (r"qwen3\.8-\d.*", _OPEN_38),
    # unsure: third-party cards say that the bare id takes text only, its snapshot images.
    (r"qwen3\.7-max", replace(_G37, sees=False, video=None)),
    (r"qwen3\.7-plus.*", _G37_PLUS),
    (r"qwen3\.7-flash.*", _G37_FLASH),
    (r"qwen3\.7.*", _G37),
    (r"qwen3\.6.*", _G36),
    # unsure: the parameters of qwen3.5-ocr are not printed; those of qwen-vl-ocr are taken.
    (r"(qwen-vl-ocr|qwen-vl-ocr-2025-11-20|qwen3\.5-ocr.*)", _OCR),
    (r"qwen-vl-ocr.*", replace(_OCR, patch=28, image=_OLD_IMAGE)),
    (r"qwen3\.5.*", _G35),
    (r"qwen3-vl-(plus|flash).*", _VL3),
    (r"qwen3-vl-235b.*thinking.*", replace(_VL3_235B, thinking="always")),
    (r"qwen3-vl-235b.*", replace(_VL3_235B, thinking="never")),
    (r"qwen3-vl-.*thinking.*", replace(_VL3_OPEN, thinking="always")),
    (r"qwen3-vl-.*", replace(_VL3_OPEN, thinking="never")),
    (r"qwen-vl-max(-latest|-2025-08-13|-0813)?", _VL_LATE),
    (
        r"qwen-vl-plus(-latest|-2025-08-15|-0815|-2025-07-10|-0710)?",
        replace(_VL_LATE, video=_VL_PLUS_VIDEO),
    ),
    (r"qwen-vl-(max|plus)-(2025|0).*|qwen2\.5-vl.*", _VL25),
    (r"qvq.*", _QVQ),
    (r"qwen2-vl.*|qwen-vl.*", replace(_VL25, video=_OLDEST_VIDEO)),
    (r"qwq.*", replace(_TEXT, thinking="always", thinks_only_in_streams=True)),
    (r"qwen3-.*thinking.*", replace(_TEXT, thinking="always", thinks_only_in_streams=True)),
    (r"qwen3-(max|coder).*|qwen-(plus|max|turbo|flash|long|coder).*", _TEXT),
    (r"qwen(1\.5|2|2\.5|3)-\d.*|deepseek.*", _TEXT),
)

RETIRED = frozenset(
    {"qwen-vl-max", "qwen-vl-plus", "qvq-max", "qwq-plus", "qwen-max", "qwen-turbo"}
)
"""Gone since 2026-07-13, with 404 "Model not exist." (retirement notice, 2026-07)."""

FORBIDDEN = frozenset({"qwen-vl-max-latest", "qwen-vl-plus-latest"})
"""Answered with 403 since then. unsure: measured for `qwen-vl-max-latest` alone."""

# unsure: qwen3-vl-flash, qwen3-vl-plus-2025-09-23 and some open qwen3-vl ids may be gone
# since 2026-10-10; a reseller says so and no official list, so they are answered here.

LISTED = (
    "qwen4-max",
    "qwen3.8-max",
    "qwen3.8-flash",
    "qwen3.8-omni-flash",
    "qwen3.5-omni-plus",
    "qwen3.5-omni-flash",
    "qwen3.7-plus",
    "qwen3.7-flash",
    "qwen3.6-plus",
    "qwen3.6-flash",
    "qwen3.5-plus",
    "qwen3.5-flash",
    "qwen3-vl-plus",
    "qwen-vl-ocr",
)
"""The ids that `GET /models` names."""


@lru_cache(maxsize=256)
def model_spec(model: str) -> ModelSpec:
    """Find what a model accepts; an unknown id is taken for the newest model.

    Example:
        >>> model_spec("qwen3-vl-plus").patch, model_spec("qwen2.5-vl-72b-instruct").patch
        (32, 28)
        >>> model_spec("qwen9-max") is NEWEST
        True
    """
    for pattern, spec in _TABLE:
        if re.fullmatch(pattern, model):
            return spec
    return NEWEST


def coordinates_of(model: str) -> CoordinateSpace:
    """Return the coordinate space of a model's answers.

    Qwen2.5-VL and what was made of it counts pixels, Qwen3-VL and later thousandths (Vision page,
    2026-08). unsure: of Qwen2-VL, 3.5, 3.6 and 3.7 no page says anything.

    Example:
        >>> coordinates_of("qwen3-vl-plus"), coordinates_of("Qwen/Qwen2.5-VL-7B-Instruct")
        ('normalized', 'resized')
    """
    name = model.rpartition("/")[2].lower()
    is_old = re.search(r"qwen-?2[._]5-?vl|qvq|qwen-vl-(max|plus)", name)
    return "resized" if is_old else "normalized"


def admitted_spec(model: Any) -> ModelSpec:
    """Find what a model accepts, if the service still has it.

    Raises:
        ApiError: No model is named, or it is retired.
    """
    if not isinstance(model, str) or not model:
        reject("you must provide a model parameter")
    if model in RETIRED:
        reject("Model not exist.", status=404)
    if model in FORBIDDEN:
        reject("Model access denied.", status=403, native_code="Model.AccessDenied")
    return model_spec(model)
