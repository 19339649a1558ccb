"""Looking at media as servers that hold the model themselves do.

They have none of the service's limits, and the rule of `processor_tokens` for counting.
llama.cpp and Ollama scale images with their own code, which has the same rule with
other limits. unsure: how they round halves.
"""

import http.client
import io
from collections.abc import Iterator
from dataclasses import replace
from typing import NoReturn
from urllib.parse import urljoin, urlsplit

import av.error
import pybase64
from PIL import Image

from qwen_vl_sandbox.errors.api_error import reject
from qwen_vl_sandbox.media.colors import find_boxes
from qwen_vl_sandbox.media.download import TooLongError, UnreachableError, download
from qwen_vl_sandbox.media.fetch import MAX_BODY_BYTES, Content, Unfetched, is_loopback
from qwen_vl_sandbox.media.hosted import InspectedMedia, MediaReport, count_text, shown_url
from qwen_vl_sandbox.media.inspect import mean_color, open_video
from qwen_vl_sandbox.media.listen import listen
from qwen_vl_sandbox.media.scenes import find_scenes_of_file, find_scenes_of_list
from qwen_vl_sandbox.media.self_hosted_tokens import (
    MARKERS,
    PROCESSORS,
    Frames,
    Limits,
    family_of,
    image_tokens,
    sampled_numbers,
    scaled_size,
    video_tokens,
)
from qwen_vl_sandbox.reading.conversation import (
    Audio,
    Conversation,
    ImagePart,
    Message,
    Video,
)
from qwen_vl_sandbox.reading.grounding_question import find_question
from qwen_vl_sandbox.reading.self_hosted_parameters import LONGEST_CONTEXT
from qwen_vl_sandbox.specs.servers import Server

MOST_REDIRECTS = 5

# vLLM 0.32 reports 13 prompt tokens for "What is this?" with Qwen3-VL, and 24 with Qwen2.5-VL,
# whose template adds a system message if there is none (measured on 2026-11-22).
ANSWER_TOKENS = 4
DEFAULT_SYSTEM_TOKENS = 11

_NOT_FOUND, _SERVER_SIDE = 400, 500


def receive(conversation: Conversation, server: Server) -> MediaReport:
    """Inspect all media of a conversation and count its tokens.

    Raises:
        ApiError: The server would not take some medium, or the prompt is too long.
    """
    viewer = _Viewer(conversation, server)
    sights = tuple(
        inspected for message in conversation.messages for inspected in viewer.see(message)
    )
    report = MediaReport(sights, count_text(conversation) + _count_template(conversation, server))
    if report.total > LONGEST_CONTEXT:
        reject(
            f"This model's maximum context length is {LONGEST_CONTEXT} tokens. However, your "
            f"request has {report.total} input tokens."
        )
    return report


def _count_template(conversation: Conversation, server: Server) -> int:
    family = family_of(server.served.get(conversation.model, conversation.model))
    has_system = any(message.role == "system" for message in conversation.messages[:1])
    return ANSWER_TOKENS + (
        DEFAULT_SYSTEM_TOKENS if family == "qwen2_5_vl" and not has_system else 0
    )


