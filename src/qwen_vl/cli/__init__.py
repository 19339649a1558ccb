"""The command `qwen-vl`."""
