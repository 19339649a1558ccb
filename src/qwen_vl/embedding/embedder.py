"""Vectors of texts, images and videos: many items in few requests."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from qwen_vl.client import ClientCache, Post
from qwen_vl.content import Turn
from qwen_vl.embedding.cache import VectorCache, find_key
from qwen_vl.embedding.encode import (
    NATIVE_PATH,
    encode_native,
    encode_vllm,
    find_native_url,
)
from qwen_vl.embedding.items import Item, to_items
from qwen_vl.embedding.packing import ErrorCallback, Pack, PackLimits, pack_items
from qwen_vl.embedding.preparing import MediaLimits, make_request, prepare_item
from qwen_vl.embedding.results import (
    DecodedVectors,
    EmbeddedBatch,
    Embeddings,
    Vector,
    decode_vectors,
    join_batches,
    scale_to_length_one,
)
from qwen_vl.errors import AnswerFormatError, ConfigurationError, InvalidRequestError
from qwen_vl.generators import Owned, map_in_order
from qwen_vl.request.build import build_connection
from qwen_vl.settings import EndpointSettings
from qwen_vl.specs.embedding import (
    DEFAULT_EMBEDDING_MODEL,
    EMBEDDING_MODELS,
    SELF_HOSTED_EMBEDDING,
    EmbeddingSpec,
    get_embedding_spec,
)
from qwen_vl.specs.servers import DEFAULT_SERVER
from qwen_vl.transport.flow import Flow, arun, run

DEFAULT_CONCURRENCY = 4
"""Requests that an asynchronous embedder has under way at the same time."""

# An example of the open models' own (QwenLM/Qwen3-VL-Embedding, 2026-01).
QUERY_INSTRUCTION = "Retrieve images or text relevant to the user's query."
"""What queries are for. Documents have the model's own default."""

_RESERVED = {
    "dimension": "dimensions",
    "dimensions": "dimensions",
    "instruct": "query_instruction and document_instruction",
    "enable_fusion": "an item of several parts",
    "encoding_format": "nothing, as numbers are sent as JSON",
    "input": "items",
    "messages": "items",
    "model": "settings.model",
    "output_type": "nothing, as all vectors are dense",
}


