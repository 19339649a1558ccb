"""From one content block, in any of the shapes that reach a LangChain model, to a part.

All guessing about foreign shapes ends here: OpenAI's `image_url`, LangChain's v0 and v1 blocks,
the service's own `video_url`, frame lists and native dicts, Anthropic's `source`, Gemini's
`media`. Nothing is read or decoded; a block that is not supported by the service raises an error.
"""

import base64
import json
import mimetypes
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from qwen_vl.content import (
    Audio,
    DataUrl,
    Document,
    File,
    Frames,
    Image,
    Inline,
    LocalFileUrl,
    OpenFile,
    Part,
    Pixels,
    Reasoning,
    Source,
    Text,
    ToolPart,
    Unsupported,
    Url,
    Video,
    is_remote,
    read_row,
    to_source,
)
from qwen_vl.errors import ContentError, UnsupportedContentError, warn
from qwen_vl.media import sniff, sniff_open_file
from qwen_vl.media.pdf.document import PDF_TYPE
from qwen_vl.request.cache_control import CACHE_BREAKPOINT, find_marker

Block: TypeAlias = Mapping[str, Any]

IMAGE_OPTIONS = ("min_pixels", "max_pixels", "pages")
VIDEO_OPTIONS = (
    *("fps", "timestamps", "min_pixels", "max_pixels", "total_pixels"),
    *("start", "end", "max_frames", "video_mode"),
)


class InlineBlock(dict[str, Any]):
    """An image or video as LangChain's own block, which carries the source that it stands for.

    It is JSON to traces and cache keys. Where it is sent, its Base64 is not decoded again, nor is
    what was sniffed, decoded or prepared already.

    Args:
        block: With `base64` and `mime_type`.
        source: What is sent.
    """

    __slots__ = ("source",)

    def __init__(self, block: Mapping[str, Any], source: Source) -> None:
        super().__init__(block)
        self.source = source

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        return dict, (dict(self),)


class ReplacedBlock(dict[str, Any]):
    """A text block in place of a raw value that cannot be sent.

    It is JSON to traces and cache keys, and carries the error to where the request is prepared.

    Args:
        block: A text block with the note.
        part: What stands in the request until it is prepared.
    """

    __slots__ = ("part",)

    def __init__(self, block: Mapping[str, Any], part: Unsupported) -> None:
        super().__init__(block)
        self.part = part

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        return dict, (dict(self),)


# Base64 of the bytes that `sniff` reads.
_PROBE_CHARS = 1_368

_INNER_KEYS = ("image_url", "video_url", "image", "video", "audio", "input_audio")

# Keys that say where media comes from, or that LangChain itself adds; the rest is not sent.
_SOURCE_KEYS = frozenset(
    {
        *("type", "id", "index", "extras", "metadata", "cache_control", CACHE_BREAKPOINT),
        *(
            "mime_type",
            "mimeType",
            "media_type",
            "source_type",
            "source",
            "url",
            "base64",
            "bytes",
            "data",
        ),
        *("image", "image_url", "input_image", "video", "video_url", "frames", "path"),
        *("file", "file_uri", "media", "filename", "title", "name", "detail"),
        # What MCP puts beside any content.
        *("annotations", "_meta", "meta"),
    }
)


def to_part(block: object, where: str) -> Part:
    """Read one content block.

    Args:
        block: A dict of any of the shapes above, or a bare string.
        where: Its place, as `messages[0].content[1]`.

    Raises:
        UnsupportedContentError: The service does not support it.

    Example:
        >>> to_part({"type": "video_url", "video_url": {"url": "https://e.org/a.mp4"}}, "").source
        Url(url='https://e.org/a.mp4')
    """
    if isinstance(block, str):
        return Text(text=block, where=where)
    if isinstance(block, ReplacedBlock):
        return block.part
    if not isinstance(block, Mapping):
        raise UnsupportedContentError(
            f"A content block is a dict or a string, not {type(block).__name__}.", where=where
        )
    kind = kind_of(block)
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    if reader is None:
        raise UnsupportedContentError(
            f"Content of type {kind!r} is not supported by Qwen VL.",
            where=where,
            remedy="Pass text, image, image_url, video, video_url or a list of frames.",
        )
    return reader(block, where)


