"""Qwen VL as a LlamaIndex LLM that sees pictures and videos."""

from importlib.metadata import version

from llama_index.llms.qwen_vl.constructors import frames_block, image_block, video_block

__version__ = version("llama-index-llms-qwen-vl")

__all__ = ["__version__", "frames_block", "image_block", "video_block"]
