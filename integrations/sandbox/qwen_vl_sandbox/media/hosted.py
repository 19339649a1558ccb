"""From a conversation to what was received: media seen, tokens counted, limits kept.

Knows no protocol: it reads `conversation` values and refuses with `ApiError`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import orjson

from qwen_vl_sandbox.errors.api_error import reject
from qwen_vl_sandbox.media.colors import Place, find_boxes
from qwen_vl_sandbox.media.fetch import Content, Loader, Unfetched
from qwen_vl_sandbox.media.hosted_tokens import (
    Budget,
    Clip,
    audio_tokens,
    image_tokens,
    resized,
    sampled_frames,
    text_tokens,
    video_tokens,
)
from qwen_vl_sandbox.media.inspect import InspectedImage, inspect_image, see_video
from qwen_vl_sandbox.media.listen import hear_audio
from qwen_vl_sandbox.media.scenes import (
    Scene,
    find_scenes_of_file,
    find_scenes_of_list,
    spread_numbers,
)
from qwen_vl_sandbox.ocr.lines import TextLine
from qwen_vl_sandbox.reading.conversation import (
    Audio,
    Conversation,
    ImagePart,
    Message,
    Options,
    Text,
    ToolCall,
    Video,
)
from qwen_vl_sandbox.reading.grounding_question import find_question
from qwen_vl_sandbox.specs.models import ModelSpec, Pixels, VideoSpec
from qwen_vl_sandbox.storage import Storage

HIGH_RESOLUTION_PATCHES = 16_384
"""Patches of an image with `vl_high_resolution_images` (OpenAI-Chat page, 2026-10)."""

TOKENS_PER_MESSAGE = 5
"""`<|im_start|>`, role and line break before a message, `<|im_end|>` and line break after it."""

ANSWER_TOKENS = 5
"""The beginning of the answer. With it, the guide's question with an image has the 17 `text_tokens`
that the service reports of it (OpenAI-Chat page, 2026-07)."""

MAX_VIDEOS = 64
"""Videos in one request (Vision page, 2026-08)."""


@dataclass(frozen=True, slots=True)
class InspectedMedia:
    """One image, video or audio file, as the sandbox saw it."""

    kind: str
    description: str
    tokens: int
    size: tuple[int, int] | None = None
    """An image's width and height as it came."""
    scaled: tuple[int, int] | None = None
    """An image's width and height as the model sees it."""
    boxes: tuple[Place, ...] | None = None
    """What was found in an image, where places were asked for."""
    scenes: tuple[Scene, ...] | None = None
    """What was found in a video, where events were asked for."""
    audio_tokens: int = 0
    """Of a video's audio, which omni models process."""
    content: Content | None = field(default=None, repr=False)
    """The bytes of an image."""
    lines: tuple[TextLine, ...] | None = None
    """The text of an image, where it was read."""
    unread: str = ""
    """Why it was not, where it should have been."""


@dataclass(frozen=True, slots=True)
class CacheUse:
    """What one request wrote to the context cache and found in it, in tokens."""

    created: int
    found: int
    seconds: float
    """How long what was marked is kept."""


@dataclass(frozen=True, slots=True)
class MediaReport:
    """Everything that a conversation brought."""

    sights: tuple[InspectedMedia, ...]
    text_tokens: int
    cache: CacheUse | None = None
    """What came of the `cache_control` markers; `None` if there were none."""

    def tokens(self, kind: str) -> int:
        """Tokens of one kind of media."""
        found = sum(inspected.tokens for inspected in self.sights if inspected.kind == kind)
        if kind == "audio":
            found += sum(inspected.audio_tokens for inspected in self.sights)
        return found

    @property
    def total(self) -> int:
        """Tokens of the whole prompt."""
        media = (inspected.tokens + inspected.audio_tokens for inspected in self.sights)
        return self.text_tokens + sum(media)


