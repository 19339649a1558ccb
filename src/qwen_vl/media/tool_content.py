"""Content from tools: files and links as text, and notes in place of what cannot be sent.

A bad result stays in the history of a conversation. If it raised, every later turn of that
conversation would raise too, and neither the model nor the program could do anything about it.
"""

import codecs
import logging
import re
from dataclasses import replace
from typing import Never

from qwen_vl.content import (
    Audio,
    Document,
    File,
    Image,
    Pixels,
    Replacement,
    Text,
    ToolPart,
    Unsupported,
    Url,
    Video,
)
from qwen_vl.errors import (
    ContentError,
    MediaAccessError,
    MediaError,
    MediaFormatError,
    MediaNotFoundError,
    MediaOptionError,
    RequestTooLargeError,
    warn,
)
from qwen_vl.media.downscale import MAX_FILE_BYTES
from qwen_vl.media.load import load
from qwen_vl.media.sniff import SVG, describe, is_text, sniff
from qwen_vl.request.types import MediaPolicy
from qwen_vl.specs.audio import find_named_format, name_audio_format

MAX_TEXT_CHARS = 50_000
"""Maximum number of characters of one text file; about 12,000 tokens of English."""

ACCESS_NOTE = "The file cannot be shown."
"""The note for a file that may not be read: the same whatever the path, and whether it exists."""

_logger = logging.getLogger(__name__)

_MEDIA_TYPE = re.compile(r"(?:application|audio|font|image|model|text|video)/[\w.+\-]+")
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([\w.:\-]+)", re.IGNORECASE)
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"))
_BYTE_ORDER_MARKS = (*_MARKS, (codecs.BOM_UTF16_BE, "utf-16"))


class ToolNotes:
    """Collects the notes of one request.

    Args:
        policy: Whether content that cannot be sent becomes a note or raises.
        is_logged: Whether each note is logged as a warning.
    """

    def __init__(self, policy: MediaPolicy, *, is_logged: bool = True) -> None:
        self._is_noted = policy.tool_media_errors == "note"
        self._is_logged = is_logged
        self.replaced: list[Replacement] = []

    def replace(self, part: ToolPart, error: ContentError) -> Text:
        """Create the note that stands in place of a part.

        Args:
            part: What cannot be sent.
            error: Why.

        Raises:
            ContentError: `error`, if the policy wants it raised, or if the part would fit into a
                shorter request.
        """
        if not self._is_noted or isinstance(error, RequestTooLargeError):
            raise error
        note = write_note(part, error)
        # The log is for the program's operator, who may know the path.
        self._record(error.where or part.where, note, str(error))
        return Text(text=note, where=part.where)

    def replace_earlier(self, part: ToolPart, error: ContentError) -> Text:
        """Create the note that stands in place of a part of an earlier turn.

        Files that are gone since, and URLs that have expired, would end a conversation for ever.

        Args:
            part: What cannot be sent.
            error: Why.

        Raises:
            ContentError: `error`, if an option or the model is at fault and not the media.
        """
        is_own_fault = isinstance(error, MediaError) and not isinstance(
            error, RequestTooLargeError | MediaOptionError
        )
        if not is_own_fault:
            raise error
        if isinstance(error, MediaNotFoundError):
            # The model does not need the path of a file that the program named.
            note = f"{_name_of(part, error)} cannot be shown: The file is gone."
        else:
            note = write_note(part, error)
        self.replaced.append(Replacement(where=error.where or part.where, reason=note))
        if self._is_logged:
            warn(f"{error} The model gets a note in its place, since it has answered that turn.")
        return Text(text=note, where=part.where)

    def read(self, part: ToolPart, policy: MediaPolicy) -> ToolPart:
        """Turn files, links and unsupported content into text; other parts stay the same object.

        Args:
            part: A part of a tool result.
            policy: Which files may be read.
        """
        match part:
            case Unsupported():
                return self.replace(part, part.error)
            case File(source=Url(url=url)) if is_link(url):
                return _to_link(url, part)
            case Document(source=Url(url=url)) if is_link(url):
                return _to_link(
                    url,
                    File(
                        source=part.source,
                        media_type="application/pdf",
                        title=part.title,
                        where=part.where,
                    ),
                )
            case File():
                try:
                    return self._to_text(part, _read_text(part, policy))
                except ContentError as error:
                    return self.replace(part, error)
        return part

    def _to_text(self, file: File, text: str) -> Text:
        label = f"File {file.title}" if file.title else "File"
        kind = f" ({_base_of(file.media_type)})" if file.media_type else ""
        if len(text) > MAX_TEXT_CHARS:
            notice = f"Cut here: {MAX_TEXT_CHARS:,} of {len(text):,} characters are shown."
            self._record(file.where, notice, f"{file.where}: {notice}")
            text = f"{text[:MAX_TEXT_CHARS]}\n{notice}"
        return Text(text=f"{label}{kind}:\n{text}", where=file.where)

    def _record(self, where: str, reason: str, logged: str) -> None:
        self.replaced.append(Replacement(where=where, reason=reason))
        if self._is_logged:
            _logger.warning("Content from a tool was replaced: %s", logged)


