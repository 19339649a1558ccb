"""The service's errors: as which classes they are raised, retried or not, and how often."""

import pickle
from collections.abc import Callable
from typing import Any

import openai
import pytest
from langchain_core import exceptions as langchain
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda

import langchain_qwen_vl
from langchain_qwen_vl import ChatQwenVL, QwenVLServiceError, QwenVLTimeoutError
from langchain_qwen_vl.errors import to_langchain_error
from qwen_vl import errors
from qwen_vl.errors import ServiceError
from qwen_vl_sandbox import Sandbox, ScriptedAnswer

MakeChat = Callable[..., ChatQwenVL]

# fault, core's class, LangChain's, the SDK's, requests with one retry allowed
TABLE: list[tuple[dict[str, Any], type[ServiceError], type[Exception], type[Exception], int]] = [
    (
        {"status": 400, "code": "invalid_parameter_error"},
        errors.InvalidRequestError,
        langchain.ModelInvalidRequestError,
        openai.BadRequestError,
        1,
    ),
    (
        {"status": 400, "message": "Range of input length should be [1, 260096]"},
        errors.ContextOverflowError,
        langchain.ContextOverflowError,
        openai.BadRequestError,
        1,
    ),
    (
        {"status": 400, "code": "data_inspection_failed"},
        errors.ContentModerationError,
        langchain.ModelInvalidRequestError,
        openai.BadRequestError,
        1,
    ),
    (
        {"status": 401},
        errors.AuthenticationError,
        langchain.ModelAuthenticationError,
        openai.AuthenticationError,
        1,
    ),
    (
        {"status": 403},
        errors.PermissionDeniedError,
        langchain.ModelPermissionDeniedError,
        openai.PermissionDeniedError,
        1,
    ),
    (
        {"status": 404},
        errors.NotFoundError,
        langchain.ModelNotFoundError,
        openai.NotFoundError,
        1,
    ),
    (
        {"status": 413},
        errors.InvalidRequestError,
        langchain.ModelInvalidRequestError,
        openai.APIStatusError,
        1,
    ),
    *(
        (
            {"status": 429, "code": code, "retry_after": 0.01, "times": 2},
            errors.RateLimitError,
            langchain.ModelRateLimitError,
            openai.RateLimitError,
            2,
        )
        for code in ("limit_requests", "limit_burst_rate", "insufficient_quota")
    ),
    *(
        (
            {"status": status, "retry_after": 0.01, "times": 2},
            errors.ServerError,
            langchain.ModelAPIError,
            openai.InternalServerError,
            2,
        )
        for status in (500, 503, 504)
    ),
]


@pytest.mark.parametrize("how", ["invoke", "stream", "ainvoke", "astream"])
@pytest.mark.parametrize(
    ("fault", "ours", "langchains", "sdks", "requests"),
    TABLE,
    ids=[f"{row[0]['status']} {row[0].get('code', '')}" for row in TABLE],
)
async def test_error_is_of_all_three_families(
    how: str,
    fault: dict[str, Any],
    ours: type[ServiceError],
    langchains: type[Exception],
    sdks: type[Exception],
    requests: int,
    make_chat: MakeChat,
    qwen_vl_sandbox: Sandbox,
) -> None:
    qwen_vl_sandbox.fail(**fault)
    error = await _failure(make_chat(max_retries=1, api_key="sk-hidden-9876"), how)

    assert isinstance(error, ours)
    assert isinstance(error, langchains)
    assert isinstance(error, sdks)
    assert error.is_retryable is (requests > 1)
    assert error.status == error.status_code == fault["status"]
    assert error.code == fault.get("code", error.code)
    assert error.request_id
    assert error.response.status_code == fault["status"]
    assert "sk-hidden-9876" not in f"{error!r} {error}"
    assert b"sk-hidden-9876" not in pickle.dumps(error)
    assert len(qwen_vl_sandbox.requests) == requests


async def _failure(chat: ChatQwenVL, how: str) -> Any:
    with pytest.raises(ServiceError) as caught:
        await _ask(chat, how)
    return caught.value


async def _ask(chat: ChatQwenVL, how: str) -> None:
    match how:
        case "invoke":
            chat.invoke("Hello")
        case "stream":
            list(chat.stream("Hello"))
        case "ainvoke":
            await chat.ainvoke("Hello")
        case "astream":
            async for _ in chat.astream("Hello"):
                pass


@pytest.mark.parametrize("how", ["invoke", "stream", "ainvoke", "astream"])
async def test_failure_that_passes_is_retried(
    how: str, make_chat: MakeChat, qwen_vl_sandbox: Sandbox
) -> None:
    qwen_vl_sandbox.fail(status=429, code="insufficient_quota", retry_after=0.01)
    await _ask(make_chat(), how)

    assert len(qwen_vl_sandbox.requests) == 2


@pytest.mark.parametrize("how", ["invoke", "ainvoke"])
async def test_slow_answer_times_out(
    how: str, make_chat: MakeChat, qwen_vl_sandbox: Sandbox
) -> None:
    qwen_vl_sandbox.fail(latency=5, times=2)
    error = await _failure(make_chat(timeout=0.1, max_retries=1), how)

    assert isinstance(error, QwenVLTimeoutError)
    assert isinstance(error, langchain.ModelTimeoutError)
    assert isinstance(error, openai.APITimeoutError)
    assert "timeout" in str(error)
    assert error.is_retryable
    assert len(qwen_vl_sandbox.requests) == 2


