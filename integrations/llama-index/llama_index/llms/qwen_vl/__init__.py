"""Qwen VL as a LlamaIndex LLM that sees pictures and videos."""

from importlib.metadata import version

from llama_index.llms.qwen_vl.constructors import frames_block, image_block, video_block
from llama_index.llms.qwen_vl.llm import QwenVL

__version__ = version("llama-index-llms-qwen-vl")

__all__ = ["QwenVL", "__version__", "frames_block", "image_block", "video_block"]
