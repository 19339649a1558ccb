"""Answers and errors in the forms that the service, its gateways and self-hosted servers use."""

from typing import Any

import orjson
import pytest

from qwen_vl import errors
from qwen_vl.content import ToolCall
from qwen_vl.transport.retries import is_retryable
from qwen_vl.wire import native
from qwen_vl.wire.errors import decode_error
from qwen_vl.wire.openai import decode_reply

# OpenAI-Chat page (2026-10), section "chat response object".
ANSWER: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1725948561,
    "model": "qwen3.7-plus",
    "system_fingerprint": None,
    "service_tier": None,
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "logprobs": None,
            "message": {
                "role": "assistant",
                "content": "A cat.",
                "reasoning_content": "Whiskers.",
                "refusal": None,
                "audio": None,
                "function_call": None,
                "tool_calls": None,
            },
        }
    ],
    "usage": {
        "prompt_tokens": 2520,
        "completion_tokens": 40,
        "total_tokens": 2560,
        "prompt_tokens_details": {
            "image_tokens": 2503,
            "video_tokens": None,
            "audio_tokens": None,
            "text_tokens": 17,
            "cached_tokens": 0,
            "cache_creation_input_tokens": 1024,
        },
        "completion_tokens_details": {"reasoning_tokens": 30, "text_tokens": 40},
    },
}


def decode(**message: Any) -> Any:
    choice = {**ANSWER["choices"][0], "message": {"role": "assistant", **message}}
    return decode_reply(orjson.dumps({**ANSWER, "choices": [choice]}), {})


def test_reply_holds_all_that_the_answer_says() -> None:
    reply = decode_reply(orjson.dumps(ANSWER), {"x-request-id": "r-1"})

    assert (reply.text, reply.reasoning, reply.finish_reason) == ("A cat.", "Whiskers.", "stop")
    assert (reply.model, reply.id, reply.request_id) == ("qwen3.7-plus", "chatcmpl-1", "r-1")
    usage = reply.usage
    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (2520, 40, 2560)
    assert (usage.image_tokens, usage.video_tokens, usage.text_tokens) == (2503, None, 17)
    assert (usage.cached_tokens, usage.cache_creation_tokens) == (0, 1024)
    assert usage.reasoning_tokens == 30
    assert usage.raw == ANSWER["usage"]


def test_usage_of_the_guide_s_first_example_is_read() -> None:
    totals = {"prompt_tokens": 1270, "completion_tokens": 54, "total_tokens": 1324}
    usage = decode_reply(orjson.dumps({**ANSWER, "usage": totals}), {}).usage

    assert usage is not None
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (1270, 54, 1324)
    assert usage.image_tokens is None


def test_reasoning_of_self_hosted_servers_is_read() -> None:
    assert decode(content="A cat.", reasoning="Whiskers.").reasoning == "Whiskers."


@pytest.mark.parametrize(("content", "text"), [(None, ""), ([{"type": "text", "text": "A"}], "A")])
def test_content_of_other_forms_is_read(content: Any, text: str) -> None:
    assert decode(content=content).text == text


def test_tool_calls_are_read_as_the_model_wrote_them() -> None:
    function = {"name": "weather", "arguments": '{"city": '}
    call = {"id": "call_1", "type": "function", "index": 0, "function": function}

    assert decode(content="", tool_calls=[call]).tool_calls == (
        ToolCall(id="call_1", name="weather", arguments='{"city": '),
    )


def test_truncated_answer_is_marked() -> None:
    headers = {"x-dashscope-partialresponse": "true"}

    assert decode_reply(orjson.dumps(ANSWER), headers).is_truncated
    assert not decode_reply(orjson.dumps(ANSWER), {}).is_truncated


