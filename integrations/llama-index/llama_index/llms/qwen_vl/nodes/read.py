"""The images and videos that a node holds, in its own fields or in its metadata.

Vector stores and `persist()` lose the bytes of a `MediaResource`, and refuse its URL; metadata
survives everywhere. No file is opened here, and nothing fetched.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from llama_index.core.base.llms.types import AudioBlock, ImageBlock, VideoBlock
from llama_index.core.schema import BaseNode, ImageNode, MediaResource, Node, NodeWithScore

from llama_index.llms.qwen_vl.block_builders import frames_block, image_block, video_block
from llama_index.llms.qwen_vl.block_options import Options, write_fragment, write_parameters
from qwen_vl.content import is_url
from qwen_vl.errors import (
    ConfigurationError,
    ContentError,
    MediaFormatError,
    UnsupportedContentError,
)
from qwen_vl.media.metadata import (
    METADATA_KEYS,
    PAGE_KEY,
    MediaKind,
    MediaReference,
    find_reference,
    read_options,
    read_page,
)

Media: TypeAlias = ImageBlock | VideoBlock
ImageDocuments: TypeAlias = Sequence[Any]
"""Images as older code passes them: nodes, documents, blocks, URLs, paths."""


def to_media_blocks(documents: ImageDocuments) -> list[Media]:
    """Find the images and videos that older code passes as `image_documents`.

    Args:
        documents: `ImageNode`, `ImageDocument`, `Node`, `NodeWithScore`, `ImageBlock`,
            `VideoBlock`, URLs or `pathlib.Path`, or one of them. The text of nodes is not
            taken. A path in a node that a retriever found or a store loaded is read only inside
            `media_roots`: the program did not choose it.

    Raises:
        UnsupportedContentError: Something holds neither image nor video.
        MediaError: The file does not exist.

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
                f"A {type(document).__name__} that holds neither image nor video.",
                where=where,
                remedy="Pass ImageNode, ImageDocument, ImageBlock, VideoBlock, URLs or paths.",
            )
        blocks += found
    return blocks


