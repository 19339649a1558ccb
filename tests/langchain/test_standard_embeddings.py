"""LangChain's own tests for embeddings and retrievers, against the sandbox."""

from collections.abc import Mapping
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_tests.integration_tests import (
    EmbeddingsIntegrationTests,
    RetrieversIntegrationTests,
)
from langchain_tests.unit_tests import EmbeddingsUnitTests

from langchain_qwen_vl import HybridRetriever, KeywordRetriever, QwenVLEmbeddings
from qwen_vl_sandbox import Sandbox

DOCUMENTS = [Document(f"invoice number {number}", id=str(number)) for number in range(6)]


class TestUnit(EmbeddingsUnitTests):
    @property
    def embeddings_class(self) -> type[QwenVLEmbeddings]:
        return QwenVLEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"model": "qwen3-vl-embedding", "api_key": "sk-1"}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return {"DASHSCOPE_API_KEY": "sk-env"}, {}, {"api_key": "sk-env"}


class TestIntegration(EmbeddingsIntegrationTests):
    @pytest.fixture(autouse=True)
    def _use_sandbox(self, qwen_vl_sandbox: Sandbox) -> None:
        self._base_url = qwen_vl_sandbox.base_url

    @property
    def embeddings_class(self) -> type[QwenVLEmbeddings]:
        return QwenVLEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"base_url": getattr(self, "_base_url", None), "api_key": "sk-sandbox"}


class TestKeywordRetriever(RetrieversIntegrationTests):
    @property
    def retriever_constructor(self) -> type[KeywordRetriever]:
        return KeywordRetriever

    @property
    def retriever_constructor_params(self) -> Mapping[str, Any]:  # type: ignore[override]  # wider
        return {"documents": DOCUMENTS}

    @property
    def retriever_query_example(self) -> str:
        return "invoice"


class TestHybridRetriever(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def _fill_store(self, qwen_vl_sandbox: Sandbox) -> None:
        embeddings = QwenVLEmbeddings(base_url=qwen_vl_sandbox.base_url, api_key="sk-sandbox")
        self._store = InMemoryVectorStore.from_documents(DOCUMENTS, embeddings)

    @property
    def retriever_constructor(self) -> type[HybridRetriever]:
        return HybridRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        keywords = KeywordRetriever(documents=DOCUMENTS)
        return {"vectorstore": self._store, "keyword_retriever": keywords}

    @property
    def retriever_query_example(self) -> str:
        return "invoice"