class _Viewer:
    def __init__(self, conversation: Conversation, server: Server) -> None:
        self._server = server
        self._family = family_of(server.served.get(conversation.model, conversation.model))
        self._question = find_question(conversation)
        self._processor = PROCESSORS[self._family]

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
        content = self._load(part.url)
        if isinstance(content, Unfetched):
            return InspectedMedia("image", f"not fetched, {shown_url(content.url)}, 0 tokens", 0)
        image = _decoded(content)
        self._check_sides(image)
        area = self._server.image_areas.get(self._family)
        limits = _limits(Limits(*area) if area else self._processor.image, part)
        try:
            tokens = image_tokens(image.width, image.height, self._processor.factor, limits)
        except ValueError as error:
            reject(str(error))
        tokens += MARKERS
        color = f", mean color {mean_color(image)}"
        size = (image.width, image.height)
        question = self._question
        wants_boxes = question is not None and question.wants_boxes
        return InspectedMedia(
            "image",
            f"{image.format} {size[0]}x{size[1]}{color}, {tokens} tokens",
            tokens,
            size=size,
            scaled=scaled_size(*size, self._processor.factor, limits),
            boxes=find_boxes(content, question.colors) if question and wants_boxes else None,
            content=content,
        )

    def _hear(self, part: Audio) -> InspectedMedia:
        # unsure: the tokens of it; no omni weights were served.
        content = self._load(part.url)
        if isinstance(content, Unfetched):
            return InspectedMedia("audio", f"not fetched, {shown_url(part.url)}, 0 tokens", 0)
        heard = listen(content)
        return InspectedMedia("audio", f"{heard.format} of {heard.seconds:.1f} s, 0 tokens", 0)

    def _check_sides(self, image: Image.Image) -> None:
        least = self._server.small_sides.get(self._family, 0)
        if min(image.size) < least:
            width, height = image.size
            reject(
                f"height:{height} or width:{width} must be larger than factor:{least}",
                status=self._server.small_sides_status,
            )

    def _wants_events(self) -> bool:
        return self._question is not None and self._question.kind == "events"

    def _see_video(self, part: Video, url: str) -> InspectedMedia:
        content = self._load(url)
        if isinstance(content, Unfetched):
            return InspectedMedia("video", f"not fetched, {shown_url(url)}, 0 tokens", 0)
        is_old = self._family == "qwen2_5_vl"
        try:
            seen = open_video(content)
        except (av.error.FFmpegError, ValueError, StopIteration, IndexError):
            reject("Failed to load the video.", status=_SERVER_SIDE if is_old else _NOT_FOUND)
        clip = seen.clip
        if not clip.frames or not seen.fps:
            reject("Failed to load the video.")
        try:
            numbers = sampled_numbers(clip.frames, seen.fps, part.fps, self._family)
        except ValueError as error:
            reject(str(error), status=_SERVER_SIDE)
        frames = Frames(clip.width, clip.height, numbers, seen.fps)
        tokens = self._video_tokens(frames, part)
        description = (
            f"{seen.format} {clip.width}x{clip.height}, {clip.seconds:.1f} s, {seen.fps:g} fps, "
            f"{len(numbers)} frames sampled, mean color at the start {seen.color}, "
            f"{tokens} tokens"
        )
        wanted = self._wants_events()
        scenes = find_scenes_of_file(content, numbers, clip.seconds) if wanted else None
        return InspectedMedia("video", description, tokens, scenes=scenes)

    def _see_frames(self, part: Video, urls: tuple[str, ...]) -> InspectedMedia:
        contents = [content for url in urls if isinstance(content := self._load(url), Content)]
        images = [_decoded(content) for content in contents]
        first = images[0]
        if len({image.size for image in images}) > 1:
            # numpy.stack, in vLLM's reading of frame lists.
            reject("all input arrays must have the same shape")
        frames = Frames(first.width, first.height, tuple(range(len(images))), part.fps)
        tokens = self._video_tokens(frames, part)
        formats = "/".join(dict.fromkeys(str(image.format) for image in images))
        description = (
            f"{len(images)} frames sent, {formats} {first.width}x{first.height}, "
            f"{part.fps:g} fps, mean color at the start {mean_color(first)}, {tokens} tokens"
        )
        scenes = find_scenes_of_list(contents, part.fps) if self._wants_events() else None
        return InspectedMedia("video", description, tokens, scenes=scenes)

    def _video_tokens(self, frames: Frames, part: Video) -> int:
        try:
            return video_tokens(frames, self._family, _limits(self._processor.video, part)).total
        except ValueError as error:
            reject(str(error))

    def _load(self, url: str) -> Content | Unfetched:
        scheme, colon, rest = url.partition(":")
        server = self._server
        match scheme.lower() if colon else "":
            case "data":
                return self._decode(rest)
            case "http" | "https":
                if "http" in server.urls:
                    return self._fetch(url)
                return reject(server.no_links)
            case "file" if server.no_files:
                return reject(server.no_files, status=server.unreachable_status)
            case "" if url and "path" in server.urls:
                return Unfetched(url)
            case "" if url and "base64" in server.urls:
                return Content(_from_base64(url), "")
            case _:
                return reject(server.bad_url)

    def _decode(self, rest: str) -> Content:
        head, _, data = rest.partition(",")
        media_type, _, encoding = head.rpartition(";")
        types = self._server.inline_types
        if types is not None and (encoding != "base64" or media_type not in types):
            reject(self._server.bad_url)
        if encoding != "base64":
            reject("Only base64 data URLs are supported for now.", status=501)
        return Content(_from_base64(data), media_type.partition(";")[0].lower())

    def _fetch(self, url: str) -> Content | Unfetched:
        for _ in range(MOST_REDIRECTS):
            host = urlsplit(url).hostname or ""
            if host.endswith(".invalid"):
                self._unreachable(url)
            if not is_loopback(host):
                return Unfetched(url)
            status, location, data = self._get(url)
            if location is None:
                break
            url = urljoin(url, location)
        if _NOT_FOUND <= status < _SERVER_SIDE:
            reject(
                f"{status}, message='Not Found', url='{url}'",
                status=self._server.missing_status,
                param="image_url",
            )
        if status >= _SERVER_SIDE:
            self._unreachable(url)
        return Content(data, "")

    def _get(self, url: str) -> tuple[int, str | None, bytes]:
        try:
            found = download(urlsplit(url), MAX_BODY_BYTES)
        except (http.client.InvalidURL, TooLongError, UnreachableError):
            self._unreachable(url)
        return found.status, found.headers.get("Location"), found.data

    def _unreachable(self, url: str) -> NoReturn:
        reject(f"Cannot load {url!r}.", status=self._server.unreachable_status)


def _limits(default: Limits, part: ImagePart | Video) -> Limits:
    return replace(
        default,
        min_pixels=part.min_pixels or default.min_pixels,
        max_pixels=part.max_pixels or default.max_pixels,
    )


def _from_base64(text: str) -> bytes:
    try:
        # Padding may be missing; line breaks and the URL-safe letters are refused.
        return pybase64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        reject("Invalid base64-encoded string.")


def _decoded(content: Content) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(content.data))
        image.load()
    except (
        OSError,
        SyntaxError,
        ValueError,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ):
        reject("Failed to load image: cannot identify image file")
    return image