def to_tool_part(block: object, where: str) -> ToolPart:
    """Read one content block of a tool result, which may be of any kind.

    Args:
        block: A dict of any of the shapes above, an MCP content block, or a bare string.
        where: Its place, as `messages[2].content[0]`.

    Returns:
        Besides the parts of other messages, a `File` for files and links that are neither media
        nor a PDF, and `Unsupported` for what is not supported by the service.

    Example:
        >>> block = {"type": "file", "url": "https://e.org/a.html", "mime_type": "text/html"}
        >>> to_tool_part(block, "").source
        Url(url='https://e.org/a.html')
    """
    if isinstance(block, ReplacedBlock):
        return block.part
    try:
        return _read_tool_block(block, where)
    except (ContentError, TypeError, ValueError, RecursionError) as raised:
        # A tool, an MCP server most of all, may put anything into a block.
        error = (
            raised
            if isinstance(raised, ContentError)
            else UnsupportedContentError(f"The block cannot be read: {raised}.", where=where)
        )
        stated = kind_of(block) if isinstance(block, Mapping) else None
        kind = _NAMES.get(stated, "content") if isinstance(stated, str) else "content"
        return Unsupported(error=error, kind=kind, where=where)


def _read_tool_block(block: object, where: str) -> ToolPart:
    kind = kind_of(block) if isinstance(block, Mapping) else None
    if isinstance(block, Mapping) and isinstance(kind, str):
        reader = _TOOL_READERS.get(kind)
        if reader:
            return reader(block, where)
    part = to_part(block, where)
    if isinstance(part, Text | Image | Video | Audio | Document):
        return part
    raise UnsupportedContentError(
        f"A tool's result cannot hold {_KINDS.get(type(part), 'a tool call')}.",
        where=where,
        remedy="Return text, images, videos, audio and PDF documents from tools.",
    )


_NAMES: Mapping[str, str] = {
    **dict.fromkeys(("image", "image_url", "input_image"), "image"),
    **dict.fromkeys(("video", "video_url"), "video"),
    **dict.fromkeys(("audio", "input_audio"), "audio"),
    **dict.fromkeys(("file", "media", "document", "resource"), "file"),
}
_KINDS: Mapping[type[Any], str] = {Reasoning: "a reasoning"}


def kind_of(block: Block) -> Any:
    """Return the type of a block: the stated one, else the key that stands for it.

    Args:
        block: Any block. The native protocol's parts lack a type: their key is the type.

    Example:
        >>> kind_of({"fps": 2, "video": "https://e.org/a.mp4"})
        'video'
    """
    if block.get("type"):
        return block["type"]
    named = ("image", "video", "audio", "text", "image_url", "video_url")
    return next((key for key in named if key in block), None)


def _read_text(block: Block, where: str) -> Text:
    text = block.get("text")
    if not isinstance(text, str):
        raise UnsupportedContentError("The text block holds no text.", where=where)
    return Text(text=text, cache_control=_find_mark(block, where), where=where)


def _read_plain_text(block: Block, where: str) -> Text:
    if isinstance(block.get("text"), str):
        return _read_text(block, where)
    raise UnsupportedContentError(
        "A text document is taken by its `text` alone.",
        where=where,
        remedy="Read the document and pass its text.",
    )


def _read_refusal(block: Block, where: str) -> Text:
    return Text(text=str(block.get("refusal") or ""), where=where)


def _read_reasoning(block: Block, where: str) -> Reasoning:
    text = block.get("reasoning") or block.get("thinking")
    if not text:
        # OpenAI's Responses hold it in pieces, as a summary or as it was thought.
        held = block.get("summary") or block.get("content") or ()
        pieces = [piece.get("text") or "" for piece in held if isinstance(piece, Mapping)]
        text = "\n\n".join(pieces)
    # Beside the block's own keys stands what OpenAI's Responses encrypt.
    extras = block.get("extras")
    encrypted = extras.get("encrypted_content") if isinstance(extras, Mapping) else None
    return Reasoning(text=str(text), encrypted_content=str(encrypted or ""), where=where)


def _read_image(block: Block, where: str) -> Image:
    source = _require(_find_media(block, "image", "image_url"), block, where, "image")
    _warn_unsent(block, IMAGE_OPTIONS, where)
    return Image(
        source=source,
        title=_title_of(block),
        **_find_all(block, *IMAGE_OPTIONS, "detail"),
        cache_control=_find_mark(block, where),
        where=where,
    )


def _read_video(block: Block, where: str) -> Video:
    frames = _find(block, "frames")
    if frames is None:
        frames = _find_media(block, "video", "video_url")
    source: Source | Frames
    if isinstance(frames, list | tuple):
        source = Frames(tuple(_read_frames(frames, where)))
    else:
        source = _require(frames, block, where, "video")
    _warn_unsent(block, VIDEO_OPTIONS, where)
    return Video(
        source=source,
        **_find_all(block, *VIDEO_OPTIONS),
        cache_control=_find_mark(block, where),
        where=where,
    )


