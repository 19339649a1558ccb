"""A photograph of twelve megapixels, in each of the forms in which users hold one."""

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock
from PIL import Image

from langchain_qwen_vl import ChatQwenVL
from llama_index.llms.qwen_vl import QwenVL, image_block
from qwen_vl.errors import MediaTooLargeError
from qwen_vl_sandbox import Sandbox

pytestmark = [pytest.mark.media_alone, pytest.mark.slow]


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """4000 x 3000 pixels, and longer than may be inlined."""
    path = tmp_path_factory.mktemp("photo") / "photo.jpg"
    Image.effect_noise((4000, 3000), 90).convert("RGB").save(path, quality=88)
    assert path.stat().st_size > 7 * 2**20
    return path


FORMS: dict[str, Callable[[Path], Any]] = {
    "path": lambda path: path,
    "bytes": lambda path: path.read_bytes(),
    "file object": lambda path: io.BytesIO(path.read_bytes()),
    "data URL": lambda path: (
        f"data:image/jpeg;base64,{base64.b64encode(path.read_bytes()).decode()}"
    ),
    "decoded": Image.open,
}


def size_of(request: dict[str, Any]) -> tuple[int, int]:
    url = request["messages"][0]["content"][0]["image_url"]["url"]
    return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))).size


@pytest.mark.parametrize("name", FORMS)
def test_photograph_fits(
    name: str, photo: Path, chat: ChatQwenVL, qwen_vl_sandbox: Sandbox, speaking: dict[str, str]
) -> None:
    llm = QwenVL(api_base=qwen_vl_sandbox.base_url, api_key="sk-sandbox", **speaking)
    chat.invoke([HumanMessage([{"type": "image", "image": FORMS[name](photo)}, "What is this?"])])
    llm.chat([ChatMessage([image_block(FORMS[name](photo)), TextBlock(text="What is this?")])])
    by_langchain, by_llama_index = qwen_vl_sandbox.requests
    assert size_of(by_langchain.json) == size_of(by_llama_index.json) == (1856, 1376)
    if name != "decoded":
        assert by_langchain.body == by_llama_index.body


async def test_photograph_fits_async(
    photo: Path, chat: ChatQwenVL, qwen_vl_sandbox: Sandbox, speaking: dict[str, str]
) -> None:
    image = {"type": "image", "image": photo}
    await chat.ainvoke([HumanMessage([image, "What is this?"])])
    assert size_of(qwen_vl_sandbox.last_request.json) == (1856, 1376)


def test_photograph_as_it_is(
    photo: Path,
    make_chat: Callable[..., ChatQwenVL],
    qwen_vl_sandbox: Sandbox,
    speaking: dict[str, str],
) -> None:
    image = {"type": "image", "image": photo}
    with pytest.raises(MediaTooLargeError, match=r"content\[0\]"):
        make_chat(downscale_images=False).invoke([HumanMessage([image, "What is this?"])])
    assert qwen_vl_sandbox.requests == []


def test_block_of_llama_index(
    photo: Path, qwen_vl_sandbox: Sandbox, speaking: dict[str, str]
) -> None:
    llm = QwenVL(api_base=qwen_vl_sandbox.base_url, api_key="sk-sandbox", **speaking)
    block = ImageBlock(image=photo.read_bytes())
    llm.chat([ChatMessage([block, TextBlock(text="What is this?")])])
    assert size_of(qwen_vl_sandbox.last_request.json) == (1856, 1376)
