"""Qwen's embedding models for LlamaIndex: texts, images and videos in one space."""

from llama_index.embeddings.qwen_vl.base import QwenVLEmbedding
from llama_index.embeddings.qwen_vl.hybrid import fuse_results, weigh_documents, weigh_queries
from llama_index.embeddings.qwen_vl.index import QwenVLVectorStoreIndex

__all__ = [
    "QwenVLEmbedding",
    "QwenVLVectorStoreIndex",
    "fuse_results",
    "weigh_documents",
    "weigh_queries",
]
