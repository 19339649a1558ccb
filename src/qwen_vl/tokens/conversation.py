"""How many tokens a conversation costs, before anything is sent.

Images and videos are counted by the service's own rules from their headers; words, and what the
model's chat template puts around them, are estimated. Nothing is fetched, and no pixel is decoded
unless images of earlier turns have to become smaller so that the request fits.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeAlias, assert_never

import orjson

from qwen_vl.content import (
    Audio,
    DataUrl,
    Document,
    Frames,
    Image,
    Part,
    Reasoning,
    Text,
    ToolCall,
    ToolPart,
    ToolResult,
    Turn,
    Unsupported,
    Video,
)
from qwen_vl.errors import ConfigurationError, ContentError, warn
from qwen_vl.media.history import find_newest_turn, forget_images, may_be_made_to_fit
from qwen_vl.media.limits import is_remote_source
from qwen_vl.media.measure import measure_pages
from qwen_vl.media.pages import PageSize
from qwen_vl.media.prepare import find_note, prepare_media
from qwen_vl.media.video.container import has_av
from qwen_vl.request.types import MediaPolicy, Request
from qwen_vl.specs.processors import Family
from qwen_vl.specs.servers import DEFAULT_SERVER, Server, get_server_spec
from qwen_vl.tokens.audio import count_audio
from qwen_vl.tokens.media import MediaCount, ServiceRule, TransformersRule
from qwen_vl.tokens.text import estimate_text_tokens
from qwen_vl.wire.encode import encode_arguments, find_first_reasoned

ASSUMED_VIDEO_SECONDS = 60.0
"""Assumed length of a video or audio file that cannot be read.

What the models take at most, an hour or two, costs 131,074 to 800,002 tokens, half of what they
read or most of it: one linked clip would make every conversation look full.
"""

MESSAGE_TOKENS = 5
"""`<|im_start|>`, role and line break before a message, `<|im_end|>` and line break after it."""

ANSWER_TOKENS = 5
"""`<|im_start|>assistant`, `<think>` and line breaks, with which every answer begins.

