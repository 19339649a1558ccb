"""How many tokens a conversation costs, before anything is sent.

Pictures and videos are counted by the service's own rules from their headers; words, and what the
model's chat template puts around them, are estimated. Nothing is fetched, and no pixel is decoded.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, assert_never

import orjson

from qwen_vl.content import (
    Audio,
    Document,
    Image,
    Part,
    Reasoning,
    Text,
    ToolCall,
    ToolPart,
    ToolResult,
    Turn,
    Video,
)
from qwen_vl.media.pdf import measure_pages
from qwen_vl.media.prepare import find_tool_note
from qwen_vl.request.types import MediaPolicy, Request
from qwen_vl.specs.models import get_model_spec
from qwen_vl.specs.servers import DEFAULT_SERVER, Server, get_server_spec
from qwen_vl.tokens.media import MediaCount, ServiceRule, TransformersRule
from qwen_vl.tokens.text import estimate_text_tokens
from qwen_vl.wire.encode import encode_arguments, find_first_reasoned

ASSUMED_VIDEO_SECONDS = 60.0
"""Length that a video is taken for where it cannot be looked at.

What the models take at most, an hour or two, costs 131,074 to 800,002 tokens, half of what they
read or most of it: one linked clip would make every conversation look full.
"""

MESSAGE_TOKENS = 5
"""`<|im_start|>`, role and line break before a message, `<|im_end|>` and line break after it."""

ANSWER_TOKENS = 5
"""`<|im_start|>assistant`, `<think>` and line breaks, with which every answer begins.

