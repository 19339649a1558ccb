"""What all suites of `test_suite_finds_faults.py` say of the LLM under test."""

from collections.abc import Mapping

import pytest
from llama_index.core.llms import LLM
from reference_llm import ReferenceLLM


class Subject:
    llm_class = ReferenceLLM
    llm_params = {"api_key": "sk-0123456789"}  # noqa: RUF012 - as users write it.
    supports_video = True
    thinking_params = {"thinks": True}  # noqa: RUF012
    service_reaches_localhost = True
    understands = False
    image_formats = ("PNG", "JPEG", "WEBP", "GIF", "BMP")

    def is_download_of_service(self, headers: Mapping[str, str]) -> bool:
        return "user-agent" not in headers

    @pytest.fixture
    def failing_llm(self) -> LLM:
        return self.llm_class(**self.llm_params, fails=True)

    @pytest.fixture
    def breaking_llm(self) -> LLM:
        return self.llm_class(**self.llm_params, breaks=True)
