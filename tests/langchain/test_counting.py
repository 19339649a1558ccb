"""Messages counted before they are sent, and what LangChain does with the count."""

import base64
import io
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import (
    ClearToolUsesEdit,
    ContextEditingMiddleware,
    SummarizationMiddleware,
)
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    trim_messages,
)
from langchain_core.tools import tool
from PIL import Image

from langchain_qwen_vl import ChatQwenVL
from langchain_qwen_vl.messages import count_message_tokens
from qwen_vl.errors import MediaAccessError, MediaNotFoundError
from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA, COFFEE, ROCKET
from qwen_vl.settings import QwenVLSettings
from qwen_vl_sandbox import Sandbox

CAT_TOKENS = 128
CAT = {"type": "image", "image": CHELSEA}


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def reject(*arguments: object) -> None:
        raise AssertionError(f"counting opened a connection: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", reject)
    monkeypatch.setattr(socket, "getaddrinfo", reject)


@pytest.fixture
def lone() -> ChatQwenVL:
    """A model that has nothing to talk to."""
    return ChatQwenVL(api_key="sk-1", base_url="https://service.invalid/v1")


@tool
def crop(left: int, width: int) -> str:
    """Cut a piece out of the image.

    Args:
        left: First column, in pixels.
        width: Columns, in pixels.
    """
    return f"{left}+{width}"


def _asked(*blocks: Any, text: str = "What is this?") -> HumanMessage:
    return HumanMessage([*blocks, {"type": "text", "text": text}])


def _images(n_turns: int) -> list[BaseMessage]:
    """A conversation that shows an image in every turn."""
    messages: list[BaseMessage] = [SystemMessage("Be brief.", id="system")]
    for number in range(n_turns):
        messages += [
            HumanMessage([CAT, {"type": "text", "text": f"Image {number}?"}], id=f"q{number}"),
            AIMessage(f"A cat, number {number}.", id=f"a{number}"),
        ]
    return messages


@pytest.mark.parametrize(
    ("block", "kind"),
    [
        (CAT, "image"),
        ({"type": "image", "image": COFFEE, "max_pixels": 100_000}, "image"),
        ({"type": "image", "base64": base64.b64encode(ROCKET.read_bytes()).decode()}, "image"),
        ({"type": "video", "video": BIG_BUCK_BUNNY}, "video"),
        ({"type": "video", "video": BIG_BUCK_BUNNY, "fps": 1}, "video"),
        ({"type": "video", "video": [ROCKET] * 6, "fps": 2}, "video"),
    ],
)
@pytest.mark.parametrize("model", ["qwen3-vl-plus", "qwen3.8-max"])
def test_count_agrees_with_the_sandbox(
    block: dict[str, Any], kind: str, model: str, make_chat: Callable[..., ChatQwenVL]
) -> None:
    chat = make_chat(model=model)
    message = _asked(block)
    words = chat.get_num_tokens_from_messages([_asked()])

    counted = chat.get_num_tokens_from_messages([message])
    usage = chat.invoke([message]).usage_metadata

    assert usage is not None
    assert abs(counted - words - usage["input_token_details"][kind]) <= 2  # type: ignore[literal-required]
    assert abs(counted - usage["input_tokens"]) <= 12


def test_settings_of_the_model_count(make_chat: Callable[..., ChatQwenVL]) -> None:
    messages = [_asked({"type": "image", "image": ROCKET})]
    plain = make_chat().get_num_tokens_from_messages(messages)

    assert make_chat(max_pixels=65_536).get_num_tokens_from_messages(messages) < plain - 100
    assert make_chat(min_pixels=1_000_000).get_num_tokens_from_messages(messages) > plain + 500
    video = [_asked({"type": "video", "video": BIG_BUCK_BUNNY})]
    slow, fast = make_chat(fps=1), make_chat(fps=4)
    assert slow.get_num_tokens_from_messages(video) < fast.get_num_tokens_from_messages(video) / 2


def test_messages_of_any_form_are_counted(lone: ChatQwenVL) -> None:
    expected = lone.get_num_tokens_from_messages([HumanMessage("Hello")])

    assert lone.get_num_tokens_from_messages([("human", "Hello")]) == expected
    assert lone.get_num_tokens_from_messages([{"role": "user", "content": "Hello"}]) == expected
    assert lone.get_num_tokens_from_messages(iter(["Hello"])) == expected