@pytest.mark.parametrize(
    ("status", "code", "message", "kind", "is_retryable"),
    [
        # Error codes page (2026-07).
        (400, "invalid_parameter_error", "…", errors.InvalidRequestError, False),
        (400, "data_inspection_failed", "…", errors.ContentModerationError, False),
        (400, "DataInspectionFailed", "…", errors.ContentModerationError, False),
        (400, "InvalidParameter.DataInspection", "format", errors.InvalidRequestError, False),
        (400, "Arrearage", "Access denied", errors.PermissionDeniedError, False),
        (
            400,
            "invalid_parameter_error",
            "<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 30000]",
            errors.ContextOverflowError,
            False,
        ),
        (401, "invalid_api_key", "…", errors.AuthenticationError, False),
        (403, "access_denied", "…", errors.PermissionDeniedError, False),
        (403, "AllocationQuota.FreeTierOnly", "…", errors.PermissionDeniedError, False),
        (404, "model_not_found", "…", errors.NotFoundError, False),
        (408, None, "…", errors.APITimeoutError, True),
        (413, None, "too large", errors.InvalidRequestError, False),
        # Rate-limit page (2026).
        (429, "limit_requests", "…", errors.RateLimitError, True),
        (429, "limit_burst_rate", "…", errors.RateLimitError, True),
        (429, "insufficient_quota", "…", errors.RateLimitError, True),
        (500, "internal_error", "…", errors.ServerError, True),
        (503, "ModelUnavailable", "…", errors.ServerError, True),
        # Inside a stream or inside HTTP 200 there is no status of the error's own.
        (None, "invalid_api_key", "…", errors.AuthenticationError, False),
        (None, "Throttling.RateQuota", "…", errors.RateLimitError, True),
        (None, "InternalError.Algo", "…", errors.ServerError, True),
        (None, "InternalError.Algo.InvalidParameter", "…", errors.InvalidRequestError, False),
        (None, "never_heard_of", "…", errors.ServiceError, False),
    ],
)
def test_error_is_told_by_status_and_code(
    status: int | None,
    code: str | None,
    message: str,
    kind: type[errors.ServiceError],
    is_retryable: bool,
) -> None:
    body = {"error": {"code": code, "param": None, "message": message}, "request_id": "r-1"}
    error = decode_error(status, orjson.dumps(body), {})

    assert type(error) is kind
    assert error.is_retryable is is_retryable
    assert (error.code, error.message, error.request_id) == (code, message, "r-1")
    if status is not None:
        assert error.status == status


