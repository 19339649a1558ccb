"""The OpenAI-compatible protocol (OpenAI-Chat page, 2026-10)."""

from qwen_vl.wire.openai.decode import decode_reply, decode_usage
from qwen_vl.wire.openai.encode import encode_request
from qwen_vl.wire.openai.stream import StreamDecoder

__all__ = ["StreamDecoder", "decode_reply", "decode_usage", "encode_request"]
