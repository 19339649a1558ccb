"""Pictures and videos to Qwen VL through LangChain."""

from importlib import import_module
from importlib.metadata import version
from typing import Any

from langchain_qwen_vl import translator
from langchain_qwen_vl.chat_model import ChatQwenVL
from langchain_qwen_vl.constructors import frames_block, video_block

__version__ = version("langchain-qwen-vl")

__all__ = [
    "ChatQwenVL",
    "QwenVLAPIError",
    "QwenVLAuthenticationError",
    "QwenVLConnectionError",
    "QwenVLContentModerationError",
    "QwenVLContextOverflowError",
    "QwenVLInvalidRequestError",
    "QwenVLNotFoundError",
    "QwenVLOCRLoader",
    "QwenVLPartialResponseError",
    "QwenVLPermissionDeniedError",
    "QwenVLRateLimitError",
    "QwenVLServiceError",
    "QwenVLTimeoutError",
    "__version__",
    "frames_block",
    "locate_tool",
    "timeline_tool",
    "to_ocr_result",
    "video_block",
]

translator.register()


_HOMES = {
    "QwenVLOCRLoader": "ocr",
    "to_ocr_result": "ocr",
    "locate_tool": "grounding",
    "timeline_tool": "grounding",
}


def __getattr__(name: str) -> Any:
    # The errors inherit from the openai SDK's, which takes long to import, and so does what
    # LangChain's loaders stand on.
    if name in __all__:
        module = _HOMES.get(name, "errors")
        return getattr(import_module(f"langchain_qwen_vl.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
