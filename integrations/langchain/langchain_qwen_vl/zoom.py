"""The tool by which a model looks closer at an image of the conversation."""

import base64
from collections.abc import Sequence
from typing import Annotated, Any

from langchain_core.language_models import BaseChatModel
from langchain_core.tools import BaseTool, StructuredTool, ToolException
from pydantic import ValidationError, create_model

from langchain_qwen_vl.messages import to_turns
from qwen_vl.errors import ConfigurationError, ContentError
from qwen_vl.grounding.zoom import (
    ZOOM_DESCRIPTION,
    ZOOM_NAME,
    Crop,
    ZoomArguments,
    describe_crop,
    list_images,
    zoom_in,
)
from qwen_vl.request.build import build_media_policy
from qwen_vl.settings import QwenVLSettings

_Answer = tuple[list[dict[str, Any]], Crop]


def zoom_tool(model: BaseChatModel, /, images: Sequence[object] | None = None) -> BaseTool:
    """Create the tool `image_zoom_in_tool`, by which a model looks closer at part of an image.

    It has the name and the schema that Qwen3-VL and later models were trained with. The part is cut
    out of the original pixels and enlarged; `artifact` of the message is a `Crop`. Mistakes, such
    as an index that does not exist, come back as text.

    Args:
        model: A `ChatQwenVL`, whose `media_roots` say which files may be read.
        images: Images that the model may name by their index. Without them it names those of the
            conversation, in order and with what the tool returned before: that works in an agent
            of LangChain or LangGraph, which passes its messages to tools.

    Raises:
        ConfigurationError: Another model; or no `images`, and LangGraph is not installed.

    Example:
        >>> from langchain_qwen_vl import ChatQwenVL
        >>> from qwen_vl.samples import ROCKET
        >>> tool = zoom_tool(ChatQwenVL(api_key="sk"), [ROCKET])
        >>> arguments = {"bbox_2d": [300, 200, 500, 800], "label": "rocket", "img_idx": 0}
        >>> tool.invoke(arguments)[0]["text"]
        'rocket: pixels [192, 85, 320, 342] of image 0.'
        >>> tool.invoke({**arguments, "img_idx": 3})
        'There is no image with img_idx 3. There is one image, with img_idx 0.'
    """
    if not isinstance(model, QwenVLSettings):
        raise ConfigurationError(f"Pass a ChatQwenVL, not a {type(model).__name__}.")
    policy = build_media_policy(model)

    def zoom(
        bbox_2d: list[float], label: str, img_idx: float, messages: Sequence[Any] = ()
    ) -> _Answer:
        try:
            known = list_images(to_turns(messages)) if images is None else images
            crop = zoom_in(known, bbox_2d, label, img_idx, policy)
        except ContentError as error:
            raise ToolException(str(error)) from error
        data = base64.b64encode(crop.data).decode()
        text = {"type": "text", "text": describe_crop(crop)}
        return [text, {"type": "image", "base64": data, "mime_type": crop.media_type}], crop

    return StructuredTool.from_function(
        zoom,
        name=ZOOM_NAME,
        description=ZOOM_DESCRIPTION,
        args_schema=ZoomArguments if images is not None else _make_injected_arguments(),
        response_format="content_and_artifact",
        handle_tool_error=True,
        handle_validation_error=_describe_mistake,
    )


def _make_injected_arguments() -> type[ZoomArguments]:
    try:
        from langgraph.prebuilt import InjectedState  # noqa: PLC0415 - not a dependency
    except ImportError as error:
        raise ConfigurationError(
            "zoom_tool reads the images of the conversation where LangGraph runs it, which is not "
            "installed. Pass images=[…], or pip install langgraph."
        ) from error
    injected: Any = Annotated[Any, InjectedState("messages")]
    return create_model("ZoomArguments", __base__=ZoomArguments, messages=(injected, ...))


def _describe_mistake(error: Any) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    found = (f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
    return (
        f"Wrong arguments: {'; '.join(found)}. Pass bbox_2d as four numbers [x1, y1, x2, y2] from "
        "0 to 1000, label as text, and img_idx as the number of an image, from 0."
    )
