"""Nodes as things to embed or to rank: their text, their images and videos, or all together."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, TypeAlias

from llama_index.core.schema import BaseNode, MetadataMode

from llama_index.llms.qwen_vl.blocks import to_parts
from llama_index.llms.qwen_vl.nodes.read import read_media
from qwen_vl.content import Text
from qwen_vl.embedding.items import Item
from qwen_vl.errors import UnsupportedContentError
from qwen_vl.media.metadata import PAGE_KEY
from qwen_vl.retrieval.files import Unit
from qwen_vl.retrieval.references import to_unit

NodeContent: TypeAlias = Literal["both", "media", "text"]
"""What counts of a node that has both: text and media together, only the media, or
only the text."""


def to_node_item(node: BaseNode, keys: Mapping[str, str], content: NodeContent) -> Item:
    """Return what a node holds as one thing to embed or to rank.

    The text is what LlamaIndex embeds of it, without the metadata keys that say where its media is.
    Paths are not trusted: they are read only inside `media_roots`.

    Args:
        node: Any node; it stays as it is.
        keys: The metadata key of each of `METADATA_KEYS`.
        content: What counts of a node that has text and media. One that has only one of them
            counts by it.

    Raises:
        MediaError: A field or a metadata value does not say where media is.
        UnsupportedContentError: There is neither.

    Example:
        >>> from llama_index.core.schema import TextNode
        >>> from llama_index.llms.qwen_vl.nodes.read import complete_keys
        >>> node = TextNode(text="A cat.", metadata={"image_url": "https://example.com/cat.png"})
        >>> [type(part).__name__ for part in to_node_item(node, complete_keys({}), "both").parts]
        ['Text', 'Image']
    """
    where = f"node {node.node_id!r}"
    media = read_media(node, keys)
    text = _read_text(node, tuple(keys.values()) if media else ())
    words = [Text(text=text, where=where)] if text.strip() else []
    seen = [replace(part, where=where) for part in to_parts(list(media), where)]
    if words and seen and content != "both":
        words, seen = ([], seen) if content == "media" else (words, [])
    parts: list[Any] = [*words, *seen]
    if not parts:
        raise UnsupportedContentError(
            "It lacks text and media.",
            where=where,
            remedy="Leave the node out, or give it content.",
        )
    return Item(parts=tuple(parts), where=where)


def read_unit(node: BaseNode, keys: Mapping[str, str]) -> Unit:
    """Return what a node is, to be named and cited.

    Args:
        node: Any node; it stays as it is.
        keys: The metadata key of each of `METADATA_KEYS`.

    Raises:
        MediaError: A field or a metadata value does not say where media is.

    Example:
        >>> from llama_index.core.schema import TextNode
        >>> from llama_index.llms.qwen_vl.nodes.read import complete_keys
        >>> node = TextNode(metadata={"image_path": "report.pdf", "page": 3})
        >>> read_unit(node, complete_keys({})).name
        'report.pdf, page 3'
    """
    where = f"node {node.node_id!r}"
    media = to_parts(list(read_media(node, keys)), where)
    text = node.get_content(metadata_mode=MetadataMode.NONE)
    return to_unit(media, node.metadata, text, page_key=keys[PAGE_KEY])


def _read_text(node: BaseNode, silent: Sequence[str]) -> str:
    hidden = [*node.excluded_embed_metadata_keys, *silent]
    bare = node.model_copy(update={"excluded_embed_metadata_keys": hidden})
    return bare.get_content(metadata_mode=MetadataMode.EMBED)
