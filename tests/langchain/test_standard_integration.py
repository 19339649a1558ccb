"""LangChain's own integration tests for chat models, against the sandbox in its strict mode."""

import base64
import functools
import io
import operator
from typing import Any

import httpx
import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_tests.integration_tests import ChatModelIntegrationTests
from PIL import Image

from audio_samples import make_wav
from langchain_qwen_vl import ChatQwenVL
from qwen_vl.samples import CHELSEA
from qwen_vl_sandbox import Sandbox, ScriptedAnswer, ToolCall


@pytest.fixture(autouse=True)
def _download_here(monkeypatch: pytest.MonkeyPatch) -> None:
    # The suite downloads an image, a PDF and audio from the internet; these stand in for them.
    def get(url: str, **_: Any) -> httpx.Response:
        stand_ins = {".pdf": written_pdf, ".wav": make_wav}
        content = stand_ins.get(url[-4:], CHELSEA.read_bytes)()
        return httpx.Response(200, content=content, request=httpx.Request("GET", url))

    monkeypatch.setattr(httpx, "get", get)
    monkeypatch.setenv("LANGCHAIN_TESTS_USER_AGENT", "tests of langchain-qwen-vl")


def written_pdf() -> bytes:
    buffer = io.BytesIO()
    with Image.open(CHELSEA) as image:
        image.convert("RGB").save(buffer, "PDF")
    return buffer.getvalue()


class TestStandardIntegration(ChatModelIntegrationTests):
    @pytest.fixture(autouse=True)
    def _use_sandbox(self, qwen_vl_sandbox: Sandbox, request: pytest.FixtureRequest) -> None:
        self._sandbox = qwen_vl_sandbox
        self._base_url = qwen_vl_sandbox.base_url
        if request.node.originalname == "test_agent_loop":
            # Which tool helps with a question is a model's judgement; the sandbox has none.
            call = ToolCall("get_weather", {"location": "San Francisco, CA"})
            qwen_vl_sandbox.script(ScriptedAnswer(tool_calls=(call,)))

    @property
    def chat_model_class(self) -> type[ChatQwenVL]:
        return ChatQwenVL

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {
            "model": "qwen3-vl-plus",
            "base_url": getattr(self, "_base_url", None),
            "api_key": "sk-sandbox",
        }

    @property
    def model_override_value(self) -> str:
        return "qwen3.7-plus"

    @property
    def supports_image_inputs(self) -> bool:
        return True

    @property
    def supports_image_urls(self) -> bool:
        return True

    @property
    def supports_image_tool_message(self) -> bool:
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

    @property
    def supported_usage_metadata_details(self) -> dict[str, list[str]]:
        details = ["reasoning_output", "cache_read_input", "cache_creation_input"]
        return {"invoke": details, "stream": details}

    def invoke_with_reasoning_output(self, *, stream: bool = False) -> AIMessage:
        return self._ask("Think.", stream=stream, enable_thinking=True)

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        self._count(cached_tokens=1024)
        return self._ask("Read it again.", stream=stream)

    def invoke_with_cache_creation_input(self, *, stream: bool = False) -> AIMessage:
        self._count(cache_creation_input_tokens=1024)
        return self._ask("Keep it.", stream=stream)

    def _count(self, **details: int) -> None:
        # The sandbox has no cache, so that what it would say is prescribed (Cache page, 2026-10).
        counted = {"prompt_tokens": 1200, "completion_tokens": 5, "total_tokens": 1205}
        usage = {**counted, "prompt_tokens_details": details}
        self._sandbox.script(ScriptedAnswer(text="So.", usage=usage))

    def _ask(self, question: Any, *, stream: bool, **options: Any) -> AIMessage:
        model = ChatQwenVL(**{**self.chat_model_params, **options})
        if not stream:
            return model.invoke(question)
        chunks = list(model.stream(question))
        return functools.reduce(operator.add, chunks[1:], chunks[0])

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True

    @property
    def supports_json_mode(self) -> bool:
        return True


class TestStandardIntegrationOmni(TestStandardIntegration):
    """The same tests with a model that takes audio and only streams."""

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {**super().chat_model_params, "model": "qwen3.5-omni-plus"}

    @property
    def supports_audio_inputs(self) -> bool:
        return True

    @property
    def supported_usage_metadata_details(self) -> Any:
        return {"invoke": ["audio_input"], "stream": ["audio_input"]}

    def invoke_with_audio_input(self, *, stream: bool = False) -> AIMessage:
        data = base64.b64encode(make_wav()).decode()
        block = {"type": "audio", "base64": data, "mime_type": "audio/wav"}
        return self._ask([HumanMessage([block])], stream=stream)