@pytest.mark.usefixtures("offline")
def test_count_needs_no_network(lone: ChatQwenVL) -> None:
    far = _asked(
        {"type": "image", "url": "https://example.com/cat.png"},
        {"type": "video", "url": "https://example.com/film.mp4", "fps": 1},
    )

    assert lone.get_num_tokens_from_messages(_images(3)) > 3 * CAT_TOKENS
    with pytest.warns(UserWarning, match=r"2,562 tokens are counted.* 19,202 tokens are counted"):
        assert lone.get_num_tokens_from_messages([far]) > 2_562 + 30 * 640


@pytest.mark.usefixtures("offline")
def test_video_of_five_megabytes_is_not_counted_as_text(lone: ChatQwenVL) -> None:
    # MP4 may hold free space, which is nothing to look at.
    data = BIG_BUCK_BUNNY.read_bytes()
    data += struct.pack(">I", 4_000_008) + b"free" + bytes(4_000_000)
    video = {
        "type": "video",
        "base64": base64.b64encode(data).decode(),
        "mime_type": "video/mp4",
    }

    assert lone.get_num_tokens_from_messages([_asked(video)]) < 6_000


def test_tools_count(lone: ChatQwenVL) -> None:
    messages = [HumanMessage("Hello")]

    counted = lone.get_num_tokens_from_messages(messages, tools=[crop])

    assert counted > lone.get_num_tokens_from_messages(messages) + 50


def test_text_counts(lone: ChatQwenVL) -> None:
    assert lone.get_num_tokens("What is depicted in the image?") == 7


def test_tokenizer_of_the_caller_counts_text() -> None:
    chat = ChatQwenVL(api_key="sk-1", custom_get_token_ids=lambda text: list(text.encode()))

    assert chat.get_num_tokens("abc") == 3
    assert chat.get_token_ids("abc") == [97, 98, 99]
    short, long = ([HumanMessage("a" * length)] for length in (1, 101))
    counted = [chat.get_num_tokens_from_messages(messages) for messages in (short, long)]
    assert counted[1] - counted[0] == 100


def test_token_ids_are_not_made_up(lone: ChatQwenVL) -> None:
    with pytest.raises(NotImplementedError, match="custom_get_token_ids"):
        lone.get_token_ids("abc")


FILE_FORMS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "path": lambda path: {"file": path},
    "path by URL": lambda path: {"url": path},
    "bytes": lambda path: {"file": path.read_bytes()},
    "bytearray": lambda path: {"file": bytearray(path.read_bytes())},
    "open": lambda path: {"file": io.BytesIO(path.read_bytes())},
    "open by URL": lambda path: {"url": io.BytesIO(path.read_bytes())},
    "row": lambda path: {"file": {"bytes": path.read_bytes(), "path": None}},
    "file data": lambda path: {"file": {"file_data": path.read_bytes()}},
    "source": lambda path: {"source": {"data": io.BytesIO(path.read_bytes())}},
}


@pytest.mark.parametrize("stated", [{}, {"mime_type": "application/pdf"}], ids=["bare", "stated"])
@pytest.mark.parametrize("to_block", FILE_FORMS.values(), ids=FILE_FORMS.keys())
def test_file_counts_in_every_form_that_is_sent(
    qwen_vl_sandbox: Sandbox,
    tmp_path: Path,
    to_block: Callable[[Path], dict[str, Any]],
    stated: dict[str, str],
) -> None:
    path = tmp_path / "report.pdf"
    Image.new("RGB", (600, 800), "red").save(path, "PDF")
    chat = ChatQwenVL(api_key="sk-1", base_url=qwen_vl_sandbox.base_url)
    for file in (path, CHELSEA, BIG_BUCK_BUNNY):
        block = {"type": "file", **to_block(file), **(stated if file is path else {})}
        messages = [HumanMessage([block, "?"])]
        counted = chat.get_num_tokens_from_messages(messages)
        used = chat.invoke(messages).usage_metadata
        assert used is not None
        # The labels of pages are text, which is estimated, and so is the chat template.
        assert used["input_tokens"] == pytest.approx(counted, abs=12)


def test_file_object_that_is_read_once_is_not_used_up_by_counting(lone: ChatQwenVL) -> None:
    file = io.BufferedReader(_Once(b"%PDF-1.7"))
    block = {"type": "file", "file": file, "mime_type": "application/pdf"}
    with pytest.raises(MediaAccessError, match="read only once"):
        lone.get_num_tokens_from_messages([HumanMessage([block])])
    assert file.read() == b"%PDF-1.7"


class _Once(io.RawIOBase):
    def __init__(self, data: bytes) -> None:
        self._data = data

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece, self._data = self._data[: len(buffer)], self._data[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)


