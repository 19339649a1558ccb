"""From LlamaIndex's content blocks to parts. All guessing about them ends here.

Nothing is read or decoded, and the Base64 that a block holds stays as it is.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from io import IOBase
from pathlib import Path
from typing import Any, Literal

from llama_index.core.base.llms.types import (
    AudioBlock,
    BaseContentBlock,
    CachePoint,
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)
from pydantic import Field

from llama_index.llms.qwen_vl.block_options import (
    FRAMES_TYPE,
    Options,
    read_data_url,
    read_fragment,
    read_frames,
    read_page_options,
    read_parameters,
)
from qwen_vl.content import (
    Audio,
    Document,
    File,
    Frames,
    Image,
    Inline,
    LocalFile,
    OpenFile,
    Part,
    Reasoning,
    Source,
    Text,
    ToolCall,
    ToolPart,
    Unsupported,
    Url,
    Video,
    to_source,
)
from qwen_vl.errors import ContentError, MediaFormatError, UnsupportedContentError, warn
from qwen_vl.media import sniff
from qwen_vl.media.data_url import decode_base64, decode_head
from qwen_vl.media.pdf.document import PDF_TYPE
from qwen_vl.media.tool_content import is_link

ENCRYPTED = "encrypted_content"
"""Key of encrypted reasoning, in a `ThinkingBlock` and in a message's `additional_kwargs`."""

# Base64 of what URLs begin with: `data:`, `http`, `oss:`, `file:`. No image or video does.
_URL_HEADS = ("ZGF0YT", "aHR0c", "b3NzOi", "ZmlsZT")
_URLS = (b"data:", b"http:", b"https:", b"oss:", b"file:")
# What LlamaIndex calls a document without a name.
_NO_TITLE = "input_document"
_SERVED = ("http:", "https:", "oss:")
_NAMED = frozenset({"image", "video", "audio", "document"})
_KINDS: Mapping[type[Any], str] = {Reasoning: "a reasoning"}
_IMAGE_OPTIONS = {"min_pixels", "max_pixels", "pages"}
_PDF_URL = f"data:{PDF_TYPE};"
_PROBE_CHARS = 1_368
"""Base64 of the bytes that `sniff` reads."""


class PreparedImageBlock(ImageBlock):
    """An image block that carries the part that it stands for, prepared already."""

    part: Any = Field(default=None, exclude=True, repr=False)


class PreparedVideoBlock(VideoBlock):
    """A video block that carries the part that it stands for, prepared already."""

    part: Any = Field(default=None, exclude=True, repr=False)


def with_part(block: ImageBlock | VideoBlock, part: Image | Video) -> ImageBlock | VideoBlock:
    """Return a block like another that carries a part, which is not read from the block again.

    Args:
        block: What events and stores show.
        part: What is sent.
    """
    kind = PreparedImageBlock if isinstance(block, ImageBlock) else PreparedVideoBlock
    # Validation would decode and encode its Base64 again.
    return kind.model_construct(**dict(block), part=part)


def to_tool_parts(blocks: Sequence[BaseContentBlock], where: str) -> tuple[ToolPart, ...]:
    """Convert the blocks of a tool's message, which may be of any kind.

    Args:
        blocks: LlamaIndex's content blocks; they stay as they are.
        where: The message, as `messages[2]`.

    Returns:
        Besides the parts of other messages, a `File` for files and links that are neither media
        nor a PDF, and `Unsupported` for what is not supported by the service.

    Example:
        >>> page = DocumentBlock(url="https://e.org/a.html", document_mimetype="text/html")
        >>> to_tool_parts([page], "messages[2]")[0].source
        Url(url='https://e.org/a.html')
    """
    parts: list[Any] = []
    for index, block in enumerate(blocks):
        _add_tool_parts(parts, block, f"{where}.blocks[{index}]")
    return tuple(parts)


