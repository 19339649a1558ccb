"""Tests of embedding models that see images."""

import asyncio
import base64
import copy
import io
import math
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from llama_index.core import Settings, VectorStoreIndex
from llama_index.core.base.embeddings.base import BaseEmbedding, Embedding
from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload
from llama_index.core.embeddings import MultiModalEmbedding, resolve_embed_model
from llama_index.core.indices import MultiModalVectorStoreIndex
from llama_index.core.instrumentation.events.embedding import (
    EmbeddingEndEvent,
    EmbeddingStartEvent,
)
from llama_index.core.schema import ImageNode, TextNode

from llama_index_vision_tests.components import ComponentSuite, ComponentTests
from llama_index_vision_tests.recording import CallbackRecorder, recorded_events
from llama_index_vision_tests.samples import draw_image
from llama_index_vision_tests.suite import default

COLORS = ("blue", "green", "red")
_SAME = 0.999


class EmbeddingSuite(ComponentSuite):
    """The embedding model under test and what it can do.

    Override the attributes as of `LLMSuite`.

    Example:
        >>> from llama_index.core.embeddings import MockEmbedding
        >>> class MySuite(EmbeddingSuite):
        ...     embedding_class = MockEmbedding
        ...     embedding_params = {"embed_dim": 4}
        >>> MySuite().sees_images
        False
    """

    @default
    @abstractmethod
    def embedding_class(self) -> type[BaseEmbedding]:
        """The class under test."""

    @default
    def embedding_params(self) -> dict[str, Any]:
        """The keyword arguments that make a model that answers."""
        return {}

    @default
    def sees_images(self) -> bool:
        """Whether it is a `MultiModalEmbedding`."""
        return issubclass(self.embedding_class, MultiModalEmbedding)

    @default
    def embeds_nodes(self) -> bool:
        """Whether it embeds nodes with their images when it is called with them."""
        return False

    @default
    def understands(self) -> bool:
        """Whether a text is near to the image that it describes, and to similar texts.

        A local double whose vectors mean nothing sets this to false.
        """
        return True

    @default
    def component_class(self) -> Any:
        """The same, as a component."""
        return self.embedding_class

    @default
    def component_params(self) -> Any:
        """The same, as those of a component."""
        return self.embedding_params

    @pytest.fixture
    def embed_model(self) -> Any:
        """The model under test; `Any`, as its methods for images are not those of all."""
        return self.embedding_class(**self.embedding_params)

    @pytest.fixture
    def failing_embed_model(self) -> BaseEmbedding | None:
        """Override: a model whose next request the service answers with an error."""
        return None

    @pytest.fixture
    def short_embed_model(self) -> BaseEmbedding | None:
        """Override: a model whose next answer for two texts has a single vector."""
        return None


