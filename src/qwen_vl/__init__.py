"""Pictures and videos to Qwen VL endpoints.

Names are loaded at their first use: `import qwen_vl` alone costs next to nothing. Every error has
its place in `qwen_vl.errors`; those here are the ones that most programs catch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qwen_vl.client import AsyncQwenVLClient, QwenVLClient
    from qwen_vl.connection import Connection
    from qwen_vl.content import (
        Audio,
        Document,
        Frames,
        Image,
        Inline,
        LocalFile,
        OpenFile,
        Pixels,
        Reasoning,
        Text,
        ToolCall,
        ToolResult,
        Turn,
        Url,
        Video,
    )
    from qwen_vl.coordinates import CoordinateFrame, find_frame
    from qwen_vl.counting import count_tokens
    from qwen_vl.drawing import draw_grounding, draw_timeline
    from qwen_vl.errors import (
        ConfigurationError,
        ContentError,
        MediaError,
        QwenVLError,
        ServiceError,
    )
    from qwen_vl.grounder import Grounder
    from qwen_vl.grounding import Box, Grounding, Point
    from qwen_vl.grounding_answers import ground_ocr_result, read_grounding
    from qwen_vl.models import ModelFacts, find_model
    from qwen_vl.ocr import OcrResult, OcrWord, read_ocr_result
    from qwen_vl.ocr_reader import OcrPage, OcrReader
    from qwen_vl.reply import Delta, Reply, Usage
    from qwen_vl.request import MediaPolicy, Request
    from qwen_vl.settings import QwenVLSettings
    from qwen_vl.timeline_answers import TimeFrame, read_timeline
    from qwen_vl.timelines import Event, Timeline
    from qwen_vl.tokens import count_image_tokens, count_video_tokens, sample_frame_count

    __version__: str

__all__ = [
    "AsyncQwenVLClient",
    "Audio",
    "Box",
    "ConfigurationError",
    "Connection",
    "ContentError",
    "CoordinateFrame",
    "Delta",
    "Document",
    "Event",
    "Facts",
    "Frames",
    "Grounder",
    "Grounding",
    "Image",
    "Inline",
    "LocalFile",
    "MediaError",
    "MediaPolicy",
    "ModelFacts",
    "OcrPage",
    "OcrReader",
    "OcrResult",
    "OcrWord",
    "OpenFile",
    "Pixels",
    "Point",
    "QwenVLClient",
    "QwenVLError",
    "QwenVLSettings",
    "Reasoning",
    "Reply",
    "Request",
    "ServiceError",
    "Text",
    "TimeFrame",
    "Timeline",
    "ToolCall",
    "ToolResult",
    "Turn",
    "Url",
    "Usage",
    "Video",
    "__version__",
    "count_image_tokens",
    "count_tokens",
    "count_video_tokens",
    "draw_grounding",
    "draw_timeline",
    "find_frame",
    "find_model",
    "ground_ocr_result",
    "read_grounding",
    "read_ocr_result",
    "read_timeline",
    "sample_frame_count",
]

_NAMES_BY_MODULE = {
    "client": "AsyncQwenVLClient QwenVLClient",
    "content": (
        "Audio Document Frames Image Inline LocalFile OpenFile Pixels Reasoning Text ToolCall "
        "ToolResult Turn Url Video"
    ),
    "coordinates": "CoordinateFrame find_frame",
    "counting": "count_tokens",
    "drawing": "draw_grounding draw_timeline",
    "errors": "ConfigurationError ContentError MediaError QwenVLError ServiceError",
    "grounder": "Grounder",
    "grounding": "Box Grounding Point",
    "grounding_answers": "ground_ocr_result read_grounding",
    "models": "ModelFacts find_model",
    "ocr": "OcrResult OcrWord read_ocr_result",
    "ocr_reader": "OcrPage OcrReader",
    "reply": "Delta Facts Reply Usage",
    "request": "MediaPolicy Request",
    "connection": "Connection",
    "settings": "QwenVLSettings",
    "timeline_answers": "TimeFrame read_timeline",
    "timelines": "Event Timeline",
    "tokens": "count_image_tokens count_video_tokens sample_frame_count",
}
_HOMES = {name: module for module, names in _NAMES_BY_MODULE.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return import_module("importlib.metadata").version("qwen-vl")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
