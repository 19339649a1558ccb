"""The official `dashscope` SDK, unchanged, against the sandbox: its old API and its new client."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import dashscope
import pytest
from dashscope import AioMultiModalConversation, MultiModalConversation
from dashscope.api_entities.aio_session import close_shared_aio_session
from dashscope.api_entities.http_request import close_shared_sync_session
from dashscope.v2.client import AsyncClient, Client
from dashscope.v2.errors import BadRequestError, ContentFilterError, RateLimitError

from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA
from qwen_vl_sandbox import Sandbox, ScriptedAnswer

MODEL = "qwen3-vl-plus"
TOOL = {
    "type": "function",
    "function": {
        "name": "crop",
        "description": "Cut an image.",
        "parameters": {
            "type": "object",
            "properties": {"x": {"type": "integer"}},
            "required": ["x"],
        },
    },
}
SEEN = "PNG 451x300, mean color #946f57 (brown), 128 tokens"


def user(*parts: Any) -> list[Any]:
    """Write one user message."""
    return [{"role": "user", "content": list(parts)}]


def text_of(response: Any) -> str:
    """The text of an answer of the old API."""
    assert response.status_code == 200, response
    return "".join(part["text"] for part in response.output.choices[0].message.content)


@pytest.fixture
def call(qwen_vl_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """`MultiModalConversation.call`, which asks the sandbox."""
    monkeypatch.setattr(dashscope, "base_http_api_url", qwen_vl_sandbox.native_base_url)

    def ask(messages: list[Any], model: str = MODEL, **options: Any) -> Any:
        return MultiModalConversation.call(
            model=model, messages=messages, api_key="sk-test-key", **options
        )

    yield ask
    close_shared_sync_session()


@pytest.fixture
async def aio_call(
    qwen_vl_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[..., Any]]:
    """The same, asynchronous."""
    monkeypatch.setattr(dashscope, "base_http_api_url", qwen_vl_sandbox.native_base_url)

    async def ask(messages: list[Any], **options: Any) -> Any:
        return await AioMultiModalConversation.call(
            model=MODEL, messages=messages, api_key="sk-test-key", **options
        )

    yield ask
    await close_shared_aio_session()


@pytest.fixture
def client(qwen_vl_sandbox: Sandbox) -> Iterator[Client]:
    """The new client, without retries."""
    with Client(
        api_key="sk-test-key", base_url=qwen_vl_sandbox.native_base_url, max_retries=0
    ) as made:
        yield made


@pytest.fixture
async def async_client(qwen_vl_sandbox: Sandbox) -> AsyncIterator[AsyncClient]:
    """The new asynchronous client, without retries."""
    async with AsyncClient(
        api_key="sk-test-key", base_url=qwen_vl_sandbox.native_base_url, max_retries=0
    ) as made:
        yield made


def test_call_uploads_a_local_picture(qwen_vl_sandbox: Sandbox, call: Callable[..., Any]) -> None:
    """The SDK uploads `file://` and asks for the URL to be resolved."""
    response = call(user({"image": f"file://{CHELSEA}"}, {"text": "What?"}))
    assert SEEN in text_of(response)
    assert (response.usage.image_tokens, response.usage.input_tokens) == (128, 140)
    assert [upload.model for upload in qwen_vl_sandbox.uploads] == [MODEL]
    paths = [request.path for request in qwen_vl_sandbox.requests]
    assert paths == [
        "/api/v1/uploads",
        "/oss",
        "/api/v1/services/aigc/multimodal-generation/generation",
    ]


def test_call_uploads_a_local_video(call: Callable[..., Any]) -> None:
    """A film, with its knobs."""
    film = {"video": f"file://{BIG_BUCK_BUNNY}", "fps": 1, "max_frames": 4}
    assert "MP4 1280x720, 5.3 s, 25 fps, 4 frames sampled" in text_of(call(user(film)))


@pytest.mark.parametrize("incremental", [True, None])
def test_call_streams_increments(call: Callable[..., Any], incremental: bool | None) -> None:
    """Each response holds what is new."""
    options = {} if incremental is None else {"incremental_output": incremental}
    responses = list(call(user({"text": "hi"}), stream=True, **options))
    assert "".join(map(text_of, responses)).endswith('the text: "hi".')
    assert responses[-1].output.choices[0].finish_reason == "stop"
    assert responses[-1].usage.output_tokens > responses[0].usage.output_tokens


def test_call_streams_reasoning(call: Callable[..., Any]) -> None:
    """It comes before the text."""
    responses = list(
        call(user({"text": "hi"}), stream=True, enable_thinking=True, incremental_output=True)
    )
    messages = [response.output.choices[0].message for response in responses]
    assert messages[0].reasoning_content
    assert messages[0].content == []
    assert messages[-2].content


def test_call_hands_tools_on(call: Callable[..., Any]) -> None:
    """A call goes out, its result comes back, all as the SDK's own values."""
    messages = user({"text": "crop at x=3"})
    message = call(messages, tools=[TOOL]).output.choices[0].message
    tool_call = message.tool_calls[0]
    assert tool_call["function"] == {"name": "crop", "arguments": '{"x":3}'}
    result = {"role": "tool", "content": "ok", "tool_call_id": tool_call["id"]}
    assert 'crop: "ok"' in text_of(call([*messages, message, result], tools=[TOOL]))


