"""Core's engines, evaluators, selectors and extractors, with a `QwenVL` in them."""

from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core import MockEmbedding, VectorStoreIndex
from llama_index.core.base.llms.types import ChatMessage, TextBlock
from llama_index.core.chat_engine import (
    CondensePlusContextChatEngine,
    ContextChatEngine,
    MultiModalCondensePlusContextChatEngine,
    MultiModalContextChatEngine,
    SimpleChatEngine,
)
from llama_index.core.chat_engine.types import BaseChatEngine, ChatMode
from llama_index.core.embeddings.mock_embed_model import MockMultiModalEmbedding
from llama_index.core.evaluation.multi_modal import (
    MultiModalFaithfulnessEvaluator,
    MultiModalRelevancyEvaluator,
)
from llama_index.core.extractors import KeywordExtractor, TitleExtractor
from llama_index.core.indices import MultiModalVectorStoreIndex
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.memory import Memory
from llama_index.core.postprocessor import LLMRerank
from llama_index.core.prompts import ChatPromptTemplate, RichPromptTemplate
from llama_index.core.query_engine import RouterQueryEngine
from llama_index.core.schema import ImageNode, NodeWithScore, TextNode
from llama_index.core.selectors import LLMSingleSelector, PydanticMultiSelector
from llama_index.core.tools import QueryEngineTool

from llama_index.llms.qwen_vl import QwenVL, image_block
from qwen_vl.samples import CHELSEA
from qwen_vl_sandbox import Sandbox, ScriptedAnswer, ToolCall

DIMENSIONS = 8
CAT = "https://example.com/cat.png"
WALK = "https://example.com/walk.mp4#fps=0.5"
SELECTION = {"selections": [{"index": 1, "reason": "a"}, {"index": 2, "reason": "b"}]}


def text_index() -> VectorStoreIndex:
    return VectorStoreIndex([TextNode(text="Cats sleep.")], embed_model=MockEmbedding(DIMENSIONS))


def picture_index() -> MultiModalVectorStoreIndex:
    nodes = [TextNode(text="Cats sleep."), ImageNode(image_path=str(CHELSEA), text="A cat.")]
    return MultiModalVectorStoreIndex(
        nodes,
        embed_model=MockEmbedding(DIMENSIONS),
        image_embed_model=MockMultiModalEmbedding(embed_dim=DIMENSIONS),
    )


MakeEngine = Callable[[QwenVL, Memory], BaseChatEngine]
TEXT_ENGINES: list[MakeEngine] = [
    lambda llm, memory: SimpleChatEngine.from_defaults(llm=llm, memory=memory),
    lambda llm, memory: ContextChatEngine.from_defaults(
        retriever=text_index().as_retriever(), llm=llm, memory=memory
    ),
    lambda llm, memory: CondensePlusContextChatEngine.from_defaults(
        retriever=text_index().as_retriever(), llm=llm, memory=memory
    ),
]
PICTURE_ENGINES: list[MakeEngine] = [
    lambda llm, memory: MultiModalContextChatEngine.from_defaults(
        retriever=picture_index().as_retriever(), multi_modal_llm=llm, memory=memory
    ),
    lambda llm, memory: MultiModalCondensePlusContextChatEngine.from_defaults(
        retriever=picture_index().as_retriever(), multi_modal_llm=llm, memory=memory
    ),
    # Its default mode is one of the engines above that know of no images.
    lambda llm, memory: picture_index().as_chat_engine(
        ChatMode.CONTEXT, llm=llm, memory=memory, system_prompt="Be brief."
    ),
]


def kinds(sandbox: Sandbox) -> list[str]:
    """What the last user message holds."""
    content = sandbox.last_request.json["messages"][-1]["content"]
    return ["text"] if isinstance(content, str) else [part["type"] for part in content]


async def converse(engine: BaseChatEngine) -> list[str]:
    answers = [(await engine.achat("First?")).response]
    stream = await engine.astream_chat("Second?")
    answers.append("".join([piece async for piece in stream.async_response_gen()]))
    return answers


@pytest.mark.parametrize("make", [*TEXT_ENGINES, *PICTURE_ENGINES])
async def test_chat_engine(
    make: MakeEngine, llm: QwenVL, memory: Memory, qwen_vl_sandbox: Sandbox
) -> None:
    first, second = await converse(make(llm, memory))
    assert "First?" in first
    assert "Second?" in second
    assert kinds(qwen_vl_sandbox) == (
        ["image_url", "text"] if make in PICTURE_ENGINES else ["text"]
    )
    assert len(memory.get_all()) == 4


