"""The table of docs/llama-index.md: every cell of our column is run."""

import copy
import inspect
import io
import pickle
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from llama_index.core import Settings
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import (
    AudioBlock,
    CacheControl,
    CachePoint,
    ChatMessage,
    CitableBlock,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    VideoBlock,
)
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.response_synthesizers import get_response_synthesizer
from llama_index.core.schema import ImageDocument, ImageNode, MediaResource, Node, NodeWithScore
from llama_index.core.tools import FunctionTool
from PIL import Image
from pydantic import BaseModel

from llama_index.llms.qwen_vl import QwenVL, frames_block
from qwen_vl import errors
from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA
from qwen_vl_sandbox import Sandbox, ScriptedAnswer, ToolCall

PAGE = Path(__file__).parents[2] / "docs/llama-index.md"
PNG, MP4 = CHELSEA.read_bytes(), BIG_BUCK_BUNNY.read_bytes()
CAT, WALK = "https://example.com/cat.png", "https://example.com/walk.mp4"
FRAMES = [f"https://example.com/{number}.jpg" for number in range(4)]
QUESTION = ChatMessage([ImageBlock(image=PNG), TextBlock(text="What is this?")])

Row = Callable[[SimpleNamespace], Awaitable[None]]
ROWS: dict[str, Row] = {}


def row(name: str) -> Callable[[Row], Row]:
    def add(function: Row) -> Row:
        ROWS[name] = function
        return function

    return add


@pytest.fixture
def bench(qwen_vl_sandbox: Sandbox, make_llm: Any) -> SimpleNamespace:
    """The sandbox, an LLM, and what the rows do with both."""

    def send(*blocks: Any, role: str = "user") -> Any:
        llm.chat([ChatMessage(role=role, blocks=list(blocks)), ChatMessage("And?")])
        return qwen_vl_sandbox.last_request.json["messages"]

    llm = make_llm()
    return SimpleNamespace(sandbox=qwen_vl_sandbox, make=make_llm, llm=llm, send=send)


def test_page_shows_every_row() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("## Comparison")[2]
    shown = re.findall(r"^\| ([^|]+?) \|", table, flags=re.MULTILINE)
    assert [name for name in shown if name not in {"Feature", "---"}] == list(ROWS)


@row("Text")
async def row_01(bench: SimpleNamespace) -> None:
    assert "Hello" in bench.llm.chat([ChatMessage("Hello")]).message.content


@row("Image by URL")
async def row_02(bench: SimpleNamespace) -> None:
    assert bench.send(ImageBlock(url=CAT))[0]["content"][0]["image_url"] == {"url": CAT}


@row("Image by path, bytes, data URL")
async def row_03(bench: SimpleNamespace) -> None:
    urls = {
        bench.send(block)[0]["content"][0]["image_url"]["url"]
        for block in (ImageBlock(path=CHELSEA), ImageBlock(image=PNG))
    }
    (url,) = urls
    assert bench.send(ImageBlock(url=url))[0]["content"][0]["image_url"]["url"] == url


@row("Image in an open file")
async def row_04(bench: SimpleNamespace) -> None:
    part = bench.send(ImageBlock(image=io.BytesIO(PNG)))[0]["content"][0]
    assert part["image_url"]["url"].startswith("data:image/png;base64,")


@row("`oss://` URL")
async def row_05(bench: SimpleNamespace) -> None:
    assert bench.send(ImageBlock(url="oss://b/cat.png"))
    headers = bench.sandbox.last_request.headers
    assert headers["x-dashscope-ossresourceresolve"] == "enable"


@row("`ImageBlock.detail`")
async def row_06(bench: SimpleNamespace) -> None:
    part = bench.send(ImageBlock(url=CAT, detail="high"))[0]["content"][0]
    assert part["image_url"]["detail"] == "high"


@row("`VideoBlock`, by URL, path, bytes, with `fps`")
async def row_07(bench: SimpleNamespace) -> None:
    for block in (VideoBlock(path=BIG_BUCK_BUNNY, fps=1), VideoBlock(video=MP4, fps=1)):
        part = bench.send(block)[0]["content"][0]
        assert part["video_url"]["url"].startswith("data:video/mp4;base64,")
        assert part["fps"] == 1
    assert bench.send(VideoBlock(url=WALK))[0]["content"][0]["video_url"] == {"url": WALK}


