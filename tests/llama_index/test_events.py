"""Instrumentation and callbacks: each call once, with the service's own counts."""

import inspect
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock
from llama_index.core.callbacks import CallbackManager, CBEventType, TokenCountingHandler
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from llama_index.core.instrumentation.events import llm as events
from llama_index.core.prompts import PromptTemplate
from llama_index_instrumentation import get_dispatcher
from pydantic import BaseModel

from llama_index.llms.qwen_vl import QwenVL
from llama_index.multi_modal_llms.qwen_vl import QwenVLMultiModal
from qwen_vl.errors import InvalidRequestError
from qwen_vl.samples import CHELSEA
from qwen_vl_sandbox import Sandbox

MakeLlm = Callable[..., QwenVL]
CHATS = ("chat", "achat", "stream_chat", "astream_chat")
COMPLETIONS = ("complete", "acomplete", "stream_complete", "astream_complete")


class Animal(BaseModel):
    name: str


class Recorder(BaseEventHandler):
    seen: list[Any] = []  # noqa: RUF012 - a field of pydantic's.

    @classmethod
    def class_name(cls) -> str:
        return "Recorder"

    def handle(self, event: BaseEvent, **_: Any) -> None:
        self.seen.append(event)


@contextmanager
def recorded() -> Iterator[list[Any]]:
    handler, root = Recorder(seen=[]), get_dispatcher()
    root.add_event_handler(handler)
    try:
        yield handler.seen
    finally:
        root.event_handlers.remove(handler)


async def call(llm: Any, endpoint: str, asked: Any = None) -> Any:
    if asked is None:
        asked = "Hello" if endpoint.endswith("complete") else [ChatMessage("Hello")]
    values = getattr(llm, endpoint)(asked)
    if inspect.isawaitable(values):
        values = await values
    if isinstance(values, AsyncGenerator):
        return [item async for item in values]
    return list(values) if isinstance(values, Generator) else values


def count(seen: list[Any], kind: type[BaseEvent]) -> int:
    return sum(isinstance(event, kind) for event in seen)


@pytest.mark.parametrize("kind", [QwenVL, QwenVLMultiModal])
@pytest.mark.parametrize("endpoint", CHATS + COMPLETIONS)
async def test_events_fire_once(
    endpoint: str, kind: type[QwenVL], qwen_vl_sandbox: Sandbox
) -> None:
    counter = TokenCountingHandler(tokenizer=str.split)
    llm = kind(
        api_base=qwen_vl_sandbox.base_url,
        api_key="sk-hidden-9876",
        callback_manager=CallbackManager([counter]),
    )
    with recorded() as seen:
        await call(llm, endpoint)
    is_chat = endpoint in CHATS
    start = events.LLMChatStartEvent if is_chat else events.LLMCompletionStartEvent
    end = events.LLMChatEndEvent if is_chat else events.LLMCompletionEndEvent
    progress = events.LLMChatInProgressEvent if is_chat else events.LLMCompletionInProgressEvent
    assert (count(seen, start), count(seen, end)) == (1, 1)
    assert (count(seen, progress) > 0) == ("stream" in endpoint)
    assert len(counter.llm_token_counts) == 1
    assert "sk-hidden-9876" not in repr(seen)
    assert "sk-hidden-9876" not in repr([event.model_dump() for event in seen])
    assert llm.to_payload()["model_name"] == "qwen3-vl-plus"


@contextmanager
def picture_server() -> Iterator[tuple[str, list[str]]]:
    """Serve the cat, and tell who has fetched it."""
    agents: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            agents.append(self.headers["User-Agent"] or "")
            self.send_response(200)
            self.send_header("Content-Type", "image/png")
            self.send_header("Content-Length", str(CHELSEA.stat().st_size))
            self.end_headers()
            self.wfile.write(CHELSEA.read_bytes())

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/cat.png", agents
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.slow
@pytest.mark.parametrize("endpoint", CHATS)
async def test_tokens_are_the_service_s_and_no_picture_is_touched(
    endpoint: str, make_llm: MakeLlm
) -> None:
    counter = TokenCountingHandler(tokenizer=str.split)
    llm = make_llm(callback_manager=CallbackManager([counter]))
    with picture_server() as (url, agents):
        message = ChatMessage([ImageBlock(url=url), TextBlock(text="What is this?")])
        values = await call(llm, endpoint, [message])
    response = values[-1] if isinstance(values, list) else values
    usage = response.additional_kwargs
    assert usage["image_tokens"] == 128
    assert counter.prompt_llm_token_count == usage["prompt_tokens"]
    assert counter.completion_llm_token_count == usage["completion_tokens"]
    # The endpoint has fetched it, as the service would; nobody else has.
    assert len(agents) == 1
    assert "requests" not in agents[0]


@pytest.mark.parametrize("endpoint", COMPLETIONS)
async def test_tokens_of_completions(endpoint: str, make_llm: MakeLlm) -> None:
    counter = TokenCountingHandler(tokenizer=str.split)
    values = await call(make_llm(callback_manager=CallbackManager([counter])), endpoint)
    response = values[-1] if isinstance(values, list) else values
    usage = response.additional_kwargs
    assert counter.prompt_llm_token_count == usage["prompt_tokens"]
    assert counter.completion_llm_token_count == usage["completion_tokens"]


@pytest.mark.parametrize("endpoint", CHATS)
async def test_failed_call_ends_its_event(
    endpoint: str, make_llm: MakeLlm, qwen_vl_sandbox: Sandbox
) -> None:
    ended: list[Any] = []

    class Handler(TokenCountingHandler):
        def on_event_end(self, event_type: CBEventType, *args: Any, **kwargs: Any) -> None:
            ended.append((event_type, args, kwargs))

    llm = make_llm(callback_manager=CallbackManager([Handler(tokenizer=str.split)]))
    qwen_vl_sandbox.fail(status=400)
    with pytest.raises(InvalidRequestError):
        await call(llm, endpoint)
    assert [event_type for event_type, *_ in ended] == [CBEventType.LLM]


async def test_structured_prediction_has_its_events(llm: QwenVL) -> None:
    prompt = PromptTemplate("Name an animal.")
    with recorded() as seen:
        llm.structured_predict(Animal, prompt)
        await llm.astructured_predict(Animal, prompt)
        list(llm.stream_structured_predict(Animal, prompt))
    assert count(seen, events.LLMStructuredPredictStartEvent) == 3
    assert count(seen, events.LLMStructuredPredictEndEvent) == 3
    assert count(seen, events.LLMChatStartEvent) == 3