def receive(conversation: Conversation, storage: Storage) -> MediaReport:
    """Inspect all media of a conversation and count its tokens.

    Args:
        conversation: The request.
        storage: Where `oss://` URLs lead.

    Raises:
        ApiError: Some medium is not acceptable, or the prompt is too long.
    """
    report = MediaReport(
        sights=tuple(_sights(conversation, storage)),
        text_tokens=count_text(conversation) + ANSWER_TOKENS,
    )
    spec = conversation.spec
    longest = spec.max_input_thinking if conversation.options.thinking else spec.max_input
    if report.total > longest:
        reject(f"Range of input length should be [1, {longest}]")
    return report


def has_media(conversation: Conversation) -> bool:
    """Return whether looking at the conversation takes more than a moment."""
    return any(
        isinstance(part, ImagePart | Video | Audio)
        for message in conversation.messages
        for part in message.parts
    )


def arguments_text(call: ToolCall) -> str:
    """The arguments of a call as the JSON text that goes over the wire."""
    if isinstance(call.arguments, Mapping):
        return orjson.dumps(dict(call.arguments)).decode()
    return call.arguments


def count_text(conversation: Conversation) -> int:
    """Count the words of all messages and tools."""
    total = tool_tokens(conversation.options)
    for message in conversation.messages:
        words = (part.text for part in message.parts if isinstance(part, Text))
        total += frame_tokens(message) + sum(map(text_tokens, words))
    return total


def frame_tokens(message: Message) -> int:
    """Count what a message holds beside its parts."""
    total = TOKENS_PER_MESSAGE + text_tokens(message.reasoning)
    for call in message.tool_calls:
        total += text_tokens(call.name) + text_tokens(arguments_text(call))
    return total


def tool_tokens(options: Options) -> int:
    """Count the tools of a request."""
    return sum(
        text_tokens(tool.name + tool.description)
        + text_tokens(orjson.dumps(tool.parameters).decode())
        for tool in options.tools
    )


def _sights(conversation: Conversation, storage: Storage) -> Iterator[InspectedMedia]:
    viewer = _Viewer(conversation, storage)
    videos = 0
    for message in conversation.messages:
        videos += sum(isinstance(part, Video) for part in message.parts)
        if videos > MAX_VIDEOS:
            reject(f"At most {MAX_VIDEOS} videos are supported.")
        yield from viewer.see(message)