@row("Frames, `fps` below one, pixel limits")
async def row_08(bench: SimpleNamespace) -> None:
    part = bench.send(frames_block(FRAMES, fps=0.5, max_pixels=655_360))[0]["content"][0]
    assert part == {"type": "video", "video": FRAMES, "fps": 0.5, "max_pixels": 655_360}


@row("Several images between texts")
async def row_09(bench: SimpleNamespace) -> None:
    image = ImageBlock(url=CAT)
    sent = bench.send(TextBlock(text="a"), image, TextBlock(text="b"), image)
    kinds = [part["type"] for part in sent[0]["content"]]
    assert kinds == ["text", "image_url", "text", "image_url"]


@row("Audio / PDF documents")
async def row_10(bench: SimpleNamespace) -> None:
    with pytest.raises(errors.UnsupportedContentError, match=r"blocks\[0\]"):
        bench.send(AudioBlock(audio=b"RIFF", format="wav"))
    pdf = io.BytesIO()
    Image.new("RGB", (600, 800), "red").save(pdf, "PDF")
    label, page = bench.send(DocumentBlock(data=pdf.getvalue()))[0]["content"]
    assert label["text"] == "Page 1 of 1:"
    assert page["image_url"]["url"].startswith("data:image/png;base64,")


@row("`CachePoint`, `CitableBlock`")
async def row_11(bench: SimpleNamespace) -> None:
    point = CachePoint(cache_control=CacheControl(type="ephemeral"))
    block = CitableBlock(title="Cats", source="cats.pdf", content="They purr.")
    _, last = bench.send(block, point)[0]["content"]
    assert last == {"type": "text", "text": "They purr.", "cache_control": {"type": "ephemeral"}}


@row("Image in a system or assistant message")
async def row_12(bench: SimpleNamespace) -> None:
    with pytest.warns(UserWarning, match="in a user message after it"):
        sent = bench.send(ImageBlock(url=CAT), role="system")
    assert sent[0]["role"] == "user"
    assert sent[0]["content"][0]["image_url"] == {"url": CAT}
    with pytest.warns(UserWarning, match="is not sent"):
        bench.llm.chat([QUESTION, ChatMessage([ImageBlock(url=CAT)], role="assistant"), QUESTION])


