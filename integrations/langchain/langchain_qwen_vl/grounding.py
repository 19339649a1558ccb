"""Where things are in a picture, and when things happen in a video: calls, runnables and tools.

What is asked and how answers are read is the core's; each question is a call of the model like
any other, with its callbacks, traces and cache.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langchain_core.tools import StructuredTool, ToolException
from pydantic import BaseModel, Field
from typing_extensions import override

from qwen_vl.content import (
    DataUrl,
    Frames,
    Image,
    Inline,
    LocalFile,
    OpenFile,
    Pixels,
    Source,
    Url,
    Video,
)
from qwen_vl.errors import AnswerFormatError, ConfigurationError, ContentError
from qwen_vl.grounding.grounder import Answer, BaseGrounder, GroundingTool, Question
from qwen_vl.grounding.results import Grounding
from qwen_vl.grounding.timeline import Timeline
from qwen_vl.settings import QwenVLSettings

_Found = TypeVar("_Found", Grounding, Timeline)

# What a model can do better about than a program: say another thing, or name another picture.
_REPORTED = (AnswerFormatError, ConfigurationError, ContentError)


class ChatGrounder(BaseGrounder):
    """Asks for places and times by `invoke` and `ainvoke`.

    Args:
        model: Whom to ask.
        config: LangChain's, for each call of the model.
    """

    def __init__(self, model: BaseChatModel, config: RunnableConfig | None = None) -> None:
        super().__init__(_settings_of(model))
        self._model = model
        self._config = config

    @override
    def ask(self, question: Question) -> Answer:
        message = _to_message(question)
        return _to_answer(self._model.invoke([message], self._config, **question.options))

    @override
    async def ask_async(self, question: Question) -> Answer:
        message = _to_message(question)
        return _to_answer(await self._model.ainvoke([message], self._config, **question.options))


def as_locator(model: BaseChatModel, **options: Any) -> Runnable[dict[str, Any], Grounding]:
    """Make a runnable that finds things in pictures; see `ChatQwenVL.as_locator`.

    Args:
        model: Whom to ask.
        **options: As of `locate_task`, for every call; what a call brings counts before.
    """

    def find(values: dict[str, Any], config: RunnableConfig) -> Grounding:
        image, what, rest = _take(values, "image")
        return ChatGrounder(model, config).locate(image, what, **{**options, **rest})

    async def afind(values: dict[str, Any], config: RunnableConfig) -> Grounding:
        image, what, rest = _take(values, "image")
        return await ChatGrounder(model, config).alocate(image, what, **{**options, **rest})

    return RunnableLambda(find, afunc=afind, name="locate")


def as_timeline_finder(model: BaseChatModel, **options: Any) -> Runnable[dict[str, Any], Timeline]:
    """Make a runnable that finds events in videos; see `ChatQwenVL.as_timeline_finder`.

    Args:
        model: Whom to ask.
        **options: As of `find_events_task`, for every call; what a call brings counts before.
    """

    def find(values: dict[str, Any], config: RunnableConfig) -> Timeline:
        video, what, rest = _take(values, "video")
        return ChatGrounder(model, config).timeline(video, what, **{**options, **rest})

    async def afind(values: dict[str, Any], config: RunnableConfig) -> Timeline:
        video, what, rest = _take(values, "video")
        return await ChatGrounder(model, config).atimeline(video, what, **{**options, **rest})

    return RunnableLambda(find, afunc=afind, name="timeline")


class _LocateArguments(BaseModel):
    image: str = Field(description="The picture: its name or its address.")
    what: str = Field(description="What to look for, in a few words.")


class _TimelineArguments(BaseModel):
    video: str = Field(description="The video: its name or its address.")
    what: str = Field(description="What to look for, in a few words.")


def locate_tool(
    model: BaseChatModel, images: Mapping[str, object] | None = None, **options: Any
) -> StructuredTool:
    """Make a tool with which an agent finds things in pictures.

    It answers in words, with boxes in pixels; the message's `artifact` is the `Grounding`. What
    the agent can do better about, such as a name that does not exist, it is told in words too.

    Args:
        model: Whom to ask.
        images: Pictures by the names that the agent has for them, in any form that
            `ChatQwenVL.locate` takes. With them, it can name no others. Without them it names
            addresses, whose sizes must be given, and files inside of the model's `media_roots`.
        **options: As of `locate_task`, for every call.

    Example:
        >>> from langchain_qwen_vl import ChatQwenVL
        >>> from PIL import Image
        >>> from qwen_vl_sandbox import Sandbox
        >>> image = Image.new("RGB", (640, 480), "white")
        >>> image.paste("red", (64, 48, 192, 240))
        >>> with Sandbox() as sandbox:
        ...     model = ChatQwenVL(base_url=sandbox.base_url, api_key="sk-sandbox")
        ...     tool = locate_tool(model, {"desk": image})
        ...     print(tool.invoke({"image": "desk", "what": "red things"}))
        1 box in a picture of 640 x 480 pixels: red [64, 48, 192, 240].
    """
    tool = GroundingTool(grounder=ChatGrounder(model), media=images, options=options)
    return _make_tool(
        tool.locate,
        tool.alocate,
        name="locate",
        description=tool.describe_locate(),
        args_schema=_LocateArguments,
    )


def timeline_tool(
    model: BaseChatModel, videos: Mapping[str, object] | None = None, **options: Any
) -> StructuredTool:
    """Make a tool with which an agent finds out when things happen in videos.

    It answers in words; the message's `artifact` is the `Timeline`.

    Args:
        model: Whom to ask.
        videos: Videos by the names that the agent has for them, in any form that
            `ChatQwenVL.timeline` takes. With them, it can name no others. Without them it names
            addresses, and files inside of the model's `media_roots`.
        **options: As of `find_events_task`, for every call.
    """
    tool = GroundingTool(grounder=ChatGrounder(model), media=videos, options=options)
    return _make_tool(
        tool.timeline,
        tool.atimeline,
        name="timeline",
        description=tool.describe_timeline(),
        args_schema=_TimelineArguments,
    )


def _make_tool(
    find: Callable[..., _Found], afind: Callable[..., Awaitable[_Found]], **described: Any
) -> StructuredTool:
    def answer(**arguments: str) -> tuple[str, _Found]:
        try:
            found = find(**arguments)
        except _REPORTED as error:
            raise ToolException(str(error)) from error
        return found.describe(), found

    async def aanswer(**arguments: str) -> tuple[str, _Found]:
        try:
            found = await afind(**arguments)
        except _REPORTED as error:
            raise ToolException(str(error)) from error
        return found.describe(), found

    return StructuredTool.from_function(
        answer,
        aanswer,
        response_format="content_and_artifact",
        handle_tool_error=True,
        **described,
    )


def _settings_of(model: BaseChatModel) -> QwenVLSettings:
    if not isinstance(model, QwenVLSettings):
        raise ConfigurationError(f"Pass a ChatQwenVL, not a {type(model).__name__}.")
    return model


def _take(values: Any, kind: str) -> tuple[object, Any, dict[str, Any]]:
    """Take apart what a runnable is given: the medium, what to look for, and options."""
    if not isinstance(values, Mapping) or values.get(kind) is None:
        raise ConfigurationError(f'Pass a dict: {{"{kind}": …, "what": …}}.')
    rest = {name: value for name, value in values.items() if name not in {kind, "what"}}
    return values[kind], values.get("what"), rest


def _to_answer(message: AIMessage) -> Answer:
    reported = message.response_metadata
    return Answer(
        text=str(message.text),
        finish_reason=reported.get("finish_reason"),
        image_hw=reported.get("image_hw"),
    )


def _to_message(question: Question) -> HumanMessage:
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
    options = {name: getattr(part, name) for name in names}
    return {**held, **{name: value for name, value in options.items() if value is not None}}


def _to_value(source: Source | Frames) -> Any:
    match source:
        case Url(url=value) | Inline(data=value):
            return value
        case DataUrl():
            return source.url if source.data is None else source.data
        case LocalFile(path=path):
            return path if source.is_trusted else str(path)
        case OpenFile(file=file):
            return file
        case Pixels(image=image):
            return image
        case Frames(frames=frames):
            return [_to_value(frame) for frame in frames]
