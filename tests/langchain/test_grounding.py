"""Places and times in LangChain: runnables in chains, tools for agents, callbacks on the way."""

import asyncio
import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler, UsageMetadataCallbackHandler
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from PIL import Image

from langchain_qwen_vl import ChatQwenVL, locate_tool, timeline_tool
from qwen_vl.errors import ConfigurationError, ServiceError
from qwen_vl.grounding.results import Grounding
from qwen_vl.grounding.timeline import Timeline
from qwen_vl.samples import BIG_BUCK_BUNNY
from qwen_vl_sandbox import Sandbox, ScriptedAnswer, ToolCall

MakeChat = Callable[..., ChatQwenVL]
RED, BLUE = (64, 48, 192, 240), (320, 96, 512, 192)


@pytest.fixture(scope="module")
def desk() -> Image.Image:
    image = Image.new("RGB", (640, 480), "white")
    image.paste("red", RED)
    image.paste("blue", BLUE)
    return image


def test_locator_composes(chat: ChatQwenVL, desk: Image.Image) -> None:
    chain = (
        {"image": lambda _: desk, "what": RunnablePassthrough()}
        | chat.as_locator()
        | RunnableLambda(lambda found: found.boxes[0].xyxy)
    )
    assert chain.batch(["red things", "blue things"]) == [RED, BLUE]


async def test_locator_composes_asynchronously(chat: ChatQwenVL, desk: Image.Image) -> None:
    locator = chat.as_locator(points=True)
    asked = [{"image": desk, "what": what} for what in ("red things", "blue things")]
    found = await locator.abatch(asked)
    assert [(one.points[0].x, one.points[0].y) for one in found] == [(128, 144), (416, 144)]
    both = await locator.ainvoke({**asked[0], "points": False})
    assert both.boxes[0].xyxy == RED


@pytest.mark.openai_wire
def test_timeline_finder_composes(chat: ChatQwenVL) -> None:
    chain = chat.as_timeline_finder(fps=1) | RunnableLambda(len)
    assert chain.invoke({"video": BIG_BUCK_BUNNY}) == 1
    assert asyncio.run(chain.ainvoke({"video": BIG_BUCK_BUNNY, "what": "rabbits"})) == 1


@pytest.mark.openai_wire
@pytest.mark.parametrize("values", [{}, {"image": None, "what": "x"}, {"what": "x"}, "a cat"])
def test_runnables_say_what_is_missing(chat: ChatQwenVL, values: Any) -> None:
    with pytest.raises(ConfigurationError, match="Pass a dict"):
        chat.as_locator().invoke(values)
    with pytest.raises(ConfigurationError, match="Pass a dict"):
        chat.as_timeline_finder().invoke(values)


def test_locator_wants_to_know_what(chat: ChatQwenVL, desk: Image.Image) -> None:
    with pytest.raises(ConfigurationError, match="nothing to look for"):
        chat.as_locator().invoke({"image": desk})


@pytest.mark.openai_wire
def test_callbacks_see_the_call(chat: ChatQwenVL, desk: Image.Image) -> None:
    usage = UsageMetadataCallbackHandler()
    chat.as_locator().invoke({"image": desk, "what": "red"}, {"callbacks": [usage]})
    assert usage.usage_metadata["qwen3-vl-plus"]["input_token_details"]["image"] == 302


@pytest.mark.openai_wire
def test_errors_of_the_service_are_langchains_too(
    chat: ChatQwenVL, desk: Image.Image, qwen_vl_sandbox: Sandbox
) -> None:
    from langchain_core.exceptions import ModelAuthenticationError  # noqa: PLC0415 - heavy

    qwen_vl_sandbox.fail(status=401)
    with pytest.raises(ModelAuthenticationError) as caught:
        chat.locate(desk, "red")
    assert isinstance(caught.value, ServiceError)


def run_agent(model: ChatQwenVL, tools: list[Any]) -> ToolMessage:
    agent = create_agent(model, tools)
    state = agent.invoke({"messages": [HumanMessage("Where is it?")]})
    return next(message for message in state["messages"] if isinstance(message, ToolMessage))


