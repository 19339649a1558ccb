"""Chat engines that show the model the images of what they retrieve."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.chat_engine import CondensePlusContextChatEngine, ContextChatEngine
from llama_index.core.llms import ChatMessage, MessageRole
from llama_index.core.memory import ChatMemoryBuffer, Memory
from llama_index.core.prompts import PromptTemplate, RichPromptTemplate
from llama_index.core.schema import ImageNode, MediaResource, Node, NodeWithScore, TextNode
from PIL import Image as PillowImage

from llama_index.embeddings.qwen_vl import QwenVLEmbedding, QwenVLVectorStoreIndex
from llama_index.llms.qwen_vl import (
    QwenMediaPostprocessor,
    QwenVL,
    QwenVLCondensePlusContextChatEngine,
    QwenVLContextChatEngine,
)
from llama_index.postprocessor.qwen_vl import QwenVLRerank
from llama_index_vision_tests.engines import FixedRetriever
from qwen_vl.errors import ConfigurationError, MediaAccessError, ServerError
from qwen_vl_sandbox import Sandbox

ENGINES = [QwenVLContextChatEngine, QwenVLCondensePlusContextChatEngine]
COLORS = ("red", "green", "blue")
VIDEO_URL = "https://example.com/walk.mp4"

each_engine = pytest.mark.parametrize("engine_class", ENGINES)
MakeEngine = Callable[..., Any]


@pytest.fixture(autouse=True)
def _loop_of_core() -> Iterator[None]:
    """A current event loop: sync engines take it, or leave their own unclosed."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    images = [PillowImage.new("RGB", (64, 64), color) for color in COLORS]
    images[0].save(tmp_path / "pages.pdf", save_all=True, append_images=images[1:])
    images[0].save(tmp_path / "red.png")
    return tmp_path


@pytest.fixture
def settings(qwen_vl_sandbox: Sandbox, folder: Path) -> dict[str, Any]:
    return {
        "api_base": qwen_vl_sandbox.base_url,
        "api_key": "sk-sandbox",
        "media_roots": [folder],
        "max_retries": 0,
    }


def memory() -> ChatMemoryBuffer:
    # The engines' own memory opens a database, and never closes it.
    return ChatMemoryBuffer.from_defaults(token_limit=100_000)


@pytest.fixture
def make(settings: dict[str, Any]) -> MakeEngine:
    def make(engine_class: Any, nodes: list[Any], **options: Any) -> Any:
        options = {"memory": memory(), "llm": QwenVL(**settings), **options}
        return engine_class.from_defaults(FixedRetriever(nodes), **options)

    return make


def shown(sandbox: Sandbox) -> list[Any]:
    """The messages of the last request: texts, and kinds of media."""
    return [
        (
            message["role"],
            message["content"]
            if isinstance(message["content"], str)
            else [part.get("text", part["type"]) for part in message["content"]],
        )
        for message in sandbox.last_request.json["messages"]
    ]


def ask(engine: Any, question: str, how: str) -> str:
    """Ask in one of four ways, and wait until the memory has the answer."""

    async def astream() -> str:
        response = await engine.astream_chat(question)
        writing = response.awrite_response_to_history_task
        try:
            return "".join([token async for token in response.async_response_gen()])
        finally:
            # It raises the same, which nobody else retrieves.
            await asyncio.gather(writing, return_exceptions=True)

    async def achat() -> str:
        return str(await engine.achat(question))

    match how:
        case "chat":
            return str(engine.chat(question))
        case "stream_chat":
            response = engine.stream_chat(question)
            writing = response.write_response_to_history_thread
            text = "".join(response.response_gen)
            writing.join()
            return text
        case "achat":
            return asyncio.run(achat())
    return asyncio.run(astream())


