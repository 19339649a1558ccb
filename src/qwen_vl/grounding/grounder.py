"""Asks where things are in a picture, and when things happen in a video."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qwen_vl.client import ClientCache
from qwen_vl.content import Text, Turn
from qwen_vl.errors import MediaNotFoundError
from qwen_vl.grounding.find_events import FindEventsTask, find_events_task
from qwen_vl.grounding.locate import LocateTask, locate_task
from qwen_vl.grounding.results import Grounding
from qwen_vl.grounding.timeline import Timeline
from qwen_vl.reply import Reply
from qwen_vl.request.types import Request
from qwen_vl.settings import QwenVLSettings

Question = LocateTask | FindEventsTask


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is read of a reply.

    Args:
        text: The answer.
        finish_reason: Why it ended.
        image_hw: Height and width at which the model looked at the picture, where it is told.
    """

    text: str
    finish_reason: str | None = None
    image_hw: Sequence[Sequence[int]] | None = None


class BaseGrounder(ABC):
    """Asks for places and times, by whichever way a question is sent.

    Args:
        settings: The model to ask, and which files may be read.
    """

    def __init__(self, settings: QwenVLSettings) -> None:
        self._settings = settings

    @abstractmethod
    def ask(self, question: Question) -> Answer:
        """Send a question, and wait for the answer."""

    @abstractmethod
    async def ask_async(self, question: Question) -> Answer:
        """Send a question without blocking."""

    def locate(self, image: object, what: str, **options: Any) -> Grounding:
        """Find things in a picture.

        Args:
            image: A `pathlib.Path`, bytes, an open file, a `PIL.Image`, an array, or an address.
            what: What to look for, in words.
            **options: `points`, `space`, `size`, `prompt` and options of the call; see
                `qwen_vl.grounding.locate.locate_task`.

        Raises:
            MediaError: The picture cannot be read or sent, or its size is not known.
            AnswerFormatError: The answer holds no places, or its coordinates count in something
                else than was expected.
            ServiceError: The endpoint answered with an error, or not at all.
        """
        question = locate_task(self._settings, image, what, **options)
        return _read_boxes(question, self.ask(question))

    async def alocate(self, image: object, what: str, **options: Any) -> Grounding:
        """Find things in a picture; see `locate`. The picture is read in a thread."""
        question = await asyncio.to_thread(locate_task, self._settings, image, what, **options)
        return _read_boxes(question, await self.ask_async(question))

    def timeline(self, video: object, what: str | None = None, **options: Any) -> Timeline:
        """Find events in a video.

        Args:
            video: A `pathlib.Path`, bytes, an open file, an address, or a list of frames.
            what: What to look for, in words; all that happens where nothing is said.
            **options: `fps`, `start`, `end`, `max_frames`, `video_mode`, `seconds`, `prompt` and
                options of the call; see `qwen_vl.grounding.find_events.find_events_task`.

        Raises:
            MediaError: The video cannot be read or sent.
            AnswerFormatError: The answer holds no events, or times that the video does not have.
            ServiceError: The endpoint answered with an error, or not at all.
        """
        question = find_events_task(self._settings, video, what, **options)
        return _read_events(question, self.ask(question))

    async def atimeline(self, video: object, what: str | None = None, **options: Any) -> Timeline:
        """Find events in a video; see `timeline`. The video is read in a thread."""
        question = await asyncio.to_thread(find_events_task, self._settings, video, what, **options)
        return _read_events(question, await self.ask_async(question))


class Grounder(BaseGrounder):
    """Asks a model for places and for times, and gives them as pixels and seconds.

    Args:
        settings: The model to ask, how to reach it, and which files may be read.

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

    def __init__(self, settings: QwenVLSettings) -> None:
        super().__init__(settings)
        self._clients = ClientCache()

    def ask(self, question: Question) -> Answer:
        """Send a question, and wait for the answer."""
        client = self._clients.sync(self._settings.connection())
        return _to_answer(client.ask(self._to_request(question)))

    async def ask_async(self, question: Question) -> Answer:
        """Send a question without blocking."""
        client = self._clients.asynchronous(self._settings.connection())
        return _to_answer(await client.ask(self._to_request(question)))

    def _to_request(self, question: Question) -> Request:
        turn = Turn(role="user", parts=(question.part, Text(text=question.prompt)))
        return self._settings.make_request((turn,), stream=None, **question.options)


def _to_answer(reply: Reply) -> Answer:
    return Answer(text=reply.text, finish_reason=reply.finish_reason, image_hw=reply.image_hw)


def _read_boxes(question: LocateTask, answer: Answer) -> Grounding:
    return question.read(answer.text, finish_reason=answer.finish_reason, image_hw=answer.image_hw)


def _read_events(question: FindEventsTask, answer: Answer) -> Timeline:
    return question.read(answer.text, finish_reason=answer.finish_reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundingTool:
    """What a tool does, whatever framework it is made for.

    Args:
        grounder: Asks the model.
        media: Pictures or videos by the names that an agent has for them: it can name no others.
            `None`: it names addresses, and files inside of `media_roots`.
        options: Of `locate` or `timeline`, for every call.
    """

    grounder: BaseGrounder
    media: Mapping[str, object] | None
    options: Mapping[str, Any]

    def locate(self, image: str, what: str) -> Grounding:
        """Find things in a picture.

        Args:
            image: Its name or its address.
            what: What to look for.
        """
        return self.grounder.locate(self._find(image), what, **self.options)

    async def alocate(self, image: str, what: str) -> Grounding:
        """Find things in a picture; see `locate`."""
        return await self.grounder.alocate(self._find(image), what, **self.options)

    def timeline(self, video: str, what: str) -> Timeline:
        """Find events in a video.

        Args:
            video: Its name or its address.
            what: What to look for.
        """
        return self.grounder.timeline(self._find(video), what, **self.options)

    async def atimeline(self, video: str, what: str) -> Timeline:
        """Find events in a video; see `timeline`."""
        return await self.grounder.atimeline(self._find(video), what, **self.options)

    def describe_locate(self) -> str:
        """Say to an agent what `locate` does."""
        return self._describe(
            "Find where things are in a picture, in pixels. `image` is its name or address, "
            "`what` says in a few words what to look for."
        )

    def describe_timeline(self) -> str:
        """Say to an agent what `timeline` does."""
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
