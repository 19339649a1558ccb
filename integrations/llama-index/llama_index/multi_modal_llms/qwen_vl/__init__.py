"""Qwen VL as LlamaIndex's older multi-modal LLM: a placeholder for `QwenVLMultiModal`."""
