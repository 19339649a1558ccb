"""Images and videos to Qwen VL endpoints.

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
    from qwen_vl.documents.blocks import Block, BlockProblem, ParsedBlocks
    from qwen_vl.documents.drawing import draw_layout
    from qwen_vl.documents.parse_html import parse_html
    from qwen_vl.documents.parse_markdown import parse_markdown
    from qwen_vl.documents.parser import DocumentParser
    from qwen_vl.documents.results import PageError, ParsedDocument, ParsedPage
    from qwen_vl.embedding.cache import VectorCache
    from qwen_vl.embedding.embedder import Embedder
    from qwen_vl.embedding.items import Item
    from qwen_vl.embedding.rerank_wire import RankedDocument, Ranking
    from qwen_vl.embedding.reranker import Reranker
    from qwen_vl.embedding.results import Embeddings
    from qwen_vl.errors import (
        ConfigurationError,
        ContentError,
        MediaError,
        QwenVLError,
        ServiceError,
    )
    from qwen_vl.grounding.coordinates import CoordinateFrame, find_frame
    from qwen_vl.grounding.drawing import draw_grounding, draw_timeline
    from qwen_vl.grounding.grounder import Grounder
    from qwen_vl.grounding.parse_boxes import ground_ocr_result, read_grounding
    from qwen_vl.grounding.parse_timeline import TimeFrame, read_timeline
    from qwen_vl.grounding.results import Box, Grounding, Point, SkippedEntry
    from qwen_vl.grounding.timeline import Event, Timeline
    from qwen_vl.ocr.reader import OcrPage, OcrReader
    from qwen_vl.ocr.results import OcrResult, OcrWord, read_ocr_result
    from qwen_vl.reply import Delta, Reply, ResponseMetadata, Usage
    from qwen_vl.request.build import build_connection, build_request
    from qwen_vl.request.types import MediaPolicy, Request
    from qwen_vl.settings import QwenVLSettings
    from qwen_vl.specs.models import ModelSpec, get_model_spec
    from qwen_vl.specs.prices import Price
    from qwen_vl.specs.vision import count_image_tokens, count_video_tokens, sample_frame_count
    from qwen_vl.tokens.conversation import count_tokens
    from qwen_vl.tokens.cost import Cost, cost_of, estimate_cost

    __version__: str

__all__ = [
    "AsyncQwenVLClient",
    "Audio",
    "Block",
    "BlockProblem",
    "Box",
    "ConfigurationError",
    "Connection",
    "ContentError",
    "CoordinateFrame",
    "Cost",
    "Delta",
    "Document",
    "DocumentParser",
    "Embedder",
    "Embeddings",
    "Event",
    "Frames",
    "Grounder",
    "Grounding",
    "Image",
    "Inline",
    "Item",
    "LocalFile",
    "MediaError",
    "MediaPolicy",
    "ModelSpec",
    "OcrPage",
    "OcrReader",
    "OcrResult",
    "OcrWord",
    "OpenFile",
    "PageError",
    "ParsedBlocks",
    "ParsedDocument",
    "ParsedPage",
    "Pixels",
    "Point",
    "Price",
    "QwenVLClient",
    "QwenVLError",
    "QwenVLSettings",
    "RankedDocument",
    "Ranking",
    "Reasoning",
    "Reply",
    "Request",
    "Reranker",
    "ResponseMetadata",
    "ServiceError",
    "SkippedEntry",
    "Text",
    "TimeFrame",
    "Timeline",
    "ToolCall",
    "ToolResult",
    "Turn",
    "Url",
    "Usage",
    "VectorCache",
    "Video",
    "__version__",
    "build_connection",
    "build_request",
    "cost_of",
    "count_image_tokens",
    "count_tokens",
    "count_video_tokens",
    "draw_grounding",
    "draw_layout",
    "draw_timeline",
    "estimate_cost",
    "find_frame",
    "get_model_spec",
    "ground_ocr_result",
    "parse_html",
    "parse_markdown",
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
    "documents.blocks": "Block BlockProblem ParsedBlocks",
    "documents.drawing": "draw_layout",
    "documents.parse_html": "parse_html",
    "documents.parse_markdown": "parse_markdown",
    "documents.parser": "DocumentParser",
    "documents.results": "PageError ParsedDocument ParsedPage",
    "grounding.coordinates": "CoordinateFrame find_frame",
    "tokens.conversation": "count_tokens",
    "tokens.cost": "Cost cost_of estimate_cost",
    "specs.prices": "Price",
    "grounding.drawing": "draw_grounding draw_timeline",
    "embedding.cache": "VectorCache",
    "embedding.embedder": "Embedder",
    "embedding.items": "Item",
    "embedding.rerank_wire": "RankedDocument Ranking",
    "embedding.reranker": "Reranker",
    "embedding.results": "Embeddings",
    "errors": "ConfigurationError ContentError MediaError QwenVLError ServiceError",
    "grounding.grounder": "Grounder",
    "grounding.results": "Box Grounding Point SkippedEntry",
    "grounding.parse_boxes": "ground_ocr_result read_grounding",
    "specs.models": "ModelSpec get_model_spec",
    "ocr.results": "OcrResult OcrWord read_ocr_result",
    "ocr.reader": "OcrPage OcrReader",
    "reply": "Delta ResponseMetadata Reply Usage",
    "request.build": "build_connection build_request",
    "request.types": "MediaPolicy Request",
    "connection": "Connection",
    "settings": "QwenVLSettings",
    "grounding.parse_timeline": "TimeFrame read_timeline",
    "grounding.timeline": "Event Timeline",
    "specs.vision": "count_image_tokens count_video_tokens sample_frame_count",
}
_HOMES = {name: module for module, names in _NAMES_BY_MODULE.items() for name in names.split()}


if not TYPE_CHECKING:
    # Otherwise type checkers accept any name.
    def __getattr__(name: str) -> Any:
        if name == "__version__":
            return import_module("importlib.metadata").version("qwen-vl")
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