def to_audio_link(audio: Audio) -> Audio | File:
    """Return the link to audio, for a model that takes no audio; other audio is unchanged.

    Args:
        audio: Audio from a tool.

    Example:
        >>> to_audio_link(Audio(source=Url("https://example.com/a.mp3"))).media_type
        'audio/mp3'
    """
    if not (isinstance(audio.source, Url) and is_link(audio.source.url)):
        return audio
    media_type = audio.format
    if "/" not in media_type:
        named = name_audio_format(media_type) or find_named_format(audio.source.url)
        media_type = f"audio/{named}" if named else "audio"
    return File(source=audio.source, media_type=media_type, where=audio.where)


def is_link(url: str) -> bool:
    """Return whether a URL is a link, not the content itself."""
    return url[:5].lower() != "data:"


def write_note(part: ToolPart, error: ContentError) -> str:
    """Write what the model gets to read in place of a part.

    A refused file gives the same note whatever its path, and whether it exists or not: the model,
    or the author of the tool's result, could otherwise find out which files exist.

    Args:
        part: What cannot be sent.
        error: Why.

    Example:
        >>> from qwen_vl.content import Inline
        >>> error = MediaFormatError("It is damaged.", value="image/gif")
        >>> write_note(Image(source=Inline(b"GIF89a")), error)
        'image/gif cannot be shown: It is damaged.'
    """
    if isinstance(error, MediaAccessError):
        return ACCESS_NOTE
    return f"{_name_of(part, error)} cannot be shown: {error.problem}"


def _name_of(part: ToolPart, error: ContentError) -> str:
    value = getattr(error, "value", None)
    if value == SVG:
        return "image/svg+xml"
    if isinstance(value, str) and _MEDIA_TYPE.fullmatch(value):
        return value
    match part:
        case Image():
            return "The image"
        case Video():
            return "The video"
        case Audio():
            return "The audio"
        case Document():
            return "The PDF document"
        case File():
            return _base_of(part.media_type) or "The file"
        case Unsupported():
            return f"The {part.kind}"
    return "The content"


def _base_of(media_type: str) -> str:
    return media_type.partition(";")[0].strip()


def _to_link(url: str, file: File) -> Text:
    label = f"Link to {file.title}" if file.title else "Link"
    kind = f" ({_base_of(file.media_type)})" if file.media_type else ""
    return Text(text=f"{label}: {url}{kind}", where=file.where)


def _read_text(file: File, policy: MediaPolicy) -> str:
    """Decode a text file; what it is, its bytes decide.

    Raises:
        MediaError: It cannot be read, or is not text.
    """
    if isinstance(file.source, Pixels):
        _refuse_binary("a decoded image", file)
    longest = max(policy.max_inline_bytes, MAX_FILE_BYTES)
    data = load(file.source, replace(policy, max_inline_bytes=longest), file.where).data
    stated = _CHARSET.search(file.media_type)
    marked = next((name for mark, name in _BYTE_ORDER_MARKS if data.startswith(mark)), None)
    if stated is None and marked is None and (sniff(data) or not is_text(data)):
        _refuse_binary(describe(data), file)
    charset = marked or (stated[1] if stated else "utf-8")
    try:
        return data.decode(charset)
    except (LookupError, ValueError) as error:
        raise MediaFormatError(
            f"It is not text in {charset.upper()}.",
            where=file.where,
            value=charset,
            remedy="State the encoding in the media type: text/csv; charset=gb18030.",
        ) from error


def _refuse_binary(looks: str, file: File) -> Never:
    raise MediaFormatError(
        f"It looks like {looks}, which the service does not take.",
        where=file.where,
        value=_base_of(file.media_type) or looks,
        remedy="Return text, images, videos, audio and PDF documents from tools.",
    )
