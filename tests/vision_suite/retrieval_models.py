"""A small embedding model and a reranker that see colors, and the same with a fault each.

Copied beside the suites that `test_suite_finds_retrieval_faults.py` writes.
"""

import asyncio
import io
import math
import re
import threading
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llama_index.core.callbacks import CBEventType, EventPayload
from llama_index.core.embeddings import MultiModalEmbedding
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import (
    BaseNode,
    ImageNode,
    MetadataMode,
    NodeWithScore,
    QueryBundle,
)
from PIL import Image
from pydantic import ConfigDict, Field, PrivateAttr

COLORS = ("red", "green", "blue")
SIZE = 61


def read_text(text: str) -> list[float]:
    """Count the words of a text, colors apart."""
    vector = [0.0] * (SIZE + 3)
    for word in re.findall(r"\w+", text.lower()):
        at = SIZE + COLORS.index(word) if word in COLORS else zlib.crc32(word.encode()) % SIZE
        vector[at] += 3.0 if word in COLORS else 1.0
    return vector


def read_image(image: Any) -> list[float]:
    """Find the color of an image."""
    opened = Image.open(image if isinstance(image, str | Path) else io.BytesIO(image.getvalue()))
    pixel: Any = opened.convert("RGB").resize((1, 1)).getpixel((0, 0))
    return [0.0] * SIZE + [float(share**2) for share in (part / 255 for part in pixel)]


def similarity(vector: Sequence[float], other: Sequence[float]) -> float:
    product = sum(a * b for a, b in zip(vector, other, strict=True))
    return product / (math.hypot(*vector) * math.hypot(*other) or 1.0)