def _add_tool_parts(parts: list[Any], block: BaseContentBlock, where: str) -> None:
    try:
        match block:
            case CachePoint():
                _mark_cached(parts, block, where)
            case DocumentBlock():
                parts.append(_to_tool_document(block, where))
            case CitableBlock() | CitationBlock():
                parts.append(Text(text=f"{block.title} ({block.source}):", where=where))
                for index, nested in enumerate(block.nested_blocks):
                    _add_tool_parts(parts, nested, f"{where}.blocks[{index}]")
            case _:
                parts += map(_require_tool_part, _to_parts(block, where))
    except ContentError as error:
        named = getattr(block, "block_type", "")
        kind = named if named in _NAMED else "content"
        parts.append(Unsupported(error=error, kind=kind, where=where))


def _require_tool_part(part: Part) -> ToolPart:
    match part:
        case Text() | Image() | Video() | Audio() | Document():
            return part
    raise UnsupportedContentError(
        f"A tool's result cannot hold {_KINDS.get(type(part), 'a tool call')}.",
        where=part.where,
        remedy="Return text, images, videos, audio and PDF documents from tools.",
    )


def _to_tool_document(block: DocumentBlock, where: str) -> ToolPart:
    """Read what LlamaIndex calls a document: a file of any type, or a link to one."""
    if block.data is None and block.path is None and block.url is not None:
        url = str(block.url)
        source: Source = Url(url) if is_link(url) else _document_source(block, where)
    else:
        source = _document_source(block, where)
    stated = block.document_mimetype or ""
    media_type = _sniff_document(source) or stated
    title = None if block.title == _NO_TITLE else block.title
    if isinstance(source, Url) and is_link(source.url):
        return File(source=source, media_type=media_type, title=title, where=where)
    match media_type.partition(";")[0].partition("/")[0], media_type.partition(";")[0]:
        case _, "application/pdf" | "image/tiff":
            return _to_document(block, where)
        case "image", _:
            return Image(source=source, where=where)
        case "video", _:
            return Video(source=source, where=where)
        case "audio", _:
            return Audio(source=source, format=media_type, where=where)
    return File(source=source, media_type=media_type, title=title, where=where)


def _sniff_document(source: Source) -> str | None:
    match source:
        case Inline(data=str(text)):
            return sniff(decode_head(text[:_PROBE_CHARS].encode()))
        case Inline(data=bytes(data)):
            return sniff(data)
    return None


def to_parts(blocks: Sequence[BaseContentBlock], where: str) -> tuple[Part, ...]:
    """Convert the blocks of one message, or of a tool's result.

    Args:
        blocks: LlamaIndex's content blocks; they stay as they are.
        where: The message, as `messages[0]`.

    Raises:
        ContentError: A block is not supported by the service, or says nothing that can be read.

    Example:
        >>> to_parts([TextBlock(text="Hello")], "messages[0]")[0].where
        'messages[0].blocks[0]'
    """
    parts: list[Part] = []
    for index, block in enumerate(blocks):
        place = f"{where}.blocks[{index}]"
        if isinstance(block, CachePoint):
            _mark_cached(parts, block, place)
        else:
            parts += _to_parts(block, place)
    return tuple(parts)


def _to_parts(block: BaseContentBlock, where: str) -> Iterator[Part]:
    match block:
        case TextBlock():
            if block.text:
                yield Text(text=block.text, where=where)
        case ThinkingBlock():
            encrypted = _find_encrypted(block)
            if block.content or encrypted:
                yield Reasoning(text=block.content or "", encrypted_content=encrypted, where=where)
        case ToolCallBlock():
            yield to_call(block, where)
        case CitableBlock() | CitationBlock():
            # Without its source there would be nothing to cite.
            yield Text(text=f"{block.title} ({block.source}):", where=where)
            yield from to_parts(block.nested_blocks, where)
        case _:
            yield _to_media(block, where)


def _find_encrypted(block: ThinkingBlock) -> str:
    information = block.additional_information or {}
    # OpenAI's Responses encrypt reasoning too, and have the whole item there, with its type.
    is_own = "type" not in information
    return str(information.get(ENCRYPTED) or "") if is_own else ""