OVERFLOWS = {
    # vllm-project/vllm#20409
    "vLLM": (
        400,
        {
            "message": "This model's maximum context length is 16384 tokens. However, you "
            "requested 19591 tokens (9591 in the messages, 10000 in the completion).",
            "type": "BadRequestError",
            "code": 400,
        },
    ),
    # QwenLM/Qwen3#1321
    "SGLang": (
        400,
        {
            "message": "The input (61709 tokens) is longer than the model's context length (40960 "
            "tokens).",
            "type": "BadRequestError",
            "code": 400,
        },
    ),
    # sgl-project/sglang#4048
    "SGLang, out of memory": (
        400,
        {
            "message": "Input length (160062 tokens) exceeds the maximum allowed length (59862 "
            "tokens).",
            "type": "BadRequestError",
            "code": 400,
        },
    ),
    # ggml-org/llama.cpp#15780
    "llama.cpp": (
        500,
        {
            "message": "the request exceeds the available context size. try increasing the context "
            "size or enable context shift",
            "type": "exceed_context_size_error",
            "code": 500,
        },
    ),
    # oobabooga/textgen#7257: the same inside HTTP 200.
    "llama.cpp, in 200": (
        None,
        {"message": "too many tokens", "type": "exceed_context_size_error", "code": 400},
    ),
    "Ollama": (
        400,
        {"message": "prompt too long; exceeded max context length by 12 tokens", "code": None},
    ),
    # lmstudio-ai/lmstudio-bug-tracker#546
    "LM Studio": (
        400,
        {
            "message": "Trying to keep the first 111490 tokens when context the overflows. "
            "However, the model is loaded with context length of only 32768 tokens, which is not "
            "enough.",
        },
    ),
    # lmstudio-ai/lmstudio-bug-tracker#2339
    "LM Studio, MLX": (400, {"message": "Context size has been exceeded."}),
    # Gitlawb/openclaude#353, anomalyco/opencode#2259
    "LM Studio, kept": (
        400,
        {
            "message": "The number of tokens to keep from the initial prompt is greater than the "
            "context length (n_keep: 13055>= n_ctx: 4096). Try to load the model with a larger "
            "context length, or provide a shorter input.",
        },
    ),
    # anomalyco/opencode#11141
    "LM Studio, not truncated": (
        400,
        {"message": "Cannot truncate prompt with n_keep (15028) >= n_ctx (7424)"},
    ),
    # As quoted in many public repositories since 2026.
    "vLLM, with the limit of the input": (
        400,
        {
            "message": "You passed 5000 input tokens and requested 100 output tokens. However, the "
            "model's context length is only 4096 tokens, resulting in a maximum input length of "
            "3996 tokens. Please reduce the length of the input prompt.",
            "type": "BadRequestError",
            "code": 400,
        },
    ),
    "Ollama, embedded": (
        400,
        {"message": "the input length exceeds the context length", "code": None},
    ),
    "LiteLLM": (
        400,
        {
            "message": "litellm.ContextWindowExceededError: litellm.BadRequestError: "
            "ContextWindowExceededError: OpenAIException - too many tokens",
            "code": "400",
        },
    ),
    "TGI": (
        422,
        {
            "message": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096."
            " Given: 5000 `inputs` tokens and 100 `max_new_tokens`",
        },
    ),
    # lmstudio-ai/lmstudio-bug-tracker#1251, lmstudio-ai/lmstudio-bug-tracker#1024
    "LM Studio, in mid-generation": (
        400,
        {
            "message": "Reached context length of 4096 tokens with model (arch: qwen3vlmoe) that "
            "does not currently support mid-generation context overflow. Try reloading with a "
            "larger context length or shortening the prompt/chat."
        },
    ),
    # lmstudio-ai/examples#29
    "LM Studio, of 2023": (400, {"message": "Input length 6491 exceeds context length 1500"}),
    "LM Studio, short": (400, {"message": "Context length exceeded"}),
    # vllm-project/vllm#12165, vllm-project/vllm#7998, vllm-project/vllm#11657
    "vLLM, images": (
        400,
        {
            "message": "The prompt (total length 43698) is too long to fit into the model (context "
            "length 32768). Make sure that `max_model_len` is no smaller than the number of text "
            "tokens plus multimodal tokens.",
            "type": "BadRequestError",
            "code": 400,
        },
    ),
    # vllm-project/vllm#687, hiyouga/LlamaFactory#3241
    "vLLM, of 2024": (
        400,
        {"message": "Input prompt (15681 tokens) is too long and exceeds limit of 2560"},
    ),
    # ikawrakow/ik_llama.cpp#1619
    "llama.cpp, of 2024": (
        500,
        {
            "message": "Input prompt is too big compared to KV size. Please try increasing KV "
            "size.",
            "type": "server_error",
            "code": 500,
        },
    ),
    # gpustack/llama-box#25
    "llama-box": (
        500,
        {"message": "input prompt is too big compared to KV size, please increase KV size"},
    ),
    # unsure: from memory, no report was found.
    "llama.cpp, embeddings": (
        500,
        {"message": "input is larger than the max context size. skipped", "type": "server_error"},
    ),
    # ggml-org/llama.cpp#9544
    "llama.cpp, without shifting": (
        500,
        {
            "message": "Input is too large to process. Either disable context shift or increase "
            "context length. ",
            "type": "server_error",
        },
    ),
    # ggml-org/llama.cpp#19774
    "llama.cpp, while it answers": (
        500,
        {"message": "Context size has been exceeded.", "type": "server_error", "code": 500},
    ),
    # ggml-org/llama.cpp#15780
    "llama.cpp, by its type": (
        500,
        {"message": "try again", "type": "exceed_context_size_error", "code": 500},
    ),
    # fedora-copr/logdetective-website#193
    "llama-cpp-python": (
        500,
        {"message": "Requested tokens (2285) exceed context window of 2048", "code": None},
    ),
}