@row("Image in a tool's result")
async def row_13(bench: SimpleNamespace) -> None:
    call = {"id": "a", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    asked = ChatMessage(role="assistant", additional_kwargs={"tool_calls": [call]})
    result = ChatMessage(
        role="tool", blocks=[ImageBlock(url=CAT)], additional_kwargs={"tool_call_id": "a"}
    )
    bench.llm.chat([ChatMessage("Look."), asked, result])
    *_, tool, user = bench.sandbox.last_request.json["messages"]
    assert (tool["role"], tool["tool_call_id"]) == ("tool", "a")
    assert user["content"][1]["image_url"] == {"url": CAT}


@row("Thinking of earlier answers")
async def row_14(bench: SimpleNamespace) -> None:
    answer = ChatMessage([ThinkingBlock(content="Hm."), TextBlock(text="Hi.")], role="assistant")
    for keep in (False, True):
        llm = bench.make("qwen3.8-flash", preserve_thinking=keep)
        llm.chat([ChatMessage("Hello"), answer, ChatMessage("And?")])
        sent = bench.sandbox.last_request.json["messages"][1]
        assert sent.get("reasoning_content") == ("Hm." if keep else None)


@row("Thinking in answers")
async def row_15(bench: SimpleNamespace) -> None:
    bench.sandbox.script(ScriptedAnswer(reasoning="Hm.", text="Hi."))
    response = bench.make("qwen3.8-flash").chat([ChatMessage("Hello")])
    assert response.message.blocks[0].content == "Hm."
    assert response.message.blocks[0].num_tokens > 0


@row("Thinking in a stream")
async def row_16(bench: SimpleNamespace) -> None:
    bench.sandbox.script(ScriptedAnswer(reasoning=("H", "m."), text="Hi."))
    stream = bench.make("qwen3.8-flash").stream_chat([ChatMessage("Hello")])
    deltas = [response.additional_kwargs.get("thinking_delta", "") for response in stream]
    assert "".join(deltas) == "Hm."


@row("Deltas and whole message in a stream")
async def row_17(bench: SimpleNamespace) -> None:
    text = ""
    for response in bench.llm.stream_chat([ChatMessage("Hello")]):
        text += response.delta
        assert (response.message.content or "") == text
    assert text


@row("Async")
async def row_18(bench: SimpleNamespace) -> None:
    assert (await bench.llm.achat([QUESTION])).message.content
    assert [item async for item in await bench.llm.astream_chat([QUESTION])]


def add(a: int, b: int) -> int:
    """Add."""
    return a + b


TOOL = FunctionTool.from_defaults(add)
ADD = ToolCall("add", {"a": 1, "b": 2}, id="a")


@row("Tools")
async def row_19(bench: SimpleNamespace) -> None:
    bench.sandbox.script(ScriptedAnswer(tool_calls=(ADD,)))
    response = bench.llm.chat_with_tools([TOOL], user_msg="1 and 2?")
    (sent,) = bench.sandbox.last_request.json["tools"]
    assert sent["function"]["parameters"]["required"] == ["a", "b"]
    assert bench.llm.get_tool_calls_from_response(response)[0].tool_kwargs == {"a": 1, "b": 2}


@row("`tool_required`, `tool_choice`")
async def row_20(bench: SimpleNamespace) -> None:
    bench.llm.chat_with_tools([TOOL], user_msg="?", tool_required=True)
    assert bench.sandbox.last_request.json["tool_choice"] == "required"
    bench.llm.chat_with_tools([TOOL], user_msg="?", tool_choice="add")
    assert bench.sandbox.last_request.json["tool_choice"]["function"] == {"name": "add"}


@row("Parallel calls, calls in a stream")
async def row_21(bench: SimpleNamespace) -> None:
    bench.sandbox.script(
        ScriptedAnswer(tool_calls=(ADD, ToolCall("add", {"a": 3, "b": 4}, id="b")))
    )
    *_, last = bench.llm.stream_chat_with_tools(
        [TOOL], user_msg="?", allow_parallel_tool_calls=True
    )
    assert [call.tool_id for call in bench.llm.get_tool_calls_from_response(last)] == ["a", "b"]


@row("`FunctionAgent` whose tool returns an image")
async def row_22(bench: SimpleNamespace) -> None:
    def look() -> list[Any]:
        """Look."""
        return [TextBlock(text="Here."), ImageBlock(image=PNG)]

    bench.sandbox.script(ScriptedAnswer(tool_calls=(ToolCall("look", {}, id="a"),)))
    answer = await FunctionAgent(tools=[look], llm=bench.llm).run(user_msg="Look.")
    assert "PNG 451x300" in str(answer)


class Animal(BaseModel):
    name: str


@row("`as_structured_llm` with an image")
async def row_23(bench: SimpleNamespace) -> None:
    structured = bench.llm.as_structured_llm(Animal)
    assert isinstance(structured.chat([QUESTION]).raw, Animal)
    *_, last = structured.stream_chat([QUESTION])
    assert isinstance(last.raw, Animal)


@row("HTTP errors")
async def row_24(bench: SimpleNamespace) -> None:
    for status, kind in (
        (400, errors.InvalidRequestError),
        (401, errors.AuthenticationError),
        (500, errors.ServerError),
    ):
        llm = bench.make(max_retries=0)
        for endpoint in ("chat", "achat", "stream_chat", "astream_chat"):
            bench.sandbox.fail(status=status)
            with pytest.raises(kind):
                await drain(getattr(llm, endpoint)([ChatMessage("Hello")]))


async def drain(values: Any) -> None:
    values = await values if inspect.isawaitable(values) else values
    if isinstance(values, AsyncGenerator):
        assert [item async for item in values]
    elif isinstance(values, Generator):
        list(values)


@row("Retries")
async def row_25(bench: SimpleNamespace) -> None:
    bench.sandbox.fail(status=429, retry_after=0.01, times=2)
    assert bench.make(max_retries=2).chat([ChatMessage("Hello")]).message.content
    assert len(bench.sandbox.requests) == 3
    bench.sandbox.clear()
    bench.sandbox.fail(status=500, retry_after=0.01, times=9)
    with pytest.raises(errors.ServerError):
        bench.make(max_retries=2).chat([ChatMessage("Hello")])
    assert len(bench.sandbox.requests) == 3


@row("Timeout")
async def row_26(bench: SimpleNamespace) -> None:
    bench.sandbox.fail(latency=2)
    with pytest.raises(errors.APITimeoutError):
        bench.make(timeout=0.1, max_retries=0).chat([ChatMessage("Hello")])


@row("Truncated stream")
async def row_27(bench: SimpleNamespace) -> None:
    bench.sandbox.fail(cut_after_chunks=3)
    with pytest.raises(errors.PartialResponseError):
        list(bench.llm.stream_chat([ChatMessage("Hello")]))


@row("Token counts: `raw`, details, `TokenCountingHandler`")
async def row_28(bench: SimpleNamespace) -> None:
    for streams in (False, True):
        counter = TokenCountingHandler(tokenizer=str.split)
        llm = bench.make(callback_manager=CallbackManager([counter]))
        response = [*llm.stream_chat([QUESTION])][-1] if streams else llm.chat([QUESTION])
        assert response.additional_kwargs["image_tokens"] == 128
        assert counter.prompt_llm_token_count == response.raw["usage"]["prompt_tokens"]


@row("`pickle`, `deepcopy` after use")
async def row_29(bench: SimpleNamespace) -> None:
    bench.llm.complete("Hello")
    pickled = pickle.loads(pickle.dumps(bench.llm))
    pickled.api_key = bench.llm.api_key
    for again in (pickled, copy.deepcopy(bench.llm)):
        assert again.complete("Hello").text


@row("Key in `to_dict`, `repr`")
async def row_30(bench: SimpleNamespace) -> None:
    assert "sk-sandbox-7712" not in f"{bench.llm.to_dict()} {bench.llm!r}"


@row("`from_dict(to_dict())`, key from `DASHSCOPE_API_KEY`")
async def row_31(bench: SimpleNamespace) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DASHSCOPE_API_KEY", "sk-environment-1")
        assert QwenVL.from_dict(bench.llm.to_dict()).complete("Hello").text


@row("`complete(image_documents=)`")
async def row_32(bench: SimpleNamespace) -> None:
    documents = [
        ImageNode(image_path=str(CHELSEA)),
        ImageDocument(image_path=str(CHELSEA)),
        ImageBlock(path=CHELSEA),
    ]
    answer = bench.llm.complete("What is this?", image_documents=documents)
    assert answer.additional_kwargs["image_tokens"] == 3 * 128


@row("Qwen's own parameters")
async def row_33(bench: SimpleNamespace) -> None:
    llm = bench.make(enable_thinking=False, vl_high_resolution_images=True)
    llm.complete("Hello", top_k=20)
    body = bench.sandbox.last_request.json
    assert body["enable_thinking"] is False
    assert (body["vl_high_resolution_images"], body["top_k"]) == (True, 20)


@row("`chat_history` is not modified")
async def row_34(bench: SimpleNamespace) -> None:
    history = [QUESTION]
    bench.llm.chat_with_tools([TOOL], user_msg="And?", chat_history=history)
    assert history == [QUESTION]


@row("`metadata.context_window` of qwen3-vl-plus")
async def row_35(bench: SimpleNamespace) -> None:
    assert bench.llm.metadata.context_window == 262_144


@row("`Settings.llm`")
async def row_36(bench: SimpleNamespace) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Settings, "_llm", bench.llm)
        assert Settings.llm.complete("Hello").text


@row("RAG with `multimodal=True`, image and video")
async def row_37(bench: SimpleNamespace) -> None:
    nodes = [
        ImageNode(image_path=str(CHELSEA)),
        Node(video_resource=MediaResource(path=BIG_BUCK_BUNNY)),
    ]
    engine = get_response_synthesizer(llm=bench.llm, multimodal=True)
    answer = await engine.asynthesize("What is this?", [NodeWithScore(node=n) for n in nodes])
    assert "PNG 451x300" in str(answer)
    assert "MP4 1280x720" in str(answer)


@pytest.mark.openai_wire
@pytest.mark.parametrize("name", ROWS)
async def test_row(name: str, bench: SimpleNamespace) -> None:
    await ROWS[name](bench)
