"""Qwen VL as a LlamaIndex LLM that sees pictures and videos."""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from llama_index.llms.qwen_vl.base import QwenVL
from llama_index.llms.qwen_vl.block_builders import (
    document_block,
    frames_block,
    image_block,
    video_block,
)
from llama_index.llms.qwen_vl.nodes.postprocessor import QwenMediaPostprocessor
from llama_index.llms.qwen_vl.readers import QwenVLOCRReader, to_ocr_result

if TYPE_CHECKING:
    from llama_index.llms.qwen_vl.grounding import locate_tool, timeline_tool

__version__ = version("llama-index-llms-qwen-vl")

__all__ = [
    "QwenMediaPostprocessor",
    "QwenVL",
    "QwenVLOCRReader",
    "__version__",
    "document_block",
    "frames_block",
    "image_block",
    "locate_tool",
    "timeline_tool",
    "to_ocr_result",
    "video_block",
]

_TOOLS = ("locate_tool", "timeline_tool")


def __getattr__(name: str) -> Any:
    # For those alone who give tools to agents.
    if name in _TOOLS:
        return getattr(import_module("llama_index.llms.qwen_vl.grounding"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