@pytest.mark.parametrize(("status", "said"), OVERFLOWS.values(), ids=OVERFLOWS.keys())
def test_overflow_of_self_hosted_servers_and_gateways(
    status: int | None, said: dict[str, Any]
) -> None:
    error = decode_error(status, orjson.dumps({"error": said}), {})
    assert type(error) is errors.ContextOverflowError
    assert not error.is_retryable
    # Whatever the status: it would be refused again.
    body = orjson.dumps({"error": said})
    assert not any(is_retryable(each, {}, body) for each in (status or 400, 500, 503, 429))
    shown = str(error)
    assert shown.startswith(said["message"])
    assert "400, 400" not in shown


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        # As LiteLLM 1.108.7 passes the service's errors on: without their code.
        ("Input data may contain inappropriate content.", errors.ContentModerationError),
        (
            "<400> InternalError.Algo.DataInspectionFailed: Input text data is refused.",
            errors.ContentModerationError,
        ),
        (
            "Access denied, please make sure your account is in good standing.",
            errors.PermissionDeniedError,
        ),
        ("The request is invalid.", errors.InvalidRequestError),
    ],
)
def test_cause_is_read_from_the_message_where_a_gateway_drops_the_code(
    message: str, kind: type[errors.ServiceError]
) -> None:
    said = {
        "message": f"litellm.BadRequestError: DashscopeException - {message}\n\nLiteLLM: model "
        "group 'my-vision' failed with the error above. No fallback was attempted.",
        "type": "invalid_request_error",
        "param": None,
        "code": "400",
    }
    error = decode_error(400, orjson.dumps({"error": said}), {"llm_provider-x-request-id": "r-1"})

    assert type(error) is kind
    assert (error.code, error.request_id) == ("invalid_request_error", "r-1")


def test_type_is_the_code_where_the_code_is_the_status() -> None:
    said = {"message": "No such model", "type": "NotFoundError", "param": None, "code": 404}
    for body in ({"error": said}, {"object": "error", **said}):
        error = decode_error(404, orjson.dumps(body), {})
        assert str(error) == "No such model (HTTP 404, NotFoundError)"


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        (b'{"error":{"code":"c","message":"m"},"id":"chatcmpl-1"}', "m", "c"),
        (b'{"code":"InvalidParameter","message":"m","request_id":"r"}', "m", "InvalidParameter"),
        (b'data: {"error":{"code":"c","message":"m"}}\n\n', "m", "c"),
        (b'{"error":"Unauthorized"}', "Unauthorized", None),
        (b'{"detail":"Not Found"}', "Not Found", None),
        (
            b"<html><head><title>502 Bad Gateway</title></head></html>",
            "HTTP 502 came with a web page instead of an answer: 502 Bad Gateway",
            None,
        ),
        (
            b"<TITLE>\n " + b"too long " * 100 + b"</TITLE>",
            "HTTP 502 came with a web page instead of an answer: " + "too long " * 22 + "to",
            None,
        ),
        (b"<title>502", "HTTP 502 held no answer: <title>502", None),
        (b"", "HTTP 502 came with an empty body", None),
        (b"upstream is gone", "HTTP 502 held no answer: upstream is gone", None),
    ],
    ids=[
        *("openai", "native", "sse", "text", "detail", "html", "long title", "cut title"),
        *("empty", "plain"),
    ],
)
def test_error_body_of_any_form_is_read(body: bytes, message: str, code: str | None) -> None:
    error = decode_error(502, body, {})

    assert (error.message, error.code) == (message, code)


def test_error_inside_200_is_raised() -> None:
    body = b'{"error":{"code":"invalid_api_key","message":"no"},"request_id":"r"}'
    with pytest.raises(errors.AuthenticationError):
        decode_reply(body, {})
    with pytest.raises(errors.ServiceError, match="empty body"):
        decode_reply(b"", {})


