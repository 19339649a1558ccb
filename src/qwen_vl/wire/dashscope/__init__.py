"""The native protocol (Native-API page, 2026-09)."""

from qwen_vl.wire.dashscope.decode import decode_reply
from qwen_vl.wire.dashscope.encode import encode_request
from qwen_vl.wire.dashscope.stream import StreamDecoder

__all__ = ["StreamDecoder", "decode_reply", "encode_request"]
