"""Qwen4: its spec, its body's fields exactly as the pages print them, and what may go wrong.

Sources: help.aliyun.com/zh/model-studio/{qwen4-max, cot-summary, explicit-cache-qwen4}
(2026-11-16), docs.apiyi.com/api-capabilities/qwen-4/overview (2026-11-17).
"""

import json
import warnings
from collections.abc import Iterator
from typing import Any

import openai
import orjson
import pytest
from langchain_core.messages import AIMessage, HumanMessage
from llama_index.core.llms import ChatMessage

from langchain_qwen_vl import ChatQwenVL
from llama_index.llms.qwen_vl import QwenVL
from qwen_vl.content import Reasoning, Text, Turn
from qwen_vl.errors import ConfigurationError
from qwen_vl.reply import ReplyBuilder
from qwen_vl.request.build import build_request
from qwen_vl.request.types import Request
from qwen_vl.settings import QwenVLSettings
from qwen_vl.specs.models import NEWEST, get_model_spec, is_service_model
from qwen_vl.wire import native
from qwen_vl.wire import openai as compatible
from qwen_vl_sandbox import Sandbox, ScriptedAnswer

CIPHER = "gAAAAB+/w==" * 8
QUESTION = Turn(role="user", parts=(Text(text="What is this?"),))
ANSWER = Turn(
    role="assistant",
    parts=(Reasoning(text="A summary.", encrypted_content=CIPHER), Text(text="A cat.")),
)


def build(*turns: Turn, **options: Any) -> Request:
    return build_request(QwenVLSettings(model="qwen4-max"), turns, **options)


def body(request: Request) -> Any:
    encode = native.encode_request if request.protocol == "native" else compatible.encode_request
    return orjson.loads(bytes(encode(request)))


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.mark.parametrize(
    ("model", "family", "is_service"),
    [
        ("qwen4-max", "Qwen4", True),
        ("qwen4-max-2026-11-16", "Qwen4", True),
        ("qwen4-flash", "Qwen4", True),
        ("qwen4.1-max", "Qwen4", True),
        ("qwen5-max", "Qwen4", True),
        ("qwen5.5-plus", "Qwen4", True),
        ("qwen3.9-flash", "Qwen4", True),
        ("qwen3.10-max", "Qwen4", True),
        ("qwen3.8-max", "Qwen3.8", True),
        ("Qwen/Qwen4-Max", "Qwen4", False),
        ("qwen4b-finetune", "Qwen4", False),
        ("qwen7b", "Qwen4", False),
        ("qwen5-omni-flash", "Qwen omni", True),
        ("qwen4-vl-ocr", "Qwen OCR", True),
    ],
)
def test_newer_ids_are_hosted_and_take_the_newest_row(
    model: str, family: str, is_service: bool
) -> None:
    assert (get_model_spec(model).family, is_service_model(model)) == (family, is_service)


def test_row_of_qwen4() -> None:
    # apidog.com/blog/qwen-4-max-api, dev.to/cuelark, docs.apiyi.com (2026-11-16 and 17): the window
    # and the answer; the model's page: thinking by default, schemas, tools, videos, no audio.
    spec = get_model_spec("qwen4-max")
    facts = {
        "context_window": 1_000_000,
        "max_input_tokens": 991_808,
        "max_output_tokens": 131_072,
        "thinking": "on",
        "accepts_json_schema": True,
        "accepts_json_while_thinking": True,
        "accepts_tools": True,
        "accepts_video": True,
        "accepts_audio": False,
        "accepts_reasoning_effort": True,
        "coordinates": "normalized",
        "factor": 32,
    }
    assert {name: getattr(spec, name) for name in facts} == facts
    assert spec is NEWEST


# docs.apiyi.com (2026-11-17): these eight values, anything else is a 400 with the list.
@pytest.mark.parametrize(
    "effort", ["none", "off", "minimal", "low", "medium", "high", "xhigh", "max"]
)
def test_each_effort_is_sent(effort: Any) -> None:
    settings = QwenVLSettings(model="qwen4-max", reasoning_effort=effort)
    request = build_request(settings, [QUESTION], stream=None)
    assert body(request)["reasoning_effort"] == effort
    assert request.stream is (effort not in {"none", "off"})


