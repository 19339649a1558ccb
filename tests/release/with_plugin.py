"""Run by pytest where all packages are installed: the sandbox's fixture is there unasked."""

from typing import TYPE_CHECKING

from langchain_qwen_vl import ChatQwenVL
from qwen_vl_sandbox import ScriptedAnswer

if TYPE_CHECKING:
    from qwen_vl_sandbox import Sandbox


def test_fixture_answers(qwen_vl_sandbox: "Sandbox") -> None:
    qwen_vl_sandbox.script(ScriptedAnswer(text="A cat."))
    model = ChatQwenVL(base_url=qwen_vl_sandbox.base_url, api_key="sk-sandbox")

    assert model.invoke("What is this?").text == "A cat."
    assert len(qwen_vl_sandbox.requests) == 1


def test_nothing_is_left_of_other_tests(qwen_vl_sandbox: "Sandbox") -> None:
    assert qwen_vl_sandbox.requests == []
