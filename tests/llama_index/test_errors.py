"""The service's errors: never an empty answer, never LlamaIndex's "Empty Response"."""

import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ImageBlock
from llama_index.core.response_synthesizers import ResponseMode, get_response_synthesizer
from llama_index.core.schema import ImageNode, MediaResource, Node, NodeWithScore, TextNode

from llama_index.llms.qwen_vl import QwenVL
from qwen_vl import errors
from qwen_vl.errors import ConfigurationError, QwenVLError, ServiceError
from qwen_vl.samples import CHELSEA
from qwen_vl_sandbox import Sandbox

MakeLlm = Callable[..., QwenVL]
ENDPOINTS = (
    *("chat", "achat", "stream_chat", "astream_chat"),
    *("complete", "acomplete", "stream_complete", "astream_complete"),
)

# fault, class, requests where one retry is allowed
TABLE: list[tuple[dict[str, Any], type[ServiceError], int]] = [
    ({"status": 400, "code": "invalid_parameter_error"}, errors.InvalidRequestError, 1),
    (
        {"status": 400, "message": "Range of input length should be [1, 260096]"},
        errors.ContextOverflowError,
        1,
    ),
    ({"status": 400, "code": "data_inspection_failed"}, errors.ContentModerationError, 1),
    ({"status": 401}, errors.AuthenticationError, 1),
    ({"status": 403}, errors.PermissionDeniedError, 1),
    ({"status": 404}, errors.NotFoundError, 1),
    ({"status": 413}, errors.InvalidRequestError, 1),
    ({"status": 429, "retry_after": 0.01, "times": 2}, errors.RateLimitError, 2),
    ({"status": 500, "retry_after": 0.01, "times": 2}, errors.ServerError, 2),
    ({"status": 503, "retry_after": 0.01, "times": 2}, errors.ServerError, 2),
    ({"error_in_200": True}, ServiceError, 1),
]


async def call(llm: QwenVL, endpoint: str) -> Any:
    asked: Any = "Hello" if endpoint.endswith("complete") else [ChatMessage("Hello")]
    values = getattr(llm, endpoint)(asked)
    if inspect.isawaitable(values):
        values = await values
    if isinstance(values, AsyncGenerator):
        return [item async for item in values]
    return list(values) if isinstance(values, Generator) else values


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize(
    ("fault", "kind", "requests"),
    TABLE,
    ids=[" ".join(str(value) for value in row[0].values()) for row in TABLE],
)
async def test_error_of_the_service(
    endpoint: str,
    fault: dict[str, Any],
    kind: type[ServiceError],
    requests: int,
    make_llm: MakeLlm,
    qwen_vl_sandbox: Sandbox,
) -> None:
    qwen_vl_sandbox.fail(**fault)
    with pytest.raises(kind) as caught:
        await call(make_llm(max_retries=1, api_key="sk-hidden-9876"), endpoint)
    assert not isinstance(caught.value, ValueError | TypeError)
    assert caught.value.request_id
    assert "sk-hidden-9876" not in f"{caught.value!r} {caught.value}"
    assert len(qwen_vl_sandbox.requests) == requests