@pytest.mark.parametrize("how", ["invoke", "stream", "ainvoke", "astream"])
async def test_endpoint_that_is_not_there_is_told(how: str) -> None:
    with Sandbox() as gone:
        base_url = gone.base_url
    error = await _failure(ChatQwenVL(base_url=base_url, api_key="sk", max_retries=0), how)

    assert isinstance(error, errors.APIConnectionError)
    assert isinstance(error, langchain.ModelConnectionError)
    assert isinstance(error, openai.APIConnectionError)
    assert base_url in str(error)
    assert error.is_retryable


@pytest.mark.openai_wire
@pytest.mark.parametrize("how", ["stream", "astream"])
async def test_stream_that_is_cut_tells_what_had_come(
    how: str, chat: ChatQwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    qwen_vl_sandbox.script(ScriptedAnswer(text=("Once ", "upon ", "a time.")))
    qwen_vl_sandbox.fail(cut_after_chunks=3)
    error = await _failure(chat, how)

    assert isinstance(error, errors.PartialResponseError)
    assert isinstance(error, langchain.ModelAPIError)
    assert error.text == "Once upon "
    assert len(qwen_vl_sandbox.requests) == 1


@pytest.mark.parametrize("how", ["invoke", "stream", "ainvoke", "astream"])
async def test_answer_that_is_no_json_is_an_error(
    how: str, chat: ChatQwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    qwen_vl_sandbox.fail(broken_event=True)

    assert isinstance(await _failure(chat, how), ServiceError)


@pytest.mark.parametrize("how", ["invoke", "stream", "ainvoke", "astream"])
async def test_error_inside_200_is_raised_by_its_code(
    how: str, chat: ChatQwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    qwen_vl_sandbox.fail(error_in_200=True, code="data_inspection_failed")

    assert isinstance(await _failure(chat, how), errors.ContentModerationError)
    assert len(qwen_vl_sandbox.requests) == 1


@pytest.mark.openai_wire
@pytest.mark.parametrize("how", ["stream", "astream"])
async def test_error_event_in_mid_stream_is_raised_by_its_code(
    how: str, chat: ChatQwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    qwen_vl_sandbox.fail(error_event_after=2, code="limit_requests", message="Slow down")
    error = await _failure(chat, how)

    assert isinstance(error, langchain.ModelRateLimitError)
    assert error.response is None
    assert "Slow down" in str(error)
    assert len(qwen_vl_sandbox.requests) == 1


@pytest.mark.openai_wire
@pytest.mark.parametrize("how", ["stream", "astream"])
async def test_error_body_of_a_stream_s_form_is_read(
    how: str, chat: ChatQwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    qwen_vl_sandbox.fail(sse_error_body=True, code="data_inspection_failed", message="Refused")
    error = await _failure(chat, how)

    assert isinstance(error, errors.ContentModerationError)
    assert error.message == "Refused"


def test_page_of_a_gateway_is_named(make_chat: MakeChat, qwen_vl_sandbox: Sandbox) -> None:
    qwen_vl_sandbox.fail(html_body=True, status=502)
    with pytest.raises(errors.ServerError, match="web page"):
        make_chat(max_retries=0).invoke("Hello")


@pytest.mark.openai_wire
def test_wrong_key_is_refused_without_showing_it(make_chat: MakeChat) -> None:
    with (
        Sandbox(api_keys=["sk-right"]) as strict,
        pytest.raises(errors.AuthenticationError) as caught,
    ):
        make_chat(base_url=strict.base_url, api_key="sk-wrong-1234567").invoke("Hello")

    assert caught.value.code == "invalid_api_key"
    assert "sk-wrong-1234567" not in str(caught.value)


def test_error_reaches_the_trace_with_its_request_id(
    chat: ChatQwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    qwen_vl_sandbox.fail(status=400)
    with pytest.raises(ServiceError) as caught:
        chat.invoke("Hello")
    copied = pickle.loads(pickle.dumps(caught.value))

    assert type(copied) is type(caught.value)
    assert (copied.status, copied.request_id) == (400, caught.value.request_id)
    assert copied.response is None


@pytest.mark.parametrize("status", [400, 401, 403, 404, 418, 429, 500])
def test_one_base_names_every_error_of_the_service(
    status: int, make_chat: MakeChat, qwen_vl_sandbox: Sandbox
) -> None:
    qwen_vl_sandbox.fail(status=status)
    fallback = RunnableLambda(lambda _: AIMessage("instead"))
    chat = make_chat(max_retries=0)
    chain = chat.with_fallbacks([fallback], exceptions_to_handle=(QwenVLServiceError,))

    assert chain.invoke("Hi").text == "instead"


def subclasses(kind: type[ServiceError]) -> set[type[ServiceError]]:
    return {kind}.union(*(subclasses(inner) for inner in kind.__subclasses__()))


def test_each_error_of_the_core_has_its_class() -> None:
    kinds = {kind for kind in subclasses(ServiceError) if kind.__module__ == "qwen_vl.errors"}
    for kind in kinds:
        is_large = kind is errors.ResponseTooLargeError
        error = errors.ResponseTooLargeError("It", limit=1) if is_large else kind("no")
        converted = to_langchain_error(error)

        assert isinstance(converted, QwenVLServiceError)
        assert isinstance(converted, kind)
        assert type(converted).__name__ in langchain_qwen_vl.__all__