def test_call_reads_text_of_pictures(call: Callable[..., Any]) -> None:
    """A task of the text-reading models."""
    response = call(
        user({"image": f"file://{CHELSEA}", "enable_rotate": False}),
        model="qwen-vl-ocr",
        ocr_options={"task": "advanced_recognition"},
    )
    info = response.output.choices[0].message.content[0]["ocr_result"]["words_info"][0]
    assert info["location"] == [0, 0, 451, 0, 451, 300, 0, 300]


def test_call_tells_a_refusal(call: Callable[..., Any]) -> None:
    """Status, code and message; in a stream too."""
    bad = user({"image": "https://no.invalid/a.png"})
    for response in (call(bad), next(iter(call(bad, stream=True)))):
        assert (response.status_code, response.code) == (400, "InvalidParameter")
        assert "Failed to download multimodal content" in response.message


async def test_aio_call_answers_and_streams(aio_call: Callable[..., Any]) -> None:
    """Whole and in pieces."""
    messages = user({"text": "hi"})
    assert text_of(await aio_call(messages)).endswith('the text: "hi".')
    texts = [
        text_of(response)
        async for response in await aio_call(messages, stream=True, incremental_output=True)
    ]
    assert "".join(texts).endswith('the text: "hi".')
    assert len(texts) > 3


async def test_aio_call_uploads_a_local_picture(aio_call: Callable[..., Any]) -> None:
    """By the same uploader."""
    assert SEEN in text_of(await aio_call(user({"image": f"file://{CHELSEA}"})))


def test_client_answers_with_a_local_picture(client: Client, tmp_path: Path) -> None:
    """It uploads from its own URL."""
    path = tmp_path / "my cat.png"
    path.write_bytes(CHELSEA.read_bytes())
    reply = client.chat.completions.create(
        model=MODEL,
        messages=user({"type": "image", "url": str(path)}, {"type": "text", "text": "What?"}),
    )
    assert SEEN in reply.output_text
    assert reply.usage is not None
    assert reply.usage.input_tokens == 140


def test_client_streams(client: Client) -> None:
    """Texts, and the whole at the end."""
    stream = client.multimodal.chat.create(model=MODEL, messages="hi", stream=True)
    final = stream.get_final_message()
    assert final.output_text.endswith('the text: "hi".')
    assert final.choices[0].finish_reason == "stop"


def test_client_streams_reasoning_and_tool_calls(client: Client) -> None:
    """The SDK joins the pieces by index."""
    stream = client.multimodal.chat.create(
        model="qwen3.7-plus", messages="crop at x=12345", tools=[TOOL], stream=True
    )
    message = stream.get_final_message().choices[0].message
    assert message.reasoning_content
    assert message.tool_calls is not None
    assert message.tool_calls[0].function.arguments == '{"x":12345}'


def test_client_is_told_where_text_models_live(client: Client) -> None:
    """Its text URL is not for vision models (Native-API page, 2026-09)."""
    with pytest.raises(BadRequestError, match="url error"):
        client.chat.completions.create(model=MODEL, messages="hi")


def test_client_raises_what_the_service_says(qwen_vl_sandbox: Sandbox, client: Client) -> None:
    """By status, by code in HTTP 200, and in mid-stream."""
    qwen_vl_sandbox.fail(status=429)
    with pytest.raises(RateLimitError, match="Requests rate limit exceeded"):
        client.multimodal.chat.create(model=MODEL, messages="hi")
    qwen_vl_sandbox.fail(error_in_200=True, code="DataInspectionFailed", message="No.")
    with pytest.raises(ContentFilterError, match="No"):
        client.multimodal.chat.create(model=MODEL, messages="hi")
    qwen_vl_sandbox.fail(error_event_after=2, code="DataInspectionFailed", message="Not so.")
    stream = client.multimodal.chat.create(model=MODEL, messages="hi", stream=True)
    with pytest.raises(ContentFilterError, match="Not so"):
        list(stream)


def test_client_marks_what_to_cache(client: Client) -> None:
    """The marker goes through, and the usage says what became of it."""
    part = {"type": "text", "text": "word" * 1100, "cache_control": {"type": "ephemeral"}}
    found = []
    for _ in range(2):
        reply = client.multimodal.chat.create(model=MODEL, messages=user(part))
        usage: Any = reply.usage
        found.append(usage.prompt_tokens_details["cached_tokens"])
    assert found == [0, 1105]


def test_client_lists_models(client: Client) -> None:
    """A page of them, and one."""
    page = client.models.list(page_size=3)
    assert [len(page.models), page.total_count] == [3, 14]
    assert client.models.get(MODEL).model == MODEL


async def test_async_client_answers_and_streams(
    qwen_vl_sandbox: Sandbox, async_client: AsyncClient
) -> None:
    """Whole and in pieces."""
    qwen_vl_sandbox.script("你好!", ScriptedAnswer(text=("你", "好")))
    reply = await async_client.multimodal.chat.create(model=MODEL, messages="hi")
    assert reply.output_text == "你好!"
    stream = await async_client.multimodal.chat.create(model=MODEL, messages="hi", stream=True)
    texts = [chunk.delta.content async for chunk in stream if chunk.delta and chunk.delta.content]
    assert texts == ["你", "好"]
