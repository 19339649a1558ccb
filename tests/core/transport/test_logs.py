"""What the logger `qwen_vl` says: enough to find a call again, and nothing that is secret."""

import asyncio
import logging
import socket
from collections.abc import Callable

import pytest
from langchain_core.messages import HumanMessage
from PIL import Image

from langchain_qwen_vl import ChatQwenVL
from llama_index.llms.qwen_vl import QwenVL
from qwen_vl.errors import RateLimitError
from qwen_vl_sandbox import Sandbox
from scripted_server import Server, answer, good_answer

KEY = "sk-very-secret-0123456789"
QUESTION = HumanMessage(
    [
        {"type": "text", "text": "WORDS-OF-THE-PROMPT"},
        {"type": "image", "image": Image.new("RGB", (64, 64), "red")},
        {"type": "image_url", "image_url": {"url": "https://example.com/cat.png?token=hidden"}},
    ]
)


def read(caplog: pytest.LogCaptureFixture) -> list[str]:
    records = [record for record in caplog.records if record.name == "qwen_vl"]
    return [f"{record.levelname} {record.getMessage()}" for record in records]


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
def test_request_and_answer_are_logged(
    caplog: pytest.LogCaptureFixture, qwen_vl_sandbox: Sandbox, way: str
) -> None:
    caplog.set_level(logging.DEBUG, logger="qwen_vl")
    model = ChatQwenVL(base_url=qwen_vl_sandbox.base_url, api_key=KEY)

    async def ask() -> None:
        if way == "ainvoke":
            await model.ainvoke([QUESTION])
        else:
            [_ async for _ in model.astream([QUESTION])]

    if way.startswith("a"):
        asyncio.run(ask())
    elif way == "invoke":
        model.invoke([QUESTION])
    else:
        list(model.stream([QUESTION]))

    request, reply = read(caplog)
    host = qwen_vl_sandbox.base_url.split("/")[2]
    n_bytes = len(qwen_vl_sandbox.last_request.body)
    stream = way.endswith("stream")
    assert request == (
        f"DEBUG Request: POST {host} model=qwen3-vl-plus bytes={n_bytes} images=2 stream={stream}"
    )
    assert reply.startswith("DEBUG Answer: status=200 request_id=")
    assert "request_id=None" not in reply
    assert " input_tokens=" in reply
    assert "=None" not in reply


def test_retry_is_logged_with_its_reason(
    caplog: pytest.LogCaptureFixture, serve: Callable[..., Server]
) -> None:
    def handle(connection: socket.socket, request: bytes) -> None:
        slow = answer(b"{}", "retry-after: 0.01", status="429 Slow")
        connection.sendall(good_answer(request) if len(server.requests) > 1 else slow)

    server = serve(handle)
    caplog.set_level(logging.INFO, logger="qwen_vl")
    QwenVL(base_url=server.url, api_key=KEY).complete("Hello")
    assert read(caplog) == ["INFO Retry 1 of 2 in 0.01 s: HTTP 429"]


def test_error_is_logged_with_its_status(
    caplog: pytest.LogCaptureFixture, qwen_vl_sandbox: Sandbox
) -> None:
    qwen_vl_sandbox.fail(status=429, times=1)
    caplog.set_level(logging.DEBUG, logger="qwen_vl")
    model = ChatQwenVL(base_url=qwen_vl_sandbox.base_url, api_key=KEY, max_retries=0)
    with pytest.raises(RateLimitError):
        model.invoke([QUESTION])
    assert read(caplog)[1].startswith("DEBUG Answer: status=429 RateLimitError request_id=")


def test_nothing_secret_is_logged(
    caplog: pytest.LogCaptureFixture, qwen_vl_sandbox: Sandbox
) -> None:
    caplog.set_level(logging.DEBUG, logger="qwen_vl")
    url, headers = qwen_vl_sandbox.base_url, {"X-Team": "team-secret"}
    ChatQwenVL(base_url=url, api_key=KEY, default_headers=headers).invoke([QUESTION])
    logged = "\n".join(read(caplog))
    assert logged.count("\n") == 1
    for secret in (KEY, "team-secret", "WORDS-OF-THE-PROMPT", "hidden", "base64"):
        assert secret not in logged
