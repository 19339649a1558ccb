"""Asks where things are in an image, and when things happen in a video."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, Unpack

from qwen_vl.client import ClientCache
from qwen_vl.content import Image, Video, to_value
from qwen_vl.display.drawn import with_drawing
from qwen_vl.errors import MediaNotFoundError
from qwen_vl.grounding.find_events import find_events_task
from qwen_vl.grounding.locate import locate_task
from qwen_vl.grounding.results import Grounding
from qwen_vl.grounding.task import GroundingTask, LocateOptions, TimelineOptions, check_options
from qwen_vl.grounding.timeline import Timeline
from qwen_vl.reply import Reply
from qwen_vl.request.build import build_connection, build_media_policy
from qwen_vl.request.types import MediaPolicy
from qwen_vl.settings import QwenVLSettings

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

MAX_SHOWN_EVENTS = 24
"""Events that a notebook shows as a storyboard; its table has all of them."""

Ask: TypeAlias = Callable[[GroundingTask[Any]], Reply]
AsyncAsk: TypeAlias = Callable[[GroundingTask[Any]], Awaitable[Reply]]


class Grounder:
    """Asks a model for places and times, and returns them as pixels and seconds.

    Args:
        settings: The model to ask, how to reach it, and which files may be read.
        ask: Sends a question and waits for the reply; frameworks pass a call of their model. The
            endpoint of the settings is asked if `None`.
        ask_async: The same without blocking.

    Example:
        >>> from PIL import Image
        >>> from qwen_vl.samples import BIG_BUCK_BUNNY
        >>> from qwen_vl_sandbox import Sandbox
        >>> image = Image.new("RGB", (640, 480), "white")
        >>> image.paste("red", (64, 48, 192, 240))
        >>> with Sandbox() as sandbox:
        ...     settings = QwenVLSettings(base_url=sandbox.base_url, api_key="sk-sandbox")
        ...     grounder = Grounder(settings)
        ...     found = grounder.locate(image, "red boxes")
        ...     timeline = grounder.timeline(BIG_BUCK_BUNNY)
        >>> found.boxes[0].xyxy, timeline.events[0].end
        ((64.0, 48.0, 192.0, 240.0), 5.28)
    """

    def __init__(
        self,
        settings: QwenVLSettings,
        ask: Ask | None = None,
        ask_async: AsyncAsk | None = None,
    ) -> None:
        self._settings = settings
        self._clients = ClientCache()
        self._ask = ask or self._ask_endpoint
        self._ask_async = ask_async or self._ask_endpoint_async

    def locate(self, image: object, what: str, **options: Unpack[LocateOptions]) -> Grounding:
        """Find things in an image.

        Args:
            image: A `pathlib.Path`, bytes, an open file, a `PIL.Image`, an array, or a URL.
            what: What to look for.
            **options: `points`, `space`, `size`, `prompt` and options of the call; see
                `qwen_vl.grounding.locate.locate_task`.

        Raises:
            MediaError: The image cannot be read or sent, or its size is not known.
            AnswerFormatError: The answer holds no coordinates, or coordinates that are not in the
                expected coordinate space.
            ConfigurationError: An option is unknown.
            ServiceError: The endpoint answered with an error, or not at all.
        """
        check_options("locate", options)
        task = locate_task(self._settings, image, what, **options)
        return self._with_image(task.read(self._ask(task)), image)

    async def alocate(
        self, image: object, what: str, **options: Unpack[LocateOptions]
    ) -> Grounding:
        """Find things in an image; see `locate`. The image is read in a thread."""
        check_options("locate", options)
        make = partial(locate_task, self._settings, image, what, **options)
        task = await asyncio.to_thread(make)
        return self._with_image(task.read(await self._ask_async(task)), image)

    def timeline(
        self, video: object, what: str | None = None, **options: Unpack[TimelineOptions]
    ) -> Timeline:
        """Find events in a video.

        Args:
            video: A `pathlib.Path`, bytes, an open file, a URL, or a list of frames.
            what: What to look for; everything that happens if `None`.
            **options: `fps`, `start`, `end`, `max_frames`, `video_mode`, `seconds`, `prompt` and
                options of the call; see `qwen_vl.grounding.find_events.find_events_task`.

        Raises:
            MediaError: The video cannot be read or sent.
            AnswerFormatError: The answer holds no events, or times that the video does not have.
            ConfigurationError: An option is unknown.
            ServiceError: The endpoint answered with an error, or not at all.
        """
        check_options("timeline", options)
        task = find_events_task(self._settings, video, what, **options)
        return self._with_video(task.read(self._ask(task)), video, options)

    async def atimeline(
        self, video: object, what: str | None = None, **options: Unpack[TimelineOptions]
    ) -> Timeline:
        """Find events in a video; see `timeline`. The video is read in a thread."""
        check_options("timeline", options)
        make = partial(find_events_task, self._settings, video, what, **options)
        task = await asyncio.to_thread(make)
        return self._with_video(task.read(await self._ask_async(task)), video, options)

    def _with_image(self, found: Grounding, image: object) -> Grounding:
        source = to_value(image.source) if isinstance(image, Image) else image
        policy = build_media_policy(self._settings)
        return with_drawing(found, lambda found: _draw_boxes(source, found, policy))

    def _with_video(self, found: Timeline, video: object, options: TimelineOptions) -> Timeline:
        part = video if isinstance(video, Video) else None
        if options.get("timestamps") or (part and part.timestamps):
            # A storyboard takes frames at regular intervals.
            return found
        source = to_value(part.source) if part else video
        fps = options.get("fps") or (part and part.fps) or self._settings.fps
        policy = build_media_policy(self._settings)
        return with_drawing(found, lambda found: _draw_storyboard(source, found, fps, policy))

    def _ask_endpoint(self, task: GroundingTask[Any]) -> Reply:
        client = self._clients.sync(build_connection(self._settings))
        return client.ask(task.to_request(self._settings))

    async def _ask_endpoint_async(self, task: GroundingTask[Any]) -> Reply:
        client = self._clients.asynchronous(build_connection(self._settings))
        return await client.ask(task.to_request(self._settings))


def _draw_boxes(source: object, found: Grounding, policy: MediaPolicy) -> "PillowImage":
    from qwen_vl.grounding.drawing import draw_grounding  # noqa: PLC0415 - with Pillow

    return draw_grounding(source, found, policy=policy)


def _draw_storyboard(
    source: object, found: Timeline, fps: float | None, policy: MediaPolicy
) -> "PillowImage":
    from qwen_vl.grounding.drawing import draw_timeline  # noqa: PLC0415 - with Pillow

    # Each event takes time to decode, and cells have to appear.
    shown = replace(found, events=found.events[:MAX_SHOWN_EVENTS])
    return draw_timeline(source, shown, fps=fps, policy=policy)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundingTool:
    """What a tool does, whatever framework it is made for.

    Args:
        grounder: Asks the model.
        media: Images or videos by the names that an agent has for them: it can name no others.
            `None`: it names URLs, and files inside of `media_roots`.
        options: Of `locate` or `timeline`, for every call.
    """

    grounder: Grounder
    media: Mapping[str, object] | None
    options: Any

    def locate(self, image: str, what: str) -> Grounding:
        """Find things in an image.

        Args:
            image: Its name or its URL.
            what: What to look for.
        """
        return self.grounder.locate(self._find(image), what, **self.options)

    async def alocate(self, image: str, what: str) -> Grounding:
        """Find things in an image; see `locate`."""
        return await self.grounder.alocate(self._find(image), what, **self.options)

    def timeline(self, video: str, what: str) -> Timeline:
        """Find events in a video.

        Args:
            video: Its name or its URL.
            what: What to look for.
        """
        return self.grounder.timeline(self._find(video), what, **self.options)

    async def atimeline(self, video: str, what: str) -> Timeline:
        """Find events in a video; see `timeline`."""
        return await self.grounder.atimeline(self._find(video), what, **self.options)

    def describe_locate(self) -> str:
        """Return the description of `locate` for an agent."""
        return self._describe(
            "Find where things are in a picture, in pixels. `image` is its name or address, "
            "`what` says in a few words what to look for."
        )

    def describe_timeline(self) -> str:
        """Return the description of `timeline` for an agent."""
        return self._describe(
            "Find when things happen in a video. `video` is its name or address, `what` says in a "
            "few words what to look for."
        )

    def _describe(self, task: str) -> str:
        return task if self.media is None else f"{task} There are: {', '.join(self.media)}."

    def _find(self, name: str) -> object:
        if self.media is None:
            # What a model writes is text, which is never trusted as a path.
            return name
        if name not in self.media:
            raise MediaNotFoundError(
                f"There is nothing named {name!r}.",
                value=name,
                remedy=f"Choose one of {', '.join(map(repr, self.media))}.",
            )
        return self.media[name]
