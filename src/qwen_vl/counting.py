"""How many tokens a conversation costs, before anything is sent.

Pictures and videos are counted by the service's own rules from their headers; words, and what the
model's chat template puts around them, are estimated. Nothing is fetched, and no pixel is decoded.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, assert_never

import orjson

from qwen_vl.content import (
    Audio,
    Document,
    Frames,
    Image,
    Part,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
    Turn,
    Video,
)
from qwen_vl.media.document import measure_pages
from qwen_vl.media.limits import check_knobs
from qwen_vl.media.measure import measure_picture, measure_video
from qwen_vl.media.video.choice import Cut, settle_cut
from qwen_vl.media.video.probe import Clip
from qwen_vl.models import ModelFacts, find_model
from qwen_vl.request import MediaPolicy, Request
from qwen_vl.tokens import (
    DEFAULT_FPS,
    count_image_tokens,
    count_squares,
    estimate_text_tokens,
    most_image_tokens,
    most_video_tokens,
    resize_frame,
    resize_image,
    sample_frame_count,
)
from qwen_vl.wire.openai.encode import find_first_reasoned

ASSUMED_VIDEO_SECONDS = 60.0
"""Length that a video is taken for where it cannot be looked at.

What the models take at most, an hour or two, costs 131,074 to 800,002 tokens, half of what they
read or most of it: one linked clip would make every conversation look full.
"""

MESSAGE_TOKENS = 5
"""`<|im_start|>`, role and line break before a message, `<|im_end|>` and line break after it."""

ANSWER_TOKENS = 5
"""`<|im_start|>assistant`, `<think>` and line breaks, with which every answer begins.

