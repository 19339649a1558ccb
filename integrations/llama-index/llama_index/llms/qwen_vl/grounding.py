"""Where things are in a picture, and when things happen in a video: calls, and tools for agents.

What is asked and how answers are read is the core's; each question is a chat like any other, with
its events and callbacks.
"""

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
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.tools import FunctionTool
from typing_extensions import override

from llama_index.llms.qwen_vl.block_builders import frames_block, image_block, video_block
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
from qwen_vl.errors import ConfigurationError
from qwen_vl.grounding.grounder import Answer, BaseGrounder, GroundingTool, Question
from qwen_vl.settings import QwenVLSettings


class LlmGrounder(BaseGrounder):
    """Asks for places and times by `chat` and `achat`.

    Args:
        llm: Whom to ask.
    """

    def __init__(self, llm: FunctionCallingLLM) -> None:
        super().__init__(_settings_of(llm))
        self._llm = llm

    @override
    def ask(self, question: Question) -> Answer:
        return _to_answer(self._llm.chat([_to_message(question)], **question.options))

    @override
    async def ask_async(self, question: Question) -> Answer:
        return _to_answer(await self._llm.achat([_to_message(question)], **question.options))


def locate_tool(
    llm: FunctionCallingLLM, images: Mapping[str, object] | None = None, **options: Any
) -> FunctionTool:
    """Make a tool with which an agent finds things in pictures.

    It answers in words, with boxes in pixels; `raw_output` is the `Grounding`.

    Args:
        llm: Whom to ask.
        images: Pictures by the names that the agent has for them, in any form that
            `QwenVL.locate` takes. With them, it can name no others. Without them it names
            addresses, whose sizes must be given, and files inside of the model's `media_roots`.
        **options: As of `locate_task`, for every call.

    Example:
        >>> from llama_index.llms.qwen_vl import QwenVL
        >>> from PIL import Image
        >>> from qwen_vl_sandbox import Sandbox
        >>> image = Image.new("RGB", (640, 480), "white")
        >>> image.paste("red", (64, 48, 192, 240))
        >>> with Sandbox() as sandbox:
        ...     llm = QwenVL(api_base=sandbox.base_url, api_key="sk-sandbox")
        ...     print(locate_tool(llm, {"desk": image}).call(image="desk", what="red things"))
        1 box in a picture of 640 x 480 pixels: red [64, 48, 192, 240].
    """
    tool = GroundingTool(grounder=LlmGrounder(llm), media=images, options=options)
    return FunctionTool.from_defaults(
        tool.locate, async_fn=tool.alocate, name="locate", description=tool.describe_locate()
    )


def timeline_tool(
    llm: FunctionCallingLLM, videos: Mapping[str, object] | None = None, **options: Any
) -> FunctionTool:
    """Make a tool with which an agent finds out when things happen in videos.

    It answers in words; `raw_output` is the `Timeline`.

    Args:
        llm: Whom to ask.
        videos: Videos by the names that the agent has for them, in any form that
            `QwenVL.timeline` takes. With them, it can name no others. Without them it names
            addresses, and files inside of the model's `media_roots`.
        **options: As of `find_events_task`, for every call.
    """
    tool = GroundingTool(grounder=LlmGrounder(llm), media=videos, options=options)
    return FunctionTool.from_defaults(
        tool.timeline,
        async_fn=tool.atimeline,
        name="timeline",
        description=tool.describe_timeline(),
    )


def _settings_of(llm: FunctionCallingLLM) -> QwenVLSettings:
    if not isinstance(llm, QwenVLSettings):
        raise ConfigurationError(f"Pass a QwenVL, not a {type(llm).__name__}.")
    return llm


def _to_answer(response: ChatResponse) -> Answer:
    reported = response.additional_kwargs
    return Answer(
        text=response.message.content or "",
        finish_reason=reported.get("finish_reason"),
        image_hw=reported.get("image_hw"),
    )


def _to_message(question: Question) -> ChatMessage:
    part = question.part
    block = _to_image_block(part) if isinstance(part, Image) else _to_video_block(part)
    control = part.cache_control
    marks = [CachePoint(cache_control=CacheControl(**control))] if control else []
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
