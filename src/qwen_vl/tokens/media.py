"""What one image or video costs, by the rule of the server that receives it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from qwen_vl.content import Frames, Image, Pixels, Url, Video
from qwen_vl.media.downscale import ImageResize, find_resize, find_sent_size
from qwen_vl.media.limits import check_numbers, check_options
from qwen_vl.media.measure import measure_image, measure_video
from qwen_vl.media.video.cut import CutPlan, plan_cut
from qwen_vl.media.video.mode import SamplingPlan, find_reason_to_cut, plan_sampling
from qwen_vl.media.video.probe import Clip
from qwen_vl.request.shared_options import SharedOptions
from qwen_vl.request.types import MediaPolicy, Request
from qwen_vl.specs.models import MAX_INLINE_IMAGES, MIN_FRAMES, ModelSpec
from qwen_vl.specs.processors import DEFAULT_FRAME_LIST_FPS, Family
from qwen_vl.specs.servers import ServerSpec, get_server_spec
from qwen_vl.specs.vision import (
    DEFAULT_FPS,
    count_visual_tokens,
    max_image_tokens,
    max_video_tokens,
    resize_frame,
    resize_image,
    sample_frame_count,
)
from qwen_vl.tokens.audio import count_audio_tokens
from qwen_vl.tokens.self_hosted import (
    MAX_SAMPLED_FRAMES,
    SelfHostedCount,
    count_self_hosted_image_tokens,
    count_self_hosted_video_tokens,
    sample_self_hosted_frames,
)
from qwen_vl.wire.openai.self_hosted import label_frames

# Where a size is not known, that which costs most.
_LARGEST = (4_096, 4_096)
_PIXELS = ("min_pixels", "max_pixels")
# Of a detailed frame at the lowest JPEG quality at which frames are sent.
_BYTES_PER_PIXEL = 0.12
# Stands for frames that are not sampled yet.
_UNREAD = Url("data:image/jpeg;base64,")


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaCount:
    """What one image or video costs.

    Args:
        tokens: Markers included.
        width: Pixels of the image or frame, as the model processes it; `None` if assumed.
        height: Height in pixels, like `width`.
        n_frames: Frames that the model samples; 1 for an image.
        is_assumed: Whether its size could not be read.
        min_tokens: The fewest that it may cost; fewer than `tokens` if that is assumed.
        max_tokens: The most that it may cost.
        label: Text that is sent before it, which is not counted here.
    """

    tokens: int
    width: int | None
    height: int | None
    n_frames: int
    is_assumed: bool
    min_tokens: int
    max_tokens: int
    label: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRule:
    """The rule of the hosted service (Vision page, 2026-08).

    Args:
        request: What holds for what is counted: model, parameters and policy.
        video_seconds: Length that a video is taken for where it cannot be measured.
    """

    request: Request
    video_seconds: float

    @property
    def spec(self) -> ModelSpec:
        """What the model accepts."""
        return self.request.spec

    @property
    def policy(self) -> MediaPolicy:
        """Which files may be read."""
        return self.request.policy

    @property
    def high_resolution(self) -> bool:
        """Whether `vl_high_resolution_images` is on."""
        return bool(self.request.parameters.get("vl_high_resolution_images"))

    def measure(self, part: Image | Video) -> MediaCount:
        """Count one image or video.

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
        if clip and _is_cut(part, cut, self.request):
            plan = plan_cut(part, clip, cut, self.request, max_frames=MAX_INLINE_IMAGES)
            count = self._measure_clip(part, plan.size, len(plan.schedule.times))
            if not _may_be_thinned(plan, self.policy):
                return count
            fewest = self._measure_clip(part, plan.size, MIN_FRAMES)
            return replace(count, min_tokens=fewest.tokens)
        n_frames = _sample(part, clip, cut, self.spec, self.video_seconds)
        size = (clip.width, clip.height) if clip else None
        return self._add_audio(self._measure_clip(part, size, n_frames), clip)

    def _add_audio(self, count: MediaCount, clip: Clip | None) -> MediaCount:
        """Add the audio of a video, which omni models count apart (Omni page, 2026-09)."""
        audio = self.spec.audio
        if audio is None or (clip is not None and not clip.has_audio):
            return count
        seconds = clip.seconds if clip else self.video_seconds
        tokens = count_audio_tokens(seconds, audio)
        # What is not known may have none.
        return replace(
            count,
            tokens=count.tokens + tokens,
            min_tokens=count.min_tokens + (tokens if clip else 0),
            max_tokens=count.max_tokens
            + (tokens if clip else count_audio_tokens(audio.max_seconds, audio)),
        )

    def _measure_image(self, part: Image) -> MediaCount:
        size = measure_image(part.source, self.policy, part.where)
        high = self.high_resolution
        if size is None:
            tokens = max_image_tokens(self.spec, max_pixels=part.max_pixels, high_resolution=high)
            least = resize_image(1, 1, self.spec, min_pixels=part.min_pixels)
            return _assumed(tokens, 1, self._seen(*least, 1).tokens)
        width, height = resize_image(
            *size,
            self.spec,
            min_pixels=part.min_pixels,
            max_pixels=part.max_pixels,
            high_resolution=high,
        )
        return self._seen(width, height, 1)

    def measure_size(self, width: int, height: int) -> MediaCount:
        """Count an image of which only the size is there.

        Args:
            width: Pixels.
            height: Pixels.
        """
        size = resize_image(width, height, self.spec, high_resolution=self.high_resolution)
        return self._seen(*size, 1)

    def _measure_clip(self, part: Video, size: tuple[int, int] | None, n_frames: int) -> MediaCount:
        if size is None:
            limits = {"max_pixels": part.max_pixels, "total_pixels": part.total_pixels}
            most = n_frames if isinstance(part.source, Frames) else self.spec.max_frames
            fewest = n_frames if isinstance(part.source, Frames) else MIN_FRAMES
            least = _resize_frame(part, (1, 1), fewest, self.spec)
            return _assumed(
                max_video_tokens(n_frames, self.spec, **limits),
                n_frames,
                self._seen(*least, fewest).tokens,
                max_video_tokens(most, self.spec, **limits),
            )
        width, height = _resize_frame(part, size, n_frames, self.spec)
        return self._seen(width, height, n_frames)

    def _seen(self, width: int, height: int, n_frames: int) -> MediaCount:
        tokens = count_visual_tokens(width, height, n_frames, self.spec)
        return _exact(tokens, width, height, n_frames)


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformersRule:
    """The rule of self-hosted servers, see `qwen_vl.tokens.self_hosted`.

    llama.cpp and Ollama have other code, with the same rule and other limits. unsure:
    their newest versions and flags were not measured.

    Args:
        request: What holds for what is counted: model, policy and server.
        video_seconds: Length that a video is taken for where it cannot be measured.
        shared: What all parts of the request ask for; `None` where one is counted by itself.
    """

    request: Request
    video_seconds: float
    shared: SharedOptions | None = None

    def sharing(self, parts: Sequence[Image | Video]) -> "TransformersRule":
        """Return the rule for a request with these parts.

        Args:
            parts: Every image and video of the request.

        Raises:
            MediaError: A number beside one is out of its range.
            UnsupportedContentError: The options of two parts exclude each other.
        """
        return replace(self, shared=self._collect(parts)) if parts else self

    def measure(self, part: Image | Video) -> MediaCount:
        """Count one image or video.

        Raises:
            MediaError: It cannot be read, has a shape that the server refuses, or a number beside
                it is out of its range.
        """
        shared = self.shared or self._collect((part,))
        if isinstance(part, Image):
            return self._measure_image(part, self._measure_source(part), shared)
        sent = self._plan(part)
        if sent.n_frames is not None:
            measured = self._measure_frames(sent, sent.n_frames, shared)
            if not sent.is_thinned:
                return measured
            fewest = self._measure_frames(sent, MIN_FRAMES, shared)
            return replace(measured, min_tokens=fewest.tokens)
        clip = sent.clip
        fps = (shared and shared.fps) or DEFAULT_FPS
        limits = shared.limits(part) if shared else {}
        if clip is None:
            cut = plan_sampling(part, self._policy, self.request.spec)
            n_frames = _sample(part, None, cut, self.request.spec, self.video_seconds)
            most = MAX_SAMPLED_FRAMES
            return self._assume_clip(n_frames, (MIN_FRAMES, most), fps, limits)
        rate = clip.stated_rate or clip.rate
        indices = sample_self_hosted_frames(clip.n_frames, rate, self._family, sample_fps=fps)
        count = count_self_hosted_video_tokens(
            clip.width, clip.height, indices, rate, self._family, **limits
        )
        return _reported(count, len(indices))

    def measure_size(self, width: int, height: int, part: Image | None = None) -> MediaCount:
        """Count an image of which only the size is known.

        Args:
            width: Pixels.
            height: Pixels.
            part: The image, if it has options.
        """
        part = part or Image(source=Pixels(None))
        return self._measure_image(part, (width, height), self.shared or self._collect((part,)))

    @property
    def _policy(self) -> MediaPolicy:
        return self.request.policy

    @property
    def _server(self) -> ServerSpec:
        return get_server_spec(self.request.server)

    @property
    def _family(self) -> Family:
        return self.request.processor

    def _collect(self, parts: Sequence[Image | Video]) -> SharedOptions | None:
        """Collect what is sent once for all parts, if the server takes anything so."""
        if self._server.pixels != "mm_processor_kwargs":
            return None
        shared = SharedOptions(self._server.title, self._family)
        for part in parts:
            check_numbers(part)
            shared.add(part if isinstance(part, Image) else self._plan(part).part)
        return shared

    def _plan(self, part: Video) -> "_Sent":
        """Find how a video is sent, from its header."""
        check_numbers(part)
        cut = plan_sampling(part, self._policy, self.request.spec)
        if isinstance(part.source, Frames):
            size, n_frames = _look_at_frames(part, part.source, self._policy)
            return _Sent(part, size, n_frames)
        clip = measure_video(part.source, self._policy, part.where)
        if not _is_cut(part, cut, self.request):
            return _Sent(part, clip=clip)
        if clip is None:
            n_frames = _sample(part, None, cut, self.request.spec, self.video_seconds)
            return _Sent(_as_list(part, n_frames, part.fps or DEFAULT_FPS), None, n_frames)
        plan = plan_cut(part, clip, cut, self.request)
        n_frames = len(plan.schedule.times)
        is_thinned = _may_be_thinned(plan, self._policy)
        return _Sent(_as_list(part, n_frames, plan.fps), plan.size, n_frames, is_thinned=is_thinned)

    def _measure_source(self, part: Image) -> tuple[int, int] | None:
        check_numbers(part)
        return measure_image(part.source, self._policy, part.where)

    def _measure_image(
        self, part: Image | Video, size: tuple[int, int] | None, shared: SharedOptions | None
    ) -> MediaCount:
        if shared:
            limits = shared.limits(part)
        else:
            limits = dict(zip(_PIXELS, self._server.image_area(self._family), strict=True))
        resize = find_resize(part, self.request)
        if size and resize and (resize.is_required or isinstance(resize, ImageResize)):
            # Another rule than that of the server has made it smaller.
            size = find_sent_size(*size, resize) or size

        def count(width: int, height: int) -> SelfHostedCount:
            return count_self_hosted_image_tokens(width, height, self._family, **limits)

        if size:
            return _reported(count(*size), 1)
        return _assumed(count(*_LARGEST).prompt_tokens, 1, count(1, 1).prompt_tokens)

    def _measure_frames(
        self, sent: "_Sent", n_frames: int, shared: SharedOptions | None
    ) -> MediaCount:
        if self._server.frames == "images":
            one = self._measure_image(sent.part, sent.size, None)
            return _times(
                one, n_frames, label_frames(n_frames, sent.part.fps, sent.part.timestamps)
            )
        fps = (shared and shared.fps) or DEFAULT_FRAME_LIST_FPS
        limits = shared.limits(sent.part) if shared else {}
        if sent.size is None:
            return self._assume_clip(n_frames, (n_frames, n_frames), fps, limits)
        count = count_self_hosted_video_tokens(
            *sent.size, range(n_frames), fps, self._family, **limits
        )
        return _reported(count, n_frames)

    def _assume_clip(
        self,
        n_frames: int,
        bounds: tuple[int, int],
        fps: float,
        limits: Mapping[str, Any],
    ) -> MediaCount:
        def count(size: tuple[int, int], n_frames: int) -> int:
            return count_self_hosted_video_tokens(
                *size, range(n_frames), fps, self._family, **limits
            ).prompt_tokens

        fewest, most = bounds
        return _assumed(
            count(_LARGEST, n_frames), n_frames, count((1, 1), fewest), count(_LARGEST, most)
        )


