"""Tests of query engines and chat engines."""

import asyncio
import base64
from collections.abc import Iterator

import pytest
from llama_index.core import Settings, SummaryIndex
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.callbacks import CallbackManager
from llama_index.core.chat_engine import ContextChatEngine, SimpleChatEngine
from llama_index.core.chat_engine.multi_modal_context import MultiModalContextChatEngine
from llama_index.core.llms import LLM
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers import ResponseMode, get_response_synthesizer
from llama_index.core.schema import (
    BaseNode,
    ImageNode,
    MediaResource,
    Node,
    NodeWithScore,
    QueryBundle,
    TextNode,
)

from llama_index_vision_tests.samples import VIDEO_COLOR, draw_image, read_video
from llama_index_vision_tests.suite import COLOR_QUESTION, LLMSuite, colors_in

MODES = (
    ResponseMode.COMPACT,
    ResponseMode.REFINE,
    ResponseMode.TREE_SUMMARIZE,
    ResponseMode.SIMPLE_SUMMARIZE,
    ResponseMode.ACCUMULATE,
)
STOCK = "41523"

sync = pytest.mark.usefixtures("loop_of_core")


class FixedRetriever(BaseRetriever):
    """Finds the same nodes whatever is asked.

    Args:
        nodes: The nodes.

    Example:
        >>> FixedRetriever([TextNode(text="A bolt.")]).retrieve("What is there?")[0].text
        'A bolt.'
    """

    def __init__(self, nodes: list[BaseNode]) -> None:
        super().__init__(callback_manager=CallbackManager([]))
        self._nodes = nodes

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        del query_bundle
        return [NodeWithScore(node=node, score=1.0) for node in self._nodes]


