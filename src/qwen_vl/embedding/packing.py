"""Many items in few requests, none of which is above a limit of the model."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from qwen_vl.content import DataUrl, Image, Text, Video
from qwen_vl.embedding.items import Item
from qwen_vl.errors import (
    ContentError,
    MediaTooLargeError,
    QwenVLError,
    UnsupportedContentError,
)
from qwen_vl.specs.embedding import EmbeddingSpec

ErrorCallback: TypeAlias = Callable[[int, QwenVLError], None]
"""Gets the place of an item among all items, and what is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """The items of one request.

    Args:
        items: In order.
        positions: Place of each among all items.
        is_fused: Whether all contents of the request become one vector.
    """

    items: tuple[Item, ...]
    positions: tuple[int, ...]
    is_fused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PackLimits:
    """What one request may hold.

    Args:
        spec: What the model accepts.
        max_elements: Maximum number of elements, if less than the model's.
        max_bytes: Maximum number of bytes of texts and of images within the request.
        joins_parts: Whether the parts of an item are one element however many there are, as for
            self-hosted servers.
    """

    spec: EmbeddingSpec
    max_elements: int
    max_bytes: int
    joins_parts: bool = False


@dataclass(frozen=True, slots=True)
class Load:
    """What an item, or all items of a request, take of its limits."""

    elements: int = 0
    texts: int = 0
    images: int = 0
    videos: int = 0
    n_bytes: int = 0

    def __add__(self, other: "Load") -> "Load":
        return Load(
            self.elements + other.elements,
            self.texts + other.texts,
            self.images + other.images,
            self.videos + other.videos,
            self.n_bytes + other.n_bytes,
        )

    def find_excess(self, limits: PackLimits) -> tuple[str, int, int] | None:
        """Return what there is too much of, how much there is, and the limit.

        Args:
            limits: Of one request.
        """
        spec = limits.spec
        counts = (
            ("elements", self.elements, min(limits.max_elements, spec.max_elements)),
            ("texts", self.texts, spec.max_texts),
            ("images", self.images, spec.max_images),
            ("videos", self.videos, spec.max_videos),
            ("bytes", self.n_bytes, limits.max_bytes),
        )
        for name, count, limit in counts:
            if limit is not None and count > limit:
                return name, count, limit
        return None


def pack_items(
    items: Iterable[Item],
    limits: PackLimits,
    *,
    prepare: Callable[[Item], Item] = lambda item: item,
    is_known: Callable[[int, Item], bool] | None = None,
    on_error: ErrorCallback | None = None,
) -> Iterator[Pack]:
    """Put items into requests, in order.

    An item that has a request to itself does not end the one that is being filled.

    Args:
        items: Are taken one by one.
        limits: What one request may hold.
        prepare: Prepares the images of an item.
        is_known: Whether a prepared item, with its place among all items, needs no request.
        on_error: Is called for an item that cannot be sent, which is left out then; the error is
            raised if `None`.

    Raises:
        UnsupportedContentError: The model cannot fuse the parts of an item.
        MediaTooLargeError: A single item is above a limit.

    Example:
        >>> from qwen_vl.embedding.items import to_items
        >>> from qwen_vl.specs.embedding import get_embedding_spec
        >>> spec = get_embedding_spec("qwen3-vl-embedding")
        >>> limits = PackLimits(spec=spec, max_elements=2, max_bytes=1_000)
        >>> [pack.positions for pack in pack_items(to_items(["a", "b", "c"]), limits)]
        [(0, 1), (2,)]
    """
    held: list[Item] = []
    positions: list[int] = []
    total = Load()
    for position, given in enumerate(items):
        try:
            item = prepare(given)
            load = measure_item(item, limits)
            _check_alone(item, load, limits)
        except ContentError as error:
            if on_error is None:
                raise
            on_error(position, error)
            continue
        if is_known is not None and is_known(position, item):
            continue
        if _needs_own_request(item, limits):
            yield Pack(items=(item,), positions=(position,), is_fused=True)
            continue
        if held and (total + load).find_excess(limits):
            yield Pack(items=tuple(held), positions=tuple(positions))
            held, positions, total = [], [], Load()
        held.append(item)
        positions.append(position)
        total += load
    if held:
        yield Pack(items=tuple(held), positions=tuple(positions))


def measure_item(item: Item, limits: PackLimits) -> Load:
    """Measure what an item takes of the limits of a request.

    Args:
        item: Its images are prepared.
        limits: What one request may hold.
    """
    texts = [part for part in item.parts if isinstance(part, Text)]
    images = [part for part in item.parts if isinstance(part, Image)]
    n_videos = sum(isinstance(part, Video) for part in item.parts)
    n_bytes = sum(len(text.text.encode(errors="surrogatepass")) for text in texts)
    n_bytes += sum(part.source.n_bytes for part in images if isinstance(part.source, DataUrl))
    n_elements = len(item.parts)
    if limits.joins_parts:
        n_elements = 1
    elif limits.spec.max_sequence:
        # unsure: whether an object with several keys counts once; several images are one key.
        n_elements = len(texts) + n_videos + min(1, len(images))
    return Load(n_elements, len(texts), len(images), n_videos, n_bytes)


def _needs_own_request(item: Item, limits: PackLimits) -> bool:
    if limits.joins_parts:
        return False
    fusion = limits.spec.fusion
    return fusion == "always" or (fusion == "flag" and len(item.parts) > 1)


def _check_alone(item: Item, load: Load, limits: PackLimits) -> None:
    spec = limits.spec
    if len(item.parts) > 1 and not limits.joins_parts:
        _check_fusion(item, load, spec)
    excess = load.find_excess(limits)
    if excess is not None:
        name, count, limit = excess
        raise MediaTooLargeError(
            f"The item has {count:,} {name}; one request takes {limit:,} ({spec.family}).",
            where=item.where,
            value=count,
            limit=limit,
            remedy="Divide it into several items.",
        )


def _check_fusion(item: Item, load: Load, spec: EmbeddingSpec) -> None:
    is_sequence = load.images == len(item.parts)
    if spec.fusion == "none" and not (is_sequence and spec.max_sequence):
        problem = f"{spec.family} makes no vectors of several parts."
        remedy = "Pass each part as a separate item, or use qwen3-vl-embedding."
    elif spec.max_sequence and load.images > spec.max_sequence:
        problem = f"The item has {load.images} images; {spec.max_sequence} are taken together."
        remedy = "Divide it into several items."
    elif spec.fusion == "object" and max(load.texts, load.videos) > 1:
        problem = f"{spec.family} fuses one text, one video and several images."
        remedy = "Join the texts, and pass each video as a separate item."
    else:
        return
    raise UnsupportedContentError(problem, where=item.where, remedy=remedy)