@dataclass(frozen=True, slots=True)
class _Sent:
    """A video as it is sent.

    Args:
        part: With a list of frames in place of a file that is sampled here.
        size: Width and height of its frames, if they are known.
        n_frames: Number of frames of a list; `None` for a file.
        clip: What the header of a file says, if it can be read.
        is_thinned: Whether frames may be left out to fit into the request.
    """

    part: Video
    size: tuple[int, int] | None = None
    n_frames: int | None = None
    clip: Clip | None = None
    is_thinned: bool = False


def _is_cut(part: Video, cut: SamplingPlan, request: Request) -> bool:
    server, room = get_server_spec(request.server), request.policy.max_total_inline_bytes
    return find_reason_to_cut(part, cut, request.policy, room, server) is not None


def _may_be_thinned(plan: CutPlan, policy: MediaPolicy) -> bool:
    n_pixels = len(plan.schedule.times) * plan.size[0] * plan.size[1]
    return n_pixels * _BYTES_PER_PIXEL > policy.max_total_inline_bytes


def _as_list(part: Video, n_frames: int, fps: float) -> Video:
    return replace(part, source=Frames((_UNREAD,) * n_frames, is_sampled=True), fps=fps)


def _look_at_frames(
    part: Video, frames: Frames, policy: MediaPolicy
) -> tuple[tuple[int, int] | None, int]:
    # All frames are scaled to the size of the first; given by URL, to that which is known.
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
    return _exact(count.prompt_tokens, count.width, count.height, n_frames)


def _exact(tokens: int, width: int, height: int, n_frames: int) -> MediaCount:
    return MediaCount(
        tokens=tokens,
        width=width,
        height=height,
        n_frames=n_frames,
        is_assumed=False,
        min_tokens=tokens,
        max_tokens=tokens,
    )


def _assumed(
    tokens: int, n_frames: int, min_tokens: int, max_tokens: int | None = None
) -> MediaCount:
    return MediaCount(
        tokens=tokens,
        width=None,
        height=None,
        n_frames=n_frames,
        is_assumed=True,
        min_tokens=min_tokens,
        max_tokens=tokens if max_tokens is None else max_tokens,
    )


def _times(one: MediaCount, n_frames: int, label: str) -> MediaCount:
    return replace(
        one,
        tokens=one.tokens * n_frames,
        min_tokens=one.min_tokens * n_frames,
        max_tokens=one.max_tokens * n_frames,
        n_frames=n_frames,
        label=label,
    )
