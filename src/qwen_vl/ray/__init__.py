"""Bulk questions as a stage of Ray Data: `pip install "qwen-vl[ray]"`."""

from qwen_vl.ray.budget import SharedBudget
from qwen_vl.ray.stage import QwenVLStage

__all__ = ["QwenVLStage", "SharedBudget"]
