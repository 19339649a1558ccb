"""Prompts, chains, fallbacks and retries: LangChain's other pieces around the model."""

import base64
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import ConfigurableField, RunnablePassthrough

from langchain_qwen_vl import ChatQwenVL, QwenVLRateLimitError
from qwen_vl.errors import RateLimitError
from qwen_vl.samples import CHELSEA
from qwen_vl_sandbox import Sandbox

MakeChat = Callable[..., ChatQwenVL]
PNG = base64.b64encode(CHELSEA.read_bytes()).decode()
PNG_PART = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
VIDEO = "https://example.com/walk.mp4"


@pytest.mark.parametrize(
    ("block", "values", "expected"),
    [
        (
            {"type": "image_url", "image_url": {"url": "{link}"}},
            {"link": "https://example.com/a.png"},
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        ),
        (
            {"type": "image", "base64": "{data}", "mime_type": "image/png"},
            {"data": PNG},
            PNG_PART,
        ),
        (
            {"type": "image_url", "image_url": "data:image/png;base64,{data}"},
            {"data": PNG},
            PNG_PART,
        ),
        (
            {"type": "video", "url": "{link}", "fps": 2},
            {"link": VIDEO},
            {"type": "video_url", "video_url": {"url": VIDEO}, "fps": 2},
        ),
        (
            {"type": "video_url", "video_url": {"url": "{link}"}},
            {"link": VIDEO},
            {"type": "video_url", "video_url": {"url": VIDEO}},
        ),
    ],
    ids=["image_url", "v1 image", "image_url as text", "v1 video", "video_url"],
)
def test_template_takes_pictures_and_videos_as_variables(
    block: dict[str, Any],
    values: dict[str, str],
    expected: dict[str, Any],
    chat: ChatQwenVL,
    qwen_vl_sandbox: Sandbox,
) -> None:
    prompt = ChatPromptTemplate.from_messages(
        [("system", "Be {manner}."), ("user", [block, {"type": "text", "text": "{question}"}])]
    )
    chain = prompt | chat | StrOutputParser()
    answer = chain.invoke({"manner": "brief", "question": "What is this?", **values})

    assert "What is this?" in answer
    assert qwen_vl_sandbox.last_request.json["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [expected, {"type": "text", "text": "What is this?"}]},
    ]


def test_placeholder_takes_a_history_with_pictures(
    chat: ChatQwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    prompt = ChatPromptTemplate.from_messages([MessagesPlaceholder("history"), ("user", "{more}")])
    history = [HumanMessage([{"type": "image", "image": CHELSEA}]), AIMessage("A cat.")]
    chain = {"history": lambda _: history, "more": RunnablePassthrough()} | prompt | chat
    chain.invoke("Its color?")

    assert qwen_vl_sandbox.last_request.json["messages"] == [
        {"role": "user", "content": [PNG_PART]},
        {"role": "assistant", "content": "A cat."},
        {"role": "user", "content": "Its color?"},
    ]


def test_fallback_answers_where_the_first_fails(
    make_chat: MakeChat, qwen_vl_sandbox: Sandbox
) -> None:
    qwen_vl_sandbox.fail(status=429)
    first, second = make_chat(max_retries=0), make_chat(model="qwen3.7-plus", max_retries=0)
    answer = first.with_fallbacks([second]).invoke("Hello")

    assert answer.response_metadata["model_name"] == "qwen3.7-plus"


def test_retry_tries_again_on_errors_of_ours(make_chat: MakeChat, qwen_vl_sandbox: Sandbox) -> None:
    qwen_vl_sandbox.fail(status=429, times=2)
    chat = make_chat(max_retries=0).with_retry(
        retry_if_exception_type=(RateLimitError,), wait_exponential_jitter=False
    )

    assert chat.invoke("Hello").text
    assert len(qwen_vl_sandbox.requests) == 3


def test_error_of_a_chain_is_ours(make_chat: MakeChat, qwen_vl_sandbox: Sandbox) -> None:
    qwen_vl_sandbox.fail(status=429)
    chain = ChatPromptTemplate.from_template("{q}") | make_chat(max_retries=0)
    with pytest.raises(QwenVLRateLimitError):
        chain.invoke({"q": "Hello"})


def test_fields_may_be_configured_at_the_call(
    make_chat: MakeChat, qwen_vl_sandbox: Sandbox
) -> None:
    chat = make_chat().configurable_fields(
        model=ConfigurableField(id="model"), max_pixels=ConfigurableField(id="pixels")
    )
    chat.invoke(
        [HumanMessage([{"type": "image", "image": CHELSEA}])],
        {"configurable": {"model": "qwen3.7-plus", "pixels": 200_000}},
    )

    body = qwen_vl_sandbox.last_request.json
    assert body["model"] == "qwen3.7-plus"
    assert body["messages"][0]["content"] == [{**PNG_PART, "max_pixels": 200_000}]


def test_bound_options_reach_every_call(chat: ChatQwenVL, qwen_vl_sandbox: Sandbox) -> None:
    bound = chat.bind_tools([]).bind(stop=["END"], seed=7)
    bound.invoke("Hello")

    body = qwen_vl_sandbox.last_request.json
    assert (body["stop"], body["seed"]) == (["END"], 7)


def test_system_message_stays_where_it_stands(chat: ChatQwenVL, qwen_vl_sandbox: Sandbox) -> None:
    chat.invoke([("user", "A"), ("assistant", "B"), ("system", "Be brief."), ("user", "C")])

    roles = [message["role"] for message in qwen_vl_sandbox.last_request.json["messages"]]
    assert roles == ["user", "assistant", "system", "user"]


def test_answer_may_be_begun_for_the_model(chat: ChatQwenVL, qwen_vl_sandbox: Sandbox) -> None:
    beginning = AIMessage("Once upon", additional_kwargs={"partial": True})
    chat.invoke([HumanMessage("A story."), beginning])

    assert qwen_vl_sandbox.last_request.json["messages"][-1] == {
        "role": "assistant",
        "content": "Once upon",
        "partial": True,
    }


def test_nothing_is_set_that_turns_streaming_off(chat: ChatQwenVL) -> None:
    # LangChain takes `streaming=False` among the fields that were set for "never stream".
    assert "streaming" not in chat.model_fields_set
    assert len(list(chat.stream("Hello"))) > 3
