"""From LlamaIndex's nodes and documents to the blocks of their pictures and videos.

Their own `get_content_blocks` downloads what lies behind an address; here nothing is fetched, and
no file is opened.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from llama_index.core.base.llms.types import AudioBlock, ImageBlock, VideoBlock
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
            taken. A path in a node that a retriever found or a store loaded is read only inside
            `media_roots`: the program did not choose it.

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


def read_node_media(node: object, *, is_trusted: bool = False) -> Iterator[Media]:
    """Find the pictures and videos that a node's own fields hold.

    Args:
        node: An `ImageNode`, an `ImageDocument`, or a `Node` with resources.
        is_trusted: Whether the program made the node, so that a path in it is its own choice.
            Any other path becomes a `file:` URL, which the LLM reads inside its `media_roots`.

    Raises:
        MediaError: There is no such file; only where `is_trusted`.
    """
    match node:
        case ImageNode(image_url=str(address)) if address:
            yield image_block(address)
        case ImageNode(image=str(text)) if text:
            yield ImageBlock(image=text.encode(), image_mimetype=node.image_mimetype)
        case ImageNode(image_path=str(path)) if path:
            yield image_block(_to_reference(Path(path), is_trusted=is_trusted))
        case Node():
            if node.image_resource is not None:
                yield from _read_image(node.image_resource, is_trusted=is_trusted)
            if node.video_resource is not None:
                yield from _read_video(node.video_resource, is_trusted=is_trusted)


def read_node_audio(node: object) -> AudioBlock | None:
    """Find the audio file that a node names by its path.

    LlamaIndex's own block would read it. Other audio stays with LlamaIndex.

    Args:
        node: Any node.
    """
    resource = node.audio_resource if isinstance(node, Node) else None
    if resource is None or resource.url is not None or resource.data or resource.path is None:
        return None
    return AudioBlock(url=str(_to_reference(resource.path, is_trusted=False)))


def _to_reference(path: Path, *, is_trusted: bool) -> Path | str:
    return path if is_trusted else path.absolute().as_uri()


def _is_own(node: object) -> bool:
    """Tell whether the program can have made a node.

    What a store loads has every field set; a program leaves most of them out.
    """
    return not (isinstance(node, BaseNode) and node.model_fields_set >= _fields_of(type(node)))


def _fields_of(kind: type[BaseNode]) -> set[str]:
    return {name for name, held in kind.model_fields.items() if not held.exclude}


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
            yield from read_node_media(document, is_trusted=_is_own(document))


def _read_image(resource: MediaResource, *, is_trusted: bool) -> Iterator[ImageBlock]:
    if resource.url is not None:
        yield image_block(str(resource.url))
    elif resource.data:
        yield ImageBlock(image=resource.data, image_mimetype=resource.mimetype)
    elif resource.path is not None:
        yield image_block(_to_reference(resource.path, is_trusted=is_trusted))


def _read_video(resource: MediaResource, *, is_trusted: bool) -> Iterator[VideoBlock]:
    if resource.url is not None:
        yield video_block(str(resource.url))
    elif resource.data:
        yield VideoBlock(video=resource.data, video_mimetype=resource.mimetype)
    elif resource.path is not None:
        yield video_block(_to_reference(resource.path, is_trusted=is_trusted))