class _Viewer:
    def __init__(self, conversation: Conversation, storage: Storage) -> None:
        self._spec: ModelSpec = conversation.spec
        self._strict = conversation.strict
        self._high_resolution = conversation.options.high_resolution
        self._loader = Loader(conversation, storage)
        self._question = find_question(conversation)

    def see(self, message: Message) -> Iterator[InspectedMedia]:
        for part in message.parts:
            match part:
                case ImagePart():
                    yield self._inspect_image(part)
                case Video(source=str(url)):
                    yield self._see_video(part, url)
                case Video(source=tuple(urls)):
                    yield self._see_frames(part, urls)
                case Audio():
                    yield self._hear(part)

    def _inspect_image(self, part: ImagePart) -> InspectedMedia:
        content = self._loader.load_image(part.url)
        if isinstance(content, Unfetched):
            return InspectedMedia(
                "image", f"not fetched, {shown_url(content.url)}, of unknown size: 0 tokens", 0
            )
        seen = inspect_image(content, strict=self._strict)
        budget = self._image_budget(part)
        tokens = image_tokens(seen.width, seen.height, budget)
        color = f", mean color {seen.color}" if seen.color else ""
        size = f"{seen.format} {seen.width}x{seen.height}"
        # unsure: whether tokens are counted before or after the text is set upright.
        turned = ", to be set upright" if part.rotate else ""
        return InspectedMedia(
            "image",
            f"{size}{color}{turned}, {tokens} tokens",
            tokens,
            size=(seen.width, seen.height),
            scaled=resized(seen.width, seen.height, budget),
            boxes=self._find_boxes(content) if seen.color else None,
            content=content,
        )

    def _find_boxes(self, content: Content) -> tuple[Place, ...] | None:
        question = self._question
        if question is None or not question.wants_boxes:
            return None
        return find_boxes(content, question.colors)

    def _wants_events(self) -> bool:
        return self._question is not None and self._question.kind == "events"

    def _see_video(self, part: Video, url: str) -> InspectedMedia:
        spec = self._video_spec()
        content = self._loader.load_video(url)
        if isinstance(content, Unfetched):
            return InspectedMedia("video", f"not fetched, {shown_url(url)}, 0 tokens", 0)
        seen = see_video(content, spec)
        most = part.max_frames or spec.max_frames
        frames = sampled_frames(seen.clip, fps=part.fps, max_frames=most)
        tokens = self._video_tokens(part, seen.clip, frames)
        clip = seen.clip
        description = (
            f"{seen.format} {clip.width}x{clip.height}, {clip.seconds:.1f} s, {seen.fps:g} fps, "
            f"{frames} frames sampled, mean color at the start {seen.color}, {tokens} tokens"
        )
        scenes = None
        if self._wants_events():
            numbers = spread_numbers(frames, clip.frames)
            scenes = find_scenes_of_file(content, numbers, clip.seconds)
        heard = 0
        if self._spec.audio is not None and seen.has_audio:
            heard = audio_tokens(clip.seconds, self._spec.audio.tokens_per_second)
            description += f", {heard} more of its audio"
        return InspectedMedia("video", description, tokens, scenes=scenes, audio_tokens=heard)

    def _hear(self, part: Audio) -> InspectedMedia:
        spec = self._spec.audio or reject("The model does not support audio input.")
        content = self._loader.load_audio(part.url)
        if isinstance(content, Unfetched):
            return InspectedMedia("audio", f"not fetched, {shown_url(content.url)}, 0 tokens", 0)
        heard = hear_audio(content, part.format, spec, strict=self._strict)
        tokens = audio_tokens(heard.seconds, spec.tokens_per_second)
        shown = f"{(part.format or heard.format).upper()} of {heard.seconds:.1f} s, {tokens} tokens"
        return InspectedMedia("audio", shown, tokens)

    def _see_frames(self, part: Video, urls: tuple[str, ...]) -> InspectedMedia:
        contents = [self._loader.load_image(url) for url in urls]
        seen = [
            inspect_image(content, strict=self._strict)
            for content in contents
            if isinstance(content, Content)
        ]
        count = f"{len(urls)} frames sent"
        if not seen:
            return InspectedMedia(
                "video", f"{count}, not fetched, {shown_url(urls[0])}, 0 tokens", 0
            )
        first = seen[0]
        clip = Clip(first.width, first.height, len(urls) / part.fps, len(urls))
        tokens = self._video_tokens(part, clip, len(urls))
        description = (
            f"{count}, {_frame_formats(seen)} {first.width}x{first.height}, {part.fps:g} fps, "
            f"mean color at the start {first.color}, {tokens} tokens"
        )
        whole = [content for content in contents if isinstance(content, Content)]
        scenes = find_scenes_of_list(whole, part.fps) if self._wants_events() else None
        return InspectedMedia("video", description, tokens, scenes=scenes)

    def _video_tokens(self, part: Video, clip: Clip, frames: int) -> int:
        spec = self._video_spec()
        budget = self._budget(spec.pixels, part)
        return video_tokens(clip, frames, budget, part.total_pixels or spec.total_pixels)

    def _image_budget(self, part: ImagePart) -> Budget:
        budget = self._budget(self._spec.image, part)
        if not self._high_resolution:
            return budget
        # The switch fixes the cap and ignores `max_pixels` (OpenAI-Chat page, 2026-10).
        most = HIGH_RESOLUTION_PATCHES * self._spec.patch**2
        return Budget(budget.patch, budget.min_pixels, most)

    def _budget(self, pixels: Pixels, part: ImagePart | Video) -> Budget:
        return Budget(
            patch=self._spec.patch,
            min_pixels=part.min_pixels or pixels.default_min,
            max_pixels=part.max_pixels or pixels.default_max,
        )

    def _video_spec(self) -> VideoSpec:
        return self._spec.video or reject("The model does not support video input.")


def _frame_formats(seen: list[InspectedImage]) -> str:
    return "/".join(dict.fromkeys(image.format for image in seen))


def shown_url(url: str) -> str:
    """Write a URL without what may be secret in it."""
    # A signed link keeps its secret in the query.
    return url.partition("?")[0]
