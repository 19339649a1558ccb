"""What is asked about an image or a video, and which options a question takes."""

import difflib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Generic, TypedDict, TypeVar

from qwen_vl.content import Image, Text, Turn, Video, VideoMode
from qwen_vl.errors import ConfigurationError
from qwen_vl.reply import Reply
from qwen_vl.request.build import build_request
from qwen_vl.request.ocr import OcrTask
from qwen_vl.request.types import Request
from qwen_vl.settings import QwenVLSettings
from qwen_vl.specs.models import CoordinateSpace

_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundingTask(Generic[_Found]):
    """A question for places or times that is ready to be sent.

    Args:
        part: The image or video, prepared, unless it is yet to be uploaded.
        prompt: The words that follow it.
        options: Options of the call, by the names of `QwenVLSettings.make_request`.
        read: Reads the reply. Of a reply it needs `text`, `finish_reason` and `image_hw`.
    """

    part: Image | Video
    prompt: str
    options: Mapping[str, Any]
    read: Callable[[Reply], _Found]

    def to_request(self, settings: QwenVLSettings) -> Request:
        """Return the request that asks it.

        Args:
            settings: Those that it was made with.
        """
        turn = Turn(role="user", parts=(self.part, Text(text=self.prompt)))
        return build_request(settings, (turn,), stream=None, **self.options)


class CallOptions(TypedDict, total=False):
    """Options of one call of the model, by the names of the settings."""

    model: str
    timeout: Any
    deadline: float | None
    temperature: float | None
    top_p: float | None
    top_k: int | None
    max_tokens: int | None
    max_completion_tokens: int | None
    seed: int | None
    stop: str | list[str] | None
    presence_penalty: float | None
    frequency_penalty: float | None
    repetition_penalty: float | None
    logprobs: bool | None
    top_logprobs: int | None
    enable_thinking: bool | None
    thinking_budget: int | None
    reasoning_effort: str | None
    preserve_thinking: bool | None
    min_pixels: int | None
    max_pixels: int | None
    vl_high_resolution_images: bool | None
    vl_enable_image_hw_output: bool | None
    enable_rotate: bool | None
    ocr_task: OcrTask | None
    result_schema: Mapping[str, Any] | None
    response_format: Mapping[str, Any] | None
    chat_template_kwargs: Mapping[str, Any] | None
    stream_usage: bool
    user: str | None
    extra_headers: Mapping[str, str] | None
    extra_body: Mapping[str, Any] | None
    model_kwargs: dict[str, Any] | None


class LocateOptions(CallOptions, total=False):
    """Options of `locate`: of the question and of the call."""

    points: bool
    size: tuple[int, int] | None
    space: CoordinateSpace | None
    prompt: str | None


class VideoOptions(CallOptions, total=False):
    """Options of a video and of the call."""

    fps: float | None
    timestamps: Sequence[float] | None
    start: float | None
    end: float | None
    max_frames: int | None
    video_mode: VideoMode | None
    total_pixels: int | None


class TimelineOptions(VideoOptions, total=False):
    """Options of `timeline`: of the question, the video and the call."""

    seconds: float | None
    prompt: str | None


def check_options(method: str, names: Iterable[str]) -> None:
    """Check that a question has options of these names.

    Args:
        method: `"locate"` or `"timeline"`.
        names: Names of the options given.

    Raises:
        ConfigurationError: One is unknown; the error names the closest one.

    Example:
        >>> check_options("locate", ["pionts"])
        Traceback (most recent call last):
        qwen_vl.errors.ConfigurationError: 'pionts' is not an option of locate. \
Did you mean 'points'?
    """
    known: Sequence[str] = sorted(_OPTIONS[method].__annotations__)
    for name in names:
        if name in known:
            continue
        close = difflib.get_close_matches(name, known, n=1)
        remedy = (
            f"Did you mean {close[0]!r}?"
            if close
            else f"It takes {', '.join(known)}; other parameters of the service go into extra_body."
        )
        raise ConfigurationError(f"{name!r} is not an option of {method}. {remedy}")


def check_measures(name: str, value: object, *, measures: Sequence[object], wanted: str) -> None:
    """Check an option that measures an image or a video.

    Args:
        name: The option.
        value: As it was given, for the error.
        measures: The numbers that it holds.
        wanted: What it must be.

    Raises:
        ConfigurationError: One is not a number above 0.
    """
    if all(isinstance(measure, Real) and 0 < float(measure) < math.inf for measure in measures):
        return
    raise ConfigurationError(f"{name} is {value!r}; it must be {wanted}.")


_OPTIONS: Mapping[str, Any] = {"locate": LocateOptions, "timeline": TimelineOptions}
