"""Embeddings and rerankers that ask the sandbox."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from langchain_qwen_vl import QwenVLEmbeddings, QwenVLRerank
from qwen_vl_sandbox import Sandbox


@pytest.fixture
def reach(qwen_vl_sandbox: Sandbox) -> dict[str, Any]:
    return {"base_url": qwen_vl_sandbox.base_url, "api_key": "sk-sandbox"}


@pytest.fixture
def make_embeddings(reach: dict[str, Any]) -> Callable[..., QwenVLEmbeddings]:
    def make(**fields: Any) -> QwenVLEmbeddings:
        return QwenVLEmbeddings(**{**reach, "dimensions": 256, **fields})

    return make


@pytest.fixture
def make_rerank(reach: dict[str, Any]) -> Callable[..., QwenVLRerank]:
    def make(**fields: Any) -> QwenVLRerank:
        return QwenVLRerank(**{**reach, **fields})

    return make


@pytest.fixture
def squares(tmp_path: Path) -> dict[str, Path]:
    """Images of one color each, by its name."""
    paths = {}
    for color in ("red", "green", "blue"):
        paths[color] = tmp_path / f"{color}.png"
        Image.new("RGB", (64, 64), color).save(paths[color])
    return paths


@pytest.fixture
def pdf(tmp_path: Path) -> Path:
    """A PDF of a red, a green and a blue page."""
    pages = [Image.new("RGB", (120, 160), color) for color in ("red", "green", "blue")]
    path = tmp_path / "report.pdf"
    pages[0].save(path, save_all=True, append_images=pages[1:], resolution=72)
    return path
