"""Tests of node postprocessors that rank by relevance, and see images."""

import base64
import copy
from abc import abstractmethod
from typing import Any

import pytest
from llama_index.core.callbacks import CallbackManager, CBEventType
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import BaseNode, ImageNode, NodeWithScore, TextNode

from llama_index_vision_tests.components import ComponentSuite, ComponentTests
from llama_index_vision_tests.embedding import COLORS
from llama_index_vision_tests.recording import CallbackRecorder, recorded_events
from llama_index_vision_tests.samples import draw_image
from llama_index_vision_tests.suite import default

TEXTS = ("A recipe for bread.", "A steam engine of 1901.", "The color of the sea.")
QUESTION = "Which steam engine is there?"
_OLD_SCORE = -5.5


class RerankSuite(ComponentSuite):
    """The reranker under test and what it can do.

    Override the attributes as of `LLMSuite`.

    Example:
        >>> from llama_index.core.postprocessor import SimilarityPostprocessor
        >>> class MySuite(RerankSuite):
        ...     rerank_class = SimilarityPostprocessor
        >>> MySuite().sees_images
        False
    """

    @default
    @abstractmethod
    def rerank_class(self) -> type[BaseNodePostprocessor]:
        """The class under test."""

    @default
    def rerank_params(self) -> dict[str, Any]:
        """The keyword arguments that make a reranker that keeps three nodes or more."""
        return {}

    @default
    def top_n_param(self) -> str:
        """The keyword argument for the number of nodes that are kept."""
        return "top_n"

    @default
    def model_name_attribute(self) -> str:
        """The attribute that names the model."""
        return "model"

    @default
    def sees_images(self) -> bool:
        """Whether it ranks nodes by their images."""
        return False

    @default
    def understands(self) -> bool:
        """Whether what is relevant comes first."""
        return True

    @default
    def component_class(self) -> Any:
        """The same, as a component."""
        return self.rerank_class

    @default
    def component_params(self) -> Any:
        """The same, as those of a component."""
        return self.rerank_params

    @pytest.fixture
    def reranker(self) -> BaseNodePostprocessor:
        """The reranker under test."""
        return self.rerank_class(**self.rerank_params)

    @pytest.fixture
    def failing_reranker(self) -> BaseNodePostprocessor | None:
        """Override: a reranker whose next request the service answers with an error."""
        return None


class RerankUnitTests(RerankSuite, ComponentTests):
    """Tests of a reranker without any request.

    Example:
        >>> from llama_index.core.postprocessor import SimilarityPostprocessor
        >>> class TestMyReranker(RerankUnitTests):
        ...     rerank_class = SimilarityPostprocessor
    """

    def find_model_name(self, component: Any) -> str:
        """Return the name of the model."""
        return str(getattr(component, self.model_name_attribute))

    def test_is_a_postprocessor(self, reranker: Any) -> None:
        """It is a `BaseNodePostprocessor`: what takes any postprocessor takes it."""
        assert isinstance(reranker, BaseNodePostprocessor)