@each_engine
@pytest.mark.parametrize("how", ["chat", "stream_chat", "achat", "astream_chat"])
def test_images_reach_the_model_and_not_the_memory(
    make: MakeEngine, engine_class: Any, how: str, folder: Path, qwen_vl_sandbox: Sandbox
) -> None:
    nodes = [
        TextNode(text="Our house.", metadata={"image_path": str(folder / "pages.pdf"), "page": 2}),
        ImageNode(image_path=str(folder / "red.png")),
        TextNode(text="It was built in 1901."),
        Node(video_resource=MediaResource(url=VIDEO_URL)),
    ]
    engine = make(engine_class, nodes, system_prompt="Be brief.")

    answer = ask(engine, "What color is it?", how)

    (role, system), (last_role, parts) = shown(qwen_vl_sandbox)
    assert (role, system, last_role) == ("system", "Be brief.", "user")
    assert parts[1:-2] == [
        "page: 2 Our house.",
        'Page 2 of 3 of "pages.pdf":',
        "image_url",
        "image_url",
        "It was built in 1901.",
        "video_url",
    ]
    assert parts[-1] == "What color is it?"
    assert "(green)" in answer
    assert "(red)" in answer
    assert [message.content for message in engine.chat_history] == ["What color is it?", answer]
    assert {block.block_type for each in engine.chat_history for block in each.blocks} == {"text"}

    ask(engine, "And what is that?", how)
    turns = shown(qwen_vl_sandbox)
    assert [role for role, _ in turns] == ["system", "user", "assistant", "user"]
    assert turns[1][1] == "What color is it?"
    assert turns[3][1].count("image_url") == 2
    assert len(engine.chat_history) == 4


def test_llama_index_s_own_drop_them(
    settings: dict[str, Any], folder: Path, qwen_vl_sandbox: Sandbox
) -> None:
    """Why there are engines of our own."""
    nodes = [TextNode(text="A.", metadata={"image_path": str(folder / "red.png")})]
    for engine_class in (ContextChatEngine, CondensePlusContextChatEngine):
        options: dict[str, Any] = {"llm": QwenVL(**settings), "memory": memory()}
        engine_class.from_defaults(FixedRetriever([*nodes]), **options).chat("What is it?")
        assert "image_url" not in str(qwen_vl_sandbox.last_request.json)


@each_engine
def test_retrieved_reranked_and_cited(
    engine_class: Any, settings: dict[str, Any], folder: Path, qwen_vl_sandbox: Sandbox
) -> None:
    pages = [
        TextNode(metadata={"image_path": str(folder / "pages.pdf"), "page": page})
        for page in (1, 2, 3)
    ]
    index = QwenVLVectorStoreIndex(pages, embed_model=QwenVLEmbedding(**settings))
    engine = engine_class.from_defaults(
        index.as_retriever(similarity_top_k=3),
        llm=QwenVL(**settings),
        memory=memory(),
        node_postprocessors=[QwenVLRerank(**settings, top_n=1)],
    )
    response = engine.chat("Which page is blue?")

    assert "(blue)" in str(response)
    (source,) = response.source_nodes
    assert (source.node.metadata["page"], source.node.node_id) == (3, pages[2].node_id)
    assert source.score == max(source.score, 0.1)
    assert response.sources[0].raw_output == response.source_nodes
    assert [type(each) for each in engine._node_postprocessors] == [
        QwenVLRerank,
        QwenMediaPostprocessor,
    ]


def test_question_is_condensed_from_texts(
    make: MakeEngine, folder: Path, qwen_vl_sandbox: Sandbox
) -> None:
    nodes = [ImageNode(image_path=str(folder / "red.png"))]
    engine = make(QwenVLCondensePlusContextChatEngine, nodes)
    engine.chat("What color is it?")
    engine.chat("Why?")

    condensed = qwen_vl_sandbox.requests[-2].json["messages"]
    assert len(condensed) == 1
    assert "Follow Up Input: Why?" in condensed[0]["content"]


def test_braces_of_questions_and_answers_stay(
    make: MakeEngine, folder: Path, qwen_vl_sandbox: Sandbox
) -> None:
    engine = make(QwenVLContextChatEngine, [TextNode(text="{query_str} {{ x }}")])
    engine.chat("Is {existing_answer} or {context_str} right?")
    engine.chat("And {query_str}?")

    assert shown(qwen_vl_sandbox)[0] == ("user", "Is {existing_answer} or {context_str} right?")
    assert shown(qwen_vl_sandbox)[2][1][1:] == [
        "{query_str} {{ x }}",
        "--------------------",
        "And {query_str}?",
    ]


