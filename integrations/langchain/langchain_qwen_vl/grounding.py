"""Where things are in a picture, and when things happen in a video: calls, runnables and tools.

What is asked and how answers are read is the core's; each question is a call of the model like
any other, with its callbacks, traces and retries.
"""

from collections.abc import Mapping
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langchain_core.runnables.config import run_in_executor
from langchain_core.tools import StructuredTool, ToolException
from pydantic import BaseModel, Field

from langchain_qwen_vl.chat_model import ChatQwenVL
from qwen_vl.content import Frames, Image, Inline, LocalFile, OpenFile, Pixels, Source, Url, Video
from qwen_vl.errors import (
    AnswerFormatError,
    ConfigurationError,
    ContentError,
    MediaNotFoundError,
)
from qwen_vl.event_questions import EventQuestion, ask_events
from qwen_vl.grounding import Grounding
from qwen_vl.place_questions import PlaceQuestion, ask_places
from qwen_vl.timelines import Timeline

# What a model can do better about than a program: say another thing, or name another picture.
_TOLD = (AnswerFormatError, ConfigurationError, ContentError)


def locate(
    model: ChatQwenVL,
    image: object,
    what: str,
    *,
    config: RunnableConfig | None = None,
    **options: Any,
) -> Grounding:
    """Find things in a picture; see `ChatQwenVL.locate`.

    Args:
        model: Whom to ask.
        image: The picture.
        what: What to look for, in words.
        config: LangChain's, for the call of the model.
        **options: As of `qwen_vl.place_questions.ask_places`.
    """
    question = ask_places(model, image, what, **options)
    answer = model.invoke([_to_message(question)], config, **question.options)
    return _read_places(question, answer)


async def alocate(
    model: ChatQwenVL,
    image: object,
    what: str,
    *,
    config: RunnableConfig | None = None,
    **options: Any,
) -> Grounding:
    """Find things in a picture; see `locate`. The picture is read in a thread."""
    question = await run_in_executor(None, ask_places, model, image, what, **options)
    answer = await model.ainvoke([_to_message(question)], config, **question.options)
    return _read_places(question, answer)


def timeline(
    model: ChatQwenVL,
    video: object,
    *what: str,
    config: RunnableConfig | None = None,
    **options: Any,
) -> Timeline:
    """Find events in a video; see `ChatQwenVL.timeline`.

    Args:
        model: Whom to ask.
        video: The video.
        *what: What to look for, in words; all that happens where nothing is said.
        config: LangChain's, for the call of the model.
        **options: As of `qwen_vl.event_questions.ask_events`.
    """
    question = ask_events(model, video, *what, **options)
    answer = model.invoke([_to_message(question)], config, **question.options)
    return _read_events(question, answer)


async def atimeline(
    model: ChatQwenVL,
    video: object,
    *what: str,
    config: RunnableConfig | None = None,
    **options: Any,
) -> Timeline:
    """Find events in a video; see `timeline`. The video is read in a thread."""
    question = await run_in_executor(None, ask_events, model, video, *what, **options)
    answer = await model.ainvoke([_to_message(question)], config, **question.options)
    return _read_events(question, answer)


def as_locator(model: ChatQwenVL, **options: Any) -> Runnable[dict[str, Any], Grounding]:
    """Make a runnable that finds things in pictures; see `ChatQwenVL.as_locator`.

    Args:
        model: Whom to ask.
        **options: As of `ask_places`, for every call; what a call brings counts before.
    """

    def find(given: dict[str, Any], config: RunnableConfig) -> Grounding:
        image, what, rest = _take(given, "image")
        return locate(model, image, *what, config=config, **{**options, **rest})

    async def afind(given: dict[str, Any], config: RunnableConfig) -> Grounding:
        image, what, rest = _take(given, "image")
        return await alocate(model, image, *what, config=config, **{**options, **rest})

    return RunnableLambda(find, afunc=afind, name="locate")


def as_timeline_finder(model: ChatQwenVL, **options: Any) -> Runnable[dict[str, Any], Timeline]:
    """Make a runnable that finds events in videos; see `ChatQwenVL.as_timeline_finder`.

    Args:
        model: Whom to ask.
        **options: As of `ask_events`, for every call; what a call brings counts before.
    """

    def find(given: dict[str, Any], config: RunnableConfig) -> Timeline:
        video, what, rest = _take(given, "video")
        return timeline(model, video, *what, config=config, **{**options, **rest})

    async def afind(given: dict[str, Any], config: RunnableConfig) -> Timeline:
        video, what, rest = _take(given, "video")
        return await atimeline(model, video, *what, config=config, **{**options, **rest})

    return RunnableLambda(find, afunc=afind, name="timeline")


class _LocateArguments(BaseModel):
    image: str = Field(description="The picture: its name or its address.")
    what: str = Field(description="What to look for, in a few words.")


class _TimelineArguments(BaseModel):
    video: str = Field(description="The video: its name or its address.")
    what: str = Field(description="What to look for, in a few words.")