@pytest.mark.parametrize("choices", [[None], ["A"], {"message": {}}, 1], ids=str)
def test_answer_without_an_object_is_an_error(choices: Any) -> None:
    with pytest.raises(errors.ServiceError, match="held no answer"):
        decode_reply(orjson.dumps({"choices": choices}), {})


def test_token_counts_of_a_wrong_kind_are_passed_over() -> None:
    usage = {**ANSWER["usage"], "prompt_tokens_details": [1], "completion_tokens_details": "a"}
    reply = decode_reply(orjson.dumps({**ANSWER, "usage": usage}), {})

    assert reply.usage is not None
    assert (reply.usage.input_tokens, reply.usage.image_tokens) == (2520, None)


def test_numeric_code_of_an_error_in_a_stream_is_its_status() -> None:
    error = decode_error(None, orjson.dumps({"error": {"message": "busy", "code": 429}}), {})

    assert isinstance(error, errors.RateLimitError)
    assert error.status == 429


@pytest.mark.parametrize(
    ("choice", "text", "reason"),
    [
        ({"message": {"content": [{"text": "A cat."}]}}, "A cat.", None),
        ({"finish_reason": "stop"}, "", "stop"),
    ],
    ids=["no reason", "no message"],
)
def test_native_answer_is_read_as_far_as_it_goes(
    choice: Any, text: str, reason: str | None
) -> None:
    reply = native.decode_reply(orjson.dumps({"output": {"choices": [choice]}}), {})
    assert (reply.text, reply.finish_reason) == (text, reason)


def test_native_answer_without_either_is_an_error() -> None:
    body = orjson.dumps({"output": {"choices": [{"finish_reason": "null", "message": {}}]}})
    with pytest.raises(errors.ServiceError):
        native.decode_reply(body, {})


def test_title_of_a_page_is_read_in_its_first_64_kib() -> None:
    end = b"</title>"
    for n_bytes, is_read in ((65_536, True), (65_537, False)):
        page = b"<html><title>" + b" " * (n_bytes - 13 - 4 - len(end)) + b"Gone" + end
        message = decode_error(502, page, {}).message
        expected = "HTTP 502 came with a web page instead of an answer: Gone"
        assert (message == expected) == is_read


def test_plain_answers_are_quoted_by_200_characters() -> None:
    assert decode_error(502, b"a" * 201, {}).message == f"HTTP 502 held no answer: {'a' * 200}"
    title = b"<title>" + b"b" * 201 + b"</title>"
    assert decode_error(None, title, {}).message == (
        f"The answer came with a web page instead of an answer: {'b' * 200}"
    )
    assert decode_error(502, b" ", {}).message == "HTTP 502 came with an empty body"


@pytest.mark.parametrize(
    ("code", "status"),
    [
        # Errors page, 2026; vLLM's codes are numbers.
        ("InvalidApiKey", 401),
        ("invalid_api_key", 401),
        ("AccessDenied", 403),
        ("Model.AccessDenied", 403),
        ("Workspace.AccessDenied", 403),
        ("AllocationQuota.FreeTierOnly", 403),
        ("Arrearage", 403),
        ("ModelNotFound", 404),
        ("model_not_supported", 404),
        ("WorkSpaceNotFound", 404),
        ("Throttling.RateQuota", 429),
        ("limit_requests", 429),
        ("limit_burst_rate", 429),
        ("insufficient_quota", 429),
        ("InternalError.Algo.InvalidParameter", 400),
        ("InvalidParameter", 400),
        ("data_inspection_failed", 400),
        ("BadRequest.TooLarge", 400),
        ("context_length_exceeded", 400),
        ("ModelServingError", 503),
        ("ModelUnavailable", 503),
        ("GatewayTimeout", 504),
        ("InternalError", 500),
        ("RequestTimeOut", 500),
        ("SystemError", 500),
        ("404", 404),
        ("599", 599),
        ("600", None),
        ("399", None),
        ("odd", None),
    ],
)
def test_status_of_a_code(code: str, status: int | None) -> None:
    body = orjson.dumps({"code": code, "message": "No."})
    assert decode_error(None, body, {}).status == status
