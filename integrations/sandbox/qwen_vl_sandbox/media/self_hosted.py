"""Looking at media as servers that hold the model themselves do.

They have none of the service's limits, and the rule of `processor_tokens` for counting.
unsure: llama.cpp and Ollama scale pictures by a program of their own; the same rule is
taken for them.
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

from qwen_vl_sandbox.errors.refusal import refuse
from qwen_vl_sandbox.media.colors import find_places
from qwen_vl_sandbox.media.fetch import FETCH_TIMEOUT_SECONDS, Content, Unseen, is_loopback
from qwen_vl_sandbox.media.hosted import Receipt, Sight, count_text, shown_address
from qwen_vl_sandbox.media.inspect import mean_colour, open_video
from qwen_vl_sandbox.media.scenes import find_scenes_of_file, find_scenes_of_list
from qwen_vl_sandbox.media.self_hosted_tokens import (
    MARKERS,
    PROCESSORS,
    Frames,
    Limits,
    family_of,
    picture_tokens,
    sampled_numbers,
    scaled_size,
    video_tokens,
)
from qwen_vl_sandbox.reading.conversation import Conversation, Message, Picture, Video
from qwen_vl_sandbox.reading.grounding_question import find_question
from qwen_vl_sandbox.reading.self_hosted_parameters import LONGEST_CONTEXT
from qwen_vl_sandbox.specs.servers import Dialect

MOST_REDIRECTS = 5

_NOT_FOUND, _SERVER_SIDE = 400, 500


def receive(conversation: Conversation, dialect: Dialect) -> Receipt:
    """Look at all media of a conversation and count its tokens.

    Raises:
        Refusal: The server would not take some medium, or the prompt is too long.
    """
    viewer = _Viewer(conversation, dialect)
    sights = tuple(sight for message in conversation.messages for sight in viewer.see(message))
    receipt = Receipt(sights, count_text(conversation))
    if receipt.total > LONGEST_CONTEXT:
        refuse(
            f"This model's maximum context length is {LONGEST_CONTEXT} tokens. However, your "
            f"request has {receipt.total} input tokens."
        )
    return receipt


class _Viewer:
    def __init__(self, conversation: Conversation, dialect: Dialect) -> None:
        self._dialect = dialect
        self._family = family_of(conversation.model)
        self._question = find_question(conversation)
        self._processor = PROCESSORS[self._family]

    def see(self, message: Message) -> Iterator[Sight]:
        for part in message.parts:
            match part:
                case Picture():
                    yield self._see_picture(part)
                case Video(source=str(url)):
                    yield self._see_video(part, url)
                case Video(source=tuple(urls)):
                    yield self._see_frames(part, urls)

    def _see_picture(self, part: Picture) -> Sight:
        content = self._load(part.url)
        if isinstance(content, Unseen):
            return Sight("image", f"not fetched, {shown_address(content.url)}, 0 tokens", 0)
        image = _decoded(content)
        limits = _limits(self._processor.picture, part)
        try:
            tokens = picture_tokens(image.width, image.height, self._processor.factor, limits)
        except ValueError as error:
            refuse(str(error))
        tokens += MARKERS
        colour = f", mean colour {mean_colour(image)}"
        size = (image.width, image.height)
        question = self._question
        wants_places = question is not None and question.kind == "places"
        return Sight(
            "image",
            f"{image.format} {size[0]}x{size[1]}{colour}, {tokens} tokens",
            tokens,
            size=size,
            scaled=scaled_size(*size, self._processor.factor, limits),
            places=find_places(content, question.colours) if question and wants_places else None,
        )

    def _wants_events(self) -> bool:
        return self._question is not None and self._question.kind == "events"

    def _see_video(self, part: Video, url: str) -> Sight:
        content = self._load(url)
        if isinstance(content, Unseen):
            return Sight("video", f"not fetched, {shown_address(url)}, 0 tokens", 0)
        is_old = self._family == "qwen2_5_vl"
        try:
            seen = open_video(content)
        except (av.error.FFmpegError, ValueError, StopIteration, IndexError):
            refuse("Failed to load the video.", status=_SERVER_SIDE if is_old else _NOT_FOUND)
        clip = seen.clip
        if not clip.frames or not seen.fps:
            refuse("Failed to load the video.")
        try:
            numbers = sampled_numbers(clip.frames, seen.fps, part.fps, self._family)
        except ValueError as error:
            refuse(str(error), status=_SERVER_SIDE)
        frames = Frames(clip.width, clip.height, numbers, seen.fps)
        tokens = self._video_tokens(frames, part)
        description = (
            f"{seen.format} {clip.width}x{clip.height}, {clip.seconds:.1f} s, {seen.fps:g} fps, "
            f"{len(numbers)} frames sampled, mean colour at the start {seen.colour}, "
            f"{tokens} tokens"
        )
        wanted = self._wants_events()
        scenes = find_scenes_of_file(content, numbers, clip.seconds) if wanted else None
        return Sight("video", description, tokens, scenes=scenes)

    def _see_frames(self, part: Video, urls: tuple[str, ...]) -> Sight:
        contents = [content for url in urls if isinstance(content := self._load(url), Content)]
        images = [_decoded(content) for content in contents]
        first = images[0]
        frames = Frames(first.width, first.height, tuple(range(len(images))), part.fps)
        tokens = self._video_tokens(frames, part)
        formats = "/".join(dict.fromkeys(str(image.format) for image in images))
        description = (
            f"{len(images)} frames sent, {formats} {first.width}x{first.height}, "
            f"{part.fps:g} fps, mean colour at the start {mean_colour(first)}, {tokens} tokens"
        )
        scenes = find_scenes_of_list(contents, part.fps) if self._wants_events() else None
        return Sight("video", description, tokens, scenes=scenes)

    def _video_tokens(self, frames: Frames, part: Video) -> int:
        try:
            return video_tokens(frames, self._family, _limits(self._processor.video, part)).total
        except ValueError as error:
            refuse(str(error))

    def _load(self, url: str) -> Content | Unseen:
        scheme, colon, rest = url.partition(":")
        dialect = self._dialect
        match scheme.lower() if colon else "":
            case "data":
                return self._decode(rest)
            case "http" | "https":
                if "http" in dialect.addresses:
                    return self._fetch(url)
                return refuse(dialect.no_links)
            case "file" if dialect.no_files:
                return refuse(dialect.no_files, status=dialect.unreachable_status)
            case "" if url and "path" in dialect.addresses:
                return Unseen(url)
            case "" if url and "base64" in dialect.addresses:
                return Content(_from_base64(url), "")
            case _:
                return refuse(dialect.bad_address)

    def _decode(self, rest: str) -> Content:
        head, _, data = rest.partition(",")
        media_type, _, encoding = head.rpartition(";")
        types = self._dialect.inline_types
        if types is not None and (encoding != "base64" or media_type not in types):
            refuse(self._dialect.bad_address)
        if encoding != "base64":
            refuse("Only base64 data URLs are supported for now.", status=501)
        return Content(_from_base64(data), media_type.partition(";")[0].lower())

    def _fetch(self, url: str) -> Content | Unseen:
        for _ in range(MOST_REDIRECTS):
            host = urlsplit(url).hostname or ""
            if host.endswith(".invalid"):
                self._unreachable(url)
            if not is_loopback(host):
                return Unseen(url)
            status, location, data = self._get(url)
            if location is None:
                break
            url = urljoin(url, location)
        if _NOT_FOUND <= status < _SERVER_SIDE:
            refuse(
                f"{status}, message='Not Found', url='{url}'",
                status=self._dialect.missing_status,
                param="image_url",
            )
        if status >= _SERVER_SIDE:
            self._unreachable(url)
        return Content(data, "")

    def _get(self, url: str) -> tuple[int, str | None, bytes]:
        address = urlsplit(url)
        connection = http.client.HTTPConnection(address.netloc, timeout=FETCH_TIMEOUT_SECONDS)
        target = f"{address.path or '/'}?{address.query}" if address.query else address.path or "/"
        try:
            connection.request("GET", target)
            with connection.getresponse() as response:
                return response.status, response.getheader("Location"), response.read()
        except (OSError, http.client.HTTPException):
            self._unreachable(url)
        finally:
            connection.close()

    def _unreachable(self, url: str) -> NoReturn:
        refuse(f"Cannot load {url!r}.", status=self._dialect.unreachable_status)


def _limits(default: Limits, part: Picture | Video) -> Limits:
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
        refuse("Invalid base64-encoded string.")


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
        refuse("Failed to load image: cannot identify image file")
    return image