def test_other_efforts_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"one of none, minimal, .*, max, off"):
        build(QUESTION, reasoning_effort="huge")
    with pytest.raises(ConfigurationError, match=r"of qwen3\.8-max is 'off'; it must be"):
        build(QUESTION, reasoning_effort="off", model="qwen3.8-max")
    with pytest.raises(ConfigurationError, match=r"'off'\. Pass one of them"):
        build(QUESTION, reasoning_effort="off", enable_thinking=True)
    with pytest.raises(ConfigurationError, match="exclude each other"):
        build(QUESTION, reasoning_effort="low", thinking_budget=100)


def test_summary_on_the_openai_compatible_wire() -> None:
    # cot-summary: `"thinking_display":"summarized"`, with `"preserve_thinking":true` and each
    # ciphertext in its own message when history is sent.
    request = build(QUESTION, ANSWER, QUESTION, thinking_display="summarized")
    assert body(request) == {
        "model": "qwen4-max",
        "messages": [
            {"role": "user", "content": "What is this?"},
            {
                "role": "assistant",
                "content": "A cat.",
                "reasoning_content": "A summary.",
                "encrypted_content": CIPHER,
            },
            {"role": "user", "content": "What is this?"},
        ],
        "thinking_display": "summarized",
        "preserve_thinking": True,
    }
    first = build(QUESTION, thinking_display="summarized")
    assert "preserve_thinking" not in first.parameters


def test_summary_on_the_native_wire() -> None:
    # cot-summary: `parameters.thinking_display`, `…message.encrypted_content`.
    settings = QwenVLSettings(model="qwen4-max", protocol="native", thinking_display="summarized")
    assert body(build_request(settings, [QUESTION, ANSWER, QUESTION])) == {
        "model": "qwen4-max",
        "input": {
            "messages": [
                {"role": "user", "content": [{"text": "What is this?"}]},
                {
                    "role": "assistant",
                    "content": [{"text": "A cat."}],
                    "reasoning_content": "A summary.",
                    "encrypted_content": CIPHER,
                },
                {"role": "user", "content": [{"text": "What is this?"}]},
            ]
        },
        "parameters": {"thinking_display": "summarized", "preserve_thinking": True},
    }


def test_ciphertext_without_a_summary_and_beside_calls_goes_back() -> None:
    # cot-summary: ciphertext or summary may be missing.
    only = Turn(role="assistant", parts=(Reasoning(text="", encrypted_content=CIPHER),))
    (_, message, _) = body(build(QUESTION, only, QUESTION, thinking_display="summarized"))[
        "messages"
    ]
    assert message == {"role": "assistant", "content": "", "encrypted_content": CIPHER}


def test_ciphertext_goes_back_although_reasoning_need_not() -> None:
    # The page wants all of them; `preserve_thinking` is the caller's own word.
    request = build(
        QUESTION, ANSWER, QUESTION, thinking_display="summarized", preserve_thinking=False
    )
    message = body(request)["messages"][1]
    assert message == {"role": "assistant", "content": "A cat.", "encrypted_content": CIPHER}
    assert body(request)["preserve_thinking"] is False


def test_ciphertext_without_the_switch_is_sent_with_a_warning() -> None:
    with pytest.warns(UserWarning, match='reads with thinking_display="summarized" only'):
        request = build(QUESTION, ANSWER, QUESTION)
    assert body(request)["messages"][1]["encrypted_content"] == CIPHER


@pytest.mark.parametrize(
    ("server", "model"), [("dashscope", "qwen3.8-max"), ("vllm", "Qwen/Qwen4-Max")]
)
def test_ciphertext_stays_here_where_nobody_can_read_it(server: Any, model: str) -> None:
    settings = QwenVLSettings(model=model, server=server, base_url="http://localhost:8000/v1")
    messages = body(build_request(settings, [QUESTION, ANSWER, QUESTION]))["messages"]
    assert "encrypted_content" not in messages[1]


