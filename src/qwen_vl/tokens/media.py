"""What one picture or video costs, by the rule of the server that will look at it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from qwen_vl.content import Frames, Image, Video
from qwen_vl.media.limits import check_options
from qwen_vl.media.measure import measure_image, measure_video
from qwen_vl.media.video.mode import SamplingPlan, find_reason_to_cut, plan_sampling
from qwen_vl.media.video.probe import Clip
from qwen_vl.request.types import MediaPolicy
from qwen_vl.specs.models import ModelSpec
from qwen_vl.specs.servers import ServerSpec
from qwen_vl.specs.vision import (
    DEFAULT_FPS,
    count_visual_tokens,
    max_image_tokens,
    max_video_tokens,
    resize_frame,
    resize_image,
    sample_frame_count,
)
from qwen_vl.tokens.self_hosted import (
    Family,
    SelfHostedCount,
    count_self_hosted_image_tokens,
    count_self_hosted_video_tokens,
    sample_self_hosted_frames,
)

# Where a size is not known, that which costs most.
_LARGEST_SIDE = 4_096
_28_PIXELS = 28


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
class ServiceRule:
    """The rule of the hosted service (Vision page, 2026-08).

    Args:
        spec: The model.
        policy: Which files may be read.
        high_resolution: `vl_high_resolution_images`.
        video_seconds: Length that a video is taken for where it cannot be looked at.
    """

    spec: ModelSpec
    policy: MediaPolicy
    high_resolution: bool
    video_seconds: float

    def measure(self, part: Image | Video) -> MediaCount:
        """Count one picture or video.

        Raises:
            MediaError: It cannot be read, or a number beside it is out of its range.
        """
        check_options(part, self.spec)
        if isinstance(part, Image):
            return self._measure_image(part)
        cut = plan_sampling(part, self.policy, self.spec)
        if isinstance(part.source, Frames):
            size, n_frames = _look_at_frames(part, part.source, self.policy)
            return self._measure_clip(part, size, n_frames)
        clip = measure_video(part.source, self.policy, part.where)
        # Frames that are taken here are those that the service would take of the same file.
        n_frames = _sample(part, clip, cut, self.spec, self.video_seconds)
        return self._measure_clip(part, (clip.width, clip.height) if clip else None, n_frames)

    def _measure_image(self, part: Image) -> MediaCount:
        size = measure_image(part.source, self.policy, part.where)
        high = self.high_resolution
        if size is None:
            tokens = max_image_tokens(self.spec, max_pixels=part.max_pixels, high_resolution=high)
            return _assumed(tokens, 1)
        width, height = resize_image(
            *size,
            self.spec,
            min_pixels=part.min_pixels,
            max_pixels=part.max_pixels,
            high_resolution=high,
        )
        return self._seen(width, height, 1)

    def measure_size(self, width: int, height: int) -> MediaCount:
        """Count a picture of which only the size is there.

        Args:
            width: Pixels.
            height: Pixels.
        """
        size = resize_image(width, height, self.spec, high_resolution=self.high_resolution)
        return self._seen(*size, 1)

    def _measure_clip(self, part: Video, size: tuple[int, int] | None, n_frames: int) -> MediaCount:
        if size is None:
            tokens = max_video_tokens(
                n_frames, self.spec, max_pixels=part.max_pixels, total_pixels=part.total_pixels
            )
            return _assumed(tokens, n_frames)
        width, height = _resize_frame(part, size, n_frames, self.spec)
        return self._seen(width, height, n_frames)

    def _seen(self, width: int, height: int, n_frames: int) -> MediaCount:
        return MediaCount(
            tokens=count_visual_tokens(width, height, n_frames, self.spec),
            width=width,
            height=height,
            n_frames=n_frames,
            is_assumed=False,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformersRule:
    """The rule of servers of your own, see `qwen_vl.tokens.self_hosted`.

    unsure: llama.cpp and Ollama have code of their own, which was not measured.

    Args:
        spec: The model.
        policy: Which files may be read.
        server: The server.
        video_seconds: Length that a video is taken for where it cannot be looked at.
    """

    spec: ModelSpec
    policy: MediaPolicy
    server: ServerSpec
    video_seconds: float

    def measure(self, part: Image | Video) -> MediaCount:
        """Count one picture or video.

        Raises:
            MediaError: It cannot be read, or has a shape that the server refuses.
        """
        if isinstance(part, Image):
            return self._measure_image(part, measure_image(part.source, self.policy, part.where))
        cut = plan_sampling(part, self.policy, self.spec)
        if isinstance(part.source, Frames):
            size, n_frames = _look_at_frames(part, part.source, self.policy)
            return self._measure_frames(part, size, n_frames, part.fps or 1.0)
        clip = measure_video(part.source, self.policy, part.where)
        n_frames = _sample(part, clip, cut, self.spec, self.video_seconds)
        room = self.policy.max_total_inline_bytes
        if clip and find_reason_to_cut(part, cut, self.policy, room, self.server):
            size = _resize_frame(part, (clip.width, clip.height), n_frames, self.spec)
            return self._measure_frames(part, size, n_frames, n_frames / clip.seconds)
        if clip is None:
            return self._measure_frames(part, None, n_frames, part.fps or DEFAULT_FPS)
        indices = sample_self_hosted_frames(
            clip.n_frames, clip.rate, self._family, sample_fps=part.fps or DEFAULT_FPS
        )
        count = count_self_hosted_video_tokens(
            clip.width, clip.height, indices, clip.rate, self._family
        )
        return _reported(count, len(indices))

    @property
    def _family(self) -> Family:
        return "qwen2_5_vl" if self.spec.factor == _28_PIXELS else "qwen3_vl"

    def measure_size(self, width: int, height: int) -> MediaCount:
        """Count a picture of which only the size is there.

        Args:
            width: Pixels.
            height: Pixels.
        """
        return _reported(count_self_hosted_image_tokens(width, height, self._family), 1)

    def _limits(self, part: Image | Video) -> Mapping[str, Any]:
        if self.server.pixels is None:
            return {}
        return {"min_pixels": part.min_pixels, "max_pixels": part.max_pixels}

    def _measure_image(self, part: Image | Video, size: tuple[int, int] | None) -> MediaCount:
        count = count_self_hosted_image_tokens(
            *(size or (_LARGEST_SIDE, _LARGEST_SIDE)), self._family, **self._limits(part)
        )
        return _reported(count, 1) if size else _assumed(count.prompt_tokens, 1)

    def _measure_frames(
        self, part: Video, size: tuple[int, int] | None, n_frames: int, fps: float
    ) -> MediaCount:
        if self.server.frames == "pictures":
            one = self._measure_image(part, size)
            return replace(one, tokens=one.tokens * n_frames, n_frames=n_frames)
        count = count_self_hosted_video_tokens(
            *(size or (_LARGEST_SIDE, _LARGEST_SIDE)), range(n_frames), fps, self._family
        )
        return _reported(count, n_frames) if size else _assumed(count.prompt_tokens, n_frames)


def _look_at_frames(
    part: Video, frames: Frames, policy: MediaPolicy
) -> tuple[tuple[int, int] | None, int]:
    # All frames are scaled to the size of the first; behind addresses, to that which is known.
    sizes = (
        measure_image(frame, policy, f"{part.where}.video[{number}]")
        for number, frame in enumerate(frames.frames)
    )
    # A video has one frame at least, and is refused where it is sent with none.
    return next((size for size in sizes if size), None), max(1, len(frames.frames))


def _sample(
    part: Video, clip: Clip | None, cut: SamplingPlan, spec: ModelSpec, video_seconds: float
) -> int:
    if clip:
        seen = cut.span.within(clip, part.where)
        seconds, n_frames = seen.seconds, seen.n_frames
    else:
        end = video_seconds if part.end is None else part.end
        seconds, n_frames = max(0.0, end - (part.start or 0.0)), spec.max_frames
    fps = part.fps or DEFAULT_FPS
    return sample_frame_count(seconds, n_frames, fps=fps, max_frames=cut.max_frames)


def _resize_frame(
    part: Video, size: tuple[int, int], n_frames: int, spec: ModelSpec
) -> tuple[int, int]:
    return resize_frame(
        *size,
        n_frames,
        spec,
        min_pixels=part.min_pixels,
        max_pixels=part.max_pixels,
        total_pixels=part.total_pixels,
    )


def _reported(count: SelfHostedCount, n_frames: int) -> MediaCount:
    return MediaCount(
        tokens=count.prompt_tokens,
        width=count.width,
        height=count.height,
        n_frames=n_frames,
        is_assumed=False,
    )


def _assumed(tokens: int, n_frames: int) -> MediaCount:
    return MediaCount(tokens=tokens, width=None, height=None, n_frames=n_frames, is_assumed=True)
