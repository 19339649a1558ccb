"""The requests of the service's own guide, through the official SDK and through `ChatQwenVL`."""

import json
from pathlib import Path
from typing import Any

import openai
import pytest
from langchain_core.messages import HumanMessage

from langchain_qwen_vl import ChatQwenVL
from qwen_vl_sandbox import Sandbox

EXAMPLES = sorted((Path(__file__).parents[1] / "wire_examples").glob("*.json"))


def _body(example: Path) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(example.read_text())["body"]
    return body


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_body_equals_the_official_sdk_s(
    example: Path, chat: ChatQwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    body = _body(example)
    with openai.OpenAI(base_url=qwen_vl_sandbox.base_url, api_key="sk-sandbox") as client:
        client.chat.completions.create(**body)
    chat.invoke([HumanMessage(body["messages"][0]["content"])])

    by_sdk, ours = (request.json for request in qwen_vl_sandbox.requests)
    assert by_sdk == body
    assert ours == body


def test_body_equals_the_guide_s_in_langchain_s_own_blocks(
    chat: ChatQwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    *images, question = _body(EXAMPLES[2])["messages"][0]["content"]
    assert EXAMPLES[2].stem == "two_pictures"
    blocks = [{"type": "image", "url": part["image_url"]["url"]} for part in images]
    chat.invoke([HumanMessage(content_blocks=[*blocks, question])])

    assert qwen_vl_sandbox.last_request.json == _body(EXAMPLES[2])
