"""Content blocks of retrieved documents: what a chain or a tool hands to the model."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.documents import Document
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from langchain_core.tools import tool
from langchain_core.vectorstores import InMemoryVectorStore

from langchain_qwen_vl import ChatQwenVL, QwenVLEmbeddings, add_media, to_content_blocks
from qwen_vl.errors import MediaAccessError, MediaFormatError
from qwen_vl_sandbox import Sandbox, ScriptedAnswer, ToolCall

URL = "https://example.com/1.png"
MakeChat = Callable[..., ChatQwenVL]


@pytest.mark.parametrize(
    ("document", "blocks"),
    [
        (Document("A cat."), [{"type": "text", "text": "A cat."}]),
        (
            Document("A cat.", metadata={"image_url": URL, "max_pixels": 90_000}),
            [
                {"type": "image", "url": URL, "extras": {"max_pixels": 90_000}},
                {"type": "text", "text": "A cat."},
            ],
        ),
        (
            Document("", metadata={"image_path": "/a/b c.png"}),
            [{"type": "image", "url": "file:///a/b%20c.png"}],
        ),
        (
            Document("", metadata={"image_path": "/a/b.pdf", "page": 2}),
            [
                {
                    "type": "file",
                    "url": "file:///a/b.pdf",
                    "mime_type": "application/pdf",
                    "extras": {"pages": [2]},
                }
            ],
        ),
        (
            Document("", metadata={"image_path": "/a/b.tif", "page": 2}),
            [{"type": "image", "url": "file:///a/b.tif", "extras": {"pages": [2]}}],
        ),
        (
            Document("", metadata={"video_url": "https://example.com/1.mp4", "fps": 0.5}),
            [{"type": "video", "url": "https://example.com/1.mp4", "extras": {"fps": 0.5}}],
        ),
        (
            Document("", metadata={"video_frames": [URL, "/a/2.png"], "fps": 2}),
            [{"type": "video", "video": [URL, "file:///a/2.png"], "extras": {"fps": 2}}],
        ),
        (
            Document("A cat.", metadata={"media": {"type": "image_url", "image_url": URL}}),
            [{"type": "image_url", "image_url": URL}, {"type": "text", "text": "A cat."}],
        ),
    ],
)
def test_blocks_of_documents(document: Document, blocks: list[dict[str, Any]]) -> None:
    assert to_content_blocks(document) == blocks


def test_blocks_of_base64(small_png: bytes) -> None:
    data = base64.b64encode(small_png).decode()
    for text in (data, f"data:image/png;base64,{data}"):
        (block,) = to_content_blocks(Document(text))
        assert text in block.values()


def test_wrong_metadata_is_named() -> None:
    with pytest.raises(MediaFormatError, match=r"document: metadata\['image_path'\]"):
        to_content_blocks(Document("", metadata={"image_path": URL}))


def test_chain_from_store_to_answer(
    make_chat: MakeChat,
    make_embeddings: Callable[..., QwenVLEmbeddings],
    squares: dict[str, Path],
    pdf: Path,
) -> None:
    store = InMemoryVectorStore(make_embeddings(media_roots=[pdf.parent]))
    add_media(store, [*squares.values(), {"image": pdf, "page": 2, "text": "Profit"}])
    chat = make_chat(media_roots=[pdf.parent])

    def ask(values: dict[str, Any]) -> list[HumanMessage]:
        blocks = [block for found in values["found"] for block in to_content_blocks(found)]
        return [HumanMessage([*blocks, values["question"]])]

    retriever = store.as_retriever(search_kwargs={"k": 1})
    steps = {"found": retriever, "question": RunnablePassthrough()}
    chain = steps | RunnableLambda(ask) | chat

    assert "mean color #0000ff" in chain.invoke("a blue square").text
    assert "Profit" in chain.invoke("profit").text
    with pytest.raises(MediaAccessError, match="media_roots"):
        (steps | RunnableLambda(ask) | make_chat()).invoke("a blue square")


def test_agent_that_searches_images(
    make_chat: MakeChat,
    make_embeddings: Callable[..., QwenVLEmbeddings],
    qwen_vl_sandbox: Sandbox,
    squares: dict[str, Path],
) -> None:
    store = InMemoryVectorStore(make_embeddings())
    add_media(store, squares.values())

    @tool
    def search_images(query: str) -> list[dict[str, Any]]:
        """Search the images."""
        return [b for d in store.similarity_search(query, k=1) for b in to_content_blocks(d)]

    call = ToolCall("search_images", {"query": "a green square"})
    qwen_vl_sandbox.script(ScriptedAnswer(tool_calls=(call,)))
    agent = create_agent(make_chat(media_roots=[squares["red"].parent]), [search_images])
    answer = agent.invoke({"messages": [HumanMessage("Which image is green?")]})

    assert "mean color #008000" in answer["messages"][-1].text