def _read_frames(frames: Sequence[object], where: str) -> Iterator[Source]:
    for index, frame in enumerate(frames):
        place = f"{where}.video[{index}]"
        if isinstance(frame, Mapping):
            part = to_part(frame, place)
            if not isinstance(part, Image):
                raise UnsupportedContentError("A frame that is not an image.", where=place)
            yield part.source
        else:
            yield _require(frame, {}, place, "frame")


def _read_audio(block: Block, where: str) -> Audio:
    held = block.get("input_audio") or block.get("audio")
    inner: Block = held if isinstance(held, Mapping) else block
    data = inner.get("data")
    value = _promised_base64(data) if _is_set(data) else _find_media(block, "audio")
    if isinstance(value, Inline) and isinstance(value.data, str) and is_remote(value.data):
        # In the place of OpenAI's Base64, the service takes a URL. LangChain calls it Base64.
        value = value.data
    stated = _find(block, "format") or _mime_type_of(block)
    return Audio(
        source=_require(value, block, where, "audio"), format=str(stated or ""), where=where
    )


def _read_file(block: Block, where: str) -> Part:
    """Read a block that may hold any kind of file, by the type that it states."""
    inner, value, mime_type = _find_file(block)
    family = mime_type.partition("/")[0]
    if mime_type == PDF_TYPE:
        return _read_document(inner, value, where)
    if family not in {"image", "video", "audio"}:
        what = f"of type {mime_type}" if mime_type else "without a mime_type"
        raise UnsupportedContentError(
            f"A file {what} is not supported by Qwen VL.",
            where=where,
            remedy="Files with a mime_type of image/…, video/… or application/pdf are taken.",
        )
    if "file_id" in inner and value is None:
        value = _require(None, inner, where, "file")
    return _READERS[family](
        {
            **{k: v for k, v in block.items() if k not in {"file", "file_data", "file_uri"}},
            "type": family,
            "url": value,
        },
        where,
    )


def _find_file(block: Block) -> tuple[Block, Any, str]:
    """Find what a file block holds, and of which type it is."""
    held = block.get("file")
    if isinstance(held, Mapping) and held and held.keys() <= {"bytes", "path"}:
        held = read_row(held)
    inner: Block = {**block, **held} if isinstance(held, Mapping) else block
    value = inner.get("file_data") or inner.get("file_uri") or _find_media(inner)
    if value is None and not isinstance(held, Mapping) and _is_set(held):
        # As {"type": "image", "image": path}: a path or bytes of the program's.
        value = _promised_base64(held)
    source = inner.get("source")
    holders = (inner, source if isinstance(source, Mapping) else {})
    names = ("mime_type", "media_type", "mimeType")
    stated = next((place[name] for place in holders for name in names if place.get(name)), None)
    # LangChain calls every file of OpenAI's form a PDF, so what the bytes say counts.
    sniffed = _sniff_inline(value) or _sniff_raw(value)
    return inner, value, sniffed or str(stated or "") or _guess_type(value)


def _read_tool_file(block: Block, where: str) -> ToolPart:
    inner, value, mime_type = _find_file(block)
    text, held = inner.get("text"), inner.get("source")
    if isinstance(held, Mapping) and held.get("type") == "text":
        # Anthropic's plain text document: `data` is the text itself.
        text = held.get("data")
    if isinstance(text, str):
        return _to_file(inner, Inline(text.encode("utf-8", "backslashreplace")), mime_type, where)
    family = mime_type.partition("/")[0]
    if family in {"image", "video"}:
        return _read_media_file(block, where)
    if _is_link(value):
        return _to_file(inner, Url(str(value)), mime_type, where)
    is_inline = isinstance(value, Inline | bytes | str) and not isinstance(value, LocalFileUrl)
    if mime_type == PDF_TYPE and is_inline and _sniff_inline(value) != PDF_TYPE:
        # LangChain calls every file of OpenAI's form a PDF.
        mime_type = ""
    if mime_type == PDF_TYPE:
        return _read_document(inner, value, where)
    if family == "audio":
        return _read_media_file(block, where)
    if inner.get("file_data") is value:
        value = _promised_base64(value)
    return _to_file(inner, _require(value, inner, where, "file"), mime_type, where)


def _read_media_file(block: Block, where: str) -> ToolPart:
    part: Any = _read_file(block, where)
    return part  # type: ignore[no-any-return]  # Of such a type it is media.


