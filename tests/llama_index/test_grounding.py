"""Places and times in LlamaIndex: tools for agents, and events on the way."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentStream, FunctionAgent, ToolCallResult
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.llm import LLMChatStartEvent
from PIL import Image

from llama_index.llms.qwen_vl import QwenVL, locate_tool, timeline_tool
from qwen_vl.errors import (
    AuthenticationError,
    ConfigurationError,
    MediaAccessError,
    MediaNotFoundError,
)
from qwen_vl.grounding.results import Grounding
from qwen_vl.grounding.timeline import Timeline
from qwen_vl.samples import BIG_BUCK_BUNNY
from qwen_vl_sandbox import Sandbox, ScriptedAnswer, ToolCall

MakeLlm = Callable[..., QwenVL]
RED = (64, 48, 192, 240)


@pytest.fixture(scope="module")
def desk() -> Image.Image:
    image = Image.new("RGB", (640, 480), "white")
    image.paste("red", RED)
    return image


async def run_agent(llm: QwenVL, tools: list[Any]) -> ToolCallResult:
    handler = FunctionAgent(tools=tools, llm=llm, streaming=False).run("Where is it?")
    events = [event async for event in handler.stream_events()]
    await handler
    return next(event for event in events if isinstance(event, ToolCallResult))


async def test_agent_locates(llm: QwenVL, qwen_vl_sandbox: Sandbox, desk: Image.Image) -> None:
    tool = locate_tool(llm, {"desk": desk})
    assert "There are: desk." in tool.metadata.description
    call = ToolCall("locate", {"image": "desk", "what": "red things"})
    qwen_vl_sandbox.script(ScriptedAnswer(tool_calls=(call,)))
    output = (await run_agent(llm, [tool])).tool_output
    assert output.content == "1 box in an image of 640 x 480 pixels: red [64, 48, 192, 240]."
    assert isinstance(output.raw_output, Grounding)
    assert output.raw_output.boxes[0].xyxy == RED


@pytest.mark.openai_wire
async def test_agent_dates(llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    call = ToolCall("timeline", {"video": "walk", "what": "rabbits"})
    qwen_vl_sandbox.script(ScriptedAnswer(tool_calls=(call,)))
    tool = timeline_tool(llm, {"walk": BIG_BUCK_BUNNY}, fps=1)
    output = (await run_agent(llm, [tool])).tool_output
    assert output.content.startswith("1 event in a video of 0:05.3: 0:00 to 0:05.3 scene 1")
    assert isinstance(output.raw_output, Timeline)


@pytest.mark.openai_wire
async def test_agent_is_told_what_it_may_name(
    llm: QwenVL, qwen_vl_sandbox: Sandbox, desk: Image.Image
) -> None:
    call = ToolCall("locate", {"image": "chair", "what": "red things"})
    qwen_vl_sandbox.script(ScriptedAnswer(tool_calls=(call,)))
    output = (await run_agent(llm, [locate_tool(llm, {"desk": desk})])).tool_output
    assert output.is_error
    assert "There is nothing named 'chair'. Choose one of 'desk'." in output.content


@pytest.mark.openai_wire
async def test_tools_are_asynchronous_too(llm: QwenVL, desk: Image.Image) -> None:
    tool = locate_tool(llm, {"a": desk})
    assert (await tool.acall(image="a", what="red")).content == str(
        tool.call(image="a", what="red").raw_output
    )
    with pytest.raises(MediaNotFoundError):
        tool.call(image="b", what="red")


@pytest.mark.openai_wire
@pytest.mark.parametrize("image", ["{secret}", "file://{secret}", "../secret.png", "/etc/passwd"])
def test_what_a_model_writes_is_never_read_as_a_path(
    llm: QwenVL, qwen_vl_sandbox: Sandbox, tmp_path: Path, image: str
) -> None:
    secret = tmp_path / "secret.png"
    Image.new("RGB", (64, 48), "red").save(secret)
    name = image.replace("{secret}", str(secret))
    with pytest.raises(MediaAccessError, match="may not be read"):
        locate_tool(llm).call(image=name, what="red things")
    with pytest.raises(MediaAccessError, match="may not be read"):
        timeline_tool(llm).call(video=name, what="red things")
    assert not qwen_vl_sandbox.requests


@pytest.mark.openai_wire
def test_callbacks_see_the_call(make_llm: MakeLlm, desk: Image.Image) -> None:
    counter = TokenCountingHandler(tokenizer=str.split)
    llm = make_llm(callback_manager=CallbackManager([counter]))
    assert len(llm.locate(desk, "red things")) == 1
    assert len(counter.llm_token_counts) == 1


@pytest.mark.openai_wire
def test_errors_of_the_service_are_raised(
    llm: QwenVL, desk: Image.Image, qwen_vl_sandbox: Sandbox
) -> None:
    qwen_vl_sandbox.fail(status=401)
    with pytest.raises(AuthenticationError):
        llm.locate(desk, "red")


@pytest.mark.openai_wire
def test_typos_are_named(llm: QwenVL, desk: Image.Image) -> None:
    for call in (
        lambda: llm.locate(desk, "red", pionts=True),  # type: ignore[call-arg]
        lambda: locate_tool(llm, {"desk": desk}, pionts=True),  # type: ignore[call-arg]
    ):
        with pytest.raises(
            ConfigurationError, match=r"'pionts' is not an option of locate. Did you mean 'points'"
        ):
            call()
    for call in (
        lambda: llm.timeline(BIG_BUCK_BUNNY, secnds=1),  # type: ignore[call-arg]
        lambda: timeline_tool(llm, {"a": BIG_BUCK_BUNNY}, secnds=1),  # type: ignore[call-arg]
    ):
        with pytest.raises(
            ConfigurationError,
            match=r"'secnds' is not an option of timeline. Did you mean 'seconds'",
        ):
            call()


@pytest.mark.openai_wire
async def test_coordinates_are_not_streamed_to_the_user_of_an_agent(
    llm: QwenVL, qwen_vl_sandbox: Sandbox, desk: Image.Image
) -> None:
    call = ToolCall("locate", {"image": "desk", "what": "red things"})
    qwen_vl_sandbox.script(ScriptedAnswer(tool_calls=(call,)))
    handler = FunctionAgent(tools=[locate_tool(llm, {"desk": desk})], llm=llm).run("Where is it?")
    events = [event async for event in handler.stream_events()]
    await handler
    assert len(qwen_vl_sandbox.requests) == 3
    said = "".join(event.delta for event in events if isinstance(event, AgentStream))
    assert said, "the agent's own answer is streamed"
    assert "bbox_2d" not in said
    results = [event for event in events if isinstance(event, ToolCallResult)]
    assert str(results[0].tool_output.content).startswith("1 box")


@pytest.mark.openai_wire
def test_events_show_the_prepared_image(
    make_llm: MakeLlm, qwen_vl_sandbox: Sandbox, desk: Image.Image
) -> None:
    shown: list[Any] = []

    class Listener(BaseEventHandler):
        def handle(self, event: Any, **kwargs: Any) -> None:
            if isinstance(event, LLMChatStartEvent):
                shown.append(event.model_dump()["messages"][0]["blocks"][0])

    dispatcher = get_dispatcher()
    dispatcher.add_event_handler(Listener())
    try:
        make_llm().locate(desk, "red things")
    finally:
        dispatcher.event_handlers.pop()
    sent = qwen_vl_sandbox.last_request.json["messages"][0]["content"][0]["image_url"]["url"]
    assert (shown[0]["block_type"], "part" in shown[0]) == ("image", False)
    assert f"data:{shown[0]['image_mimetype']};base64,{shown[0]['image'].decode()}" == sent


@pytest.mark.openai_wire
async def test_async_calls_find_what_sync_calls_find(llm: QwenVL, desk: Image.Image) -> None:
    found = await llm.alocate(desk, "red things")
    timeline = await llm.atimeline(BIG_BUCK_BUNNY, fps=1)

    assert found == llm.locate(desk, "red things")
    assert found.boxes[0].xyxy == RED
    assert timeline == llm.timeline(BIG_BUCK_BUNNY, fps=1)
    assert timeline.events