class ReferenceEmbedding(MultiModalEmbedding):
    """Defines every method that a fault may be in."""

    model_config = ConfigDict(extra="forbid")

    model_name: str = "colors-1"
    api_key: str = Field(default="", exclude=True, repr=False)
    fails: bool = False
    is_short: bool = False

    @classmethod
    def class_name(cls) -> str:
        return "reference_embedding"

    def ask(self, kind: str, values: Sequence[Any]) -> list[list[float]]:
        """Answer as a service would."""
        if self.fails:
            raise RuntimeError("The service is out of order.")
        read = read_text if kind == "text" else read_image
        vectors = [read(value) for value in values]
        return vectors[:1] if self.is_short else vectors

    def embed(self, kind: str, values: Sequence[Any]) -> list[list[float]]:
        """Ask, and check the answer."""
        vectors = self.ask(kind, values)
        if len(vectors) != len(values):
            raise RuntimeError("The service has answered with too few vectors.")
        return vectors

    def _get_query_embedding(self, query: str) -> list[float]:
        return self.embed("text", [query])[0]

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_query_embedding(query)

    def _get_text_embedding(self, text: str) -> list[float]:
        return self.embed("text", [text])[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return self.embed("text", texts)

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return self._get_text_embeddings(texts)

    def _get_image_embedding(self, img_file_path: Any) -> list[float]:
        return self.embed("image", [img_file_path])[0]

    async def _aget_image_embedding(self, img_file_path: Any) -> list[float]:
        return self._get_image_embedding(img_file_path)

    def _get_image_embeddings(self, img_file_paths: list[Any]) -> list[list[float]]:
        return self.embed("image", img_file_paths)

    def __call__(self, nodes: Sequence[BaseNode], **kwargs: Any) -> Sequence[BaseNode]:
        for node in nodes:
            if isinstance(node, ImageNode):
                node.embedding = self.get_image_embedding(node.resolve_image())
            else:
                node.embedding = self.get_text_embedding(node.get_content(MetadataMode.EMBED))
        return nodes

    async def acall(self, nodes: Sequence[BaseNode], **kwargs: Any) -> Sequence[BaseNode]:
        return self(nodes, **kwargs)


class NamesNoModel(ReferenceEmbedding):
    model_name: str = "unknown"


class ShowsKeyOfEmbedding(ReferenceEmbedding):
    api_key: str = ""


class PutsKeyIntoPayload(ReferenceEmbedding):
    def to_payload(self) -> dict[str, Any]:
        return {**super().to_payload(), "api_key": self.api_key}


class TakesAnyOptionOfEmbedding(ReferenceEmbedding):
    model_config = ConfigDict(extra="ignore")


class HasNameOfCore(ReferenceEmbedding):
    @classmethod
    def class_name(cls) -> str:
        return MultiModalEmbedding.class_name()


class HoldsALockOfEmbedding(ReferenceEmbedding):
    _lock: Any = PrivateAttr(default_factory=threading.Lock)

    def ask(self, kind: str, values: Sequence[Any]) -> list[list[float]]:
        with self._lock:
            return super().ask(kind, values)


class KeepsItsFirstLoopOfEmbedding(ReferenceEmbedding):
    _loop: Any = PrivateAttr(default=None)

    async def _aget_text_embedding(self, text: str) -> list[float]:
        self._loop = self._loop or asyncio.get_running_loop()
        if self._loop is not asyncio.get_running_loop():
            raise RuntimeError("Event loop is closed")
        return self._get_text_embedding(text)


class AnswersFailuresWithEmptyVectors(ReferenceEmbedding):
    def embed(self, kind: str, values: Sequence[Any]) -> list[list[float]]:
        try:
            return super().embed(kind, values)
        except Exception:  # noqa: BLE001 - the fault.
            return [[] for _ in values]


class FillsMissingVectors(ReferenceEmbedding):
    def embed(self, kind: str, values: Sequence[Any]) -> list[list[float]]:
        vectors = self.ask(kind, values)
        return [*vectors, *([0.0] * (SIZE + 3) for _ in values[len(vectors) :])]


class LosesWhatIsBeyondARequest(ReferenceEmbedding):
    def embed(self, kind: str, values: Sequence[Any]) -> list[list[float]]:
        vectors = super().embed(kind, values)
        # As if the answer's places were counted from 0 again.
        return [vectors[number % 8] for number in range(len(values))]


class ReversesBatches(ReferenceEmbedding):
    def embed(self, kind: str, values: Sequence[Any]) -> list[list[float]]:
        return super().embed(kind, values)[::-1]


class ReadsTextsAsPaths(ReferenceEmbedding):
    def embed(self, kind: str, values: Sequence[Any]) -> list[list[float]]:
        return [
            super(ReadsTextsAsPaths, self).embed(
                "image" if kind == "text" and Path(value).is_file() else kind, [value]
            )[0]
            for value in values
        ]


class ReadsNoOpenFiles(ReferenceEmbedding):
    def _get_image_embedding(self, img_file_path: Any) -> list[float]:
        if not isinstance(img_file_path, str):
            return read_text("image")
        return super()._get_image_embedding(img_file_path)


class EmbedsNamesOfImages(ReferenceEmbedding):
    def ask(self, kind: str, values: Sequence[Any]) -> list[list[float]]:
        return super().ask("text", [value if kind == "text" else "image" for value in values])


class HasOtherVectorsInAsync(ReferenceEmbedding):
    async def _aget_query_embedding(self, query: str) -> list[float]:
        return read_text(f"query {query}")


class HasShorterQueries(ReferenceEmbedding):
    def _get_query_embedding(self, query: str) -> list[float]:
        return super()._get_query_embedding(query)[1:]


class GivesWholeNumbers(ReferenceEmbedding):
    def _get_query_embedding(self, query: str) -> list[float]:
        whole: Any = [int(number) for number in super()._get_query_embedding(query)]
        return whole  # type: ignore[no-any-return]


class EmbedsOnlyTextOfNodes(ReferenceEmbedding):
    def __call__(self, nodes: Sequence[BaseNode], **kwargs: Any) -> Sequence[BaseNode]:
        return MultiModalEmbedding.__call__(self, nodes)


class ReportsNothingOfEmbeddings(ReferenceEmbedding):
    def get_text_embedding_batch(self, texts: list[str], *_: Any, **__: Any) -> Any:
        return self._get_text_embeddings(texts)

    def get_text_embedding(self, text: str) -> Any:
        return self._get_text_embedding(text)


class ReferenceRerank(BaseNodePostprocessor):
    """Defines every method that a fault may be in."""

    model_config = ConfigDict(extra="forbid")

    model: str = "ranks-1"
    top_n: int = 3
    api_key: str = Field(default="", exclude=True, repr=False)
    fails: bool = False

    @classmethod
    def class_name(cls) -> str:
        return "reference_rerank"

    def read(self, node: BaseNode) -> list[float]:
        if isinstance(node, ImageNode):
            return read_image(node.resolve_image())
        return read_text(node.get_content(MetadataMode.EMBED))

    def score(self, nodes: list[NodeWithScore], question: str) -> list[NodeWithScore]:
        if self.fails:
            raise RuntimeError("The service is out of order.")
        query = read_text(question)
        scored = [
            NodeWithScore(node=each.node, score=similarity(query, self.read(each.node)))
            for each in nodes
        ]
        return sorted(scored, key=lambda each: -(each.score or 0))[: self.top_n]

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        assert query_bundle
        dispatcher = get_dispatcher()
        dispatcher.event(
            ReRankStartEvent(
                query=query_bundle, nodes=nodes, top_n=self.top_n, model_name=self.model
            )
        )
        payload: Any = {EventPayload.NODES: nodes}
        with self.callback_manager.event(CBEventType.RERANKING, payload=payload):
            found = self.score(nodes, query_bundle.query_str)
        dispatcher.event(ReRankEndEvent(nodes=found))
        return found


class ShowsKeyOfRerank(ReferenceRerank):
    api_key: str = ""


class TakesAnyOptionOfRerank(ReferenceRerank):
    model_config = ConfigDict(extra="ignore")


class HoldsALockOfRerank(ReferenceRerank):
    _lock: Any = PrivateAttr(default_factory=threading.Lock)

    def score(self, nodes: list[NodeWithScore], question: str) -> list[NodeWithScore]:
        with self._lock:
            return super().score(nodes, question)


class KeepsOldScores(ReferenceRerank):
    def score(self, nodes: list[NodeWithScore], question: str) -> list[NodeWithScore]:
        old = {each.node.node_id: each.score for each in nodes}
        found = super().score(nodes, question)
        return [NodeWithScore(node=each.node, score=old[each.node.node_id]) for each in found]


class KeepsOldOrder(ReferenceRerank):
    def score(self, nodes: list[NodeWithScore], question: str) -> list[NodeWithScore]:
        found = {each.node.node_id: each for each in super().score(nodes, question)}
        return [found[each.node.node_id] for each in nodes if each.node.node_id in found]


class SetsScoresOfOthers(ReferenceRerank):
    def score(self, nodes: list[NodeWithScore], question: str) -> list[NodeWithScore]:
        found = super().score(nodes, question)
        scores = {each.node.node_id: each.score for each in found}
        for each in nodes:
            each.score = scores.get(each.node.node_id)
        return found


class GivesNodesOtherIds(ReferenceRerank):
    def score(self, nodes: list[NodeWithScore], question: str) -> list[NodeWithScore]:
        found = super().score(nodes, question)
        return [
            NodeWithScore(node=each.node.model_copy(update={"id_": f"{at}"}), score=each.score)
            for at, each in enumerate(found)
        ]


class KeepsAll(ReferenceRerank):
    def score(self, nodes: list[NodeWithScore], question: str) -> list[NodeWithScore]:
        limit, self.top_n = self.top_n, len(nodes)
        found = super().score(nodes, question)
        self.top_n = limit
        return found


class RanksOnlyText(ReferenceRerank):
    def read(self, node: BaseNode) -> list[float]:
        return read_text(node.get_content(MetadataMode.EMBED))


class LeavesOutImages(ReferenceRerank):
    def score(self, nodes: list[NodeWithScore], question: str) -> list[NodeWithScore]:
        texts = [each for each in nodes if not isinstance(each.node, ImageNode)]
        return super().score(texts, question)


class AnswersFailuresWithOldOrder(ReferenceRerank):
    def score(self, nodes: list[NodeWithScore], question: str) -> list[NodeWithScore]:
        try:
            return super().score(nodes, question)
        except Exception:  # noqa: BLE001 - the fault.
            return nodes


class FailsWithoutNodes(ReferenceRerank):
    def score(self, nodes: list[NodeWithScore], question: str) -> list[NodeWithScore]:
        if not nodes:
            raise RuntimeError("documents must not be empty")
        return super().score(nodes, question)


class ReportsNothingOfRankings(ReferenceRerank):
    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        assert query_bundle
        return self.score(nodes, query_bundle.query_str)


class ReportsAnotherModel(ReferenceRerank):
    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        model, self.model = self.model, "ranks-0"
        found = super()._postprocess_nodes(nodes, query_bundle)
        self.model = model
        return found
