"""The conformance suite for LlamaIndex LLMs that see, against the sandbox in its strict mode."""

from collections.abc import Mapping
from typing import Any

import pytest
from llama_index.core.llms import LLM

from llama_index.llms.qwen_vl import QwenVL
from llama_index_vision_tests import LLMUnitTests, VisionLLMTests
from qwen_vl_sandbox import Sandbox

KEY = "sk-conformance-0123456789"


class TestUnit(LLMUnitTests):
    @property
    def llm_class(self) -> type[QwenVL]:
        return QwenVL

    @property
    def llm_params(self) -> dict[str, Any]:
        return {"api_key": KEY}


class TestConformance(VisionLLMTests):
    @pytest.fixture(autouse=True)
    def _use_sandbox(self, qwen_vl_sandbox: Sandbox) -> None:
        self._sandbox = qwen_vl_sandbox

    @property
    def llm_class(self) -> type[QwenVL]:
        return QwenVL

    @property
    def llm_params(self) -> dict[str, Any]:
        return {"base_url": self._sandbox.base_url, "api_key": KEY, "max_retries": 0}

    @property
    def thinking_params(self) -> dict[str, Any]:
        return {"enable_thinking": True}

    @property
    def supports_video(self) -> bool:
        return True

    @property
    def image_formats(self) -> tuple[str, ...]:
        return ("PNG", "JPEG", "WEBP", "BMP")

    @property
    def service_reaches_localhost(self) -> bool:
        return True

    @property
    def understands(self) -> bool:
        # The sandbox says what it received and fills forms with what they allow.
        return False

    def is_download_of_service(self, headers: Mapping[str, str]) -> bool:
        # The sandbox follows links to this machine, and does not say who it is.
        return "user-agent" not in headers

    @pytest.fixture
    def failing_llm(self) -> LLM:
        self._sandbox.fail(status=500)
        return self.llm_class(**self.llm_params)

    @pytest.fixture
    def breaking_llm(self) -> LLM:
        self._sandbox.fail(cut_after_chunks=3)
        return self.llm_class(**self.llm_params)