With this, the guide's question costs the 17 `text_tokens` that the service reports of it (OpenAI-
Chat page, 2026-07).
"""

# Of the chat template of Qwen3-VL. unsure: other models have other templates.
_TOOLS_TOKENS = 100
_CALL_TOKENS = 12
_RESULT_TOKENS = 6
# The words that stand in the tool's message, and in that which brings the media.
_RESULT_MEDIA_TOKENS = 40
# unsure: no page that was read says what a sound costs; this is a minute at 25 tokens a second.
_AUDIO_TOKENS = 1_500

Countable: TypeAlias = Part | Sequence[Turn]


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaCount:
    """What one picture or video costs.

    Args:
        tokens: Markers included.
        width: Pixels of the picture or frame, as the model looks at it; `None` if assumed.
        height: The same.
        n_frames: Frames that the model looks at; 1 for a picture.
        is_assumed: Whether its size could not be read, so that an upper limit is given.
    """

    tokens: int
    width: int | None
    height: int | None
    n_frames: int
    is_assumed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCounter:
    """Counts what is sent to one model.

    Args:
        model: Model id.
        parameters: The body's parameters: `vl_high_resolution_images`, `preserve_thinking` and
            `tools` are read.
        policy: Which files may be read.
        video_seconds: Length that a video is taken for where it cannot be looked at: behind an
            address, or without PyAV.
        count_text: Counts the tokens of a text.
    """

    model: str
    parameters: Mapping[str, Any]
    policy: MediaPolicy
    video_seconds: float = ASSUMED_VIDEO_SECONDS
    count_text: Callable[[str], int] = estimate_text_tokens

    def count_turns(self, turns: Sequence[Turn]) -> int:
        """Count a conversation, the tools and the beginning of the answer included."""
        request = Request(model=self.model, turns=tuple(turns), parameters=self.parameters)
        first_reasoned = find_first_reasoned(request)
        total = ANSWER_TOKENS + self._count_tools()
        for index, turn in enumerate(turns):
            total += MESSAGE_TOKENS
            for part in turn.parts:
                if index >= first_reasoned or not isinstance(part, Reasoning):
                    total += self.count_part(part)
        return total

    def count_part(self, part: Part) -> int:
        """Count one part, without the message around it."""
        match part:
            case Text() | Reasoning():
                return self.count_text(part.text)
            case Image() | Video():
                return self.measure(part).tokens
            case Audio():
                return _AUDIO_TOKENS
            case ToolCall():
                return _CALL_TOKENS + self.count_text(f"{part.name} {part.arguments}")
            case ToolResult():
                return self._count_result(part)
            case Document():
                return self._count_document(part)
            case _:
                assert_never(part)

    def measure(self, part: Image | Video) -> MediaCount:
        """Count one picture or video, and tell what was counted."""
        facts = find_model(self.model)
        check_knobs(part, facts)
        if isinstance(part, Image):
            return self._measure_image(part, facts)
        cut = settle_cut(part, self.policy, facts)
        if isinstance(part.source, Frames):
            return self._measure_frames(part, part.source, facts)
        clip = measure_video(part.source, self.policy, part.where)
        return self._measure_video(part, clip, cut, facts)

    def _measure_image(self, part: Image, facts: ModelFacts) -> MediaCount:
        size = measure_picture(part.source, self.policy, part.where)
        high = bool(self.parameters.get("vl_high_resolution_images"))
        if size is None:
            tokens = most_image_tokens(facts, max_pixels=part.max_pixels, high_resolution=high)
            return _assumed(tokens, 1)
        width, height = resize_image(
            *size,
            facts,
            min_pixels=part.min_pixels,
            max_pixels=part.max_pixels,
            high_resolution=high,
        )
        return _seen(width, height, 1, facts)

    def _measure_frames(self, part: Video, frames: Frames, facts: ModelFacts) -> MediaCount:
        # All frames are scaled to the size of the first; behind addresses, to that which is known.
        sizes = (
            measure_picture(frame, self.policy, f"{part.where}.video[{number}]")
            for number, frame in enumerate(frames.frames)
        )
        size = next((size for size in sizes if size), None)
        # A video has one frame at least, and is refused where it is sent with none.
        n_frames = max(1, len(frames.frames))
        return _measure_clip(part, size, n_frames, facts)

    def _measure_video(
        self, part: Video, clip: Clip | None, cut: Cut, facts: ModelFacts
    ) -> MediaCount:
        # Frames that are taken here are those that the service would take of the same file.
        if clip:
            seen = cut.span.within(clip, part.where)
            seconds, n_frames = seen.seconds, seen.n_frames
        else:
            end = self.video_seconds if part.end is None else part.end
            seconds, n_frames = max(0.0, end - (part.start or 0.0)), facts.max_frames
        n_frames = sample_frame_count(
            seconds, n_frames, fps=part.fps or DEFAULT_FPS, max_frames=cut.max_frames
        )
        return _measure_clip(part, (clip.width, clip.height) if clip else None, n_frames, facts)

    def _count_document(self, document: Document) -> int:
        facts = find_model(self.model)
        high = bool(self.parameters.get("vl_high_resolution_images"))
        sizes = measure_pages(document, self.policy)
        pictures = (count_image_tokens(*size, facts, high_resolution=high) for size in sizes)
        label = self.count_text(f'Page 10 of 10 of "{document.title}":')
        return sum(pictures) + label * len(sizes)

    def _count_result(self, result: ToolResult) -> int:
        tokens = _RESULT_TOKENS + sum(map(self.count_part, result.parts))
        if all(isinstance(part, Text) for part in result.parts):
            return tokens
        # They follow in a message of their own.
        return tokens + MESSAGE_TOKENS + _RESULT_MEDIA_TOKENS

    def _count_tools(self) -> int:
        tools = self.parameters.get("tools") or []
        if not tools:
            return 0
        return _TOOLS_TOKENS + sum(self.count_text(orjson.dumps(tool).decode()) for tool in tools)


def count_tokens(
    what: Countable,
    model: str,
    *,
    parameters: Mapping[str, Any] | None = None,
    policy: MediaPolicy | None = None,
    video_seconds: float = ASSUMED_VIDEO_SECONDS,
    count_text: Callable[[str], int] = estimate_text_tokens,
) -> int:
    """Count the tokens of a conversation, or of one part of it, offline.

    Pictures and videos count exactly, from their headers, by the rules of the hosted service. Of
    unknown size are those behind addresses, videos where PyAV is not installed (`pip install
    "qwen-vl[video]"`), and HEIC pictures without `pillow-heif`. Such a picture counts as the
    largest that the model looks at, such a video as `video_seconds` of the largest frames.

    Text is estimated, see `qwen_vl.tokens.estimate_text_tokens`.

    Args:
        what: A part, or turns; those count with what stands around them, tools included.
        model: Model id.
        parameters: The body's parameters: `vl_high_resolution_images`, `preserve_thinking` and
            `tools` are read.
        policy: Which files may be read; the default policy if `None`.
        video_seconds: Length that a video is taken for where it cannot be looked at.
        count_text: Counts the tokens of a text, if you have a tokenizer.

    Raises:
        MediaError: A picture or video cannot be read or is none, as `prepare_media` says, or a
            number beside it is out of its range. Other limits are not checked.

    Example:
        >>> from qwen_vl.content import LocalFile
        >>> from qwen_vl.samples import CHELSEA
        >>> cat = Image(source=LocalFile(CHELSEA, is_trusted=True))
        >>> count_tokens(cat, "qwen3-vl-plus")
        128
        >>> question = Turn(role="user", parts=(cat, Text(text="What is depicted in the image?")))
        >>> count_tokens([question], "qwen3-vl-plus")
        145
    """
    counter = TokenCounter(
        model=model,
        parameters=parameters or {},
        policy=policy or MediaPolicy(),
        video_seconds=video_seconds,
        count_text=count_text,
    )
    if isinstance(what, Sequence):
        return counter.count_turns(what)
    return counter.count_part(what)


def _measure_clip(
    part: Video, size: tuple[int, int] | None, n_frames: int, facts: ModelFacts
) -> MediaCount:
    if size is None:
        tokens = most_video_tokens(
            n_frames, facts, max_pixels=part.max_pixels, total_pixels=part.total_pixels
        )
        return _assumed(tokens, n_frames)
    width, height = resize_frame(
        *size,
        n_frames,
        facts,
        min_pixels=part.min_pixels,
        max_pixels=part.max_pixels,
        total_pixels=part.total_pixels,
    )
    return _seen(width, height, n_frames, facts)


def _seen(width: int, height: int, n_frames: int, facts: ModelFacts) -> MediaCount:
    return MediaCount(
        tokens=count_squares(width, height, n_frames, facts),
        width=width,
        height=height,
        n_frames=n_frames,
        is_assumed=False,
    )


def _assumed(tokens: int, n_frames: int) -> MediaCount:
    return MediaCount(tokens=tokens, width=None, height=None, n_frames=n_frames, is_assumed=True)