def test_missing_file_is_told_as_in_sending(lone: ChatQwenVL) -> None:
    gone = _asked({"type": "image", "image": CHELSEA.with_name("gone.png")})

    with pytest.raises(MediaNotFoundError, match=r"messages\[0\]\.content\[0\]"):
        lone.get_num_tokens_from_messages([gone])


@pytest.mark.parametrize("n_kept", [1, 3, 5])
def test_trimming_keeps_the_last_pictures_that_fit(n_kept: int, lone: ChatQwenVL) -> None:
    messages = _images(8)
    tail = messages[-2 * n_kept :]
    # LangChain counts the system message by itself.
    limit = sum(map(lone.get_num_tokens_from_messages, (messages[:1], tail)))

    trimmed = trim_messages(
        messages,
        max_tokens=limit,
        token_counter=lone,
        strategy="last",
        start_on="human",
        include_system=True,
    )

    assert [message.id for message in trimmed] == ["system", *(message.id for message in tail)]


def test_trimming_keeps_the_first_messages_that_fit(lone: ChatQwenVL) -> None:
    messages = _images(8)
    limit = lone.get_num_tokens_from_messages(messages[:5])

    trimmed = trim_messages(messages, max_tokens=limit, token_counter=lone, strategy="first")

    assert trimmed == messages[:5]


def test_trimming_counts_a_tool_s_pictures(lone: ChatQwenVL) -> None:
    call = {"name": "crop", "args": {}, "id": "1", "type": "tool_call"}
    messages = [
        _asked(CAT),
        AIMessage("", tool_calls=[call]),
        ToolMessage([CAT, CAT, CAT], tool_call_id="1"),
        AIMessage("Three cats."),
        HumanMessage("And now?"),
    ]

    trimmed = trim_messages(
        messages, max_tokens=300, token_counter=lone, strategy="last", start_on="human"
    )

    assert trimmed == messages[-1:]
    assert lone.get_num_tokens_from_messages(messages) > 4 * CAT_TOKENS


def test_long_conversation_of_pictures_is_summarized(
    make_chat: Callable[..., ChatQwenVL], qwen_vl_sandbox: Sandbox
) -> None:
    model = make_chat()
    assert model.profile is not None
    messages = [*_images(20)[1:], HumanMessage("What was the last image?", id="last")]
    share = 1_500 / model.profile["max_input_tokens"]
    middleware = SummarizationMiddleware(
        model,
        trigger=("fraction", share),
        keep=("tokens", model.get_num_tokens_from_messages(messages[-5:])),
        token_counter=model.get_num_tokens_from_messages,
    )
    agent = create_agent(model, middleware=[middleware])

    answer = agent.invoke({"messages": messages})

    summary, *kept, last = answer["messages"]
    assert summary.text.startswith("Here is a summary of the conversation")
    assert [message.id for message in kept] == ["q18", "a18", "q19", "a19", "last"]
    assert last.usage_metadata["input_token_details"]["image"] == 2 * CAT_TOKENS
    assert len(qwen_vl_sandbox.requests) == 2


def test_short_conversation_of_pictures_is_not_summarized(
    make_chat: Callable[..., ChatQwenVL], qwen_vl_sandbox: Sandbox
) -> None:
    model = make_chat()
    middleware = SummarizationMiddleware(
        model,
        trigger=("fraction", 0.5),
        token_counter=model.get_num_tokens_from_messages,
    )
    agent = create_agent(model, middleware=[middleware])

    answer = agent.invoke({"messages": [*_images(3)[1:], HumanMessage("And now?")]})

    assert len(answer["messages"]) == 8
    assert len(qwen_vl_sandbox.requests) == 1


def test_old_results_of_tools_are_cleared_by_the_model_s_count(
    make_chat: Callable[..., ChatQwenVL],
) -> None:
    model = make_chat()
    edit = ClearToolUsesEdit(trigger=400, keep=1)
    middleware = ContextEditingMiddleware(edits=[edit], token_count_method="model")
    agent = create_agent(model, tools=[crop], middleware=[middleware])
    messages: list[BaseMessage] = [_asked(CAT)]
    for number in range(3):
        call = {"name": "crop", "args": {"left": 1}, "id": str(number), "type": "tool_call"}
        messages += [
            AIMessage("", tool_calls=[call]),
            ToolMessage([CAT], tool_call_id=str(number)),
        ]

    answer = agent.invoke({"messages": messages})

    usage = answer["messages"][-1].usage_metadata
    assert usage["input_token_details"]["image"] == 2 * CAT_TOKENS


def test_settings_alone_are_enough() -> None:
    counted = count_message_tokens([_asked(CAT)], QwenVLSettings(model="qwen3-vl-plus"))

    assert 0 < counted - CAT_TOKENS < 20