def _is_link(value: object) -> bool:
    # A path that is text is a link too: nothing is read by it.
    is_text = isinstance(value, str) and not isinstance(value, LocalFileUrl)
    return is_text and not str(value).startswith("data:")


def _to_file(block: Block, source: Source, media_type: str, where: str) -> File:
    title = next((str(found) for key in _TITLE_KEYS if (found := _find(block, key))), None)
    return File(source=source, media_type=media_type, title=title, where=where)


def _read_resource_link(block: Block, where: str) -> ToolPart:
    """Read MCP's `resource_link`: what lies at its URI is media only if the service fetches it."""
    url = str(block.get("uri") or block.get("url") or "")
    mime_type = _mime_type_of(block)
    family = mime_type.partition("/")[0]
    if family in {"image", "video"} and is_remote(url):
        return _read_media_file({"type": "file", "url": url, "mime_type": mime_type}, where)
    return _to_file(block, Url(url), mime_type, where)


def _read_resource(block: Block, where: str) -> ToolPart:
    """Read MCP's embedded `resource`: text, or Base64 of any type."""
    held = block.get("resource")
    resource = held if isinstance(held, Mapping) else {}
    uri, mime_type = resource.get("uri"), _mime_type_of(resource)
    if isinstance(resource.get("text"), str):
        source = Inline(str(resource["text"]).encode("utf-8", "backslashreplace"))
        return _to_file({"title": uri}, source, mime_type or "text/plain", where)
    blob = {"type": "file", "base64": resource.get("blob"), "mime_type": mime_type}
    return _read_tool_file({**blob, "title": uri and str(uri)}, where)