With this, the guide's question costs the 17 `text_tokens` that the service reports of it (OpenAI-
Chat page, 2026-07).
"""

# Of the chat template of Qwen3-VL. unsure: other models have other templates.
_TOOLS_TOKENS = 100
_CALL_TOKENS = 12
_RESULT_TOKENS = 6
# The words that stand in the tool's message, and in that which brings the media.
_RESULT_MEDIA_TOKENS = 40
# unsure: no page that was read says what a sound costs; this is a minute at 25 tokens a second.
_AUDIO_TOKENS = 1_500

Countable: TypeAlias = Part | Sequence[Turn]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenCounter:
    """Counts what is sent to one model.

    Args:
        model: Model id.
        parameters: The body's parameters: `vl_high_resolution_images`, `preserve_thinking` and
            `tools` are read.
        policy: Which files may be read.
        video_seconds: Length that a video is taken for where it cannot be looked at: behind an
            address, or without PyAV.
        count_text: Counts the tokens of a text.
        server: Which server will be asked: it says whose rule counts pictures and videos.
    """

    model: str
    parameters: Mapping[str, Any]
    policy: MediaPolicy
    video_seconds: float = ASSUMED_VIDEO_SECONDS
    count_text: Callable[[str], int] = estimate_text_tokens
    server: Server = DEFAULT_SERVER

    def count_turns(self, turns: Sequence[Turn]) -> int:
        """Count a conversation, the tools and the beginning of the answer included."""
        request = Request(model=self.model, turns=tuple(turns), parameters=self.parameters)
        first_reasoned = find_first_reasoned(request)
        total = ANSWER_TOKENS + self._count_tools()
        for index, turn in enumerate(turns):
            total += MESSAGE_TOKENS
            for part in turn.parts:
                if index >= first_reasoned or not isinstance(part, Reasoning):
                    total += self.count_part(part)
        return total

    def count_part(self, part: Part) -> int:
        """Count one part, without the message around it."""
        match part:
            case Text() | Reasoning():
                return self.count_text(part.text)
            case Image() | Video():
                return self.measure(part).tokens
            case Audio():
                return _AUDIO_TOKENS
            case ToolCall():
                arguments = encode_arguments(part.arguments)
                return _CALL_TOKENS + self.count_text(f"{part.name} {arguments}")
            case ToolResult():
                return self._count_result(part)
            case Document():
                return self._count_document(part)
            case _:
                assert_never(part)

    def measure(self, part: Image | Video) -> MediaCount:
        """Count one picture or video, and tell what was counted."""
        return self._rule.measure(part)

    @property
    def _rule(self) -> ServiceRule | TransformersRule:
        spec, server = get_model_spec(self.model), get_server_spec(self.server)
        if server.tokens == "service":
            return ServiceRule(
                spec=spec,
                policy=self.policy,
                high_resolution=bool(self.parameters.get("vl_high_resolution_images")),
                video_seconds=self.video_seconds,
            )
        return TransformersRule(
            spec=spec,
            policy=self.policy,
            server=server,
            video_seconds=self.video_seconds,
        )

    def _count_document(self, document: Document) -> int:
        sizes = measure_pages(document, self.policy)
        images = (self.measure_page(*size).tokens for size in sizes)
        label = self.count_text(f'Page 10 of 10 of "{document.title}":')
        return sum(images) + label * len(sizes)

    def measure_page(self, width: int, height: int) -> MediaCount:
        """Count a picture of which only the size is there, such as a page.

        Args:
            width: Pixels.
            height: Pixels.
        """
        return self._rule.measure_size(width, height)

    def _count_result(self, result: ToolResult) -> int:
        parts = [self._as_sent(part) for part in result.parts]
        tokens = _RESULT_TOKENS + sum(map(self.count_part, parts))
        if all(isinstance(part, Text) for part in parts):
            return tokens
        # They follow in a message of their own.
        return tokens + MESSAGE_TOKENS + _RESULT_MEDIA_TOKENS

    def _as_sent(self, part: ToolPart) -> Part:
        """Give the note that is sent instead of a part that cannot be, else the part itself."""
        if isinstance(part, Text):
            return part
        request = Request(
            model=self.model,
            turns=(),
            parameters=self.parameters,
            policy=self.policy,
            server=self.server,
        )
        note = find_tool_note(part, request)
        if note is not None:
            return Text(text=note, where=part.where)
        media: Any = part
        return media  # type: ignore[no-any-return]  # Files and unsupported content become notes.

    def _count_tools(self) -> int:
        tools = self.parameters.get("tools") or []
        if not tools:
            return 0
        return _TOOLS_TOKENS + sum(self.count_text(orjson.dumps(tool).decode()) for tool in tools)


def count_tokens(
    what: Countable,
    model: str,
    *,
    parameters: Mapping[str, Any] | None = None,
    policy: MediaPolicy | None = None,
    video_seconds: float = ASSUMED_VIDEO_SECONDS,
    count_text: Callable[[str], int] = estimate_text_tokens,
    server: Server = DEFAULT_SERVER,
) -> int:
    """Count the tokens of a conversation, or of one part of it, offline.

    Pictures and videos count exactly, from their headers, by the rules of the server. Of
    unknown size are those behind addresses, videos where PyAV is not installed (`pip install
    "qwen-vl[video]"`), and HEIC images without `pillow-heif`. Such a picture counts as the
    largest that the model looks at, such a video as `video_seconds` of the largest frames.

    Text is estimated, see `qwen_vl.specs.vision.estimate_text_tokens`.

    Args:
        what: A part, or turns; those count with what stands around them, tools included.
        model: Model id.
        parameters: The body's parameters: `vl_high_resolution_images`, `preserve_thinking` and
            `tools` are read.
        policy: Which files may be read; the default policy if `None`.
        video_seconds: Length that a video is taken for where it cannot be looked at.
        count_text: Counts the tokens of a text, if you have a tokenizer.
        server: Which server will be asked; servers of your own count pictures and videos by
            another rule, see `qwen_vl.tokens.self_hosted`.

    Content from tools that cannot be sent counts as the note that is sent in its place, see
    `MediaPolicy.tool_media_errors`.

    Raises:
        MediaError: A picture or video cannot be read or is none, as `prepare_media` says, or a
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
    )
    if isinstance(what, Sequence):
        return counter.count_turns(what)
    return counter.count_part(what)