def read_node_media(node: object, *, is_trusted: bool = False) -> Iterator[Media]:
    """Find the images and videos that a node's own fields hold.

    Args:
        node: An `ImageNode`, an `ImageDocument`, or a `Node` with resources.
        is_trusted: Whether the program made the node, so that a path in it is its own choice.
            Any other path becomes a `file:` URL, which the LLM reads inside its `media_roots`.

    Raises:
        MediaError: The file does not exist; only where `is_trusted`.
    """
    match node:
        case ImageNode(image_url=str(url)) if url:
            yield image_block(url)
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
    """Return whether the program can have made a node.

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


def check_keys(keys: Mapping[str, str]) -> None:
    """Refuse names that are not read of metadata.

    Args:
        keys: Other metadata keys, by the names of `METADATA_KEYS`.

    Raises:
        ConfigurationError: `keys` names something that is not read.
    """
    unknown = sorted(set(keys) - set(METADATA_KEYS))
    if unknown:
        raise ConfigurationError(
            f"keys has {', '.join(map(repr, unknown))}; what is read of metadata is "
            f"{', '.join(METADATA_KEYS)}."
        )


def complete_keys(keys: Mapping[str, str]) -> dict[str, str]:
    """Return the metadata key of each of `METADATA_KEYS`.

    Args:
        keys: Those that differ from their names.

    Example:
        >>> complete_keys({"image_path": "file_path"})["image_path"]
        'file_path'
    """
    return {name: keys.get(name, name) for name in METADATA_KEYS}


def find_silent_keys(keys: Mapping[str, str]) -> tuple[str, ...]:
    """Return the metadata keys that a model must not get as text.

    There a URL is noise, and a `data:` one costs more than its image. The number of a page says
    something.

    Args:
        keys: The metadata key of each of `METADATA_KEYS`.
    """
    return tuple(key for name, key in keys.items() if name != PAGE_KEY)


_KINDS: tuple[MediaKind, ...] = ("image", "video")
_BLOCKS: Mapping[MediaKind, type[Media]] = {"image": ImageBlock, "video": VideoBlock}
_FALLBACK_TYPES = {"image": "image/png", "video": "video/mp4"}


def read_media(node: BaseNode, keys: Mapping[str, str]) -> tuple[Media, ...]:
    """Find the image and the video of a node.

    The node's own fields come first; metadata counts where they hold nothing. `fps` and the pixel
    limits always come from the metadata.

    Args:
        node: Any node.
        keys: The metadata key of each of `METADATA_KEYS`.

    Raises:
        MediaError: A field is empty, a file does not exist, or a metadata value is not what its
            key promises.
        UnsupportedContentError: The metadata names two images, or two videos.

    Example:
        >>> from llama_index.core.schema import TextNode
        >>> node = TextNode(metadata={"video_url": "https://example.com/walk.mp4", "fps": 0.5})
        >>> [str(block.url) for block in read_media(node, {key: key for key in METADATA_KEYS})]
        ['https://example.com/walk.mp4#fps=0.5']
    """
    try:
        return tuple(_read_media(node, keys))
    except ContentError as error:
        if not error.where.startswith("node "):
            error.where = f"node {node.node_id!r}"
        raise


def _read_media(node: BaseNode, keys: Mapping[str, str]) -> Iterator[Media]:
    own = list(read_node_media(node))
    where = f"node {node.node_id!r}"
    for kind in _KINDS:
        block = next((block for block in own if isinstance(block, _BLOCKS[kind])), None)
        reference = None if block else find_reference(node.metadata, kind, where=where, keys=keys)
        if block:
            yield _add_options(block, kind, _read_options(node, kind, keys, _name_of(block)))
        elif reference:
            yield _to_block(reference, _read_options(node, kind, keys, reference.source))
        elif _has_field(node, kind):
            raise MediaFormatError(
                f"Its {kind} is empty.",
                where=f"node {node.node_id!r}",
                remedy="The bytes of a MediaResource are not stored with a node: keep a URL "
                f"or a path in its metadata, as {keys[f'{kind}_url']!r} or "
                f"{keys[f'{kind}_path']!r}.",
            )


def _has_field(node: BaseNode, kind: MediaKind) -> bool:
    if isinstance(node, Node):
        return getattr(node, f"{kind}_resource") is not None
    return kind == "image" and isinstance(node, ImageNode)


def _add_options(block: Media, kind: MediaKind, options: Options) -> Media:
    if not options.set_values():
        return block
    if block.url is not None:
        return block.model_copy(update={"url": write_fragment(str(block.url), options)})
    field = f"{kind}_mimetype"
    media_type = write_parameters(getattr(block, field) or _FALLBACK_TYPES[kind], options)
    return block.model_copy(update={field: media_type})


def _to_block(reference: MediaReference, options: Options) -> Media:
    if not isinstance(reference.source, str):
        return frames_block(list(map(_to_url, reference.source)), **options.set_values())
    make: Any = image_block if reference.kind == "image" else video_block
    block: Media = make(_to_url(reference.source), **options.set_values())
    return block


def _to_url(text: str) -> str:
    # Metadata may come from anywhere, so that a path in it is read within `media_roots` alone.
    return text if is_url(text) else Path(text).absolute().as_uri()


def _name_of(block: Media) -> str:
    """Return what shows whether a file has pages."""
    if block.url is not None:
        return str(block.url)
    media_type = block.image_mimetype if isinstance(block, ImageBlock) else None
    return f"data:{media_type or ''};base64,"


def _read_options(
    node: BaseNode, kind: MediaKind, keys: Mapping[str, str], source: str | tuple[str, ...]
) -> Options:
    where = f"node {node.node_id!r}"
    options: dict[str, Any] = read_options(node.metadata, kind, where=where, keys=keys)
    if kind == "image":
        reference = MediaReference(kind=kind, source=source, where=where)
        page = read_page(node.metadata, reference, where=where, keys=keys)
        options |= {} if page is None else {"pages": str(page)}
    return Options(**options)
