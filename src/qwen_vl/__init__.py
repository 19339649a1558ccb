"""Pictures and videos to Qwen VL endpoints."""