def test_gateway_gets_it_by_extra_body() -> None:
    settings = QwenVLSettings(
        model="qwen/qwen4-max", server="openai_compatible", base_url="http://localhost:8000/v1"
    )
    extra = {"thinking_display": "summarized", "preserve_thinking": True}
    sent = body(build_request(settings, [QUESTION, ANSWER, QUESTION], extra_body=extra))
    assert sent["messages"][1]["encrypted_content"] == CIPHER
    assert {name: sent[name] for name in extra} == extra


def test_other_models_get_the_switch_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="a parameter of Qwen4, and qwen3.8-max may ignore"):
        request = build(QUESTION, thinking_display="summarized", model="qwen3.8-max")
    assert body(request)["thinking_display"] == "summarized"


def test_images_that_are_left_out_warn() -> None:
    with pytest.warns(UserWarning, match='Use history_images="all"'):
        build(QUESTION, thinking_display="summarized", history_images=2)


@pytest.mark.parametrize("streamed", [True, False])
def test_openai_sdk_sends_the_same(streamed: bool, sandbox: Sandbox) -> None:
    """The SDK can express it all, by `extra_body` and dicts; the sandbox checks the ciphertext."""
    chat = ChatQwenVL(
        model="qwen4-max",
        base_url=sandbox.base_url,
        api_key="sk-sandbox",
        thinking_display="summarized",
        reasoning_effort="high",
    )
    answer = chat.invoke("What is this?")
    history = [HumanMessage("What is this?"), answer, HumanMessage("And now?")]
    if streamed:
        list(chat.stream(history))
    else:
        chat.invoke(history)
    ours = sandbox.last_request.json
    with openai.OpenAI(base_url=sandbox.base_url, api_key="sk-sandbox") as client:
        stream: Any = client.chat.completions.create(
            model="qwen4-max",
            messages=[
                {"role": "user", "content": "What is this?"},
                {
                    "role": "assistant",
                    "content": answer.text,
                    "reasoning_content": answer.additional_kwargs["reasoning_content"],
                    "encrypted_content": answer.additional_kwargs["encrypted_content"],
                },  # type: ignore[typeddict-unknown-key]
                {"role": "user", "content": "And now?"},
            ],
            reasoning_effort="high",
            stream=True,
            stream_options={"include_usage": True},
            extra_body={"thinking_display": "summarized", "preserve_thinking": True},
        )
        chunks = list(stream)
    assert sandbox.last_request.json == ours
    encrypted = [
        chunk.choices[0].delta.model_extra.get("encrypted_content")
        for chunk in chunks
        if chunk.choices
    ]
    assert len([text for text in encrypted if text]) == 1


def event(protocol: str, message: dict[str, Any], reason: str | None = None) -> bytes:
    if protocol == "openai":
        choice = {"index": 0, "delta": message, "finish_reason": reason}
        return b"data: " + orjson.dumps({"choices": [choice]}) + b"\n\n"
    choice = {"message": message, "finish_reason": reason or "null"}
    return b"data:" + orjson.dumps({"output": {"choices": [choice]}}) + b"\n\n"


# unsure: no page says in which events it comes.
@pytest.mark.parametrize(
    "pieces",
    [
        [CIPHER],
        [CIPHER[:40], CIPHER[40:]],
        list(CIPHER),
        [CIPHER, CIPHER],
        [CIPHER[:40], CIPHER[:60], CIPHER],
        ["", CIPHER, ""],
    ],
    ids=["at once", "in pieces", "by characters", "repeated", "so far", "with empty ones"],
)
def test_streamed_ciphertext_adds_up_to_the_same(protocol: str, pieces: list[str]) -> None:
    decoder = compatible.StreamDecoder({}) if protocol == "openai" else native.StreamDecoder({})
    raw = b"".join(event(protocol, {"encrypted_content": piece}) for piece in pieces)
    builder = ReplyBuilder()
    for delta in decoder.feed(raw + event(protocol, {"content": "A cat."}, "stop")):
        builder.add(delta)
    reply = builder.reply()
    assert (reply.encrypted_content, reply.text) == (CIPHER, "A cat.")


def test_whole_answer_holds_the_ciphertext(protocol: str) -> None:
    message = {"content": "A cat.", "reasoning_content": "Short.", "encrypted_content": CIPHER}
    choices = {"choices": [{"message": message, "finish_reason": "stop"}]}
    if protocol == "openai":
        reply = compatible.decode_reply(orjson.dumps(choices), {})
    else:
        reply = native.decode_reply(orjson.dumps({"output": choices}), {})
    assert (reply.reasoning, reply.encrypted_content) == ("Short.", CIPHER)


