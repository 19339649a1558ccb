"""Qwen VL as a LlamaIndex LLM: a placeholder for `QwenVL`."""