async def test_query_engine_of_pictures(llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    with pytest.warns(DeprecationWarning, match="SimpleMultiModalQueryEngine"):
        engine = picture_index().as_query_engine(llm=llm)
    assert "PNG 451x300" in str(engine.query("What is this?"))
    assert "PNG 451x300" in str(await engine.aquery("What is this?"))
    assert kinds(qwen_vl_sandbox) == ["image_url", "text"]


@pytest.mark.parametrize(
    "evaluator", [MultiModalFaithfulnessEvaluator, MultiModalRelevancyEvaluator]
)
async def test_evaluator_of_pictures(evaluator: Any, llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    judge = evaluator(multi_modal_llm=llm)
    asked = {
        "query": "What is this?",
        "response": "A cat.",
        "contexts": ["A cat sleeps."],
        "image_paths": [str(CHELSEA)],
        "image_urls": [CAT],
    }
    qwen_vl_sandbox.script("YES", "NO")
    assert judge.evaluate(**asked).passing
    assert not (await judge.aevaluate(**asked)).passing
    assert kinds(qwen_vl_sandbox) == ["image_url", "image_url", "text"]


def query_tools(llm: QwenVL) -> list[QueryEngineTool]:
    return [
        QueryEngineTool.from_defaults(
            text_index().as_query_engine(llm=llm), name=name, description=f"About {name}."
        )
        for name in ("cats", "dogs")
    ]


async def test_router(llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    by_words = RouterQueryEngine(
        LLMSingleSelector.from_defaults(llm=llm), query_tools(llm), llm=llm
    )
    qwen_vl_sandbox.script('[{"choice": 1, "reason": "It is about cats."}]')
    assert "Do they sleep?" in str(by_words.query("Do they sleep?"))

    qwen_vl_sandbox.clear()
    by_tool = RouterQueryEngine(
        PydanticMultiSelector.from_defaults(llm=llm), query_tools(llm), llm=llm
    )
    qwen_vl_sandbox.script(ScriptedAnswer(tool_calls=(ToolCall("MultiSelection", SELECTION),)))
    assert str(await by_tool.aquery("Do they sleep?")) != "Empty Response"
    assert qwen_vl_sandbox.requests[0].json["tools"][0]["function"]["name"] == "MultiSelection"


def test_rerank(llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    nodes = [NodeWithScore(node=TextNode(text=text)) for text in ("Dogs.", "Cats.")]
    qwen_vl_sandbox.script("Doc: 2, Relevance: 9")
    (best,) = LLMRerank(llm=llm, top_n=1).postprocess_nodes(nodes, query_str="Cats?")
    assert best.node.get_content() == "Cats."


def test_pipeline_caches_and_shows_no_key(llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    pipeline = IngestionPipeline(
        transformations=[TitleExtractor(llm=llm), KeywordExtractor(llm=llm)]
    )
    qwen_vl_sandbox.script(*["Cats"] * 3)
    (node,) = pipeline.run(nodes=[TextNode(text="Cats sleep.", id_="1")])
    assert node.metadata == {"document_title": "Cats", "excerpt_keywords": "Cats"}
    asked = len(qwen_vl_sandbox.requests)
    pipeline.run(nodes=[TextNode(text="Cats sleep.", id_="1")])
    assert len(qwen_vl_sandbox.requests) == asked
    assert all("sandbox-7712" not in str(part.to_dict()) for part in pipeline.transformations)


async def test_templates_with_media(llm: QwenVL, qwen_vl_sandbox: Sandbox) -> None:
    rich = RichPromptTemplate("{{ cat | image }}{{ walk | video }}What of {{ name }}?")
    values = {"cat": CAT, "walk": WALK, "name": "Leo"}
    plain = ChatPromptTemplate([ChatMessage([image_block(CAT), TextBlock(text="What of {name}?")])])

    assert "What of Leo?" in llm.predict(rich, **values)
    video = qwen_vl_sandbox.last_request.json["messages"][0]["content"][1]
    assert video == {"type": "video_url", "video_url": {"url": WALK.partition("#")[0]}, "fps": 0.5}
    assert "What of Leo?" in await llm.apredict(rich, **values)
    assert "What of Leo?" in "".join(llm.stream(plain, name="Leo"))
    assert "What of Leo?" in "".join([t async for t in await llm.astream(plain, name="Leo")])
    assert kinds(qwen_vl_sandbox) == ["image_url", "text"]
