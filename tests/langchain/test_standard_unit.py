"""LangChain's own unit tests for chat models, with serialization on."""

import sys

import pytest
from langchain_tests.unit_tests import ChatModelUnitTests

from langchain_qwen_vl import ChatQwenVL


@pytest.fixture(autouse=True)
def _allow_our_class(monkeypatch: pytest.MonkeyPatch) -> None:
    # `load(..., allowed_objects="all")` admits only classes that langchain-core itself lists, so
    # no third-party class can pass `test_serdes` without this; users name the class instead (see
    # test_serialization.py).
    load = sys.modules["langchain_core.load.load"]
    path = ("langchain_qwen_vl", "chat_models", "ChatQwenVL")
    monkeypatch.setitem(load.ALL_SERIALIZABLE_MAPPINGS, path, path)
    monkeypatch.setattr(load, "_default_class_paths_cache", {})


class TestStandardUnit(ChatModelUnitTests):
    """Every test of the suite."""

    @property
    def chat_model_class(self) -> type[ChatQwenVL]:
        return ChatQwenVL

    @property
    def chat_model_params(self) -> dict[str, str]:
        return {"model": "qwen3-vl-plus", "base_url": "https://dashscope.aliyuncs.com"}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
        return {"DASHSCOPE_API_KEY": "sk-env"}, {}, {"api_key": "sk-env"}

    @property
    def supports_image_inputs(self) -> bool:
        return True

    @property
    def supports_video_inputs(self) -> bool:
        return True

    @property
    def supports_pdf_inputs(self) -> bool:
        return True

    @property
    def supports_pdf_tool_message(self) -> bool:
        return True