def _read_json(block: Block, where: str) -> Text:
    held = next((block[key] for key in ("json", "data", "value") if key in block), None)
    try:
        text = json.dumps(held, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise UnsupportedContentError(f"It is not JSON: {error}.", where=where) from error
    return Text(text=text, where=where)


def _read_search_result(block: Block, where: str) -> ToolPart:
    held = block.get("content")
    pieces = [held] if isinstance(held, str) else held or ()
    texts = [piece.get("text", "") if isinstance(piece, Mapping) else piece for piece in pieces]
    label = " ".join(str(block[key]) for key in ("title", "source") if block.get(key))
    return Text(text="\n".join([f"{label}:", *map(str, texts)]), where=where)


def _read_tool_text(block: Block, where: str) -> ToolPart:
    if isinstance(block.get("text"), str):
        return _read_text(block, where)
    return _read_tool_file(block, where)


def _mime_type_of(block: Block) -> str:
    return str(next((block[key] for key in _TYPE_KEYS if block.get(key)), ""))


_TITLE_KEYS = ("title", "filename", "name")
_TYPE_KEYS = ("mimeType", "mime_type", "media_type")
_TOOL_READERS: Mapping[str, Callable[[Block, str], ToolPart]] = {
    "text-plain": _read_tool_text,
    "file": _read_tool_file,
    "media": _read_tool_file,
    "document": _read_tool_file,
    "resource_link": _read_resource_link,
    "resource": _read_resource,
    "json": _read_json,
    "search_result": _read_search_result,
}


def _guess_type(value: object) -> str:
    path = value.path if isinstance(value, LocalFileUrl) else value
    return mimetypes.guess_type(path)[0] or "" if isinstance(path, Path) else ""


def _read_document(block: Block, value: object, where: str) -> Document:
    return Document(
        source=_require(value, block, where, "document"),
        **_find_all(block, *IMAGE_OPTIONS, "dpi"),
        cache_control=_find_mark(block, where),
        title=_title_of(block),
        where=where,
    )


def _title_of(block: Block) -> str | None:
    # LangChain requires a name of some formats, and makes one up.
    title = _find(block, "title") or _find(block, "filename")
    return str(title) if title else None


def _read_non_standard(block: Block, where: str) -> Part:
    return to_part(block.get("value"), where)


_READERS: Mapping[str, Callable[[Block, str], Part]] = {
    "text": _read_text,
    "text-plain": _read_plain_text,
    "refusal": _read_refusal,
    "reasoning": _read_reasoning,
    "thinking": _read_reasoning,
    "image": _read_image,
    "image_url": _read_image,
    "input_image": _read_image,
    "video": _read_video,
    "video_url": _read_video,
    "audio": _read_audio,
    "input_audio": _read_audio,
    "file": _read_file,
    "media": _read_file,
    "document": _read_file,
    "non_standard": _read_non_standard,
}


def _find_media(block: Block, *keys: str) -> Any:
    """Find the value that stands for the media, under any of the names that it may have."""
    if isinstance(block, InlineBlock):
        return block.source
    for key in keys:
        held = block.get(key)
        if isinstance(held, Mapping):
            held = held.get("url") or read_row(held)
        if _is_set(held):
            return held
    source = block.get("source")
    for place in (block, source if isinstance(source, Mapping) else {}):
        for key in ("url", "path"):
            if _is_set(place.get(key)):
                return place[key]
        for key in ("base64", "data"):
            if _is_set(place.get(key)):
                return _promised_base64(place[key])
    return None


def _is_set(value: object) -> bool:
    # An empty string is what some frameworks write for "not this one".
    return value is not None and not (isinstance(value, str) and not value)


def _promised_base64(value: object) -> object:
    """Where Base64 is promised, text is never a URL or a path, unless the program says so."""
    is_own = isinstance(value, LocalFileUrl)
    if isinstance(value, str) and not is_own and not value.startswith("data:"):
        return Inline(value)
    return value


def _require(value: object, block: Block, where: str, what: str) -> Source:
    source = value if isinstance(value, Inline | Pixels | DataUrl) else to_source(value)
    if source is not None:
        return source
    source_block = block.get("source")
    holders = (block, source_block if isinstance(source_block, Mapping) else {})
    if any("file_id" in place for place in holders) or block.get("source_type") == "id":
        raise UnsupportedContentError(
            f"The {what} is given by file_id, but the service stores no files for chats.",
            where=where,
            remedy="Pass its URL, its bytes or a pathlib.Path.",
        )
    problem = (
        f"The {what} block holds no {what}."
        if value is None
        else f"The {what} cannot be of type {type(value).__name__}."
    )
    raise UnsupportedContentError(
        problem,
        where=where,
        remedy="Pass a URL, bytes, Base64, a pathlib.Path, a file object or a decoded image.",
    )


def _find_mark(block: Block, where: str) -> Mapping[str, Any] | None:
    return find_marker(_find_all(block, "cache_control", CACHE_BREAKPOINT), where)


def _find(block: Block, name: str) -> Any:
    return _find_all(block, name)[name]


def _find_all(block: Block, *names: str) -> dict[str, Any]:
    """Find options beside the media, or in `extras`, `metadata` or the inner dict."""
    inner = (block.get(key) for key in ("extras", "metadata", *_INNER_KEYS))
    holders: list[Block] = [block, *(held for held in inner if isinstance(held, (dict, Mapping)))]
    # LangChain moves the metadata of its v0 blocks there.
    extras = block.get("extras")
    moved = extras.get("metadata") if isinstance(extras, (dict, Mapping)) else None
    if isinstance(moved, Mapping):
        holders.append(moved)
    return {name: _first(name, holders) for name in names}


def _first(name: str, holders: Sequence[Block]) -> Any:
    found = (place.get(name) for place in holders)
    return next((value for value in found if value is not None), None)


def _warn_unsent(block: Block, options: Sequence[str], where: str) -> None:
    known = _SOURCE_KEYS.union(options)
    inner = (block.get(key) for key in ("extras", *_INNER_KEYS))
    inner_names = (name for place in inner if isinstance(place, (dict, Mapping)) for name in place)
    for name in sorted({*block.keys(), *inner_names} - known):
        warn(f"{where}: {name!r} is not something that the service reads here. It is not sent.")


def sniff_base64(text: str) -> str | None:
    """Return the media type, from the beginning of Base64.

    Args:
        text: Base64; what is wrong with it is reported where all media is checked.
    """
    try:
        return sniff(base64.b64decode(text[:_PROBE_CHARS]))
    except ValueError:
        return None


def _sniff_raw(value: object) -> str | None:
    """Find the type of what a program holds, which is text by the time that it is sent."""
    source = None if value is None or isinstance(value, str) else to_source(value)
    if isinstance(source, Pixels):
        return "image/png"
    if isinstance(source, Inline):
        return _sniff_inline(source)
    return sniff_open_file(source) if isinstance(source, OpenFile) else None


def _sniff_inline(value: object) -> str | None:
    held = value.data if isinstance(value, Inline) else value
    if isinstance(held, bytes):
        return sniff(held)
    if not isinstance(held, str) or (":" in held[:8] and not held.startswith("data:")):
        return None
    start = held.find(",") + 1
    return sniff_base64(held[start : start + _PROBE_CHARS])
