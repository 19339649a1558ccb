"""Text from servers and messages is converted in time that grows as its length does."""

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from langchain_qwen_vl.messages import to_chunk, to_message, to_turns
from langchain_qwen_vl.tracing import to_safe_message
from linear import TEXTS, Read, check_growth
from qwen_vl.content import ToolCall
from qwen_vl.reply import Delta, Reply, ToolCallDelta
from qwen_vl.request.types import MediaPolicy


def read_history(text: str) -> None:
    wrong = {"type": "invalid_tool_call", "name": "look", "args": text, "id": "a", "error": None}
    image = {"type": "image_url", "image_url": {"url": text}}
    to_turns(
        [
            HumanMessage([image, {"type": "text", "text": text}]),
            AIMessage(text, invalid_tool_calls=[wrong]),
            ToolMessage(text, tool_call_id="a"),
        ]
    )


READERS: dict[str, Read] = {
    "history": read_history,
    "trace": lambda text: to_safe_message(
        HumanMessage([{"type": "image", "image": text}]), "messages[0]", MediaPolicy()
    ),
    "reply": lambda text: to_message(
        Reply(text=text, tool_calls=(ToolCall(id="a", name="look", arguments=text),))
    ),
    "chunk": lambda text: to_chunk(
        Delta(text=text, tool_calls=(ToolCallDelta(index=0, id="a", name="b", arguments=text),))
    ),
}


@pytest.mark.parametrize("reader", READERS)
def test_reader_takes_time_by_the_length_of_the_text(reader: str) -> None:
    for name in TEXTS:
        check_growth(READERS[reader], name, largest=4_096)


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS)
def test_reader_takes_time_by_the_length_of_a_long_text(reader: str) -> None:
    for name in TEXTS:
        check_growth(READERS[reader], name, largest=2**18)
