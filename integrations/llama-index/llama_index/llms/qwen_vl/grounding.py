"""Where things are in an image, and when things happen in a video: tools for agents.

What is asked and how answers are read is the core's; each question is a chat like any other, with
its events and callbacks.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Unpack

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ImageBlock,
    TextBlock,
    VideoBlock,
)
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.tools import FunctionTool

from llama_index.llms.qwen_vl.block_builders import frames_block, image_block, video_block
from llama_index.llms.qwen_vl.blocks import with_part
from qwen_vl.content import DataUrl, Frames, Image, Source, Video, to_value
from qwen_vl.errors import ConfigurationError
from qwen_vl.grounding.grounder import Grounder, GroundingTool
from qwen_vl.grounding.task import GroundingTask, LocateOptions, TimelineOptions, check_options
from qwen_vl.reply import Reply
from qwen_vl.settings import QwenVLSettings


def make_grounder(llm: FunctionCallingLLM) -> Grounder:
    """Create a grounder that asks by `chat` and `achat`.

    Args:
        llm: A `QwenVL`.

    Raises:
        ConfigurationError: Another LLM.
    """
    if not isinstance(llm, QwenVLSettings):
        raise ConfigurationError(f"Pass a QwenVL, not a {type(llm).__name__}.")

    def ask(task: GroundingTask[Any]) -> Reply:
        return _to_reply(llm.chat([_to_message(task)], **task.options))

    async def ask_async(task: GroundingTask[Any]) -> Reply:
        # A block shows its media as Base64, which is megabytes.
        message = await asyncio.to_thread(_to_message, task)
        return _to_reply(await llm.achat([message], **task.options))

    return Grounder(llm, ask, ask_async)


def locate_tool(
    llm: FunctionCallingLLM,
    images: Mapping[str, object] | None = None,
    **options: Unpack[LocateOptions],
) -> FunctionTool:
    """Create a tool with which an agent finds things in images.

    It answers with text, with boxes in pixels; `raw_output` is the `Grounding`.

    Args:
        llm: Whom to ask.
        images: Images by the names that the agent has for them, in any form that
            `QwenVL.locate` takes. With them, it can name no others. Without them it names
            URLs, whose sizes must be given, and files inside of the model's `media_roots`.
        **options: Options of `locate` for every call.

    Example:
        >>> from llama_index.llms.qwen_vl import QwenVL
        >>> from PIL import Image
        >>> from qwen_vl_sandbox import Sandbox
        >>> image = Image.new("RGB", (640, 480), "white")
        >>> image.paste("red", (64, 48, 192, 240))
        >>> with Sandbox() as sandbox:
        ...     llm = QwenVL(api_base=sandbox.base_url, api_key="sk-sandbox")
        ...     print(locate_tool(llm, {"desk": image}).call(image="desk", what="red things"))
        1 box in an image of 640 x 480 pixels: red [64, 48, 192, 240].
    """
    check_options("locate", options)
    tool = GroundingTool(grounder=make_grounder(llm), media=images, options=options)
    return FunctionTool.from_defaults(
        tool.locate, async_fn=tool.alocate, name="locate", description=tool.describe_locate()
    )


def timeline_tool(
    llm: FunctionCallingLLM,
    videos: Mapping[str, object] | None = None,
    **options: Unpack[TimelineOptions],
) -> FunctionTool:
    """Create a tool with which an agent finds out when things happen in videos.

    It answers with text; `raw_output` is the `Timeline`.

    Args:
        llm: Whom to ask.
        videos: Videos by the names that the agent has for them, in any form that
            `QwenVL.timeline` takes. With them, it can name no others. Without them it names
            URLs, and files inside of the model's `media_roots`.
        **options: Options of `timeline` for every call.
    """
    check_options("timeline", options)
    tool = GroundingTool(grounder=make_grounder(llm), media=videos, options=options)
    return FunctionTool.from_defaults(
        tool.timeline,
        async_fn=tool.atimeline,
        name="timeline",
        description=tool.describe_timeline(),
    )


def _to_message(task: GroundingTask[Any]) -> ChatMessage:
    part = task.part
    block = _to_image_block(part) if isinstance(part, Image) else _to_video_block(part)
    return ChatMessage([with_part(block, part), TextBlock(text=task.prompt)])


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
        frames = [_to_value(frame) for frame in part.source.frames]
        return frames_block(frames, timestamps=part.timestamps, **pixels)
    cut: dict[str, Any] = {"start": part.start, "end": part.end, "max_frames": part.max_frames}
    return video_block(_to_value(part.source), **pixels, **cut, video_mode=part.video_mode)


def _to_value(source: Source) -> Any:
    return source.url if isinstance(source, DataUrl) else to_value(source)


def _to_reply(response: ChatResponse) -> Reply:
    reported = response.additional_kwargs
    return Reply(
        text=response.message.content or "",
        finish_reason=reported.get("finish_reason"),
        image_hw=reported.get("image_hw"),
    )
