"""Qwen VL for code that is written for LlamaIndex's `MultiModalLLM`."""

from llama_index.multi_modal_llms.qwen_vl.multi_modal import QwenVLMultiModal

__all__ = ["QwenVLMultiModal"]