@pytest.mark.parametrize(
    "endpoint", ["stream_chat", "astream_chat", "stream_complete", "astream_complete"]
)
async def test_stream_that_is_cut(endpoint: str, llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    qwen_vl_sandbox.fail(cut_after_chunks=3)
    with pytest.raises(errors.PartialResponseError) as caught:
        await call(llm, endpoint)
    assert caught.value.text
    assert len(qwen_vl_sandbox.requests) == 1


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_nobody_there(endpoint: str, make_llm: MakeLlm) -> None:
    llm = make_llm(api_base="http://127.0.0.1:9/compatible-mode/v1", max_retries=0)
    with pytest.raises(errors.APIConnectionError, match=r"127\.0\.0\.1:9"):
        await call(llm, endpoint)


def test_password_in_an_address_is_not_shown(make_llm: MakeLlm) -> None:
    url = "http://ada:hidden-9876@127.0.0.1:9/compatible-mode/v1"
    llm = make_llm(api_base=url, api_key=None, max_retries=0)
    with pytest.raises(errors.APIConnectionError, match="cannot be reached") as caught:
        llm.chat([ChatMessage("Hello")])
    assert "hidden-9876" not in str(caught.value)


def test_timeout(make_llm: MakeLlm, qwen_vl_sandbox: Sandbox) -> None:
    qwen_vl_sandbox.fail(latency=3)
    with pytest.raises(errors.APITimeoutError, match="timeout"):
        make_llm(timeout=0.2, max_retries=0).chat([ChatMessage("Hello")])


def test_no_key(make_llm: MakeLlm) -> None:
    with pytest.raises(errors.ConfigurationError, match="DASHSCOPE_API_KEY"):
        make_llm(api_key=None).chat([ChatMessage("Hello")])


BROKEN_NODES = {
    "no image": ImageNode(image="RGVhciByZWFkZXI=", image_mimetype="image/png"),
    "document's bytes as video": Node(
        text_resource=MediaResource(text="A walk."),
        video_resource=MediaResource(data=b"RGVhciByZWFkZXIsIGhlbGxv", mimetype="video/mp4"),
    ),
}


@pytest.mark.parametrize("name", BROKEN_NODES)
@pytest.mark.parametrize("mode", [ResponseMode.COMPACT, ResponseMode.REFINE])
def test_engine_does_not_answer_from_nothing(
    mode: ResponseMode, name: str, llm: QwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    engine = get_response_synthesizer(llm=llm, response_mode=mode, multimodal=True)
    with pytest.raises(errors.MediaFormatError):
        engine.synthesize("What is this?", [NodeWithScore(node=BROKEN_NODES[name], score=1)])
    assert qwen_vl_sandbox.requests == []


@pytest.mark.parametrize("multimodal", [False, True])
@pytest.mark.parametrize("mode", [ResponseMode.COMPACT, ResponseMode.REFINE])
@pytest.mark.parametrize("is_async", [False, True])
async def test_engine_passes_the_service_s_errors_on(
    mode: ResponseMode, multimodal: bool, is_async: bool, llm: QwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    qwen_vl_sandbox.fail(status=400, code="data_inspection_failed")
    engine = get_response_synthesizer(llm=llm, response_mode=mode, multimodal=multimodal)
    nodes = [NodeWithScore(node=TextNode(text="Cats purr."), score=1)]
    with pytest.raises(errors.ContentModerationError):
        await call_engine(engine, nodes, is_async=is_async)


async def call_engine(engine: Any, nodes: list[NodeWithScore], *, is_async: bool) -> Any:
    if is_async:
        return await engine.asynthesize("Do cats purr?", nodes)
    return engine.synthesize("Do cats purr?", nodes)


def test_no_error_of_ours_is_one_that_engines_swallow() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    ours = [kind for kind in kinds if issubclass(kind, QwenVLError)]
    assert len(ours) > 20
    assert not [kind for kind in ours if issubclass(kind, ValueError | TypeError)]


def test_picture_is_checked_before_anything_is_sent(
    make_llm: MakeLlm, qwen_vl_sandbox: Sandbox
) -> None:
    llm = make_llm(max_inline_bytes=1_000)
    with pytest.raises(errors.MediaTooLargeError, match=r"blocks\[0\].*240,512.*1,000"):
        llm.chat([ChatMessage([ImageBlock(path=CHELSEA)])])
    assert qwen_vl_sandbox.requests == []


@pytest.mark.parametrize("prompt", [None, 5, [ChatMessage("Hello")]])
def test_prompt_that_is_no_text(prompt: Any, llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    with pytest.raises(ConfigurationError, match="is not a prompt of complete"):
        llm.complete(prompt)
    assert not qwen_vl_sandbox.requests
