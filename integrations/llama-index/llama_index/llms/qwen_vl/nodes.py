"""From LlamaIndex's nodes and documents to the blocks of their pictures and videos.

Their own `get_content_blocks` downloads what lies behind an address; here nothing is fetched, and
no file is opened.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from llama_index.core.base.llms.types import ImageBlock, VideoBlock
from llama_index.core.schema import BaseNode, ImageNode, MediaResource, Node, NodeWithScore

from llama_index.llms.qwen_vl.constructors import image_block, video_block
from qwen_vl.errors import UnsupportedContentError

Media: TypeAlias = ImageBlock | VideoBlock
ImageDocuments: TypeAlias = Sequence[Any]
"""Pictures as older code passes them: nodes, documents, blocks, addresses, paths."""


def to_media_blocks(documents: ImageDocuments) -> list[Media]:
    """Find the pictures and videos that older code passes as `image_documents`.

    Args:
        documents: `ImageNode`, `ImageDocument`, `Node`, `NodeWithScore`, `ImageBlock`,
            `VideoBlock`, addresses or `pathlib.Path`, or one of them. The text of nodes is not
            taken.

    Raises:
        UnsupportedContentError: Something holds neither picture nor video.
        MediaError: There is no such file.

    Example:
        >>> node = ImageNode(image_url="https://example.com/cat.png")
        >>> str(to_media_blocks([node])[0].url)
        'https://example.com/cat.png'
    """
    blocks: list[Media] = []
    for index, document in enumerate([documents] if _is_one(documents) else documents):
        where = f"image_documents[{index}]"
        found = list(_find(document, where))
        if not found:
            raise UnsupportedContentError(
                f"A {type(document).__name__} that holds neither picture nor video.",
                where=where,
                remedy="Pass ImageNode, ImageDocument, ImageBlock, VideoBlock, addresses or paths.",
            )
        blocks += found
    return blocks


def read_node_media(node: object) -> Iterator[Media]:
    """Find the pictures and videos that a node's own fields hold.

    Args:
        node: An `ImageNode`, an `ImageDocument`, or a `Node` with resources.

    Raises:
        MediaError: There is no such file.
    """
    match node:
        case ImageNode(image_url=str(address)) if address:
            yield image_block(address)
        case ImageNode(image=str(text)) if text:
            yield ImageBlock(image=text.encode(), image_mimetype=node.image_mimetype)
        case ImageNode(image_path=str(path)) if path:
            yield image_block(Path(path))
        case Node():
            if node.image_resource is not None:
                yield from _read_image(node.image_resource)
            if node.video_resource is not None:
                yield from _read_video(node.video_resource)


def _is_one(documents: object) -> bool:
    return isinstance(documents, str | Path | ImageBlock | VideoBlock | BaseNode | NodeWithScore)


def _find(document: object, where: str) -> Iterator[Media]:
    match document:
        case ImageBlock() | VideoBlock():
            yield document
        case NodeWithScore():
            yield from read_node_media(document.node)
        case str() | Path():
            yield image_block(document)
        case list() | tuple():
            raise UnsupportedContentError("A list within the list.", where=where)
        case _:
            yield from read_node_media(document)


def _read_image(resource: MediaResource) -> Iterator[ImageBlock]:
    if resource.url is not None:
        yield image_block(str(resource.url))
    elif resource.data:
        yield ImageBlock(image=resource.data, image_mimetype=resource.mimetype)
    elif resource.path is not None:
        yield image_block(resource.path)


def _read_video(resource: MediaResource) -> Iterator[VideoBlock]:
    if resource.url is not None:
        yield video_block(str(resource.url))
    elif resource.data:
        yield VideoBlock(video=resource.data, video_mimetype=resource.mimetype)
    elif resource.path is not None:
        yield video_block(resource.path)