With this, the guide's question costs the 17 `text_tokens` that the service reports of it
(OpenAI-Chat page, 2026-07).
"""

# vLLM 0.32 counts 13 tokens for "What is this?" with Qwen3-VL, and 24 with Qwen2.5-VL, whose
# template adds a system message if there is none.
_OPEN_ANSWER_TOKENS = 4
_DEFAULT_SYSTEM_TOKENS = 11
# Of the chat template of Qwen3-VL. unsure: other models have other templates.
_TOOLS_TOKENS = 100
_CALL_TOKENS = 12
_RESULT_TOKENS = 6
# The words that stand in the tool's message, and in that which brings the media.
_RESULT_MEDIA_TOKENS = 40
_SHOWN_PARTS = 3
_AV_REMEDY = ' (pip install "qwen-vl[video]" measures it)'

Countable: TypeAlias = Part | Sequence[Turn]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCounter:
    """Counts what is sent to one model.

    Args:
        model: Model id.
        parameters: The body's parameters: `vl_high_resolution_images`, `preserve_thinking` and
            `tools` are read.
        policy: Which files may be read.
        video_seconds: Assumed length of a video that cannot be read: given by
            URL, or without PyAV.
        count_text: Counts the tokens of a text.
        server: Which server will be asked: it says whose rule counts images and videos.
        model_family: Architecture of the model, if its name does not show it.
        warns: Whether to warn of media that cannot be measured; a warning for each of a million
            images would be read by nobody.
    """

    model: str
    parameters: Mapping[str, Any]
    policy: MediaPolicy
    video_seconds: float = ASSUMED_VIDEO_SECONDS
    count_text: Callable[[str], int] = estimate_text_tokens
    server: Server = DEFAULT_SERVER
    model_family: Family | None = None
    warns: bool = True

    def count_turns(self, turns: Sequence[Turn]) -> int:
        """Count a conversation, the tools and the beginning of the answer included."""
        turns = self._fit(forget_images(tuple(turns), self.policy.history_images))
        first_reasoned = find_first_reasoned(self._request(turns))
        n_earlier = find_newest_turn(turns)
        sent = [
            [self._as_sent_again(part) if index < n_earlier else part for part in turn.parts]
            for index, turn in enumerate(turns)
        ]
        tally = _Tally(self._find_rule(chain.from_iterable(sent)), self.count_text)
        total = self._count_frame(turns) + self._count_tools()
        for index, parts in enumerate(sent):
            total += MESSAGE_TOKENS
            for part in parts:
                if index >= first_reasoned or not isinstance(part, Reasoning):
                    total += self._count_part(part, tally)
        if self.warns:
            tally.warn()
        return total

    def _count_frame(self, turns: Sequence[Turn]) -> int:
        """Count what the chat template puts around a conversation."""
        if self.server == DEFAULT_SERVER:
            return ANSWER_TOKENS
        has_system = bool(turns) and turns[0].role == "system"
        is_told = self._request().processor == "qwen2_5_vl" and not has_system
        return _OPEN_ANSWER_TOKENS + (_DEFAULT_SYSTEM_TOKENS if is_told else 0)

    def count_part(self, part: Part) -> int:
        """Count one part, without the message around it."""
        tally = _Tally(self._find_rule(), self.count_text)
        total = self._count_part(part, tally)
        if self.warns:
            tally.warn()
        return total

    def _count_part(self, part: Part, tally: "_Tally") -> int:
        match part:
            case Text() | Reasoning():
                return self.count_text(part.text)
            case Image() | Document():
                return self._count_pages(part, tally)
            case Video():
                return tally.count(part)
            case Audio():
                return tally.count_audio(part, self._request(), self.video_seconds)
            case ToolCall():
                arguments = encode_arguments(part.arguments)
                return _CALL_TOKENS + self.count_text(f"{part.name} {arguments}")
            case ToolResult():
                return self._count_result(part, tally)
            case Unsupported():
                raise part.error
            case _:
                assert_never(part)

    def measure(self, part: Image | Video) -> MediaCount:
        """Count one image or video, and return what was counted."""
        return self._find_rule().measure(part)

    def _find_rule(self, sent: Iterable[Part] = ()) -> ServiceRule | TransformersRule:
        request, seconds = self._request(), self.video_seconds
        server = get_server_spec(self.server)
        if server.tokens == "service":
            return ServiceRule(request=request, video_seconds=seconds)
        rule = TransformersRule(request=request, video_seconds=seconds)
        # What one part asks for holds for all there.
        return rule.sharing(self._find_media(sent)) if server.is_shared else rule

    def _find_media(self, sent: Iterable[Part]) -> list[Image | Video]:
        found: list[Image | Video] = []
        for part in sent:
            parts = map(self._as_sent, part.parts) if isinstance(part, ToolResult) else (part,)
            for each in parts:
                if isinstance(each, Image | Document):
                    found += [image for _, image in self._list_pages(each)]
                elif isinstance(each, Video):
                    found.append(each)
        return found

    def _list_pages(self, part: Image | Document) -> list[tuple[str, Image]]:
        """Return the images that a part is sent as, each with its label."""
        pages = measure_pages(part, self.policy)
        if isinstance(pages, Image):
            return [("", pages)]
        return [(page.label, _to_image(part, page)) for page in pages]

    def _count_pages(self, part: Image | Document, tally: "_Tally") -> int:
        return sum(
            tally.count(image) + (self.count_text(label) if label else 0)
            for label, image in self._list_pages(part)
        )

    def measure_page(self, part: Image | Document, page: PageSize) -> MediaCount:
        """Count one page of a document.

        Args:
            part: The document, with its pixel limits.
            page: The page.
        """
        return self.measure(_to_image(part, page))

    def measure_size(self, width: int, height: int) -> MediaCount:
        """Count an image of which only the size is known.

        Args:
            width: Pixels.
            height: Pixels.
        """
        return self._find_rule().measure_size(width, height)

    def _count_result(self, result: ToolResult, tally: "_Tally") -> int:
        parts = [self._as_sent(part) for part in result.parts]
        tokens = _RESULT_TOKENS + sum(self._count_part(part, tally) for part in parts)
        if all(isinstance(part, Text) for part in parts):
            return tokens
        # They follow in a separate message.
        return tokens + MESSAGE_TOKENS + _RESULT_MEDIA_TOKENS

    def _request(self, turns: tuple[Turn, ...] = ()) -> Request:
        return Request(
            model=self.model,
            turns=turns,
            parameters=self.parameters,
            policy=self.policy,
            server=self.server,
            model_family=self.model_family,
        )

    def _fit(self, turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
        """Prepare a conversation whose earlier media is downscaled so that all of it fits."""
        if not may_be_made_to_fit(turns, self.policy):
            return turns
        try:
            return prepare_media(self._request(turns)).turns
        except (ContentError, ConfigurationError):
            # It is not sent as it is; its token count shows how much shorter it must be.
            return turns

    def _as_sent_again(self, part: Part) -> Part:
        """Return the note that is sent instead of a part of an earlier turn, else the part."""
        if not isinstance(part, Image | Video | Audio | Document | Unsupported):
            return part
        note = find_note(part, self._request(), is_earlier=True)
        return part if note is None else Text(text=note, where=part.where)

    def _as_sent(self, part: ToolPart) -> Part:
        """Return the note that is sent instead of a part that cannot be, else the part itself."""
        if isinstance(part, Text):
            return part
        note = find_note(part, self._request())
        if note is not None:
            return Text(text=note, where=part.where)
        media: Any = part
        return media  # type: ignore[no-any-return]  # Files and unsupported content become notes.

    def _count_tools(self) -> int:
        tools = self.parameters.get("tools") or []
        if not tools:
            return 0
        return _TOOLS_TOKENS + sum(self.count_text(orjson.dumps(tool).decode()) for tool in tools)


def _to_image(part: Image | Document, page: PageSize) -> Image:
    return Image(
        source=DataUrl("", b"", None, 0, page.size),
        min_pixels=part.min_pixels,
        max_pixels=part.max_pixels,
        where=part.where,
    )


class _Tally:
    """Sums up what was counted of media whose size cannot be read.

    Args:
        rule: Counts images and videos.
        count_text: Counts the text that is sent before some of them.
    """

    def __init__(
        self, rule: ServiceRule | TransformersRule, count_text: Callable[[str], int]
    ) -> None:
        self.rule = rule
        self._count_text = count_text
        self._assumed: list[str] = []

    def count(self, part: Image | Video) -> int:
        """Count one image or video."""
        found = self.rule.measure(part)
        if found.is_assumed:
            self._assumed.append(self._describe(part, found))
        elif found.min_tokens < found.tokens:
            self._assumed.append(
                f"{part.where or 'video'}: frames may be left out to fit into "
                f"max_total_inline_bytes; {found.tokens:,} tokens are counted, it may cost as few "
                f"as {found.min_tokens:,}"
            )
        return found.tokens + (self._count_text(found.label) if found.label else 0)

    def count_audio(self, part: Audio, request: Request, assumed_seconds: float) -> int:
        """Count one audio file.

        Args:
            part: The audio.
            request: What holds for it.
            assumed_seconds: Its length, where it cannot be measured.
        """
        found = count_audio(part, request, assumed_seconds)
        if found.seconds is None:
            is_file = not is_remote_source(part.source)
            remedy = _AV_REMEDY if is_file and not has_av() else ""
            self._assumed.append(
                f"{part.where or 'audio'}: the audio cannot be measured{remedy}; {found.tokens:,} "
                f"tokens are counted, it may cost from {found.min_tokens:,} to "
                f"{found.max_tokens:,}"
            )
        return found.tokens

    def _describe(self, part: Image | Video, found: MediaCount) -> str:
        kind, remedy = "image", ""
        if isinstance(part, Video):
            kind = "video"
            is_file = not isinstance(part.source, Frames) and not is_remote_source(part.source)
            if is_file and not has_av():
                remedy = _AV_REMEDY
        return (
            f"{part.where or kind}: the {kind} cannot be measured{remedy}; {found.tokens:,} tokens "
            f"are counted, it may cost from {found.min_tokens:,} to {found.max_tokens:,}"
        )

    def warn(self) -> None:
        """Warn of media whose size was assumed, and by how much the count may be off."""
        if not self._assumed:
            return
        more = len(self._assumed) - _SHOWN_PARTS
        warn(". ".join(self._assumed[:_SHOWN_PARTS]) + (f". So {more} more." if more > 0 else "."))


def count_tokens(
    what: Countable,
    model: str,
    *,
    parameters: Mapping[str, Any] | None = None,
    policy: MediaPolicy | None = None,
    video_seconds: float = ASSUMED_VIDEO_SECONDS,
    count_text: Callable[[str], int] = estimate_text_tokens,
    server: Server = DEFAULT_SERVER,
    model_family: Family | None = None,
) -> int:
    """Count the tokens of a conversation, or of one part of it, offline.

    Images, videos and audio count exactly, from their headers, by the rules of the server. Of
    unknown size are those given by URL, videos where PyAV is not installed (`pip install
    "qwen-vl[video]"`), audio likewise unless it is WAV, and HEIC images without `pillow-heif`. Such
    an image counts as the largest that the model processes, such a video as `video_seconds` of the
    largest frames, such audio as `video_seconds`. A warning says how many tokens it may cost.

    Text is estimated, see `qwen_vl.specs.vision.estimate_text_tokens`.

    Args:
        what: A part, or turns; those count with what stands around them, tools included.
        model: Model id.
        parameters: The body's parameters: `vl_high_resolution_images`, `preserve_thinking` and
            `tools` are read.
        policy: Which files may be read; the default policy if `None`.
        video_seconds: Assumed length of a video or audio file that cannot be read.
        count_text: Counts the tokens of a text, if you have a tokenizer.
        server: Which server will be asked; self-hosted servers count images and videos by
            another rule, see `qwen_vl.tokens.self_hosted`.
        model_family: Architecture of the model, if its name does not show it.

    Content from tools that cannot be sent counts as the note that is sent in its place, see
    `MediaPolicy.tool_media_errors`.

    Raises:
        MediaError: An image or video cannot be read or is none, as `prepare_media` says, or a
            number beside it is out of its range. Other limits are not checked.

    Example:
        >>> from qwen_vl.content import LocalFile
        >>> from qwen_vl.samples import CHELSEA
        >>> cat = Image(source=LocalFile(CHELSEA, is_trusted=True))
        >>> count_tokens(cat, "qwen3-vl-plus")
        128
        >>> question = Turn(role="user", parts=(cat, Text(text="What is depicted in the image?")))
        >>> count_tokens([question], "qwen3-vl-plus")
        145
    """
    counter = TokenCounter(
        model=model,
        parameters=parameters or {},
        policy=policy or MediaPolicy(),
        video_seconds=video_seconds,
        count_text=count_text,
        server=server,
        model_family=model_family,
    )
    if isinstance(what, Sequence):
        return counter.count_turns(what)
    return counter.count_part(what)
