"""Clients of the sandbox: the official SDK, and bare HTTP."""

import http.client
import io
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import orjson
import pybase64
import pytest
from PIL import Image

from qwen_vl_sandbox import Sandbox

CHAT_PATH = "/compatible-mode/v1/chat/completions"


@dataclass(frozen=True)
class Reply:
    """A bare HTTP answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return orjson.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error object of the body."""
        error: dict[str, Any] = self.json["error"]
        return error


class Caller:
    """Sends bodies to one sandbox over one connection."""

    def __init__(self, sandbox: Sandbox) -> None:
        url = sandbox.url.removeprefix("http://")
        self._connection = http.client.HTTPConnection(url, timeout=20)

    def __call__(
        self,
        body: Any = None,
        *,
        method: str = "POST",
        path: str = CHAT_PATH,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send a body and give the answer."""
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        values = {"Authorization": "Bearer sk-test-key", **(headers or {})}
        self._connection.request(method, path, data, values)
        response = self._connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, names, response.read())

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


@pytest.fixture
def post(qwen_vl_sandbox: Sandbox) -> Iterator[Caller]:
    """Send bare bodies to the sandbox."""
    caller = Caller(qwen_vl_sandbox)
    yield caller
    caller.close()


@pytest.fixture
def connect() -> Iterator[Callable[[Sandbox], Caller]]:
    """Callers of a sandbox of the test's own."""
    callers: list[Caller] = []

    def make(sandbox: Sandbox) -> Caller:
        callers.append(Caller(sandbox))
        return callers[-1]

    yield make
    for caller in callers:
        caller.close()


@pytest.fixture
def client(qwen_vl_sandbox: Sandbox) -> Iterator[openai.OpenAI]:
    """The SDK, without retries."""
    with openai.OpenAI(
        base_url=qwen_vl_sandbox.base_url, api_key="sk-test-key", max_retries=0
    ) as made:
        yield made


@pytest.fixture
async def async_client(qwen_vl_sandbox: Sandbox) -> AsyncIterator[openai.AsyncOpenAI]:
    """The asynchronous SDK, without retries."""
    async with openai.AsyncOpenAI(
        base_url=qwen_vl_sandbox.base_url, api_key="sk-test-key", max_retries=0
    ) as made:
        yield made


@pytest.fixture
def data_url() -> Callable[[Path, str], str]:
    """Spell a file as a data URL."""

    def spell(path: Path, media_type: str) -> str:
        return f"data:{media_type};base64,{pybase64.b64encode(path.read_bytes()).decode()}"

    return spell


@pytest.fixture
def picture_url() -> Callable[..., str]:
    """Make a one-colored image as a data URL."""

    def make(width: int, height: int, kind: str = "PNG", color: str = "#ff0000") -> str:
        file = io.BytesIO()
        Image.new("RGB", (width, height), color).save(file, kind)
        data = pybase64.b64encode(file.getvalue()).decode()
        return f"data:image/{kind.lower()};base64,{data}"

    return make


@pytest.fixture(scope="session")
def sandboxes() -> Iterator[Callable[[str], Sandbox]]:
    """Sandboxes by server, started once."""
    started: dict[str, Sandbox] = {}

    def get(server: Any) -> Sandbox:
        if server not in started:
            started[server] = Sandbox(server=server)
            started[server].start()
        started[server].clear()
        return started[server]

    yield get
    for sandbox in started.values():
        sandbox.stop()


@pytest.fixture
def send(
    sandboxes: Callable[[str], Sandbox], connect: Callable[[Sandbox], Any]
) -> Callable[..., Any]:
    """Send a body to the sandbox of a server."""

    def post(server: str, body: Any, **options: Any) -> Any:
        return connect(sandboxes(server))(body, **{"path": "/v1/chat/completions", **options})

    return post
