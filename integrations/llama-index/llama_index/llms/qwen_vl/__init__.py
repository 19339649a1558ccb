"""Qwen VL as a LlamaIndex LLM that sees pictures and videos."""

from importlib.metadata import version

from llama_index.llms.qwen_vl.constructors import (
    document_block,
    frames_block,
    image_block,
    video_block,
)
from llama_index.llms.qwen_vl.llm import QwenVL
from llama_index.llms.qwen_vl.ocr import QwenVLOCRReader, to_ocr_result
from llama_index.llms.qwen_vl.postprocessor import QwenMediaPostprocessor

__version__ = version("llama-index-llms-qwen-vl")

__all__ = [
    "QwenMediaPostprocessor",
    "QwenVL",
    "QwenVLOCRReader",
    "__version__",
    "document_block",
    "frames_block",
    "image_block",
    "to_ocr_result",
    "video_block",
]