class LLMEngineTests(LLMSuite):
    """Tests of the engines that show an LLM the media of retrieved nodes.

    Engines answer "Empty Response" where an LLM raises a `ValueError`, so that the answer
    itself is looked at.

    Example:
        >>> from llama_index.core.llms.mock import MockFunctionCallingLLM
        >>> class TestMyLLMEngines(LLMEngineTests):
        ...     llm_class = MockFunctionCallingLLM
        ...     supports_video = True
    """

    @pytest.fixture
    def loop_of_core(self) -> Iterator[None]:
        """A current event loop: sync engines take it, or leave their own unclosed."""
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        yield
        asyncio.set_event_loop(None)
        loop.close()

    @sync
    @pytest.mark.parametrize("mode", MODES)
    def test_query_sees_image(self, llm: LLM, mode: ResponseMode) -> None:
        """A multimodal query engine shows the image of an `ImageNode`."""
        answer = str(_engine(llm, _image(), mode).query(COLOR_QUESTION))
        assert "blue" in colors_in(answer)

    @pytest.mark.asyncio
    @pytest.mark.parametrize("mode", MODES)
    async def test_async_query_sees_image(self, llm: LLM, mode: ResponseMode) -> None:
        """The same in async."""
        answer = str(await _engine(llm, _image(), mode).aquery(COLOR_QUESTION))
        assert "blue" in colors_in(answer)

    @sync
    def test_query_sees_all_images(self, llm: LLM) -> None:
        """Images of several nodes are shown together."""
        engine = RetrieverQueryEngine.from_args(
            FixedRetriever([_image("blue"), _image("red")]), llm=llm, multimodal=True
        )
        question = "Which color fills the first image, and which one the second?"
        assert {"blue", "red"} <= set(colors_in(str(engine.query(question))))

    @sync
    def test_streamed_query_sees_image(self, llm: LLM) -> None:
        """A streaming synthesizer shows the image too."""
        synthesizer = get_response_synthesizer(llm=llm, multimodal=True, streaming=True)
        nodes = [NodeWithScore(node=_image(), score=1.0)]
        answer = str(synthesizer.synthesize(COLOR_QUESTION, nodes=nodes))
        assert "blue" in colors_in(answer)

    @sync
    def test_query_sees_video(self, llm: LLM) -> None:
        """A multimodal query engine shows the video of a node."""
        self.need("supports_video")
        resource = MediaResource(data=read_video(), mimetype="video/mp4")
        engine = _engine(llm, Node(video_resource=resource), ResponseMode.COMPACT)
        assert VIDEO_COLOR in colors_in(str(engine.query(COLOR_QUESTION)))

    @sync
    def test_index_takes_llm_of_settings(self, llm: LLM, monkeypatch: pytest.MonkeyPatch) -> None:
        """An index asks `Settings.llm`."""
        monkeypatch.setattr(Settings, "_llm", llm)
        engine = SummaryIndex([_image()]).as_query_engine(multimodal=True)
        assert "blue" in colors_in(str(engine.query(COLOR_QUESTION)))

    @sync
    def test_multi_modal_chat_engine_sees_image(self, llm: LLM) -> None:
        """The multi-modal chat engine shows the images it retrieves."""
        engine = MultiModalContextChatEngine.from_defaults(
            FixedRetriever([_image()]), multi_modal_llm=llm, memory=_memory()
        )
        assert "blue" in colors_in(str(engine.chat(COLOR_QUESTION)))

    @sync
    def test_chat_engine_keeps_its_history(self, llm: LLM) -> None:
        """A simple chat engine answers again and again."""
        engine = SimpleChatEngine.from_defaults(llm=llm, memory=_memory())
        assert "apple" in str(engine.chat("Repeat this word: 'apple'."))
        assert "cherry" in str(engine.chat("Repeat this word: 'cherry'."))
        assert len(engine.chat_history) == 4

    @sync
    def test_chat_engine_streams(self, llm: LLM) -> None:
        """A streamed answer of a chat engine is whole, and is kept."""
        engine = SimpleChatEngine.from_defaults(llm=llm, memory=_memory())
        answer = "".join(engine.stream_chat("Repeat this word: 'apple'.").response_gen)
        assert "apple" in answer
        assert engine.chat_history[-1].content == answer

    @pytest.mark.asyncio
    async def test_async_chat_engine_streams(self, llm: LLM) -> None:
        """The same in async."""
        engine = SimpleChatEngine.from_defaults(llm=llm, memory=_memory())
        stream = await engine.astream_chat("Repeat this word: 'apple'.")
        answer = "".join([token async for token in stream.async_response_gen()])
        assert "apple" in answer

    @sync
    def test_context_chat_engine_answers(self, llm: LLM) -> None:
        """A chat engine with retrieved text answers from it."""
        node = TextNode(text=f"There are {STOCK} bolts in the store.")
        engine = ContextChatEngine.from_defaults(FixedRetriever([node]), llm=llm, memory=_memory())
        answer = str(engine.chat("How many bolts are in the store?"))
        assert answer not in {"", "Empty Response"}
        assert not self.understands or STOCK in answer.replace(",", "")

    @sync
    def test_failure_is_no_answer(self, failing_llm: LLM | None) -> None:
        """A failure of the service comes out of an engine as such."""
        if failing_llm is None:
            pytest.skip("failing_llm is None")
        engine = _engine(failing_llm, _image(), ResponseMode.COMPACT)
        with pytest.raises(Exception):  # noqa: B017, PT011 - which one is the LLM's matter.
            engine.query(COLOR_QUESTION)


def _engine(llm: LLM, node: BaseNode, mode: ResponseMode) -> RetrieverQueryEngine:
    return RetrieverQueryEngine.from_args(
        FixedRetriever([node]), llm=llm, multimodal=True, response_mode=mode
    )


def _memory() -> ChatMemoryBuffer:
    # The engines' own memory opens a database, and never closes it.
    return ChatMemoryBuffer.from_defaults(token_limit=100_000)


def _image(color: str = "blue") -> ImageNode:
    return ImageNode(image=base64.b64encode(draw_image(color)).decode())