def locate_tool(
    model: ChatQwenVL, images: Mapping[str, object] | None = None, **options: Any
) -> StructuredTool:
    """Make a tool with which an agent finds things in pictures.

    It answers in words, with boxes in pixels; the message's `artifact` is the `Grounding`. What
    the agent can do better about, such as a name that does not exist, it is told in words too.

    Args:
        model: Whom to ask.
        images: Pictures by the names that the agent has for them, in any form that
            `ChatQwenVL.locate` takes. With them, it can name no others. Without them it names
            addresses, whose sizes must be given, and files inside of the model's `media_roots`.
        **options: As of `ask_places`, for every call.

    Example:
        >>> from PIL import Image
        >>> from qwen_vl.sandbox import Sandbox
        >>> picture = Image.new("RGB", (640, 480), "white")
        >>> picture.paste("red", (64, 48, 192, 240))
        >>> with Sandbox() as sandbox:
        ...     model = ChatQwenVL(base_url=sandbox.base_url, api_key="sk-sandbox")
        ...     tool = locate_tool(model, {"desk": picture})
        ...     print(tool.invoke({"image": "desk", "what": "red things"}))
        1 box in a picture of 640 x 480 pixels: red [64, 48, 192, 240].
    """

    def find(image: str, what: str) -> tuple[str, Grounding]:
        try:
            found = locate(model, _named(image, images), what, **options)
        except _TOLD as error:
            raise ToolException(str(error)) from error
        return found.describe(), found

    async def afind(image: str, what: str) -> tuple[str, Grounding]:
        try:
            found = await alocate(model, _named(image, images), what, **options)
        except _TOLD as error:
            raise ToolException(str(error)) from error
        return found.describe(), found

    return StructuredTool.from_function(
        find,
        afind,
        name="locate",
        description=_describe("Find where things are in a picture, in pixels.", images),
        args_schema=_LocateArguments,
        response_format="content_and_artifact",
        handle_tool_error=True,
    )


def timeline_tool(
    model: ChatQwenVL, videos: Mapping[str, object] | None = None, **options: Any
) -> StructuredTool:
    """Make a tool with which an agent finds out when things happen in videos.

    It answers in words; the message's `artifact` is the `Timeline`.

    Args:
        model: Whom to ask.
        videos: Videos by the names that the agent has for them, in any form that
            `ChatQwenVL.timeline` takes. With them, it can name no others. Without them it names
            addresses, and files inside of the model's `media_roots`.
        **options: As of `ask_events`, for every call.
    """

    def find(video: str, what: str) -> tuple[str, Timeline]:
        try:
            found = timeline(model, _named(video, videos), what, **options)
        except _TOLD as error:
            raise ToolException(str(error)) from error
        return found.describe(), found

    async def afind(video: str, what: str) -> tuple[str, Timeline]:
        try:
            found = await atimeline(model, _named(video, videos), what, **options)
        except _TOLD as error:
            raise ToolException(str(error)) from error
        return found.describe(), found

    return StructuredTool.from_function(
        find,
        afind,
        name="timeline",
        description=_describe("Find when things happen in a video.", videos),
        args_schema=_TimelineArguments,
        response_format="content_and_artifact",
        handle_tool_error=True,
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


def _take(given: Any, kind: str) -> tuple[object, tuple[str, ...], dict[str, Any]]:
    if not isinstance(given, Mapping) or given.get(kind) is None:
        raise ConfigurationError(f'Pass a dict: {{"{kind}": …, "what": …}}.')
    rest = {name: value for name, value in given.items() if name not in {kind, "what"}}
    what = given.get("what")
    if what is None and kind == "image":
        raise ConfigurationError(f'There is no "what" beside the {kind}: what to look for.')
    return given[kind], () if what is None else (what,), rest


def _read_places(question: PlaceQuestion, answer: AIMessage) -> Grounding:
    told = answer.response_metadata
    sizes = told.get("image_hw")
    return question.read(
        str(answer.text),
        finish_reason=told.get("finish_reason"),
        image_hw=tuple((high, wide) for high, wide in sizes) if sizes else None,
    )


def _read_events(question: EventQuestion, answer: AIMessage) -> Timeline:
    return question.read(
        str(answer.text), finish_reason=answer.response_metadata.get("finish_reason")
    )


def _to_message(question: PlaceQuestion | EventQuestion) -> HumanMessage:
    block = _to_block(question.part)
    return HumanMessage([block, {"type": "text", "text": question.prompt}])


def _to_block(part: Image | Video) -> dict[str, Any]:
    """Give the block that is read as this part again."""
    if isinstance(part, Image):
        names: tuple[str, ...] = ("min_pixels", "max_pixels", "detail", "cache_control")
        held = {"type": "image", "image": _to_value(part.source)}
    else:
        names = ("fps", "min_pixels", "max_pixels", "total_pixels", "start", "end")
        names += ("max_frames", "video_mode", "cache_control")
        held = {"type": "video", "video": _to_value(part.source)}
    knobs = {name: getattr(part, name) for name in names}
    return {**held, **{name: value for name, value in knobs.items() if value is not None}}


def _to_value(source: Source | Frames) -> Any:
    match source:
        case Url(address=value) | Inline(data=value):
            return value
        case LocalFile(path=path):
            return path if source.is_trusted else str(path)
        case OpenFile(file=file):
            return file
        case Pixels(image=image):
            return image
        case Frames(frames=frames):
            return [_to_value(frame) for frame in frames]