def test_agent_locates(make_chat: MakeChat, qwen_vl_sandbox: Sandbox, desk: Image.Image) -> None:
    model = make_chat()
    tool = locate_tool(model, {"desk": desk})
    assert "There are: desk." in tool.description
    call = ToolCall("locate", {"image": "desk", "what": "red things"})
    qwen_vl_sandbox.script(ScriptedAnswer(tool_calls=(call,)))
    message = run_agent(model, [tool])
    assert message.content == ("1 box in an image of 640 x 480 pixels: red [64, 48, 192, 240].")
    assert isinstance(message.artifact, Grounding)
    assert message.artifact.boxes[0].xyxy == RED


@pytest.mark.openai_wire
def test_agent_dates(make_chat: MakeChat, qwen_vl_sandbox: Sandbox) -> None:
    model = make_chat()
    call = ToolCall("timeline", {"video": "walk", "what": "rabbits"})
    qwen_vl_sandbox.script(ScriptedAnswer(tool_calls=(call,)))
    message = run_agent(model, [timeline_tool(model, {"walk": BIG_BUCK_BUNNY}, fps=1)])
    assert str(message.content).startswith("1 event in a video of 0:05.3: 0:00 to 0:05.3 scene 1")
    assert isinstance(message.artifact, Timeline)


@pytest.mark.openai_wire
async def test_tools_are_asynchronous_too(chat: ChatQwenVL, desk: Image.Image) -> None:
    tools = [locate_tool(chat, {"a": desk}), timeline_tool(chat, {"a": BIG_BUCK_BUNNY})]
    answers = [
        await tool.ainvoke({kind: "a", "what": "red things"})
        for tool, kind in zip(tools, ("image", "video"), strict=True)
    ]
    assert answers[0].startswith("1 box")
    assert answers[1].startswith("1 event")
    wrong = await tools[0].ainvoke({"image": "b", "what": "red things"})
    assert wrong == "There is nothing named 'b'. Choose one of 'a'."


@pytest.mark.openai_wire
@pytest.mark.parametrize(
    "image", ["{secret}", "file://{secret}", "~/secret.png", "../secret.png", "/etc/passwd"]
)
def test_what_a_model_writes_is_never_read_as_a_path(
    chat: ChatQwenVL, qwen_vl_sandbox: Sandbox, tmp_path: Path, image: str
) -> None:
    secret = tmp_path / "secret.png"
    Image.new("RGB", (64, 48), "red").save(secret)
    for tool, kind in ((locate_tool(chat), "image"), (timeline_tool(chat), "video")):
        values = {kind: image.replace("{secret}", str(secret)), "what": "red things"}
        call = {"name": tool.name, "args": values, "id": "1", "type": "tool_call"}
        message = tool.invoke(call)
        assert message.status == "error"
        assert "may not be read" in message.content
    assert not qwen_vl_sandbox.requests


