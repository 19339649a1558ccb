"""What callbacks and tracers are given: standard blocks, no local paths, and every error."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import HumanMessage
from PIL import Image

from langchain_qwen_vl import ChatQwenVL
from qwen_vl.errors import ContentError, MediaAccessError
from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA

CAT = CHELSEA.read_bytes()


class Seen(BaseCallbackHandler):
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.block: Any = None
        self.error: BaseException | None = None

    def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
        self.block = messages[0][0].content[0]

    def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
        self.error = error


def seen(chat: ChatQwenVL, block: dict[str, Any], how: str = "invoke") -> Seen:
    handler = Seen()
    message = HumanMessage([block, {"type": "text", "text": "?"}])
    if how == "invoke":
        chat.invoke([message], {"callbacks": [handler]})
    else:
        list(chat.stream([message], {"callbacks": [handler]}))
    return handler


HELD: dict[str, Callable[[], Any]] = {
    "bytes": lambda: CAT,
    "PIL": lambda: Image.open(CHELSEA),
    "array": lambda: np.asarray(Image.open(CHELSEA)),
    "file": lambda: io.BytesIO(CAT),
    "row": lambda: {"bytes": CAT, "path": None},
}


@pytest.mark.parametrize(
    ("form", "shape"),
    [
        *((form, shape) for form in HELD if form != "row" for shape in ("image_url", "base64")),
        *((form, "image") for form in HELD),
    ],
)
@pytest.mark.openai_wire
def test_image_is_a_standard_block(chat: ChatQwenVL, form: str, shape: str) -> None:
    value = HELD[form]()
    block: dict[str, Any] = {
        "image": {"type": "image", "image": value},
        "image_url": {"type": "image_url", "image_url": {"url": value}},
        "base64": {"type": "image", "base64": value},
    }[shape]
    shown = seen(chat, block).block
    # LangChain itself gives tracers the block of OpenAI.
    assert shown["type"] == "image_url"
    assert shown["image_url"]["url"].startswith("data:image/png;base64,iVBORw0KGgo")
    json.dumps(shown)


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "image": CHELSEA},
        {"type": "image_url", "image_url": {"url": CHELSEA}},
        {"type": "video", "video": BIG_BUCK_BUNNY},
        {"type": "video", "video": [CHELSEA] * 4},
    ],
)
@pytest.mark.openai_wire
def test_path_is_shown_as_the_name_of_its_file(chat: ChatQwenVL, block: dict[str, Any]) -> None:
    shown = json.dumps(seen(chat, block).block)
    assert "file:///chelsea.png#" in shown or "file:///bigbuckbunny.mp4#" in shown
    assert str(CHELSEA.parent) not in shown


def test_files_of_one_name_are_told_apart(chat: ChatQwenVL, tmp_path: Path) -> None:
    shown = []
    for folder in ("a", "b"):
        path = tmp_path / folder / "cat.png"
        path.parent.mkdir()
        path.write_bytes(CAT)
        shown.append(seen(chat, {"type": "image", "image": path}).block["image"])
    assert shown[0].partition("path=")[2] != shown[1].partition("path=")[2]


def _closed() -> io.BytesIO:
    file = io.BytesIO(CAT)
    file.close()
    return file


REFUSED: dict[str, Callable[[], Any]] = {
    "tiny image": lambda: Image.new("RGB", (5, 5)),
    "text in bytes": lambda: b"hello world",
    "closed file": _closed,
    "open text file": lambda: io.StringIO("cat"),
    "number": lambda: 7.5,
    "object": object,
}


@pytest.mark.parametrize("how", ["invoke", "stream"])
@pytest.mark.parametrize("form", REFUSED)
def test_error_is_raised_inside_the_run(chat: ChatQwenVL, form: str, how: str) -> None:
    handler = Seen()
    message = HumanMessage([{"type": "image", "image": REFUSED[form]()}])
    call = chat.invoke if how == "invoke" else lambda *args: list(chat.stream(*args))
    with pytest.raises(ContentError, match=r"^messages\[0\]\.content\[0\]: ") as caught:
        call([message], {"callbacks": [handler]})
    assert handler.block is not None
    assert handler.error is caught.value


def test_closed_file_cannot_be_counted(chat: ChatQwenVL) -> None:
    message = HumanMessage([{"type": "image", "image": _closed()}])
    with pytest.raises(MediaAccessError, match=r"^messages\[0\]\.content\[0\]: The file object"):
        chat.get_num_tokens_from_messages([message])
