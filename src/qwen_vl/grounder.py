"""Asks where things are in a picture, and when things happen in a video."""

import asyncio
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


class Grounder:
    """Asks a model for places and for times, and gives them as pixels and seconds.

    Args:
        settings: The model to ask, how to reach it, and which files may be read.

    Example:
        >>> from PIL import Image
        >>> from qwen_vl.sandbox import Sandbox
        >>> picture = Image.new("RGB", (640, 480), "white")
        >>> picture.paste("red", (64, 48, 192, 240))
        >>> with Sandbox() as sandbox:
        ...     settings = QwenVLSettings(base_url=sandbox.base_url, api_key="sk-sandbox")
        ...     found = Grounder(settings).locate(picture, "red boxes")
        >>> found.boxes
        (Box(x1=64.0, y1=48.0, x2=192.0, y2=240.0, label='red', is_clipped=False, corners=None),)
    """

    def __init__(self, settings: QwenVLSettings) -> None:
        self._settings = settings
        self._clients = ClientCache()

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
        return self._read_places(question, self._ask(question))

    async def alocate(self, picture: object, what: str, **options: Any) -> Grounding:
        """Find things in a picture; see `locate`. The picture is read in a thread."""
        question = await asyncio.to_thread(ask_places, self._settings, picture, what, **options)
        return self._read_places(question, await self._aask(question))

    def timeline(self, video: object, *what: str, **options: Any) -> Timeline:
        """Find events in a video.

        Args:
            video: A `pathlib.Path`, bytes, an open file, an address, or a list of frames.
            *what: What to look for, in words; all that happens where nothing is said.
            **options: `fps`, `start`, `end`, `max_frames`, `video_mode`, `seconds`, `prompt` and
                options of the call; see `qwen_vl.event_questions.ask_events`.

        Raises:
            MediaError: The video cannot be read or sent.
            AnswerFormatError: The answer holds no events, or times that the video does not have.
            ServiceError: The endpoint answered with an error, or not at all.

        Example:
            >>> from qwen_vl.samples import BIG_BUCK_BUNNY
            >>> from qwen_vl.sandbox import Sandbox
            >>> with Sandbox() as sandbox:
            ...     settings = QwenVLSettings(base_url=sandbox.base_url, api_key="sk-sandbox")
            ...     timeline = Grounder(settings).timeline(BIG_BUCK_BUNNY)
            >>> timeline.events[0].end
            5.28
        """
        question = ask_events(self._settings, video, *what, **options)
        return self._read_events(question, self._ask(question))

    async def atimeline(self, video: object, *what: str, **options: Any) -> Timeline:
        """Find events in a video; see `timeline`. The video is read in a thread."""
        question = await asyncio.to_thread(ask_events, self._settings, video, *what, **options)
        return self._read_events(question, await self._aask(question))

    def _ask(self, question: PlaceQuestion | EventQuestion) -> Reply:
        return self._clients.sync(self._settings.connection()).ask(self._to_request(question))

    async def _aask(self, question: PlaceQuestion | EventQuestion) -> Reply:
        client = self._clients.asynchronous(self._settings.connection())
        return await client.ask(self._to_request(question))

    def _to_request(self, question: PlaceQuestion | EventQuestion) -> Request:
        turn = Turn(role="user", parts=(question.part, Text(text=question.prompt)))
        return self._settings.make_request((turn,), stream=None, **question.options)

    @staticmethod
    def _read_places(question: PlaceQuestion, reply: Reply) -> Grounding:
        return question.read(reply.text, finish_reason=reply.finish_reason, image_hw=reply.image_hw)

    @staticmethod
    def _read_events(question: EventQuestion, reply: Reply) -> Timeline:
        return question.read(reply.text, finish_reason=reply.finish_reason)
