"""Qwen's rerank models for LlamaIndex: nodes by relevance, with their images and videos."""

from llama_index.postprocessor.qwen_vl.rerank import QwenVLRerank

__all__ = ["QwenVLRerank"]