class Embedder:
    """Turns texts, images and videos into vectors that can be compared with each other.

    Items are packed into as few requests as the limits of the model allow. Vectors come back in
    the order of the items, one for each item, or an error says which item lacks one.

    Args:
        settings: The model, `qwen3-vl-embedding` where none is set; how to reach the endpoint; and
            how media is read: `media_roots`, `max_inline_bytes`, `video_mode`. Parameters of chat
            models among them are not sent. With `server="vllm"`, an open embedding model is asked.
        dimensions: Length of the vectors; the model's default if `None`. Where vLLM refuses to
            shorten them, they are cut here and scaled to length 1.
        query_instruction: What queries are for, in English; `None` for the model's default.
        document_instruction: What all else is for; `None` for the model's default.
        normalize: Whether vectors are scaled to length 1. No page says whether the service does.
        batch_size: Maximum number of elements of a request; the model's limit if `None`. vLLM
            takes more than 1 item from 0.32 on, and is sent 1 if `None`.
        max_concurrency: Maximum number of requests at the same time, of the asynchronous methods.
        parameters: Further parameters by the service's names, as `{"res_level": 2}`. `fps` is a
            share of the frames here, from 0 to 1, not a number a second as in chat.
        cache: Where vectors are kept, or its folder: what is there is not asked for again. Media
            given by URL is known by its URL. Nothing is kept if `None`.

    Raises:
        ConfigurationError: The model does not have vectors of this length, or the server does not
            embed images.

    Example:
        >>> from qwen_vl.samples import CHELSEA
        >>> from qwen_vl.settings import QwenVLSettings
        >>> from qwen_vl_sandbox import Sandbox
        >>> with Sandbox() as sandbox:
        ...     settings = QwenVLSettings(base_url=sandbox.base_url, api_key="sk-sandbox")
        ...     embedder = Embedder(settings, dimensions=512)
        ...     embeddings = embedder.embed(["A cat.", CHELSEA, ("A cat.", CHELSEA)])
        >>> len(embeddings), embeddings.dimensions, embeddings.usage.image_tokens
        (3, 512, 252)
    """

    def __init__(  # noqa: PLR0913 - what the vectors are like, and how they are asked for.
        self,
        settings: EndpointSettings,
        *,
        dimensions: int | None = None,
        query_instruction: str | None = QUERY_INSTRUCTION,
        document_instruction: str | None = None,
        normalize: bool = False,
        batch_size: int | None = None,
        max_concurrency: int = DEFAULT_CONCURRENCY,
        parameters: Mapping[str, Any] | None = None,
        cache: VectorCache | str | Path | None = None,
    ) -> None:
        for name, count in (("batch_size", batch_size), ("max_concurrency", max_concurrency)):
            if count is not None and count < 1:
                raise ConfigurationError(f"{name} is {count}; it must be 1 or more.")
        self._settings = settings
        # The default of the settings is a chat model.
        is_set = "model" in settings.model_fields_set
        self.model = settings.model if is_set else DEFAULT_EMBEDDING_MODEL
        self._is_hosted = settings.server == DEFAULT_SERVER
        self._spec = _find_spec(settings, self.model)
        self._spec.check_dimensions(dimensions, self.model)
        self._dimensions = dimensions
        self._query_instruction = query_instruction
        self._document_instruction = document_instruction
        self._normalize = normalize
        self._max_concurrency = max_concurrency
        self._parameters = _check_parameters(parameters or {})
        self._media_limits = MediaLimits(
            max_pixels=self._spec.max_pixels,
            max_image_bytes=self._spec.max_image_bytes,
            max_video_bytes=self._spec.max_video_bytes,
            max_text_tokens=self._spec.max_text_tokens,
        )
        self._request = make_request(self.model, settings, self._media_limits)
        self._pack_limits = PackLimits(
            spec=self._spec,
            max_elements=batch_size or (self._spec.max_elements if self._is_hosted else 1),
            max_bytes=settings.max_total_inline_bytes,
            joins_parts=not self._is_hosted,
        )
        self._cuts = False
        self._clients = ClientCache()
        self._cache = VectorCache(cache) if isinstance(cache, str | Path) else cache

    @property
    def can_fuse(self) -> bool:
        """Whether a text and an image can become one vector."""
        return self._spec.fusion != "none"

    @property
    def space(self) -> str:
        """Identify the space of document vectors: what is stored with them.

        It names the model, the length of the vectors, whether they are scaled to length 1, and
        the instruction for documents, as a hash. Vectors with the same id can be compared.

        Example:
            >>> from qwen_vl.settings import QwenVLSettings
            >>> Embedder(QwenVLSettings(api_key="sk-1"), dimensions=512).space
            'qwen3-vl-embedding/512'
        """
        marks = [self.model, str(self._find_dimensions() or "default")]
        if self._normalize:
            marks.append("normalized")
        if self._document_instruction is not None:
            digest = sha256(self._document_instruction.encode()).hexdigest()
            marks.append(f"instruction-{digest[:8]}")
        return "/".join(marks)

    def embed(self, items: Iterable[object]) -> Embeddings:
        """Embed documents: what is searched.

        Args:
            items: Texts, images, videos, or several of them together, in each form that `to_items`
                names. A text is never read as a path or URL.

        Raises:
            ContentError: An item cannot be sent; the message names it. Requests before it were.
            AnswerFormatError: An answer lacks a vector, or has one that cannot be used.
            ServiceError: The endpoint answered with an error, or not at all.
        """
        return self._embed(items, self._document_instruction)

    def embed_queries(self, items: Iterable[object]) -> Embeddings:
        """Embed queries: what is searched for, with the instruction for queries; see `embed`.

        Args:
            items: As of `embed`.
        """
        return self._embed(items, self._query_instruction)

    async def aembed(self, items: Iterable[object]) -> Embeddings:
        """Embed documents, with several requests at the same time; see `embed`.

        Files are read and images encoded in a thread, no sooner than they are needed.

        Args:
            items: As of `embed`.
        """
        return await self._aembed(items, self._document_instruction)

    async def aembed_queries(self, items: Iterable[object]) -> Embeddings:
        """Embed queries, with several requests at the same time; see `embed_queries`.

        Args:
            items: As of `embed`.
        """
        return await self._aembed(items, self._query_instruction)

    def embed_batches(
        self, items: Iterable[object], *, on_error: ErrorCallback | None = None
    ) -> Iterator[EmbeddedBatch]:
        """Embed any number of documents, and give the vectors of each request as it is answered.

        So that they can be stored before the next request is sent. Items are taken one by one.

        Args:
            items: As of `embed`.
            on_error: Is called with the place of an item and what is wrong with it, where it cannot
                be sent or the endpoint refuses it; the other items go on. Where a request of
                several items is refused, each is sent separately. Errors are raised if `None`.

        Raises:
            ServiceError: The endpoint cannot be reached, refuses the key, or is out of order.
            QwenVLError: As of `embed`, without `on_error`.

        Example:
            >>> from qwen_vl.settings import QwenVLSettings
            >>> from qwen_vl_sandbox import Sandbox
            >>> with Sandbox() as sandbox:
            ...     settings = QwenVLSettings(base_url=sandbox.base_url, api_key="sk-sandbox")
            ...     batches = Embedder(settings).embed_batches(["A cat."] * 30)
            ...     [len(batch.vectors) for batch in batches]
            [20, 10]
        """
        return self._embed_batches(items, self._document_instruction, on_error)

    async def aembed_batches(
        self, items: Iterable[object], *, on_error: ErrorCallback | None = None
    ) -> AsyncIterator[EmbeddedBatch]:
        """Embed any number of documents, with several requests at a time; see `embed_batches`.

        Batches come in the order of their requests. A caller that stops early cancels the requests
        that are under way.

        Args:
            items: As of `embed`.
            on_error: As of `embed_batches`.
        """
        found: Any = self._aembed_batches(items, self._document_instruction, on_error)
        async with Owned[EmbeddedBatch](found) as batches:
            async for batch in batches:
                yield batch

    def _embed(self, items: Iterable[object], instruction: str | None) -> Embeddings:
        return join_batches(self._embed_batches(items, instruction, None), self.model)

    def _embed_batches(
        self, items: Iterable[object], instruction: str | None, on_error: ErrorCallback | None
    ) -> Iterator[EmbeddedBatch]:
        for found in self._find_packs(items, instruction, on_error):
            if isinstance(found, EmbeddedBatch):
                yield found
                continue
            client = self._clients.sync(build_connection(self._settings))
            batches = run(self._ask_each(found, instruction, client, on_error))
            self._keep(found, batches, instruction)
            yield from batches

    async def _aembed(self, items: Iterable[object], instruction: str | None) -> Embeddings:
        found: Any = self._aembed_batches(items, instruction, None)
        async with Owned[EmbeddedBatch](found) as batches:
            return join_batches([batch async for batch in batches], self.model)

    async def _aembed_batches(
        self, items: Iterable[object], instruction: str | None, on_error: ErrorCallback | None
    ) -> AsyncIterator[EmbeddedBatch]:
        async def ask(found: Pack | EmbeddedBatch) -> list[EmbeddedBatch]:
            if isinstance(found, EmbeddedBatch):
                return [found]
            client = self._clients.asynchronous(build_connection(self._settings))
            batches = await arun(self._ask_each(found, instruction, client, on_error))
            if self._cache is not None:
                await asyncio.to_thread(self._keep, found, batches, instruction)
            return batches

        packs = self._find_packs(items, instruction, on_error)
        found: Any = map_in_order(ask, packs, self._max_concurrency)
        async with Owned[list[EmbeddedBatch]](found) as answers:
            async for batches in answers:
                for batch in batches:
                    yield batch

    def _find_packs(
        self, items: Iterable[object], instruction: str | None, on_error: ErrorCallback | None
    ) -> Iterator[Pack | EmbeddedBatch]:
        """Find what is to be asked for, and between it the vectors that are known."""
        known: dict[int, Vector] = {}

        def is_known(position: int, item: Item) -> bool:
            key = self._find_key(item, instruction)
            vector = None if self._cache is None or key is None else self._cache.find(key)
            if vector is not None:
                known[position] = vector
            return vector is not None

        packs = pack_items(
            to_items(items),
            self._pack_limits,
            prepare=partial(prepare_item, request=self._request, limits=self._media_limits),
            is_known=is_known,
            on_error=on_error,
        )
        for pack in packs:
            yield from _take_known(known)
            yield pack
        yield from _take_known(known)

    def _keep(self, pack: Pack, batches: Iterable[EmbeddedBatch], instruction: str | None) -> None:
        if self._cache is None:
            return
        items = dict(zip(pack.positions, pack.items, strict=True))
        vectors: dict[bytes, Vector] = {}
        for batch in batches:
            for position, vector in zip(batch.positions, batch.vectors, strict=True):
                key = self._find_key(items[position], instruction)
                if key is not None:
                    vectors[key] = vector
        self._cache.add(vectors)

    def _find_key(self, item: Item, instruction: str | None) -> bytes | None:
        if self._cache is None:
            return None
        asked = {
            "server": self._settings.server,
            "model": self.model,
            "dimensions": self._dimensions,
            "instruction": instruction,
            "is_normalized": self._normalize,
            "parameters": self._parameters,
        }
        return find_key(item, asked)

    def _ask_each(
        self,
        pack: Pack,
        instruction: str | None,
        client: Any,
        on_error: ErrorCallback | None,
    ) -> Flow[list[EmbeddedBatch]]:
        """Ask for the vectors of a request, and of each item separately if it is refused."""
        try:
            decoded = yield from self._ask(pack, instruction, client)
            vectors = [
                scale_to_length_one(vector, item.where) if self._normalize else vector
                for vector, item in zip(decoded.vectors, pack.items, strict=True)
            ]
        except (InvalidRequestError, AnswerFormatError) as error:
            if on_error is None:
                raise
            if len(pack.items) == 1:
                on_error(pack.positions[0], error)
                return []
            batches = []
            for position, item in zip(pack.positions, pack.items, strict=True):
                alone = Pack(items=(item,), positions=(position,))
                batches += yield from self._ask_each(alone, instruction, client, on_error)
            return batches
        return [
            EmbeddedBatch(
                positions=pack.positions,
                vectors=tuple(vectors),
                usage=decoded.usage,
                request_id=decoded.request_id,
            )
        ]

    def _ask(self, pack: Pack, instruction: str | None, client: Any) -> Flow[DecodedVectors]:
        if self._is_hosted:
            hosted: DecodedVectors = yield partial(client.post, self._to_post(pack, instruction))
            return hosted
        cuts, dimensions = self._cuts, self._dimensions
        post = partial(self._to_vllm_post, pack, instruction)
        try:
            decoded: DecodedVectors = yield partial(client.post, post(cuts=cuts))
        except InvalidRequestError as error:
            # vllm-project/vllm#16331: the model's configuration must say that it allows it.
            if cuts or dimensions is None or "matryoshka" not in error.message.lower():
                raise
            self._cuts = cuts = True
            decoded = yield partial(client.post, post(cuts=True))
        return decoded.cut(dimensions, pack.items) if cuts and dimensions else decoded

    def _to_vllm_post(
        self, pack: Pack, instruction: str | None, *, cuts: bool
    ) -> Post[DecodedVectors]:
        dimensions = None if cuts else self._dimensions
        own = {} if dimensions is None else {"dimensions": dimensions}
        turns = tuple(Turn(role="user", parts=item.parts) for item in pack.items)
        return Post(
            request=replace(self._request, turns=turns, parameters={**own, **self._parameters}),
            find_path=lambda _base_url: "/embeddings",
            encode=partial(encode_vllm, instruction=instruction),
            decode=partial(decode_vectors, items=pack.items, dimensions=dimensions),
        )

    def _to_post(self, pack: Pack, instruction: str | None) -> Post[DecodedVectors]:
        parameters: dict[str, Any] = {}
        if self._dimensions is not None and not self._spec.has_fixed_dimension:
            parameters["dimension"] = self._dimensions
        if instruction is not None:
            parameters["instruct"] = instruction
        if pack.is_fused and self._spec.fusion == "flag":
            parameters["enable_fusion"] = True
        turns = tuple(Turn(role="user", parts=item.parts) for item in pack.items)
        return Post(
            request=replace(
                self._request, turns=turns, parameters={**parameters, **self._parameters}
            ),
            find_path=partial(find_native_url, path=NATIVE_PATH),
            encode=partial(encode_native, joins_parts=self._spec.fusion in {"object", "none"}),
            decode=partial(decode_vectors, items=pack.items, dimensions=self._find_dimensions()),
        )

    def _find_dimensions(self) -> int | None:
        if self._dimensions is not None:
            return self._dimensions
        # The default of a model that is not known is not known either.
        is_known = self.model.lower() in EMBEDDING_MODELS
        return self._spec.dimensions[0] if is_known else None


def _take_known(known: dict[int, Vector]) -> Iterator[EmbeddedBatch]:
    if known:
        yield EmbeddedBatch(positions=tuple(known), vectors=tuple(known.values()))
        known.clear()


def _find_spec(settings: EndpointSettings, model: str) -> EmbeddingSpec:
    if settings.server == DEFAULT_SERVER:
        return get_embedding_spec(model)
    if settings.server == "vllm":
        return SELF_HOSTED_EMBEDDING
    # SGLang's documents name other models only; llama.cpp and Ollama embed no images (2026-11).
    raise ConfigurationError(
        f"server {settings.server!r} lacks a documented way to embed images with "
        'Qwen3-VL-Embedding. Use the hosted service, or server="vllm".'
    )


def _check_parameters(parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    for name in parameters:
        if name in _RESERVED:
            raise ConfigurationError(
                f"parameters has {name!r}, which is set by the embedder itself: pass "
                f"{_RESERVED[name]}."
            )
    return dict(parameters)
