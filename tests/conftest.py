"""What every test may use."""

import asyncio
import base64
import gc
import io
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from PIL import Image

import forked
from langchain_qwen_vl import ChatQwenVL
from native_wire import to_compatible
from qwen_vl_sandbox import RecordedRequest, Sandbox


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let other versions of the libraries be tried with fewer cases of each test."""
    parser.addoption("--max-cases", type=int, help="Run at most so many cases of each test.")
    parser.addoption(
        "--other-cases",
        type=int,
        help="Run what `-m 'not slow' --max-cases` with this number leaves out.",
    )


@pytest.hookimpl(trylast=True)  # Of the tests that `-m` has chosen.
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep `--max-cases` cases of each test, spread evenly over all that it has."""
    max_cases, other_cases = config.getoption("--max-cases"), config.getoption("--other-cases")
    if max_cases is not None:
        left_out = set(items) - _choose_cases(items, max_cases)
    elif other_cases is not None:
        fast = [item for item in items if item.get_closest_marker("slow") is None]
        left_out = _choose_cases(fast, other_cases)
    else:
        return
    config.hook.pytest_deselected(items=list(left_out))
    items[:] = [item for item in items if item not in left_out]


def _choose_cases(items: list[pytest.Item], max_cases: int) -> set[pytest.Item]:
    tests: dict[str, list[pytest.Item]] = {}
    for item in items:
        tests.setdefault(item.nodeid.partition("[")[0], []).append(item)
    return {
        cases[index * len(cases) // max_cases]
        for cases in tests.values()
        for index in range(max_cases)
    }


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the slowest files, with the time of all their tests: as many as `--durations` has."""
    if not (count := config.getoption("durations")):
        return
    seconds: Counter[str] = Counter()
    for report in itertools.chain(*terminalreporter.stats.values()):
        if isinstance(report, pytest.TestReport):
            seconds[report.nodeid.partition("::")[0]] += report.duration
    total = sum(seconds.values())
    terminalreporter.section(f"slowest {count} files of {len(seconds)}, {total:.0f} s in all")
    for path, spent in seconds.most_common(count):
        terminalreporter.write_line(f"{spent:6.1f} s  {spent / total:5.1%}  {path}")


def pytest_collection_finish() -> None:
    """Spare the garbage collector what has been imported: it stays to the end."""
    gc.collect()
    gc.freeze()
    # Libraries that ask for the thread's event loop would be given one that nobody closes, and
    # run one of their own where there is none.
    asyncio.set_event_loop(None)


@pytest.fixture(scope="session")
def _empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which nothing is, and which no test writes into."""
    return tmp_path_factory.mktemp("empty")


@pytest.fixture(autouse=True)
def _clean_environment(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, _empty: Path
) -> None:
    """Keep the settings of the machine that runs the tests out of them."""
    if request.node.get_closest_marker("live"):
        return
    for name in (
        "DASHSCOPE_API_KEY",
        "DASHSCOPE_API_BASE",
        "DASHSCOPE_API_REGION",
        "DASHSCOPE_BASE_URL",
        "DASHSCOPE_COMPATIBLE_BASE_URL",
        "DASHSCOPE_HTTP_BASE_URL",
        "DASHSCOPE_REGION",
        "DASHSCOPE_WORKSPACE",
        "DASHSCOPE_WORKSPACE_ID",
        "LANGSMITH_TRACING",
        "LANGCHAIN_TRACING_V2",
    ):
        monkeypatch.delenv(name, raising=False)
    # Nothing here speaks TLS, but each client of the SDK would read all of the machine's
    # certificates, which takes longer than most tests.
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", str(_empty))


@pytest.fixture(scope="session")
def _cache_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Names of folders, of which few are ever made: thousands would take their time to remove."""
    folder = tmp_path_factory.mktemp("caches")
    return (folder / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def cache_home(monkeypatch: pytest.MonkeyPatch, _cache_folders: Iterator[Path]) -> Path:
    """Keep what tests upload out of the user's cache folder, and out of one another's."""
    home = next(_cache_folders)
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    return home


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what is not about one protocol's own wire by both; that of the frameworks, if slow."""
    if "protocol" in metafunc.fixturenames:
        markers = map(metafunc.definition.get_closest_marker, ("openai_wire", "media_alone"))
        # A framework's part is the same for both: the core's tests are about the wire.
        is_framework = metafunc.definition.path.parent.name in {"langchain", "llama_index"}
        native = pytest.param("native", marks=pytest.mark.slow if is_framework else ())
        metafunc.parametrize("protocol", ["openai"] if any(markers) else ["openai", native])


@pytest.fixture
def speaking(protocol: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Give the setting of a protocol; what the sandbox records reads the same for both."""
    if protocol == "openai":
        return {}

    def read(request: RecordedRequest) -> Any:
        body = orjson.loads(request.body)
        if not request.path.endswith("/generation"):
            return body
        is_streamed = request.headers.get("x-dashscope-sse") == "enable"
        return to_compatible(body, is_streamed=is_streamed)

    monkeypatch.setattr(RecordedRequest, "json", property(read))
    return {"protocol": protocol}


@pytest.fixture
def make_chat(qwen_vl_sandbox: Sandbox, speaking: dict[str, str]) -> Callable[..., ChatQwenVL]:
    """Make a `ChatQwenVL` that asks the sandbox, by either protocol."""

    def make(**fields: Any) -> ChatQwenVL:
        settings = {"base_url": qwen_vl_sandbox.base_url, "api_key": "sk-sandbox"}
        return ChatQwenVL(**{**settings, **speaking, **fields})

    return make


@pytest.fixture
def chat(make_chat: Callable[..., ChatQwenVL]) -> ChatQwenVL:
    """A `ChatQwenVL` with its default model that asks the sandbox."""
    return make_chat()


@pytest.fixture(scope="session")
def small_png() -> bytes:
    """An image of 64x48 pixels that is not a single color."""
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((64, 48)).convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="session")
def small_png_url(small_png: bytes) -> str:
    """The same as a data URL."""
    return "data:image/png;base64," + base64.b64encode(small_png).decode()


@pytest.fixture
def script_answer(qwen_vl_sandbox: Sandbox, protocol: str) -> Callable[..., None]:
    """Script one answer as a server sends it: a message, and why it ends."""

    def compatible(message: dict[str, Any], reason: str | None) -> dict[str, Any]:
        return {"choices": [{"index": 0, "message": message, "finish_reason": reason}]}

    def streamed(delta: dict[str, Any], reason: str | None) -> dict[str, Any]:
        return {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}

    def native(message: dict[str, Any], reason: str | None) -> dict[str, Any]:
        content = [{"text": message["content"]}] if message.get("content") else ""
        choice = {"message": {**message, "content": content}, "finish_reason": reason or "null"}
        return {"output": {"choices": [choice]}}

    def events(message: dict[str, Any], reason: str | None) -> Iterator[dict[str, Any]]:
        pieces = [{"tool_calls": [call]} for call in message.get("tool_calls") or ()]
        text = message.get("content") or ""
        pieces += [{"content": text[at : at + 9]} for at in range(0, len(text), 9)]
        for piece in pieces:
            yield streamed(piece, None) if protocol == "openai" else native(piece, None)
        yield streamed({}, reason) if protocol == "openai" else native({}, reason)

    def run(message: dict[str, Any], reason: str | None, *, stream: bool) -> None:
        if not stream:
            body = compatible(message, reason) if protocol == "openai" else native(message, reason)
            headers = {"content-type": "application/json"}
            qwen_vl_sandbox.script_raw(orjson.dumps(body), headers=headers)
            return
        listed = list(events(message, reason))
        raw = b"".join(b"data: " + orjson.dumps(event) + b"\n\n" for event in listed)
        end = b"data: [DONE]\n\n" if protocol == "openai" else b""
        qwen_vl_sandbox.script_raw(raw + end, headers={"content-type": "text/event-stream"})

    return run


@pytest.fixture(scope="session")
def echo_url() -> Iterator[str]:
    """URL of a server in a process of its own that answers what it was asked."""
    with forked.serve() as port:
        yield f"http://127.0.0.1:{port}/v1"