def test_own_templates(make: MakeEngine, qwen_vl_sandbox: Sandbox) -> None:
    make(
        QwenVLContextChatEngine,
        [TextNode(text="A note.")],
        context_template=PromptTemplate("Read: {context_str} (end)"),
        prefix_messages=[ChatMessage("Hello."), ChatMessage("Hi.", role=MessageRole.ASSISTANT)],
    ).chat("Why?")
    assert shown(qwen_vl_sandbox) == [
        ("user", "Hello."),
        ("assistant", "Hi."),
        ("user", ["Read:", "A note.", "(end)", "Why?"]),
    ]

    make(
        QwenVLCondensePlusContextChatEngine,
        [TextNode(text="A note.")],
        context_prompt="{context_str}",
    ).chat("Why?")
    assert shown(qwen_vl_sandbox) == [("user", ["A note.", "Why?"])]


@pytest.mark.parametrize("template", ["No place.", RichPromptTemplate("{{ context_str }}")])
def test_template_without_a_place_raises(make: MakeEngine, template: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"has neither \{context_str\} nor"):
        make(QwenVLContextChatEngine, [], context_template=template)
    with pytest.raises(ConfigurationError, match=r"has neither \{context_str\} nor"):
        make(QwenVLCondensePlusContextChatEngine, [], context_refine_prompt=template)


def test_what_does_not_fit_is_shown_in_a_second_request(
    make: MakeEngine, settings: dict[str, Any], folder: Path, qwen_vl_sandbox: Sandbox
) -> None:
    nodes = [ImageNode(image_path=str(folder / "red.png")) for _ in range(12)]
    # Room for the answer, for padding, and for some of the images of 66 tokens each.
    llm = QwenVL(**settings, context_window=1_200, max_tokens=200)
    response = make(QwenVLContextChatEngine, nodes, llm=llm).chat("How many are there?")

    requests = [request.json["messages"] for request in qwen_vl_sandbox.requests]
    n_images = [str(messages).count("image_url'") // 2 for messages in requests]
    assert len(requests) > 1
    assert sum(n_images) == 12
    assert "refine the following existing answer" in str(requests[1])
    assert str(response)


def test_budget_of_a_question(make: MakeEngine, folder: Path, qwen_vl_sandbox: Sandbox) -> None:
    nodes = [ImageNode(image_path=str(folder / "red.png")) for _ in range(12)]
    shows = QwenMediaPostprocessor(media_roots=[str(folder)], max_tokens=300)
    response = make(QwenVLContextChatEngine, nodes, node_postprocessors=[shows]).chat("How many?")

    assert qwen_vl_sandbox.n_requests == 1
    assert shown(qwen_vl_sandbox)[-1][1].count("image_url") == len(response.source_nodes) == 4


def test_default_memory_leaves_room(settings: dict[str, Any]) -> None:
    llm = QwenVL(**settings)
    for engine_class in ENGINES:
        engine: Any = engine_class.from_defaults(FixedRetriever([]), llm=llm)
        assert isinstance(engine._memory, Memory)
        metadata = llm.metadata
        assert engine._memory.token_limit == (metadata.context_window - metadata.num_output) // 2
        assert engine._node_postprocessors[0].model == llm.model
    positional: Any = QwenVLCondensePlusContextChatEngine.from_defaults(
        FixedRetriever([]), llm, None, memory(), "Be brief."
    )
    assert positional._system_prompt == "Be brief."


@each_engine
@pytest.mark.parametrize("how", ["chat", "achat", "astream_chat"])
def test_failures_are_raised(
    make: MakeEngine, engine_class: Any, how: str, qwen_vl_sandbox: Sandbox
) -> None:
    engine = make(engine_class, [ImageNode(image_path="/etc/passwd")])
    with pytest.raises(MediaAccessError, match="The file '/etc/passwd' may not be read"):
        ask(engine, "What is it?", how)
    assert qwen_vl_sandbox.n_requests == 0
    qwen_vl_sandbox.fail(status=500)
    with pytest.raises(ServerError):
        ask(make(engine_class, [TextNode(text="A note.")]), "What is it?", how)


def test_nodes_of_the_retriever_stay_as_they_are(make: MakeEngine, folder: Path) -> None:
    node = TextNode(text="A.", metadata={"image_path": str(folder / "red.png")})
    before = node.model_dump()
    response = make(QwenVLContextChatEngine, [node]).chat("What is it?")

    assert node.model_dump() == before
    (source,) = response.source_nodes
    assert isinstance(source, NodeWithScore)
    assert (source.node.node_id, source.text, source.node.metadata) == (
        node.node_id,
        "A.",
        node.metadata,
    )
