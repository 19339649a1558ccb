"""Qwen VL as a LlamaIndex LLM that sees images and videos."""

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
from llama_index.llms.qwen_vl.readers import (
    QwenVLDocumentReader,
    QwenVLMediaReader,
    QwenVLOCRReader,
    to_ocr_result,
)
from llama_index.llms.qwen_vl.responses import get_usage

if TYPE_CHECKING:
    from llama_index.llms.qwen_vl.chat_engines import (
        QwenVLCondensePlusContextChatEngine,
        QwenVLContextChatEngine,
    )
    from llama_index.llms.qwen_vl.citations import CITATION_TEMPLATE, read_citations
    from llama_index.llms.qwen_vl.grounding import locate_tool, timeline_tool
    from llama_index.llms.qwen_vl.mcp import keep_mcp_media
    from llama_index.llms.qwen_vl.zoom import zoom_tool

__version__ = version("llama-index-llms-qwen-vl")

__all__ = [
    "CITATION_TEMPLATE",
    "QwenMediaPostprocessor",
    "QwenVL",
    "QwenVLCondensePlusContextChatEngine",
    "QwenVLContextChatEngine",
    "QwenVLDocumentReader",
    "QwenVLMediaReader",
    "QwenVLOCRReader",
    "__version__",
    "document_block",
    "frames_block",
    "get_usage",
    "image_block",
    "keep_mcp_media",
    "locate_tool",
    "read_citations",
    "timeline_tool",
    "to_ocr_result",
    "video_block",
    "zoom_tool",
]

# For those who chat about what is retrieved, or give tools to agents.
_LAZY = {
    "CITATION_TEMPLATE": "citations",
    "QwenVLCondensePlusContextChatEngine": "chat_engines",
    "QwenVLContextChatEngine": "chat_engines",
    "keep_mcp_media": "mcp",
    "locate_tool": "grounding",
    "read_citations": "citations",
    "timeline_tool": "grounding",
    "zoom_tool": "zoom",
}


if not TYPE_CHECKING:
    # Otherwise type checkers accept any name.
    def __getattr__(name: str) -> Any:
        if name in _LAZY:
            return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
