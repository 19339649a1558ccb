"""Text from servers and messages is converted in time that grows as its length does."""

import pytest
from llama_index.core.llms import ChatMessage, ImageBlock, TextBlock
from llama_index.core.llms import MessageRole as Role
from llama_index.core.schema import TextNode

from linear import TEXTS, Read, check_growth
from llama_index.llms.qwen_vl.messages import to_turns
from llama_index.llms.qwen_vl.nodes.read import to_media_blocks
from llama_index.llms.qwen_vl.responses import select_tools, to_chat_response
from qwen_vl.content import ToolCall
from qwen_vl.reply import Reply


def read_history(text: str) -> None:
    call = {"id": "a", "function": {"name": "look", "arguments": text}}
    image = ImageBlock(url="https://example.com/cat.png", image_mimetype=text)
    to_turns(
        [
            ChatMessage([image, TextBlock(text=text)]),
            ChatMessage(text, role=Role.ASSISTANT, additional_kwargs={"tool_calls": [call]}),
            ChatMessage(text, role=Role.TOOL, additional_kwargs={"tool_call_id": "a"}),
        ]
    )


def read_reply(text: str) -> None:
    call = ToolCall(id="a", name="look", arguments=text)
    select_tools(to_chat_response(Reply(text=text, tool_calls=(call,))))


READERS: dict[str, Read] = {
    "history": read_history,
    "reply": read_reply,
    "node": lambda text: to_media_blocks([TextNode(metadata={"image_path": text})]),
    "frames": lambda text: to_media_blocks([TextNode(metadata={"video_frames": text})]),
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
