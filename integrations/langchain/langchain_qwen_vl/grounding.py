"""Where things are in an image, and when things happen in a video: runnables and tools.

What is asked and how answers are read is the core's; each question is a call of the model like
any other, with its callbacks, traces and cache.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar, Unpack

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langchain_core.tools import StructuredTool, ToolException
from pydantic import BaseModel, Field

from qwen_vl.content import to_value
from qwen_vl.errors import AnswerFormatError, ConfigurationError, ContentError
from qwen_vl.grounding.grounder import Grounder, GroundingTool
from qwen_vl.grounding.results import Grounding
from qwen_vl.grounding.task import GroundingTask, LocateOptions, TimelineOptions, check_options
from qwen_vl.grounding.timeline import Timeline
from qwen_vl.reply import Reply, omit_none
from qwen_vl.settings import QwenVLSettings

_Found = TypeVar("_Found", Grounding, Timeline)

# What a model can do better about than a program: say another thing, or name another image.
_REPORTED = (AnswerFormatError, ConfigurationError, ContentError)
# LangGraph streams the tokens of each model call to the user of an agent, except with this tag:
# coordinates that a tool asks for are not part of the agent's answer.
_NO_STREAM: RunnableConfig = {"tags": ["nostream"]}


def make_grounder(model: BaseChatModel, config: RunnableConfig | None = None) -> Grounder:
    """Create a grounder that asks by `invoke` and `ainvoke`.

    Args:
        model: A `ChatQwenVL`.
        config: LangChain's, for each call of the model.

    Raises:
        ConfigurationError: Another model.
    """
    if not isinstance(model, QwenVLSettings):
        raise ConfigurationError(f"Pass a ChatQwenVL, not a {type(model).__name__}.")

    def ask(task: GroundingTask[Any]) -> Reply:
        return _to_reply(model.invoke([_to_message(task)], config, **task.options))

    async def ask_async(task: GroundingTask[Any]) -> Reply:
        return _to_reply(await model.ainvoke([_to_message(task)], config, **task.options))

    return Grounder(model, ask, ask_async)


def as_locator(
    model: BaseChatModel, /, **options: Unpack[LocateOptions]
) -> Runnable[dict[str, Any], Grounding]:
    """Create a runnable that finds things in images; see `ChatQwenVL.as_locator`.

    Args:
        model: A `ChatQwenVL`.
        **options: Options of `locate` for every call; those of a call take precedence.
    """
    check_options("locate", options)
    return _make_runnable(model, "image", options, Grounder.locate, Grounder.alocate)


def as_timeline_finder(
    model: BaseChatModel, /, **options: Unpack[TimelineOptions]
) -> Runnable[dict[str, Any], Timeline]:
    """Create a runnable that finds events in videos; see `ChatQwenVL.as_timeline_finder`.

    Args:
        model: A `ChatQwenVL`.
        **options: Options of `timeline` for every call; those of a call take precedence.
    """
    check_options("timeline", options)
    return _make_runnable(model, "video", options, Grounder.timeline, Grounder.atimeline)


def _make_runnable(
    model: BaseChatModel,
    kind: str,
    options: Mapping[str, Any],
    find: Callable[..., _Found],
    afind: Callable[..., Awaitable[_Found]],
) -> Runnable[dict[str, Any], _Found]:
    def run(values: dict[str, Any], config: RunnableConfig) -> _Found:
        media, what, call = _take(values, kind, options)
        return find(make_grounder(model, config), media, what, **call)

    async def arun(values: dict[str, Any], config: RunnableConfig) -> _Found:
        media, what, call = _take(values, kind, options)
        return await afind(make_grounder(model, config), media, what, **call)

    return RunnableLambda(run, afunc=arun, name=find.__name__)


class _LocateArguments(BaseModel):
    image: str = Field(description="The picture: its name or its address.")
    what: str = Field(description="What to look for, in a few words.")


class _TimelineArguments(BaseModel):
    video: str = Field(description="The video: its name or its address.")
    what: str = Field(description="What to look for, in a few words.")


def locate_tool(
    model: BaseChatModel,
    /,
    images: Mapping[str, object] | None = None,
    **options: Unpack[LocateOptions],
) -> StructuredTool:
    """Create a tool with which an agent finds things in images.

    It answers with text that has boxes in pixels; the message's `artifact` is the `Grounding`. What
    the agent can do better about, such as a name that does not exist, the result says so.

    Args:
        model: Whom to ask.
        images: Images by the names that the agent has for them, in any form that
            `ChatQwenVL.locate` takes. With them, it can name no others. Without them it names
            URLs, whose sizes must be given, and files inside of the model's `media_roots`.
        **options: Options of `locate` for every call.

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
        1 box in an image of 640 x 480 pixels: red [64, 48, 192, 240].
    """
    check_options("locate", options)
    grounder = make_grounder(model, _NO_STREAM)
    tool = GroundingTool(grounder=grounder, media=images, options=options)
    return _make_tool(
        tool.locate,
        tool.alocate,
        name="locate",
        description=tool.describe_locate(),
        args_schema=_LocateArguments,
    )


def timeline_tool(
    model: BaseChatModel,
    /,
    videos: Mapping[str, object] | None = None,
    **options: Unpack[TimelineOptions],
) -> StructuredTool:
    """Create a tool with which an agent finds out when things happen in videos.

    It answers with text; the message's `artifact` is the `Timeline`.

    Args:
        model: Whom to ask.
        videos: Videos by the names that the agent has for them, in any form that
            `ChatQwenVL.timeline` takes. With them, it can name no others. Without them it names
            URLs, and files inside of the model's `media_roots`.
        **options: Options of `timeline` for every call.
    """
    check_options("timeline", options)
    grounder = make_grounder(model, _NO_STREAM)
    tool = GroundingTool(grounder=grounder, media=videos, options=options)
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
        with _tool_errors():
            found = find(**arguments)
        return found.describe(), found

    async def aanswer(**arguments: str) -> tuple[str, _Found]:
        with _tool_errors():
            found = await afind(**arguments)
        return found.describe(), found

    return StructuredTool.from_function(
        answer,
        aanswer,
        response_format="content_and_artifact",
        handle_tool_error=True,
        **described,
    )


@contextmanager
def _tool_errors() -> Iterator[None]:
    try:
        yield
    except _REPORTED as error:
        raise ToolException(str(error)) from error


def _take(values: Any, kind: str, options: Mapping[str, Any]) -> tuple[object, Any, dict[str, Any]]:
    """Take apart what a runnable is given: the medium, what to look for, and options."""
    if not isinstance(values, Mapping) or values.get(kind) is None:
        raise ConfigurationError(f'Pass a dict: {{"{kind}": …, "what": …}}.')
    own = {name: value for name, value in values.items() if name not in {kind, "what"}}
    return values[kind], values.get("what"), {**options, **own}


def _to_message(task: GroundingTask[Any]) -> HumanMessage:
    part = task.part
    kind = type(part).__name__.lower()
    # Every other field of a part is an option that its block may hold.
    names = [name for name in part.__dataclass_fields__ if name not in {"source", "where"}]
    options = omit_none(**{name: getattr(part, name) for name in names})
    block = {"type": kind, kind: to_value(part.source), **options}
    return HumanMessage([block, {"type": "text", "text": task.prompt}])


def _to_reply(message: AIMessage) -> Reply:
    reported = message.response_metadata
    return Reply(
        text=str(message.text),
        finish_reason=reported.get("finish_reason"),
        image_hw=reported.get("image_hw"),
    )