class EmbeddingUnitTests(EmbeddingSuite, ComponentTests):
    """Tests of an embedding model without any request.

    Example:
        >>> from llama_index.core.embeddings import MockEmbedding
        >>> class TestMyEmbedding(EmbeddingUnitTests):
        ...     embedding_class = MockEmbedding
        ...     embedding_params = {"embed_dim": 4, "model_name": "mock"}
    """

    def find_model_name(self, component: Any) -> str:
        """Return the name of the model."""
        return str(component.model_name)

    def test_is_an_embedding_model(self, embed_model: Any) -> None:
        """It is a `BaseEmbedding`: what takes any embedding model takes it."""
        assert isinstance(embed_model, BaseEmbedding)

    def test_payload_names_the_model_and_no_secret(self, embed_model: Any) -> None:
        """The payload goes to every event handler and tracing service."""
        payload = str(embed_model.to_payload())
        assert embed_model.model_name in payload
        assert self.secret is None or self.secret not in payload

    def test_settings_take_it(self, embed_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """It can be the embedding model of all indexes."""
        monkeypatch.setattr(Settings, "_embed_model", None)
        Settings.embed_model = embed_model
        assert Settings.embed_model is embed_model
        assert resolve_embed_model(embed_model) is embed_model

    def test_batch_size_is_kept(self) -> None:
        """The constructor takes what every embedding model has."""
        made = self.embedding_class(**{**self.embedding_params, "embed_batch_size": 3})
        assert made.embed_batch_size == 3


class VisionEmbeddingTests(EmbeddingSuite):
    """Tests that ask an embedding model.

    Example:
        >>> from llama_index.core.embeddings import MockEmbedding
        >>> class TestMyEmbedding(VisionEmbeddingTests):
        ...     embedding_class = MockEmbedding
        ...     embedding_params = {"embed_dim": 4}
        ...     understands = False
    """

    def test_vectors_are_of_one_length(self, embed_model: Any, tmp_path: Path) -> None:
        """A store has one length: queries, texts and images are compared."""
        vectors = [
            embed_model.get_query_embedding("A red image"),
            embed_model.get_text_embedding("A red image"),
            *embed_model.get_text_embedding_batch(["A", "B"]),
        ]
        if self.sees_images:
            vectors.append(embed_model.get_image_embedding(_write("red", tmp_path)))
        assert len({len(vector) for vector in vectors}) == 1
        for vector in vectors:
            check_vector(vector)

    @pytest.mark.asyncio
    async def test_async_gives_the_same(self, embed_model: Any, tmp_path: Path) -> None:
        """Async methods embed as the sync ones do."""
        path = _write("red", tmp_path)
        pairs = [
            (
                embed_model.get_query_embedding("One."),
                await embed_model.aget_query_embedding("One."),
            ),
            (embed_model.get_text_embedding("One."), await embed_model.aget_text_embedding("One.")),
        ]
        if self.sees_images:
            pairs.append(
                (
                    embed_model.get_image_embedding(path),
                    await embed_model.aget_image_embedding(path),
                )
            )
        for sync, other in pairs:
            check_vector(other)
            assert is_same(sync, other)

    @pytest.mark.asyncio
    @pytest.mark.parametrize("is_async", [False, True])
    async def test_batch_keeps_order(self, embed_model: Any, is_async: bool) -> None:
        """Each text gets its own vector, also beyond the size of a request."""
        texts = [f"Note {number} is about {number * 7}." for number in range(33)]
        if is_async:
            vectors = await embed_model.aget_text_embedding_batch(texts)
        else:
            vectors = embed_model.get_text_embedding_batch(texts)
        assert len(vectors) == len(texts)
        for number in (0, 9, 19, 20, 32):
            assert is_same(vectors[number], embed_model.get_text_embedding(texts[number]))
        assert not self.understands or not is_same(vectors[0], vectors[32])

    @pytest.mark.asyncio
    @pytest.mark.parametrize("is_async", [False, True])
    async def test_batch_of_images_keeps_order(
        self, embed_model: Any, is_async: bool, tmp_path: Path
    ) -> None:
        """Each image gets its own vector, also beyond the size of a request."""
        self.need("sees_images")
        paths = [_write(COLORS[number % 3], tmp_path) for number in range(13)]
        if is_async:
            vectors = await embed_model.aget_image_embedding_batch(paths)
        else:
            vectors = embed_model.get_image_embedding_batch(paths)
        assert len(vectors) == len(paths)
        single = [embed_model.get_image_embedding(path) for path in paths[:3]]
        for number, vector in enumerate(vectors):
            assert is_same(vector, single[number % 3])
        assert not is_same(single[0], single[2])

    def test_open_file_is_the_same_image(self, embed_model: Any, tmp_path: Path) -> None:
        """Images come as paths and as open files: nodes resolve to either."""
        self.need("sees_images")
        data = io.BytesIO(draw_image("red"))
        opened = embed_model.get_image_embedding(data)
        assert is_same(opened, embed_model.get_image_embedding(_write("red", tmp_path)))

    def test_text_is_no_path(self, embed_model: Any, tmp_path: Path) -> None:
        """A text that looks like a path is embedded as text: it may come from anywhere."""
        self.need("sees_images")
        path = _write("red", tmp_path)
        image = embed_model.get_image_embedding(path)
        for vector in (
            embed_model.get_text_embedding(path),
            embed_model.get_query_embedding(path),
            *embed_model.get_text_embedding_batch([path]),
        ):
            assert not is_same(vector, image)

    @pytest.mark.asyncio
    @pytest.mark.parametrize("is_async", [False, True])
    async def test_text_finds_image(self, embed_model: Any, is_async: bool, tmp_path: Path) -> None:
        """The image that a text describes is the nearest."""
        self.need("sees_images")
        self.need("understands")
        images = [embed_model.get_image_embedding(_write(color, tmp_path)) for color in COLORS]
        for number, color in enumerate(COLORS):
            question = f"A {color} image"
            if is_async:
                query = await embed_model.aget_query_embedding(question)
            else:
                query = embed_model.get_query_embedding(question)
            scores = [embed_model.similarity(query, image) for image in images]
            assert scores.index(max(scores)) == number

    @pytest.mark.asyncio
    async def test_what_is_no_image_is_refused(self, embed_model: Any) -> None:
        """Bytes that are not an image get no vector."""
        self.need("sees_images")
        with pytest.raises(Exception):  # noqa: B017, PT011 - which one is the model's matter.
            embed_model.get_image_embedding(io.BytesIO(b"Not an image."))
        with pytest.raises(Exception):  # noqa: B017, PT011
            await embed_model.aget_image_embedding(io.BytesIO(b"Not an image."))

    @pytest.mark.asyncio
    @pytest.mark.parametrize("method", ["query", "text", "batch", "async batch"])
    async def test_failure_is_raised(
        self, failing_embed_model: BaseEmbedding | None, method: str
    ) -> None:
        """No failure is an empty vector, which a store would keep."""
        if failing_embed_model is None:
            pytest.skip("failing_embed_model is None")
        with pytest.raises(Exception):  # noqa: B017, PT011 - which one is the model's matter.
            await _embed(failing_embed_model, method)

    @pytest.mark.asyncio
    @pytest.mark.parametrize("method", ["batch", "async batch"])
    async def test_missing_vector_is_raised(
        self, short_embed_model: BaseEmbedding | None, method: str
    ) -> None:
        """An answer with too few vectors is an error: none may be assigned to another text."""
        if short_embed_model is None:
            pytest.skip("short_embed_model is None")
        with pytest.raises(Exception):  # noqa: B017, PT011 - which one is the model's matter.
            await _embed(short_embed_model, method)

    def test_events_come_once(self, embed_model: Any) -> None:
        """A call starts once and ends once, with its texts and vectors, without the key."""
        with recorded_events(EmbeddingStartEvent, EmbeddingEndEvent) as recorder:
            vectors = embed_model.get_text_embedding_batch(["One.", "Two."])
        assert [type(event) for event in recorder.events] == [
            EmbeddingStartEvent,
            EmbeddingEndEvent,
        ]
        end: Any = recorder.events[1]
        assert (end.chunks, end.embeddings) == (["One.", "Two."], vectors)
        assert self.secret is None or self.secret not in str(recorder.events)

    def test_callbacks_come_once(self, embed_model: Any) -> None:
        """A callback handler sees one start and its end."""
        recorder = CallbackRecorder(CBEventType.EMBEDDING)
        embed_model.callback_manager = CallbackManager([recorder])
        vector = embed_model.get_text_embedding("One.")
        assert len(recorder.starts) == 1
        assert [event_id for event_id, _ in recorder.ends] == [recorder.starts[0][0]]
        assert recorder.ends[0][1][EventPayload.EMBEDDINGS] == [vector]

    def test_copy_of_used_model_works(self, embed_model: Any) -> None:
        """A model that has been used can be copied, and both go on."""
        vector = embed_model.get_text_embedding("One.")
        again = copy.deepcopy(embed_model)
        assert is_same(again.get_text_embedding("One."), vector)
        assert is_same(embed_model.get_text_embedding("One."), vector)

    def test_survives_its_event_loop(self, embed_model: Any) -> None:
        """The same model works in one event loop after the other."""

        async def embed() -> list[Embedding]:
            texts = [f"Note {number}." for number in range(4)]
            calls = [embed_model.aget_text_embedding(text) for text in texts]
            return list(await asyncio.gather(*calls))

        first, second = asyncio.run(embed()), asyncio.run(embed())
        assert len(first) == 4
        assert all(is_same(one, other) for one, other in zip(first, second, strict=True))

    @pytest.mark.asyncio
    @pytest.mark.parametrize("is_async", [False, True])
    async def test_nodes_are_embedded_with_their_images(
        self, embed_model: Any, is_async: bool
    ) -> None:
        """Called with nodes, as in a pipeline, it embeds their images."""
        self.need("embeds_nodes")
        nodes = [_image_node(color) for color in COLORS]
        found = await embed_model.acall(nodes) if is_async else embed_model(nodes)
        vectors = [node.embedding for node in found]
        for number, vector in enumerate(vectors):
            check_vector(vector)
            expected = embed_model.get_image_embedding(io.BytesIO(draw_image(COLORS[number])))
            assert is_same(vector, expected)

    def test_nodes_of_text_are_embedded(self, embed_model: Any) -> None:
        """Called with nodes of text, as in a pipeline, it sets their vectors."""
        nodes = [TextNode(text="One."), TextNode(text="Two.")]
        found = embed_model(nodes)
        assert [node.text for node in found] == ["One.", "Two."]
        for node in found:
            assert is_same(node.embedding, embed_model.get_text_embedding(node.get_content()))

    def test_index_finds_text(self, embed_model: Any) -> None:
        """A vector store index finds the text that is asked for."""
        self.need("understands")
        texts = ["A steam engine of 1901.", "A recipe for bread.", "The color of the sea."]
        index = VectorStoreIndex([TextNode(text=text) for text in texts], embed_model=embed_model)
        found = index.as_retriever(similarity_top_k=1).retrieve("Which steam engine is there?")
        assert found[0].text == texts[0]

    def test_multi_modal_index_finds_image(self, embed_model: Any, tmp_path: Path) -> None:
        """A multi-modal index finds the image that a text describes, and that is like another."""
        self.need("sees_images")
        self.need("understands")
        nodes = [
            ImageNode(id_=color, text="An image.", image_path=_write(color, tmp_path))
            for color in COLORS
        ]
        index = MultiModalVectorStoreIndex(
            nodes, embed_model=embed_model, image_embed_model=embed_model
        )
        retriever = index.as_retriever(image_similarity_top_k=1)
        for color in COLORS:
            assert _ids(retriever.text_to_image_retrieve(f"A {color} image")) == [color]
            path = _write(color, tmp_path)
            assert _ids(retriever.image_to_image_retrieve(path)) == [color]


def check_vector(vector: Any) -> None:
    """Check that a vector is a list of finite numbers, not all of them 0.

    Example:
        >>> check_vector([0.5, 1.0])
    """
    assert isinstance(vector, list)
    assert vector
    assert all(isinstance(number, float) and math.isfinite(number) for number in vector)
    assert any(vector)


def is_same(vector: Sequence[float], other: Sequence[float]) -> bool:
    """Return whether two vectors point the same way, up to what rounding does to them.

    Example:
        >>> is_same([1.0, 1.0], [2.0, 2.0])
        True
    """
    product = sum(a * b for a, b in zip(vector, other, strict=True))
    return product > _SAME * math.hypot(*vector) * math.hypot(*other)


async def _embed(embed_model: BaseEmbedding, method: str) -> object:
    match method:
        case "query":
            return embed_model.get_query_embedding("One.")
        case "text":
            return embed_model.get_text_embedding("One.")
        case "batch":
            return embed_model.get_text_embedding_batch(["One.", "Two."])
        case _:
            return await embed_model.aget_text_embedding_batch(["One.", "Two."])


def _write(color: str, folder: Path) -> str:
    path = folder / f"{color}.png"
    path.write_bytes(draw_image(color))
    return str(path)


def _image_node(color: str) -> ImageNode:
    return ImageNode(image=base64.b64encode(draw_image(color)).decode())


def _ids(found: Sequence[Any]) -> list[str]:
    return [scored.node.node_id for scored in found]
