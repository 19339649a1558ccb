"""Images and videos to Qwen VL through LangChain."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from langchain_qwen_vl import block_translator
from langchain_qwen_vl.block_builders import frames_block, video_block
from langchain_qwen_vl.chat_models import ChatQwenVL, __version__
from langchain_qwen_vl.messages import get_usage

if TYPE_CHECKING:
    from langchain_qwen_vl.batch import batch_job
    from langchain_qwen_vl.citations import SourceBlocks, read_citations, to_source_blocks
    from langchain_qwen_vl.document_loaders import (
        QwenVLDocumentLoader,
        QwenVLMediaLoader,
        QwenVLOCRLoader,
        document_key,
        to_ocr_result,
    )
    from langchain_qwen_vl.document_media import to_content_blocks
    from langchain_qwen_vl.embeddings import QwenVLEmbeddings
    from langchain_qwen_vl.errors import (
        QwenVLAPIError,
        QwenVLAuthenticationError,
        QwenVLConnectionError,
        QwenVLContentModerationError,
        QwenVLContextOverflowError,
        QwenVLInvalidRequestError,
        QwenVLNotFoundError,
        QwenVLPartialResponseError,
        QwenVLPermissionDeniedError,
        QwenVLRateLimitError,
        QwenVLResponseTooLargeError,
        QwenVLServiceError,
        QwenVLTimeoutError,
    )
    from langchain_qwen_vl.grounding import locate_tool, timeline_tool
    from langchain_qwen_vl.media_store import aadd_media, add_media
    from langchain_qwen_vl.media_vectorstore import MediaVectorStore
    from langchain_qwen_vl.rerank import QwenVLRerank
    from langchain_qwen_vl.retrievers import HybridRetriever, KeywordRetriever
    from langchain_qwen_vl.zoom import zoom_tool

__all__ = [
    "ChatQwenVL",
    "HybridRetriever",
    "KeywordRetriever",
    "MediaVectorStore",
    "QwenVLAPIError",
    "QwenVLAuthenticationError",
    "QwenVLConnectionError",
    "QwenVLContentModerationError",
    "QwenVLContextOverflowError",
    "QwenVLDocumentLoader",
    "QwenVLEmbeddings",
    "QwenVLInvalidRequestError",
    "QwenVLMediaLoader",
    "QwenVLNotFoundError",
    "QwenVLOCRLoader",
    "QwenVLPartialResponseError",
    "QwenVLPermissionDeniedError",
    "QwenVLRateLimitError",
    "QwenVLRerank",
    "QwenVLResponseTooLargeError",
    "QwenVLServiceError",
    "QwenVLTimeoutError",
    "SourceBlocks",
    "__version__",
    "aadd_media",
    "add_media",
    "batch_job",
    "document_key",
    "frames_block",
    "get_usage",
    "locate_tool",
    "read_citations",
    "timeline_tool",
    "to_content_blocks",
    "to_ocr_result",
    "to_source_blocks",
    "video_block",
    "zoom_tool",
]

block_translator.register()


_HOMES = {
    "HybridRetriever": "retrievers",
    "KeywordRetriever": "retrievers",
    "MediaVectorStore": "media_vectorstore",
    "QwenVLDocumentLoader": "document_loaders",
    "QwenVLEmbeddings": "embeddings",
    "QwenVLMediaLoader": "document_loaders",
    "QwenVLOCRLoader": "document_loaders",
    "QwenVLRerank": "rerank",
    "SourceBlocks": "citations",
    "aadd_media": "media_store",
    "add_media": "media_store",
    "batch_job": "batch",
    "document_key": "document_loaders",
    "read_citations": "citations",
    "to_content_blocks": "document_media",
    "to_ocr_result": "document_loaders",
    "to_source_blocks": "citations",
    "locate_tool": "grounding",
    "timeline_tool": "grounding",
    "zoom_tool": "zoom",
}


if not TYPE_CHECKING:
    # Otherwise type checkers accept any name.
    def __getattr__(name: str) -> Any:
        # The errors inherit from the openai SDK's, which takes long to import, and so does what
        # LangChain's loaders stand on.
        if name in __all__:
            module = _HOMES.get(name, "errors")
            return getattr(import_module(f"langchain_qwen_vl.{module}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