@pytest.mark.parametrize("streamed", [True, False])
def test_empty_answer_says_what_max_tokens_covers(
    protocol: Any, streamed: bool, sandbox: Sandbox
) -> None:
    # docs.apiyi.com (2026-11-17): too small a max_tokens gives HTTP 200, an empty text, `length`.
    chat = ChatQwenVL(
        model="qwen4-max", base_url=sandbox.base_url, api_key="sk-sandbox", protocol=protocol
    )

    def ask() -> str:
        if streamed:
            return "".join(chunk.text for chunk in chat.stream("Hello", max_tokens=5))
        return chat.invoke("Hello", max_tokens=5).text

    with pytest.warns(UserWarning, match="The answer is empty") as warned:
        assert ask() == ""
    message = (
        "The answer is empty: max_tokens of qwen4-max covers reasoning and answer together, and "
        "the reasoning has taken it. Raise max_tokens, or lower reasoning_effort."
    )
    assert [str(warning.message) for warning in warned] == [message]


def test_other_models_say_what_they_said(sandbox: Sandbox) -> None:
    sandbox.script(ScriptedAnswer(reasoning="Hm.", finish_reason="length"))
    llm = QwenVL("qwen3.8-max", api_base=sandbox.base_url, api_key="sk-sandbox")
    with pytest.warns(UserWarning, match="its reasoning has taken all tokens"):
        llm.chat([ChatMessage("Hello")])


# explicit-cache-qwen4: `"prompt_cache_breakpoint":{"mode":"explicit"}` beside a part; the content
# must be a list.
@pytest.mark.parametrize(
    "mark",
    [
        {"prompt_cache_breakpoint": {"mode": "explicit"}},
        {"cache_control": {"type": "ephemeral"}},
        {"cache_control": {"type": "ephemeral", "ttl": "1h"}},
    ],
)
def test_cache_marker_stands_beside_its_part(
    protocol: Any, mark: dict[str, Any], sandbox: Sandbox
) -> None:
    chat = ChatQwenVL(
        model="qwen4-max", base_url=sandbox.base_url, api_key="sk-sandbox", protocol=protocol
    )
    long = "word " * 1_100
    messages = [HumanMessage([{"type": "text", "text": long, **mark}])]
    first, second = chat.invoke(messages), chat.invoke(messages)

    sent = orjson.loads(sandbox.last_request.body)
    if protocol == "openai":
        assert sent["messages"][0]["content"] == [{"type": "text", "text": long, **mark}]
    else:
        assert sent["input"]["messages"][0]["content"] == [{"text": long, **mark}]
    assert first.usage_metadata["input_token_details"]["cache_creation"] > 1_024
    assert second.usage_metadata["input_token_details"]["cache_read"] > 1_024
    usage = first.response_metadata["token_usage"]["prompt_tokens_details"]["cache_creation"]
    name = "1h" if "ttl" in json.dumps(mark) else "5m"
    assert list(usage) == [f"ephemeral_{name}_input_tokens"]


def test_breakpoint_in_an_assistant_s_message_makes_its_content_a_list(sandbox: Sandbox) -> None:
    chat = ChatQwenVL(model="qwen4-max", base_url=sandbox.base_url, api_key="sk-sandbox")
    mark = {"prompt_cache_breakpoint": {"mode": "explicit"}}
    answer = AIMessage([{"type": "text", "text": "A cat.", **mark}])
    chat.invoke([HumanMessage("What?"), answer, HumanMessage("Sure?")])
    content = sandbox.last_request.json["messages"][1]["content"]
    assert content == [{"type": "text", "text": "A cat.", **mark}]


def test_nothing_warns_of_a_conversation_as_it_should_be(sandbox: Sandbox) -> None:
    chat = ChatQwenVL(
        model="qwen4-max",
        base_url=sandbox.base_url,
        api_key="sk-sandbox",
        thinking_display="summarized",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answer = chat.invoke("Hello")
        chat.invoke([HumanMessage("Hello"), answer, HumanMessage("Again")])