@pytest.mark.openai_wire
def test_tool_reads_inside_of_media_roots_alone(make_chat: MakeChat, tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    for folder in ("open", "."):
        Image.new("RGB", (64, 48), "red").save(tmp_path / folder / "a.png")
    tool = locate_tool(make_chat(media_roots=[tmp_path / "open"]))
    inside, outside = (
        tool.invoke({"image": str(path), "what": "red"})
        for path in (tmp_path / "open" / "a.png", tmp_path / "open" / ".." / "a.png")
    )
    assert inside.startswith("1 box")
    assert "is outside media_roots" in outside


def test_typos_are_named(chat: ChatQwenVL, desk: Image.Image) -> None:
    calls: list[Callable[[], object]] = [
        lambda: chat.locate(desk, "red", pionts=True),  # type: ignore[call-arg]
        lambda: chat.as_locator(pionts=True),  # type: ignore[call-arg]
        lambda: chat.as_locator().invoke({"image": desk, "what": "red", "pionts": True}),
        lambda: locate_tool(chat, {"desk": desk}, pionts=True),  # type: ignore[call-arg]
    ]
    for call in calls:
        with pytest.raises(
            ConfigurationError, match=r"'pionts' is not an option of locate. Did you mean 'points'"
        ):
            call()
    for call in (
        lambda: chat.timeline(BIG_BUCK_BUNNY, sart=1),  # type: ignore[call-arg]
        lambda: timeline_tool(chat, {"walk": BIG_BUCK_BUNNY}, sart=1),  # type: ignore[call-arg]
    ):
        with pytest.raises(
            ConfigurationError, match=r"'sart' is not an option of timeline. Did you mean 'start'"
        ):
            call()


def test_options_of_a_call_reach_it(
    chat: ChatQwenVL, qwen_vl_sandbox: Sandbox, desk: Image.Image
) -> None:
    tool = locate_tool(chat, {"desk": desk}, model="qwen3-vl-flash", temperature=0.5)
    assert tool.invoke({"image": "desk", "what": "red"}).startswith("1 box")
    sent = qwen_vl_sandbox.last_request.json
    assert (sent["model"], sent["temperature"]) == ("qwen3-vl-flash", 0.5)


@pytest.mark.openai_wire
@pytest.mark.parametrize("is_async", [False, True])
async def test_coordinates_are_not_streamed_to_the_user_of_an_agent(
    make_chat: MakeChat, qwen_vl_sandbox: Sandbox, desk: Image.Image, is_async: bool
) -> None:
    model = make_chat(streaming=True)
    call = ToolCall("locate", {"image": "desk", "what": "red things"})
    qwen_vl_sandbox.script(ScriptedAnswer(tool_calls=(call,)))
    agent = create_agent(model, [locate_tool(model, {"desk": desk})])
    state: Any = {"messages": [HumanMessage("Where is it?")]}
    if is_async:
        seen = [message async for message, _ in agent.astream(state, stream_mode="messages")]
    else:
        seen = [message for message, _ in agent.stream(state, stream_mode="messages")]
    said = "".join(str(message.text) for message in seen if not isinstance(message, ToolMessage))
    assert len(qwen_vl_sandbox.requests) == 3
    assert said, "the agent's own answer is streamed"
    assert "bbox_2d" not in said
    (result,) = [message for message in seen if isinstance(message, ToolMessage)]
    assert str(result.content).startswith("1 box")


@pytest.mark.openai_wire
def test_other_calls_of_a_model_still_stream_within_an_agent(
    make_chat: MakeChat, qwen_vl_sandbox: Sandbox, desk: Image.Image
) -> None:
    model = make_chat(streaming=True)

    def ask(question: str) -> str:
        """Ask again."""
        return str(model.locate(desk, question))

    call = ToolCall("ask", {"question": "red things"})
    qwen_vl_sandbox.script(ScriptedAnswer(tool_calls=(call,)))
    agent = create_agent(model, [ask])
    state: Any = {"messages": [HumanMessage("Where is it?")]}
    seen = [message for message, _ in agent.stream(state, stream_mode="messages")]
    assert any("bbox_2d" in str(message.text) for message in seen)


@pytest.mark.openai_wire
def test_traces_and_cache_keys_hold_the_prepared_image(
    make_chat: MakeChat, desk: Image.Image
) -> None:
    traced: list[Any] = []

    class Listener(BaseCallbackHandler):
        def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
            traced.append(messages[0][0].content[0])

    chat = make_chat(callbacks=[Listener()])
    chat.locate(desk, "red things")
    url = traced[0]["image_url"]["url"]
    assert url.startswith("data:image/png;base64,iVBORw0K")
    with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as sent:
        assert sent.size == desk.size


@pytest.mark.openai_wire
async def test_async_calls_find_what_sync_calls_find(chat: ChatQwenVL, desk: Image.Image) -> None:
    found = await chat.alocate(desk, "red things")
    timeline = await chat.atimeline(BIG_BUCK_BUNNY, fps=1)

    assert found == chat.locate(desk, "red things")
    assert found.boxes[0].xyxy == RED
    assert timeline == chat.timeline(BIG_BUCK_BUNNY, fps=1)
    assert timeline.events
