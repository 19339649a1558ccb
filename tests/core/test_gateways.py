"""Names that a gateway gives to models, and whose key it gets."""

import base64
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from PIL import Image
from pydantic import BaseModel

from langchain_qwen_vl import ChatQwenVL
from llama_index.llms.qwen_vl import QwenVL
from qwen_vl.content import Text, Turn
from qwen_vl.errors import ConfigurationError
from qwen_vl.request.build import build_connection, build_request
from qwen_vl.settings import QwenVLSettings
from qwen_vl_sandbox import Sandbox, ScriptedAnswer, ToolCall

ALIAS = "my-vision"
SERVED = {ALIAS: "Qwen/Qwen3-VL-8B-Instruct", "qwen3-vl-plus": "Qwen/Qwen3-VL-8B-Instruct"}


class Car(BaseModel):
    """A car."""

    brand: str


@tool
def look(where: str) -> str:
    """Look somewhere."""
    return where


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    # A gateway passes requests of OpenAI's form on to whatever stands behind it.
    with Sandbox(server="vllm", served_models=SERVED) as running:
        yield running


def make(cls: Any, sandbox: Sandbox, model: str = ALIAS, **fields: Any) -> Any:
    return cls(
        model=model, server="openai_compatible", base_url=sandbox.base_url, api_key="x", **fields
    )


def test_unknown_name_takes_no_schema(sandbox: Sandbox) -> None:
    sandbox.script(ScriptedAnswer(tool_calls=(ToolCall("Car", {"brand": "Saab"}),)))
    answer = make(ChatQwenVL, sandbox).with_structured_output(Car).invoke("Name a car.")
    assert answer == Car(brand="Saab")
    assert "response_format" not in sandbox.last_request.json
    assert sandbox.last_request.json["tools"][0]["function"]["name"] == "Car"


@pytest.mark.parametrize("cls", [ChatQwenVL, QwenVL])
def test_unknown_name_is_told_in_words_what_to_locate(cls: Any, sandbox: Sandbox) -> None:
    sandbox.script(json.dumps([{"bbox_2d": [0, 0, 500, 500], "label": "a"}]))
    found = make(cls, sandbox).locate(Image.new("RGB", (640, 480)), "cats")
    assert found.boxes[0].xyxy == (0, 0, 320, 240)
    assert "response_format" not in sandbox.last_request.json


def test_unknown_name_promises_little(sandbox: Sandbox) -> None:
    profile = make(ChatQwenVL, sandbox).profile
    assert (profile["max_input_tokens"], profile["structured_output"]) == (129_024, False)
    assert make(QwenVL, sandbox).metadata.context_window == 131_072


@pytest.mark.parametrize(
    ("base_model", "takes"), [("qwen3.7-plus", True), ("qwen3-vl-plus", False)]
)
def test_base_model_says_what_is_behind_a_name(
    base_model: str, sandbox: Sandbox, *, takes: bool
) -> None:
    model = make(ChatQwenVL, sandbox, base_model=base_model)
    hosted = ChatQwenVL(model=base_model, api_key="x")
    assert model.profile["max_input_tokens"] == hosted.profile["max_input_tokens"]
    assert model.profile["structured_output"] is takes
    llm = make(QwenVL, sandbox, base_model=base_model)
    assert llm.metadata.model_name == ALIAS
    assert llm.metadata.context_window == QwenVL(base_model, api_key="x").metadata.context_window
    model.invoke("Hello")
    assert sandbox.last_request.json["model"] == ALIAS
    assert "base_model" not in sandbox.last_request.json


def test_base_model_is_that_of_its_own_name() -> None:
    settings = QwenVLSettings(model=ALIAS, base_model="qwen3-vl-plus", server="openai_compatible")
    turn = Turn(role="user", parts=(Text(text="Hello"),))
    assert build_request(settings, [turn]).known_model == "qwen3-vl-plus"
    assert build_request(settings, [turn], model="other").known_model == "other"
    request = build_request(settings, [turn], model="other", base_model="qwen3.7-plus")
    assert (request.model, request.known_model) == ("other", "qwen3.7-plus")


def test_coordinates_are_those_of_the_family(sandbox: Sandbox) -> None:
    sandbox.script(json.dumps([{"bbox_2d": [0, 0, 280, 280], "label": "a"}]))
    image = Image.new("RGB", (560, 560))
    found = make(ChatQwenVL, sandbox, base_model="qwen2.5-vl-7b-instruct").locate(image, "cats")
    assert found.boxes[0].xyxy == (0, 0, 280, 280)
    sandbox.script(json.dumps([{"bbox_2d": [0, 0, 280, 280], "label": "a"}]))
    found = make(ChatQwenVL, sandbox, model_family="qwen2_5_vl").locate(image, "cats")
    assert found.boxes[0].xyxy == (0, 0, 280, 280)


def _photo(side: int) -> Image.Image:
    return Image.linear_gradient("L").resize((side, side)).convert("RGB")


@pytest.mark.parametrize("model", [ALIAS, "qwen3-vl-plus"])
def test_large_photo_is_downscaled(model: str, sandbox: Sandbox) -> None:
    chat = make(ChatQwenVL, sandbox, model)
    message = HumanMessage([{"type": "image", "image": _photo(2_400)}])
    count = chat.get_num_tokens_from_messages([message])
    answer = chat.invoke([message])
    (part,) = sandbox.last_request.json["messages"][0]["content"]
    data = io.BytesIO(base64.b64decode(part["image_url"]["url"].partition(",")[2]))
    with Image.open(data) as sent:
        assert sent.size == (1_600, 1_600)
    assert answer.usage_metadata is not None
    assert abs(count - answer.usage_metadata["input_tokens"]) < 20


def test_tools_are_called_under_any_name(sandbox: Sandbox) -> None:
    sandbox.script(ScriptedAnswer(tool_calls=(ToolCall("look", {"where": "here"}),)))
    (call,) = make(ChatQwenVL, sandbox).bind_tools([look]).invoke("Look.").tool_calls
    assert call["args"] == {"where": "here"}


@pytest.mark.parametrize("cls", [ChatQwenVL, QwenVL])
@pytest.mark.parametrize("host", ["gateway.example.com", "10.0.0.1", "aliyuncs.com.example.com"])
def test_key_of_the_environment_is_not_sent_elsewhere(
    cls: Any, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-service")
    model = cls(base_url=f"https://{host}/v1")
    with pytest.raises(ConfigurationError, match="sent only to hosts of the service") as caught:
        (model.invoke if cls is ChatQwenVL else model.complete)("Hello")
    assert "sk-service" not in str(caught.value)
    assert find_key(cls(base_url=f"https://{host}/v1", api_key="sk-own")) == "sk-own"


@pytest.mark.parametrize(
    "url",
    [
        "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
        "http://localhost:8000/v1",
        "http://127.0.0.1:8000/v1",
        "http://[::1]:8000/v1",
    ],
)
def test_key_of_the_environment_is_sent_to_the_service(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-service")
    assert find_key(QwenVLSettings(base_url=url)) == "sk-service"
    # The environment's own URL is meant for the environment's own key.
    monkeypatch.setenv("DASHSCOPE_BASE_URL", "https://gateway.example.com/v1")
    assert find_key(QwenVLSettings()) == "sk-service"


def find_key(settings: QwenVLSettings) -> str:
    key = build_connection(settings).api_key
    return "" if key is None else key.get_secret_value()
