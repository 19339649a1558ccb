"""The tool by which a model looks closer at an image of the conversation."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ContentBlock, ImageBlock, TextBlock
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.tools import FunctionTool
from llama_index.core.workflow import Context

from llama_index.llms.qwen_vl.messages import to_turns
from qwen_vl.errors import ConfigurationError
from qwen_vl.grounding.zoom import (
    ZOOM_DESCRIPTION,
    ZOOM_NAME,
    ZoomArguments,
    describe_crop,
    list_images,
    zoom_in,
)
from qwen_vl.request.build import build_media_policy
from qwen_vl.settings import QwenVLSettings

# Under which `FunctionAgent` keeps its memory, and what is not there yet.
_MEMORY, _SCRATCHPAD = "memory", "scratchpad"


def zoom_tool(llm: FunctionCallingLLM, images: Sequence[object] | None = None) -> FunctionTool:
    """Create the tool `image_zoom_in_tool`, by which a model looks closer at part of an image.

    It has the name and the schema that Qwen3-VL and later models were trained with. The part is cut
    out of the original pixels and enlarged. An agent gets mistakes, such as an index that does not
    exist, as text.

    Args:
        llm: A `QwenVL`, whose `media_roots` say which files may be read.
        images: Images that the model may name by their index. Without them it names those of the
            conversation, in order and with what the tool returned before: that works in a
            `FunctionAgent`.

    Raises:
        ConfigurationError: Another LLM.

    Example:
        >>> from llama_index.llms.qwen_vl import QwenVL
        >>> from qwen_vl.samples import ROCKET
        >>> tool = zoom_tool(QwenVL(api_key="sk"), [ROCKET])
        >>> output = tool.call(bbox_2d=[300, 200, 500, 800], label="rocket", img_idx=0)
        >>> output.blocks[0].text
        'rocket: pixels [192, 85, 320, 342] of image 0.'
    """
    if not isinstance(llm, QwenVLSettings):
        raise ConfigurationError(f"Pass a QwenVL, not a {type(llm).__name__}.")
    policy = build_media_policy(llm)

    def zoom(
        bbox_2d: list[float], label: str, img_idx: float, messages: Sequence[ChatMessage] = ()
    ) -> list[ContentBlock]:
        known = list_images(to_turns(messages)) if images is None else images
        crop = zoom_in(known, bbox_2d, label, img_idx, policy)
        return [
            TextBlock(text=describe_crop(crop)),
            ImageBlock(image=crop.data, image_mimetype=crop.media_type),
        ]

    def zoom_given(bbox_2d: list[float], label: str, img_idx: float) -> list[ContentBlock]:
        return zoom(bbox_2d, label, img_idx)

    async def azoom_given(bbox_2d: list[float], label: str, img_idx: float) -> list[ContentBlock]:
        return await asyncio.to_thread(zoom, bbox_2d, label, img_idx)

    async def azoom(
        ctx: Context, bbox_2d: list[float], label: str, img_idx: float
    ) -> list[ContentBlock]:
        memory = await ctx.store.get(_MEMORY)
        messages = [*await memory.aget(), *await ctx.store.get(_SCRATCHPAD, default=[])]
        return await asyncio.to_thread(zoom, bbox_2d, label, img_idx, messages)

    fn: Callable[..., Any] | None = None if images is None else zoom_given
    async_fn: Callable[..., Any] = azoom if images is None else azoom_given
    return FunctionTool.from_defaults(
        fn,
        async_fn=async_fn,
        name=ZOOM_NAME,
        description=ZOOM_DESCRIPTION,
        fn_schema=ZoomArguments,
    )
