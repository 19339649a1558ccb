"""The facade for code that is written for `MultiModalLLM`."""

import base64
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock, VideoBlock
from llama_index.core.multi_modal_llms import MultiModalLLM
from llama_index.core.schema import (
    ImageDocument,
    ImageNode,
    MediaResource,
    Node,
    NodeWithScore,
    TextNode,
)

from llama_index.llms.qwen_vl import QwenVL
from llama_index.multi_modal_llms.qwen_vl import QwenVLMultiModal
from qwen_vl.errors import ConfigurationError, MediaNotFoundError, UnsupportedContentError
from qwen_vl.samples import BIG_BUCK_BUNNY, CHELSEA
from qwen_vl_sandbox import Sandbox

CAT = "https://example.com/cat.png"
IMAGE = {"type": "image_url", "image_url": {"url": CAT}}
QUESTION = {"type": "text", "text": "What is this?"}
COMPLETIONS = ("complete", "acomplete", "stream_complete", "astream_complete")


@pytest.fixture
def facade(qwen_vl_sandbox: Sandbox) -> QwenVLMultiModal:
    return QwenVLMultiModal(api_base=qwen_vl_sandbox.base_url, api_key="sk-sandbox-7712")


async def call(llm: Any, endpoint: str, *arguments: Any, **keywords: Any) -> Any:
    values = getattr(llm, endpoint)(*arguments, **keywords)
    if inspect.isawaitable(values):
        values = await values
    if isinstance(values, AsyncGenerator):
        return [item async for item in values][-1]
    return list(values)[-1] if isinstance(values, Generator) else values


ORDERS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    (([ImageBlock(url=CAT)],), {}),
    (([ImageBlock(url=CAT)], True), {}),
    ((True, [ImageBlock(url=CAT)]), {}),
    (([ImageBlock(url=CAT)],), {"formatted": True}),
    ((), {"image_documents": [ImageBlock(url=CAT)]}),
    ((), {"image_documents": [ImageBlock(url=CAT)], "formatted": True}),
]


@pytest.mark.parametrize(("arguments", "keywords"), ORDERS)
@pytest.mark.parametrize("endpoint", COMPLETIONS)
async def test_both_orders_of_arguments(
    endpoint: str,
    arguments: tuple[Any, ...],
    keywords: dict[str, Any],
    facade: QwenVLMultiModal,
    qwen_vl_sandbox: Sandbox,
) -> None:
    answer = await call(facade, endpoint, "What is this?", *arguments, **keywords)
    assert answer.raw["usage"]["prompt_tokens"] == answer.additional_kwargs["prompt_tokens"]
    assert qwen_vl_sandbox.last_request.json["messages"][0]["content"] == [IMAGE, QUESTION]


@pytest.mark.parametrize("formatted", [(), (True,), (False,)])
@pytest.mark.parametrize("endpoint", COMPLETIONS)
async def test_text_alone(
    endpoint: str, formatted: tuple[bool, ...], facade: QwenVLMultiModal, qwen_vl_sandbox: Sandbox
) -> None:
    await call(facade, endpoint, "What is this?", *formatted)
    assert qwen_vl_sandbox.last_request.json["messages"][0]["content"] == "What is this?"


def test_it_is_both(facade: QwenVLMultiModal) -> None:
    assert isinstance(facade, MultiModalLLM)
    assert isinstance(facade, QwenVL)


@pytest.mark.parametrize("endpoint", COMPLETIONS)
async def test_llm_takes_pictures_by_name(
    endpoint: str, llm: QwenVL, qwen_vl_sandbox: Sandbox
) -> None:
    await call(llm, endpoint, "What is this?", image_documents=[ImageBlock(url=CAT)])
    assert qwen_vl_sandbox.last_request.json["messages"][0]["content"] == [IMAGE, QUESTION]


@pytest.mark.parametrize("endpoint", COMPLETIONS)
async def test_llm_does_not_ignore_pictures_in_the_wrong_place(endpoint: str, llm: QwenVL) -> None:
    with pytest.raises(ConfigurationError, match=r"image_documents=.*QwenVLMultiModal"):
        await call(llm, endpoint, "What is this?", [ImageBlock(url=CAT)])


PNG_HEAD = "data:image/png;base64,iVBOR"
DOCUMENTS: dict[str, tuple[Callable[[], Any], str]] = {
    "block": (lambda: ImageBlock(url=CAT), CAT),
    "address": (lambda: CAT, CAT),
    "path": (lambda: CHELSEA, PNG_HEAD),
    "ImageNode, url": (lambda: ImageNode(image_url=CAT), CAT),
    "ImageNode, path": (lambda: ImageNode(image_path=str(CHELSEA)), PNG_HEAD),
    "ImageNode, Base64": (lambda: ImageNode(image=_base64(CHELSEA)), PNG_HEAD),
    "ImageDocument, path": (lambda: ImageDocument(image_path=str(CHELSEA)), PNG_HEAD),
    "ImageDocument, bytes": (lambda: ImageDocument(image=CHELSEA.read_bytes()), PNG_HEAD),
    "Node": (lambda: Node(image_resource=MediaResource(url=CAT)), CAT),
    "Node, path": (lambda: Node(image_resource=MediaResource(path=CHELSEA)), PNG_HEAD),
    "with score": (lambda: NodeWithScore(node=ImageNode(image_url=CAT), score=1), CAT),
}


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents(name: str, llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    make, expected = DOCUMENTS[name]
    llm.complete("What is this?", image_documents=[make()])
    part, question = qwen_vl_sandbox.last_request.json["messages"][0]["content"]
    assert part["image_url"]["url"].startswith(expected)
    assert question == QUESTION


@pytest.mark.parametrize("one", [CAT, ImageBlock(url=CAT), ImageNode(image_url=CAT)])
def test_one_picture_needs_no_list(one: Any, llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    llm.complete("What is this?", image_documents=one)
    assert qwen_vl_sandbox.last_request.json["messages"][0]["content"] == [IMAGE, QUESTION]


@pytest.mark.parametrize(
    "document",
    [
        VideoBlock(path=BIG_BUCK_BUNNY),
        Node(video_resource=MediaResource(path=BIG_BUCK_BUNNY)),
        Node(video_resource=MediaResource(data=BIG_BUCK_BUNNY.read_bytes(), mimetype="video/mp4")),
    ],
)
def test_videos_too(document: Any, llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    llm.complete("What is this?", image_documents=[document])
    part = qwen_vl_sandbox.last_request.json["messages"][0]["content"][0]
    assert part["video_url"]["url"].startswith("data:video/mp4;base64,")


@pytest.mark.parametrize(
    ("document", "kind"),
    [
        (TextNode(text="A cat."), UnsupportedContentError),
        (Node(), UnsupportedContentError),
        ([ImageBlock(url=CAT)], UnsupportedContentError),
        (7, UnsupportedContentError),
        ("cat.png", UnsupportedContentError),
        (Path("/no/such/cat.png"), MediaNotFoundError),
    ],
)
def test_what_holds_no_picture(document: Any, kind: type[Exception], llm: QwenVL) -> None:
    with pytest.raises(kind):
        llm.complete("What is this?", image_documents=[ImageBlock(url=CAT), document])


def test_chat(facade: QwenVLMultiModal, qwen_vl_sandbox: Sandbox) -> None:
    facade.chat([ChatMessage([ImageBlock(url=CAT), TextBlock(text="What is this?")])])
    assert qwen_vl_sandbox.last_request.json["messages"][0]["content"] == [IMAGE, QUESTION]
