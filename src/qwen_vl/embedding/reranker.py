"""Ranks texts, images and videos by their relevance to a query."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from qwen_vl.client import ClientCache, Post
from qwen_vl.content import DataUrl, Document, Image, Text, Turn, Video
from qwen_vl.embedding.items import Item, to_item, to_items
from qwen_vl.embedding.preparing import MediaLimits, make_request, prepare_item
from qwen_vl.embedding.rerank_wire import (
    Ranking,
    RerankForm,
    decode_ranking,
    encode_rerank,
    find_rerank_url,
)
from qwen_vl.errors import (
    ConfigurationError,
    MediaTooLargeError,
    RequestTooLargeError,
    UnsupportedContentError,
    warn,
)
from qwen_vl.media.limits import Budget
from qwen_vl.request.build import build_connection
from qwen_vl.settings import EndpointSettings
from qwen_vl.specs.embedding import SELF_HOSTED_MAX_PIXELS, SERVICE_MAX_PIXELS
from qwen_vl.specs.rerank import DEFAULT_RERANK_MODEL, MAX_IMAGE_BYTES, get_rerank_spec
from qwen_vl.specs.servers import DEFAULT_SERVER
from qwen_vl.tokens.text import estimate_text_tokens

_FORMS: dict[str, RerankForm] = {"vllm": "vllm", "sglang": "sglang"}
_QUERY = -1
_MAX_SHOWN = 3


class Reranker:
    """Ranks documents by their relevance to a query, all of them in one request.

    Scores are relative to the request: those of several requests cannot be merged. Choose the
    documents first, by their vectors, and rank the best of them.

    Args:
        settings: The model, `qwen3-vl-rerank` where none is set; how to reach the endpoint; and
            how media is read. `server="vllm"` and `server="sglang"` are supported too.
        instruction: What the ranking is for, in English; `None` for the model's default.
        leaves_out_excess: Whether documents beyond the limits of a request, counted in order, are
            left out of the ranking with a warning. They raise an error otherwise.

    Raises:
        ConfigurationError: The server does not rank, or the model takes no instruction.

    Example:
        >>> from PIL import Image as PillowImage
        >>> from qwen_vl.settings import QwenVLSettings
        >>> from qwen_vl_sandbox import Sandbox
        >>> images = [PillowImage.new("RGB", (64, 64), color) for color in ("blue", "red")]
        >>> with Sandbox() as sandbox:
        ...     settings = QwenVLSettings(base_url=sandbox.base_url, api_key="sk-sandbox")
        ...     ranking = Reranker(settings).rank("a red square", images)
        >>> [ranked.index for ranked in ranking.results]
        [1, 0]
    """

    def __init__(
        self,
        settings: EndpointSettings,
        *,
        instruction: str | None = None,
        leaves_out_excess: bool = False,
    ) -> None:
        self._settings = settings
        self._leaves_out_excess = leaves_out_excess
        is_set = "model" in settings.model_fields_set
        self.model = settings.model if is_set else DEFAULT_RERANK_MODEL
        self._spec = None
        if settings.server == DEFAULT_SERVER:
            self._spec = get_rerank_spec(self.model)
            self._form: RerankForm = "native"
            if not self._spec.max_images:
                self._form = "compatible" if self._spec.is_compatible else "native_text"
        elif settings.server in _FORMS:
            self._form = _FORMS[settings.server]
        else:
            raise ConfigurationError(
                f"server {settings.server!r} lacks a known way to rank documents. Supported are "
                'the hosted service, server="vllm" and server="sglang".'
            )
        self._instruction = self._check_instruction(instruction)
        self._limits = MediaLimits(
            max_pixels=SERVICE_MAX_PIXELS if self._spec else SELF_HOSTED_MAX_PIXELS,
            max_image_bytes=MAX_IMAGE_BYTES,
            # unsure: whether the service resolves `oss://` here; the official SDK does not ask it.
            max_video_bytes=None,
            max_text_tokens=self._spec.max_document_tokens if self._spec else None,
        )
        self._request = make_request(self.model, settings, self._limits)
        self._clients = ClientCache()

    @property
    def reads_media(self) -> bool:
        """Return whether images and videos can be ranked; otherwise only texts can."""
        return self._spec is None or bool(self._spec.max_images)

    @property
    def can_fuse(self) -> bool:
        """Whether a document may be text and media together."""
        return self._spec is None

    def rank(
        self,
        query: object,
        documents: Iterable[object],
        top_n: int | None = None,
        instruction: str | None = None,
    ) -> Ranking:
        """Rank documents.

        Args:
            query: A text or an image, in each form that `to_items` of `qwen_vl.embedding` names.
            documents: Texts, images and videos.
            top_n: Number of documents that are wanted; all of them if `None`.
            instruction: What the ranking is for, in place of the instance's own.

        Raises:
            ContentError: The query or a document cannot be sent; nothing was.
            AnswerFormatError: The answer lacks a score, or has one that cannot be used.
            ServiceError: The endpoint answered with an error, or not at all.
        """
        post = self._to_post(query, documents, top_n, instruction)
        if isinstance(post, Ranking):
            return post
        return self._clients.sync(build_connection(self._settings)).post(post)

    async def arank(
        self,
        query: object,
        documents: Iterable[object],
        top_n: int | None = None,
        instruction: str | None = None,
    ) -> Ranking:
        """Rank documents without blocking the event loop; see `rank`.

        Args:
            query: As of `rank`.
            documents: As of `rank`.
            top_n: As of `rank`.
            instruction: As of `rank`.
        """
        post = await asyncio.to_thread(self._to_post, query, documents, top_n, instruction)
        if isinstance(post, Ranking):
            return post
        return await self._clients.asynchronous(build_connection(self._settings)).post(post)

    def _to_post(
        self,
        query: object,
        documents: Iterable[object],
        top_n: int | None,
        instruction: str | None,
    ) -> Post[Ranking] | Ranking:
        if top_n is not None and (type(top_n) is not int or top_n < 1):
            raise ConfigurationError(f"top_n is {top_n!r}; it must be a whole number above 0.")
        instruction = self._check_instruction(instruction) or self._instruction
        asked = to_item(query, "query")
        items = list(to_items(documents, name="documents"))
        if not items:
            # The service refuses a request without documents.
            return Ranking(results=(), model=self.model)
        self._check(asked, items)
        positions = self._fit_counts(items)
        prepared = self._prepare(asked, {position: items[position] for position in positions})
        positions = list(prepared)[1:]
        self._warn_of_excess(items, positions)
        self._warn_of_tokens(asked, [items[position] for position in positions])
        top_n = None if top_n is None else min(top_n, len(positions))
        turns = tuple(Turn(role="user", parts=item.parts) for item in prepared.values())
        return Post(
            request=replace(self._request, turns=turns),
            find_path=partial(find_rerank_url, form=self._form),
            encode=partial(encode_rerank, form=self._form, top_n=top_n, instruction=instruction),
            decode=partial(
                decode_ranking,
                model=self.model,
                documents={position: items[position].where for position in positions},
                top_n=top_n,
            ),
        )

    def _prepare(self, query: Item, documents: Mapping[int, Item]) -> dict[int, Item]:
        """Return the query at -1, and the documents that fit into one request."""
        budget = Budget(self._request.policy.max_total_inline_bytes)
        prepared: dict[int, Item] = {}
        for position, item in {_QUERY: query, **documents}.items():
            ready = prepare_item(item, self._request, self._limits)
            try:
                _spend(ready, budget)
            except RequestTooLargeError:
                if not self._leaves_out_excess or len(prepared) <= 1:
                    raise
                continue
            prepared[position] = ready
        return prepared

    def _check_instruction(self, instruction: str | None) -> str | None:
        if instruction is not None and self._spec and not self._spec.takes_instruction:
            raise ConfigurationError(f"{self.model} takes no instruction. Leave it out.")
        return instruction

    def _check(self, query: Item, documents: Sequence[Item]) -> None:
        spec = self._spec
        if spec is None:
            return
        for item in (query, *documents):
            if len(item.parts) > 1:
                raise UnsupportedContentError(
                    "Several parts together are not ranked: no page describes it.",
                    where=item.where,
                    remedy="Pass each part as a separate document.",
                )
            if not spec.max_images and not isinstance(item.parts[0], Text):
                raise UnsupportedContentError(
                    f"{self.model} ranks texts only.",
                    where=item.where,
                    remedy=f"Use {DEFAULT_RERANK_MODEL}.",
                )
        if isinstance(query.parts[0], Video):
            raise UnsupportedContentError(
                "A query is a text or an image.", where=query.where, remedy="Pass a frame of it."
            )

    def _fit_counts(self, documents: Sequence[Item]) -> list[int]:
        """Return the positions of the documents of each kind that the model ranks in a request."""
        spec = self._spec
        if spec is None:
            return list(range(len(documents)))
        kinds: tuple[tuple[Any, str, int], ...] = (
            (Text, "texts", spec.max_texts),
            (Image | Document, "images", spec.max_images),
            (Video, "videos", spec.max_videos),
        )
        kept: list[int] = []
        for kind, name, limit in kinds:
            found = [at for at, item in enumerate(documents) if isinstance(item.parts[0], kind)]
            if len(found) > limit and not self._leaves_out_excess:
                raise MediaTooLargeError(
                    f"There are {len(found)} {name}; {self.model} ranks {limit} in a request, and "
                    "scores of several requests cannot be compared.",
                    where=documents[found[limit]].where,
                    value=len(found),
                    limit=limit,
                    remedy="Choose fewer, by their vectors for example.",
                )
            kept += found[:limit]
        return sorted(kept)

    def _warn_of_excess(self, documents: Sequence[Item], kept: Sequence[int]) -> None:
        left = [item.where for at, item in enumerate(documents) if at not in set(kept)]
        if left:
            warn(
                f"{_list_names(left)} of {len(documents)} documents were not ranked: they exceed "
                f"what {self.model} ranks in a request, and scores of several requests cannot be "
                "compared. Choose fewer, by their vectors for example."
            )

    def _warn_of_tokens(self, query: Item, documents: Sequence[Item]) -> None:
        spec = self._spec
        if spec is None:
            return
        of_query, *of_documents = (
            estimate_text_tokens(part.text) if isinstance(part, Text) else 0
            for item in (query, *documents)
            for part in item.parts
        )
        total = of_query * len(documents) + sum(of_documents)
        for what, count, limit in (
            ("The query has", of_query, spec.max_query_tokens),
            ("The request has", total, spec.max_request_tokens),
        ):
            if count > limit:
                warn(
                    f"{what} about {count:,} tokens of text; {self.model} takes {limit:,}, and "
                    "what is beyond is cut off or refused."
                )


def _spend(item: Item, budget: Budget) -> None:
    for part in item.parts:
        source = None if isinstance(part, Text) else part.source
        if isinstance(source, DataUrl):
            budget.spend(source.n_bytes, part.where)


def _list_names(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MAX_SHOWN])
    more = len(names) - _MAX_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