def _to_media(block: BaseContentBlock, where: str) -> Part:
    match block:
        case PreparedImageBlock(part=Image() as part) | PreparedVideoBlock(part=Video() as part):
            return replace(part, where=where)
        case ImageBlock():
            return _to_image(block, where)
        case VideoBlock():
            return _to_video(block, where)
        case AudioBlock():
            source = _find_source(block, "audio", where)
            if isinstance(source, Url):
                source = to_source(source.url) or source
            return Audio(source=source, format=block.format or "", where=where)
        case DocumentBlock():
            return _to_document(block, where)
    raise UnsupportedContentError(
        f"A {type(block).__name__} is not supported by Qwen VL.",
        where=where,
        remedy="Pass text, images, videos, audio and PDF documents.",
    )


def _to_document(block: DocumentBlock, where: str) -> Document:
    options = read_page_options(block.document_mimetype, where)
    title = None if block.title == _NO_TITLE else block.title
    return Document(source=_document_source(block, where), title=title, where=where, **options)


def _document_source(block: DocumentBlock, where: str) -> Source:
    held: bytes | IOBase | None = block.data
    source: Source | None = None
    if isinstance(held, IOBase):
        source = OpenFile(held)  # type: ignore[arg-type]  # A readable object is all that is asked.
    elif held is not None:
        source = _from_base64(held, where)
        if isinstance(source, Inline) and isinstance(source.data, bytes):
            # The block keeps Base64, which could not be distinguished from text that looks like it.
            source = Inline(source.data.decode("ascii", errors="replace"))
    elif block.path is not None:
        # This block keeps a path as it was given, so that one that is text shows.
        is_trusted = isinstance(block.path, Path)
        source = LocalFile(Path(block.path), is_trusted=is_trusted)
    elif block.url is not None:
        source = to_source(str(block.url))
    if source is None:
        raise MediaFormatError(
            "The DocumentBlock holds nothing.", where=where, remedy="Pass data=… or path=…."
        )
    return source


def _mark_cached(parts: list[Part], point: CachePoint, where: str) -> None:
    if parts and isinstance(parts[-1], Text | Image | Video | Document):
        control = point.cache_control
        # LlamaIndex's default is the service's own, which is not sent. Which kinds there are is
        # known where all markers are settled.
        ttl = {"ttl": control.ttl} if "ttl" in control.model_fields_set else {}
        parts[-1] = replace(parts[-1], cache_control={"type": control.type, **ttl})
        return
    raise UnsupportedContentError(
        "A CachePoint marks what stands before it, and here is not text, image, video or PDF.",
        where=where,
        remedy="Put it behind the block up to which the prompt should be cached.",
    )


def _to_image(block: ImageBlock, where: str) -> Image | Document:
    source, options = _read_media(block, "image", block.image_mimetype, where)
    if isinstance(source, Frames) or options.set_values().keys() - _IMAGE_OPTIONS:
        raise UnsupportedContentError(
            "An ImageBlock carries a video's frames or options.",
            where=where,
            remedy="Pass it as a VideoBlock.",
        )
    if options.pages is not None and _is_pdf(source):
        # A page that a node names: engines hand on images, and no documents.
        return Document(
            source=source,
            pages=options.pages,
            min_pixels=options.min_pixels,
            max_pixels=options.max_pixels,
            where=where,
        )
    return Image(
        source=source,
        min_pixels=options.min_pixels,
        max_pixels=options.max_pixels,
        pages=options.pages,
        detail=block.detail,
        where=where,
    )


def _is_pdf(source: Source) -> bool:
    match source:
        case LocalFile(path=path):
            return path.suffix.lower() == ".pdf"
        case Url(url=url):
            return url[: len(_PDF_URL)].lower() == _PDF_URL
        case _:
            return _sniff_document(source) == PDF_TYPE


def _to_video(block: VideoBlock, where: str) -> Video:
    if block.detail is not None:
        warn(
            f"{where}: the service reads no detail of videos; {block.detail!r} is not sent. Pass "
            "max_pixels with video_block(…)."
        )
    source, options = _read_media(block, "video", block.video_mimetype, where)
    if options.pages is not None:
        raise UnsupportedContentError(
            "A VideoBlock carries pages.", where=where, remedy="Pass it as an ImageBlock."
        )
    set_values: dict[str, Any] = options.set_values()
    set_values.setdefault("fps", block.fps)
    return Video(source=source, where=where, **set_values)