class VisionRerankTests(RerankSuite):
    """Tests that ask a reranker.

    Example:
        >>> from llama_index.core.postprocessor import SimilarityPostprocessor
        >>> class TestMyReranker(VisionRerankTests):
        ...     rerank_class = SimilarityPostprocessor
    """

    @pytest.mark.asyncio
    @pytest.mark.parametrize("is_async", [False, True])
    async def test_relevant_text_comes_first(
        self, reranker: BaseNodePostprocessor, is_async: bool
    ) -> None:
        """Nodes are sorted by their new scores, and the best answers the question."""
        nodes = _texts()
        found = await _rank(reranker, nodes, QUESTION, is_async=is_async)
        scores = [scored.score for scored in found]
        assert all(isinstance(score, float) for score in scores)
        assert scores == sorted(scores, key=lambda score: -(score or 0))
        assert _OLD_SCORE not in scores
        assert {scored.node.node_id for scored in found} <= set(TEXTS)
        assert not self.understands or found[0].text == TEXTS[1]

    @pytest.mark.asyncio
    @pytest.mark.parametrize("is_async", [False, True])
    async def test_relevant_image_comes_first(
        self, reranker: BaseNodePostprocessor, is_async: bool
    ) -> None:
        """Nodes without any text are ranked by what their image shows."""
        self.need("sees_images")
        self.need("understands")
        nodes = _scored(*map(_image_node, COLORS))
        for number, color in enumerate(COLORS):
            found = await _rank(reranker, nodes, f"A {color} image", is_async=is_async)
            assert found[0].node.node_id == nodes[number].node.node_id

    def test_texts_and_images_are_ranked_together(self, reranker: BaseNodePostprocessor) -> None:
        """Nodes of both kinds stand in one ranking."""
        self.need("sees_images")
        found = reranker.postprocess_nodes(
            [*_texts()[:2], *_scored(_image_node("red"))], query_str=QUESTION
        )
        assert len(found) == 3

    def test_nodes_are_not_changed(self, reranker: BaseNodePostprocessor) -> None:
        """What the retriever found belongs to others: caches, other postprocessors."""
        nodes = _texts()
        before = [scored.model_dump() for scored in nodes]
        reranker.postprocess_nodes(nodes, query_str=QUESTION)
        assert [scored.model_dump() for scored in nodes] == before

    def test_number_of_nodes_is_bounded(self) -> None:
        """The best ones are kept."""
        reranker = self.rerank_class(**{**self.rerank_params, self.top_n_param: 1})
        found = reranker.postprocess_nodes(_texts(), query_str=QUESTION)
        assert len(found) == 1
        assert not self.understands or found[0].text == TEXTS[1]

    def test_no_nodes(self, reranker: BaseNodePostprocessor) -> None:
        """A retriever may find nothing."""
        assert reranker.postprocess_nodes([], query_str=QUESTION) == []

    @pytest.mark.asyncio
    @pytest.mark.parametrize("is_async", [False, True])
    async def test_failure_is_raised(
        self, failing_reranker: BaseNodePostprocessor | None, is_async: bool
    ) -> None:
        """No failure is an empty ranking, or the old one."""
        if failing_reranker is None:
            pytest.skip("failing_reranker is None")
        with pytest.raises(Exception):  # noqa: B017, PT011 - which one is the class's matter.
            await _rank(failing_reranker, _texts(), QUESTION, is_async=is_async)

    @pytest.mark.asyncio
    async def test_what_is_no_image_is_refused(self, reranker: BaseNodePostprocessor) -> None:
        """Bytes that are not an image are not ranked as if they were none."""
        self.need("sees_images")
        node = ImageNode(image=base64.b64encode(b"Not an image.").decode())
        with pytest.raises(Exception):  # noqa: B017, PT011 - which one is the class's matter.
            reranker.postprocess_nodes(_scored(node), query_str=QUESTION)

    def test_events_come_once(self, reranker: BaseNodePostprocessor) -> None:
        """A ranking starts once and ends once, with its nodes, without the key."""
        recorder = CallbackRecorder(CBEventType.RERANKING)
        reranker.callback_manager = CallbackManager([recorder])
        nodes = _texts()
        with recorded_events(ReRankStartEvent, ReRankEndEvent) as events:
            found = reranker.postprocess_nodes(nodes, query_str=QUESTION)
        start, end = _two(events.events)
        assert (type(start), type(end)) == (ReRankStartEvent, ReRankEndEvent)
        assert start.nodes == nodes
        assert start.model_name == getattr(reranker, self.model_name_attribute)
        assert end.nodes == found
        assert len(recorder.starts) == len(recorder.ends) == 1
        assert self.secret is None or self.secret not in str(events.events)

    def test_copy_of_used_reranker_works(self, reranker: BaseNodePostprocessor) -> None:
        """A reranker that has been used can be copied, and both go on."""
        expected = reranker.postprocess_nodes(_texts(), query_str=QUESTION)
        for each in (copy.deepcopy(reranker), reranker):
            found = each.postprocess_nodes(_texts(), query_str=QUESTION)
            assert [scored.text for scored in found] == [scored.text for scored in expected]


async def _rank(
    reranker: BaseNodePostprocessor, nodes: list[NodeWithScore], question: str, *, is_async: bool
) -> list[NodeWithScore]:
    if is_async:
        return await reranker.apostprocess_nodes(nodes, query_str=question)
    return reranker.postprocess_nodes(nodes, query_str=question)


def _scored(*nodes: BaseNode) -> list[NodeWithScore]:
    return [NodeWithScore(node=node, score=_OLD_SCORE) for node in nodes]


def _texts() -> list[NodeWithScore]:
    return _scored(*(TextNode(id_=text, text=text) for text in TEXTS))


def _image_node(color: str) -> ImageNode:
    return ImageNode(image=base64.b64encode(draw_image(color)).decode())


def _two(events: list[Any]) -> tuple[Any, Any]:
    assert len(events) == 2
    return events[0], events[1]
