"""The conformance suite for LlamaIndex's embedding models and rerankers, against the sandbox."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from llama_index.embeddings.qwen_vl import QwenVLEmbedding
from llama_index.postprocessor.qwen_vl import QwenVLRerank
from llama_index_vision_tests import (
    EmbeddingUnitTests,
    RerankUnitTests,
    VisionEmbeddingTests,
    VisionRerankTests,
)
from qwen_vl_sandbox import Sandbox

KEY = "sk-conformance-0123456789"


class UsesSandbox:
    """What asks the sandbox, for images in the folder of the test."""

    @pytest.fixture(autouse=True)
    def _use_sandbox(self, qwen_vl_sandbox: Sandbox, tmp_path: Path) -> Iterator[None]:
        self._sandbox, self._folder = qwen_vl_sandbox, tmp_path
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        yield
        asyncio.set_event_loop(None)
        loop.close()

    @property
    def params(self) -> dict[str, Any]:
        return {
            "base_url": self._sandbox.base_url,
            "api_key": KEY,
            "max_retries": 0,
            "media_roots": [str(self._folder)],
        }


class TestEmbeddingUnit(EmbeddingUnitTests):
    embedding_class = QwenVLEmbedding
    embedding_params = {"api_key": KEY}  # noqa: RUF012 - as users write it.


class TestEmbedding(UsesSandbox, VisionEmbeddingTests):
    embedding_class = QwenVLEmbedding
    embeds_nodes = True

    @property
    def embedding_params(self) -> dict[str, Any]:  # type: ignore[override]
        return {**self.params, "dimensions": 256}

    @pytest.fixture
    def failing_embed_model(self) -> QwenVLEmbedding:
        self._sandbox.fail(status=500)
        return QwenVLEmbedding(**self.embedding_params)

    @pytest.fixture
    def short_embed_model(self) -> QwenVLEmbedding:
        entries = [{"index": 0, "embedding": [1.0] * 256, "type": "vl"}]
        self._sandbox.script_raw(orjson.dumps({"output": {"embeddings": entries}}))
        return QwenVLEmbedding(**self.embedding_params)


class TestRerankUnit(RerankUnitTests):
    rerank_class = QwenVLRerank
    rerank_params = {"api_key": KEY}  # noqa: RUF012


class TestRerank(UsesSandbox, VisionRerankTests):
    rerank_class = QwenVLRerank
    sees_images = True

    @property
    def rerank_params(self) -> dict[str, Any]:  # type: ignore[override]
        return self.params

    @pytest.fixture
    def failing_reranker(self) -> QwenVLRerank:
        self._sandbox.fail(status=500)
        return QwenVLRerank(**self.rerank_params)