def _read_media(
    block: ImageBlock | VideoBlock, kind: Literal["image", "video"], stated: str | None, where: str
) -> tuple[Source | Frames, Options]:
    source = _find_source(block, kind, where)
    media_type, options = read_parameters(stated, where)
    if isinstance(source, Url):
        url = source.url
        if url[:5].lower() == "data:":
            url, options = _first(read_data_url(url, where), options)
            if url.startswith(f"data:{FRAMES_TYPE}"):
                return _read_frames(url.partition(",")[2], where)
            return Url(url), options
        url, options = _first(read_fragment(url, where), options)
        return to_source(url) or Url(url), options
    if media_type == FRAMES_TYPE and isinstance(source, Inline):
        return _read_frames(source.data, where)
    return source, options


def _first(read: tuple[str, Options], stated: Options) -> tuple[str, Options]:
    url, options = read
    return url, Options(**{**stated.set_values(), **options.set_values()})


def _read_frames(text: bytes | str, where: str) -> tuple[Frames, Options]:
    frames, options = read_frames(_decode(text, where), where)
    sources = []
    for number, frame in enumerate(frames):
        source = to_source(frame)
        if source is None:  # pragma: no cover - text always is a source of some kind.
            raise MediaFormatError("A frame is not text.", where=f"{where}.video[{number}]")
        sources.append(source)
    return Frames(tuple(sources)), options


def _find_source(
    block: ImageBlock | VideoBlock | AudioBlock,
    kind: Literal["image", "video", "audio"],
    where: str,
) -> Source:
    """Choose among the places where a block may hold its media.

    What the service can fetch is the smallest request: an `ImageNode` brings the downloaded
    copy along.
    """
    url = _url(block)
    held: bytes | IOBase | None = getattr(block, kind)
    if url is not None and (held is None or url.lower().startswith(_SERVED)):
        return _unwrap(url, where)
    if isinstance(held, IOBase):
        return OpenFile(held)  # type: ignore[arg-type]  # A readable object is all that is asked.
    if held is not None:
        return _from_base64(held, where)
    if block.path is not None:
        # A typed field of the block: the program's own word, unlike a path in some text.
        return LocalFile(block.path, is_trusted=True)
    raise MediaFormatError(
        f"The {type(block).__name__} holds nothing.",
        where=where,
        remedy=f"Pass url=…, path=… or {kind}=….",
    )


def _url(block: ImageBlock | VideoBlock | AudioBlock) -> str | None:
    return None if block.url is None else str(block.url)


def _unwrap(url: str, where: str) -> Source:
    header, _, data = url.partition(",") if url[:5].lower() == "data:" else ("", "", "")
    if header.lower().endswith(";base64") and data.startswith(_URL_HEADS):
        return _from_base64(data.encode(), where)
    return Url(url)


def _from_base64(data: bytes, where: str) -> Source:
    if data[:8].decode("ascii", errors="replace").startswith(_URL_HEADS):
        # A block takes a URL for the media itself, and encodes it; so does one of a node,
        # to pass through engines that take blocks apart.
        text = _decode(data, where)
        if text.startswith(_URLS):
            return Url(text.decode("utf-8", errors="replace"))
    return Inline(data)


def _decode(text: bytes | str, where: str) -> bytes:
    spelt = text if isinstance(text, str) else text.decode("ascii", errors="replace")
    return decode_base64(spelt, where).data


def to_call(block: ToolCallBlock, where: str) -> ToolCall:
    """Convert a tool call.

    Args:
        block: The call; its arguments may be a dict or the text that the model wrote.
        where: Its place, for errors.

    Raises:
        UnsupportedContentError: The arguments cannot be written as JSON.
    """
    held: Any = block.tool_kwargs
    try:
        arguments = held if isinstance(held, str) else json.dumps(held, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise UnsupportedContentError(
            f"The arguments of a tool call are not JSON: {error}.",
            where=where,
            remedy="Pass them as text, numbers, lists and dicts.",
        ) from error
    return ToolCall(
        id=block.tool_call_id or "", name=block.tool_name, arguments=arguments, where=where
    )
