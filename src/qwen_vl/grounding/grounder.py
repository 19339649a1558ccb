"""Asks where things are in a picture, and when things happen in a video."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qwen_vl.client import ClientCache
from qwen_vl.content import Text, Turn
from qwen_vl.errors import MediaNotFoundError
from qwen_vl.grounding.find_events import EventQuestion, ask_events
from qwen_vl.grounding.locate import PlaceQuestion, ask_places
from qwen_vl.grounding.results import Grounding
from qwen_vl.grounding.timeline import Timeline
from qwen_vl.reply import Reply
from qwen_vl.request.types import Request
from qwen_vl.settings import QwenVLSettings

Question = PlaceQuestion | EventQuestion


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


class QuestionAsker(ABC):
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
    async def aask(self, question: Question) -> Answer:
        """Send a question without blocking."""

    def locate(self, picture: object, what: str, **options: Any) -> Grounding:
        """Find things in a picture.

        Args:
            picture: A `pathlib.Path`, bytes, an open file, a `PIL.Image`, an array, or an address.
            what: What to look for, in words.
            **options: `points`, `space`, `size`, `prompt` and options of the call; see
                `qwen_vl.grounding.locate.ask_places`.

        Raises:
            MediaError: The picture cannot be read or sent, or its size is not known.
            AnswerFormatError: The answer holds no places, or its coordinates count in something
                else than was expected.
            ServiceError: The endpoint answered with an error, or not at all.
        """
        question = ask_places(self._settings, picture, what, **options)
        return _read_places(question, self.ask(question))

    async def alocate(self, picture: object, what: str, **options: Any) -> Grounding:
        """Find things in a picture; see `locate`. The picture is read in a thread."""
        question = await asyncio.to_thread(ask_places, self._settings, picture, what, **options)
        return _read_places(question, await self.aask(question))

    def timeline(self, video: object, what: str | None = None, **options: Any) -> Timeline:
        """Find events in a video.

        Args:
            video: A `pathlib.Path`, bytes, an open file, an address, or a list of frames.
            what: What to look for, in words; all that happens where nothing is said.
            **options: `fps`, `start`, `end`, `max_frames`, `video_mode`, `seconds`, `prompt` and
                options of the call; see `qwen_vl.grounding.find_events.ask_events`.

        Raises:
            MediaError: The video cannot be read or sent.
            AnswerFormatError: The answer holds no events, or times that the video does not have.
            ServiceError: The endpoint answered with an error, or not at all.
        """
        question = ask_events(self._settings, video, what, **options)
        return _read_events(question, self.ask(question))

    async def atimeline(self, video: object, what: str | None = None, **options: Any) -> Timeline:
        """Find events in a video; see `timeline`. The video is read in a thread."""
        question = await asyncio.to_thread(ask_events, self._settings, video, what, **options)
        return _read_events(question, await self.aask(question))


class Grounder(QuestionAsker):
    """Asks a model for places and for times, and gives them as pixels and seconds.

    Args:
        settings: The model to ask, how to reach it, and which files may be read.

    Example:
        >>> from PIL import Image
        >>> from qwen_vl.samples import BIG_BUCK_BUNNY
        >>> from qwen_vl_sandbox import Sandbox
        >>> picture = Image.new("RGB", (640, 480), "white")
        >>> picture.paste("red", (64, 48, 192, 240))
        >>> with Sandbox() as sandbox:
        ...     settings = QwenVLSettings(base_url=sandbox.base_url, api_key="sk-sandbox")
        ...     grounder = Grounder(settings)
        ...     found = grounder.locate(picture, "red boxes")
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

    async def aask(self, question: Question) -> Answer:
        """Send a question without blocking."""
        client = self._clients.asynchronous(self._settings.connection())
        return _to_answer(await client.ask(self._to_request(question)))

    def _to_request(self, question: Question) -> Request:
        turn = Turn(role="user", parts=(question.part, Text(text=question.prompt)))
        return self._settings.make_request((turn,), stream=None, **question.options)


def _to_answer(reply: Reply) -> Answer:
    return Answer(text=reply.text, finish_reason=reply.finish_reason, image_hw=reply.image_hw)


def _read_places(question: PlaceQuestion, answer: Answer) -> Grounding:
    return question.read(answer.text, finish_reason=answer.finish_reason, image_hw=answer.image_hw)


def _read_events(question: EventQuestion, answer: Answer) -> Timeline:
    return question.read(answer.text, finish_reason=answer.finish_reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroundingTool:
    """What a tool does, whatever framework it is made for.

    Args:
        asker: Asks the model.
        media: Pictures or videos by the names that an agent has for them: it can name no others.
            `None`: it names addresses, and files inside of `media_roots`.
        options: Of `locate` or `timeline`, for every call.
    """

    asker: QuestionAsker
    media: Mapping[str, object] | None
    options: Mapping[str, Any]

    def locate(self, image: str, what: str) -> Grounding:
        """Find things in a picture.

        Args:
            image: Its name or its address.
            what: What to look for.
        """
        return self.asker.locate(self._find(image), what, **self.options)

    async def alocate(self, image: str, what: str) -> Grounding:
        """Find things in a picture; see `locate`."""
        return await self.asker.alocate(self._find(image), what, **self.options)

    def timeline(self, video: str, what: str) -> Timeline:
        """Find events in a video.

        Args:
            video: Its name or its address.
            what: What to look for.
        """
        return self.asker.timeline(self._find(video), what, **self.options)

    async def atimeline(self, video: str, what: str) -> Timeline:
        """Find events in a video; see `timeline`."""
        return await self.asker.atimeline(self._find(video), what, **self.options)

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
