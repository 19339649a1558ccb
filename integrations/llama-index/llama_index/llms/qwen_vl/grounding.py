"""Where things are in a picture, and when things happen in a video: calls, and tools for agents.

What is asked and how answers are read is the core's; each question is a chat like any other, with
its events and callbacks.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from llama_index.core.base.llms.types import (
    CacheControl,
    CachePoint,
    ChatMessage,
    ChatResponse,
    ImageBlock,
    TextBlock,
    VideoBlock,
)
from llama_index.core.tools import FunctionTool

from llama_index.llms.qwen_vl.constructors import frames_block, image_block, video_block
from llama_index.llms.qwen_vl.llm import QwenVL
from qwen_vl.content import Frames, Image, Inline, LocalFile, OpenFile, Pixels, Source, Url, Video
from qwen_vl.errors import MediaNotFoundError
from qwen_vl.event_questions import EventQuestion, ask_events
from qwen_vl.grounding import Grounding
from qwen_vl.place_questions import PlaceQuestion, ask_places
from qwen_vl.timelines import Timeline


def locate(llm: QwenVL, image: object, what: str, **options: Any) -> Grounding:
    """Find things in a picture; see `QwenVL.locate`.

    Args:
        llm: Whom to ask.
        image: The picture.
        what: What to look for, in words.
        **options: As of `qwen_vl.place_questions.ask_places`.
    """
    question = ask_places(llm, image, what, **options)
    return _read_places(question, llm.chat([_to_message(question)], **question.options))


async def alocate(llm: QwenVL, image: object, what: str, **options: Any) -> Grounding:
    """Find things in a picture; see `locate`. The picture is read in a thread."""
    question = await asyncio.to_thread(ask_places, llm, image, what, **options)
    return _read_places(question, await llm.achat([_to_message(question)], **question.options))


def timeline(llm: QwenVL, video: object, *what: str, **options: Any) -> Timeline:
    """Find events in a video; see `QwenVL.timeline`.

    Args:
        llm: Whom to ask.
        video: The video.
        *what: What to look for, in words; all that happens where nothing is said.
        **options: As of `qwen_vl.event_questions.ask_events`.
    """
    question = ask_events(llm, video, *what, **options)
    return _read_events(question, llm.chat([_to_message(question)], **question.options))


async def atimeline(llm: QwenVL, video: object, *what: str, **options: Any) -> Timeline:
    """Find events in a video; see `timeline`. The video is read in a thread."""
    question = await asyncio.to_thread(ask_events, llm, video, *what, **options)
    return _read_events(question, await llm.achat([_to_message(question)], **question.options))


def locate_tool(
    llm: QwenVL, images: Mapping[str, object] | None = None, **options: Any
) -> FunctionTool:
    """Make a tool with which an agent finds things in pictures.

    It answers in words, with boxes in pixels; `raw_output` is the `Grounding`.

    Args:
        llm: Whom to ask.
        images: Pictures by the names that the agent has for them, in any form that
            `QwenVL.locate` takes. With them, it can name no others. Without them it names
            addresses, whose sizes must be given, and files inside of the model's `media_roots`.
        **options: As of `ask_places`, for every call.

    Example:
        >>> from PIL import Image
        >>> from qwen_vl.sandbox import Sandbox
        >>> picture = Image.new("RGB", (640, 480), "white")
        >>> picture.paste("red", (64, 48, 192, 240))
        >>> with Sandbox() as sandbox:
        ...     llm = QwenVL(api_base=sandbox.base_url, api_key="sk-sandbox")
        ...     print(locate_tool(llm, {"desk": picture}).call(image="desk", what="red things"))
        1 box in a picture of 640 x 480 pixels: red [64, 48, 192, 240].
    """

    def find(image: str, what: str) -> Grounding:
        return locate(llm, _named(image, images), what, **options)

    async def afind(image: str, what: str) -> Grounding:
        return await alocate(llm, _named(image, images), what, **options)

    return FunctionTool.from_defaults(
        find,
        async_fn=afind,
        name="locate",
        description=_describe(
            "Find where things are in a picture, in pixels. `image` is its name or address, "
            "`what` says in a few words what to look for.",
            images,
        ),
    )


def timeline_tool(
    llm: QwenVL, videos: Mapping[str, object] | None = None, **options: Any
) -> FunctionTool:
    """Make a tool with which an agent finds out when things happen in videos.

    It answers in words; `raw_output` is the `Timeline`.

    Args:
        llm: Whom to ask.
        videos: Videos by the names that the agent has for them, in any form that
            `QwenVL.timeline` takes. With them, it can name no others. Without them it names
            addresses, and files inside of the model's `media_roots`.
        **options: As of `ask_events`, for every call.
    """

    def find(video: str, what: str) -> Timeline:
        return timeline(llm, _named(video, videos), what, **options)

    async def afind(video: str, what: str) -> Timeline:
        return await atimeline(llm, _named(video, videos), what, **options)

    return FunctionTool.from_defaults(
        find,
        async_fn=afind,
        name="timeline",
        description=_describe(
            "Find when things happen in a video. `video` is its name or address, `what` says in "
            "a few words what to look for.",
            videos,
        ),
    )


def _named(name: str, media: Mapping[str, object] | None) -> object:
    if media is None:
        return name
    if name not in media:
        raise MediaNotFoundError(
            f"There is nothing named {name!r}.",
            value=name,
            remedy=f"Choose one of {', '.join(map(repr, media))}.",
        )
    return media[name]


def _describe(task: str, media: Mapping[str, object] | None) -> str:
    return task if media is None else f"{task} There are: {', '.join(media)}."


def _read_places(question: PlaceQuestion, response: ChatResponse) -> Grounding:
    told = response.additional_kwargs
    sizes = told.get("image_hw")
    return question.read(
        response.message.content or "",
        finish_reason=told.get("finish_reason"),
        image_hw=tuple((high, wide) for high, wide in sizes) if sizes else None,
    )


def _read_events(question: EventQuestion, response: ChatResponse) -> Timeline:
    return question.read(
        response.message.content or "",
        finish_reason=response.additional_kwargs.get("finish_reason"),
    )


def _to_message(question: PlaceQuestion | EventQuestion) -> ChatMessage:
    part = question.part
    block = _to_image_block(part) if isinstance(part, Image) else _to_video_block(part)
    marks = (
        [CachePoint(cache_control=CacheControl(**part.cache_control))]
        if (part.cache_control)
        else []
    )
    return ChatMessage([block, *marks, TextBlock(text=question.prompt)])


def _to_image_block(part: Image) -> ImageBlock:
    return image_block(
        _to_value(part.source),
        min_pixels=part.min_pixels,
        max_pixels=part.max_pixels,
        detail=part.detail,
    )


def _to_video_block(part: Video) -> VideoBlock:
    pixels: dict[str, Any] = {
        "fps": part.fps,
        "min_pixels": part.min_pixels,
        "max_pixels": part.max_pixels,
        "total_pixels": part.total_pixels,
    }
    if isinstance(part.source, Frames):
        return frames_block([_to_value(frame) for frame in part.source.frames], **pixels)
    cut: dict[str, Any] = {"start": part.start, "end": part.end, "max_frames": part.max_frames}
    return video_block(_to_value(part.source), **pixels, **cut, video_mode=part.video_mode)


def _to_value(source: Source) -> Any:
    match source:
        case Url(address=value) | Inline(data=value):
            return value
        case LocalFile(path=path):
            return path if source.is_trusted else str(path)
        case OpenFile(file=file):
            return file
        case Pixels(image=image):
            return image
