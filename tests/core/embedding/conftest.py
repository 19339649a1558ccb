"""Embedders that ask the sandbox."""

from collections.abc import Callable
from typing import Any

import pytest

from qwen_vl.embedding.embedder import Embedder
from qwen_vl.settings import QwenVLSettings
from qwen_vl_sandbox import Sandbox


@pytest.fixture
def make_settings(qwen_vl_sandbox: Sandbox) -> Callable[..., QwenVLSettings]:
    def make(**fields: Any) -> QwenVLSettings:
        reach = {"base_url": qwen_vl_sandbox.base_url, "api_key": "sk-sandbox"}
        return QwenVLSettings(**{**reach, **fields})

    return make


@pytest.fixture
def make_embedder(make_settings: Callable[..., QwenVLSettings]) -> Callable[..., Embedder]:
    def make(model: str = "qwen3-vl-embedding", **options: Any) -> Embedder:
        return Embedder(make_settings(model=model), **options)

    return make
