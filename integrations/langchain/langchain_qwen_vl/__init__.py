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
    "QwenVLPartialResponseError",
    "QwenVLPermissionDeniedError",
    "QwenVLRateLimitError",
    "QwenVLServiceError",
    "QwenVLTimeoutError",
    "__version__",
    "frames_block",
    "video_block",
]

translator.register()


def __getattr__(name: str) -> Any:
    # The errors inherit from the openai SDK's, which takes long to import.
    if name in __all__:
        return getattr(import_module("langchain_qwen_vl.errors"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
