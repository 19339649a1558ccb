"""The native protocol (Native-API page, 2026-09)."""

from qwen_vl.wire.native.decode import decode_reply, decode_usage
from qwen_vl.wire.native.encode import encode_request
from qwen_vl.wire.native.stream import StreamDecoder

__all__ = ["StreamDecoder", "decode_reply", "decode_usage", "encode_request"]
