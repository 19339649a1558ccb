"""Asks where things are in a picture, and when things happen in a video."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from qwen_vl.client_cache import ClientCache
from qwen_vl.content import Text, Turn
from qwen_vl.event_questions import EventQuestion, ask_events
from qwen_vl.grounding import Grounding
from qwen_vl.place_questions import PlaceQuestion, ask_places
from qwen_vl.reply import Reply
from qwen_vl.request import Request
from qwen_vl.settings import QwenVLSettings
from qwen_vl.timelines import Timeline

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
                `qwen_vl.place_questions.ask_places`.

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
                options of the call; see `qwen_vl.event_questions.ask_events`.

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
        >>> from qwen_vl.sandbox import Sandbox
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
