"""The content of a request, independent of its protocol.

A protocol module makes these values from its own wire; the engine reads nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from qwen_vl_sandbox.specs.models import ModelSpec

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class Text:
    """Words."""

    text: str


@dataclass(frozen=True, slots=True)
class ImagePart:
    """An image's URL, with its pixel knobs; `path` says where it stood."""

    path: str
    url: str
    min_pixels: int | None = None
    max_pixels: int | None = None
    rotate: bool = False


@dataclass(frozen=True, slots=True)
class Video:
    """A video's URL or its list of frames, with its knobs."""

    path: str
    source: str | tuple[str, ...]
    fps: float = 2.0
    min_pixels: int | None = None
    max_pixels: int | None = None
    total_pixels: int | None = None
    max_frames: int | None = None


@dataclass(frozen=True, slots=True)
class Audio:
    """An audio file's URL, with its format where the protocol has a place for it."""

    path: str
    url: str
    format: str


Part = Text | ImagePart | Video | Audio


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool by the model.

    Args:
        name: The tool's name.
        arguments: A mapping, or the exact JSON text to send (which may be broken).
        id: The call's id; made up if not given.

    Example:
        >>> ToolCall("crop", {"x": 1}).name
        'crop'
    """

    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict)
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One message."""

    role: Role
    parts: tuple[Part, ...]
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    cache_marks: Mapping[int, float] = field(default_factory=dict)
    """Which parts carry a cache marker, and for how many seconds it keeps what it marks."""
    encrypted_content: str | None = None

    @property
    def text(self) -> str:
        """All words of the message."""
        return "\n".join(part.text for part in self.parts if isinstance(part, Text))


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that the model may call."""

    name: str
    parameters: dict[str, Any]
    description: str = ""


@dataclass(frozen=True, slots=True)
class OcrTask:
    """A task of the text-reading models; `result_schema` names the values to find."""

    task: str
    result_schema: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """What the request asks of the answer."""

    thinking: bool
    thinking_budget: int | None = None
    summarized: bool = False
    """Whether reasoning is summarized, and the whole of it encrypted."""
    preserves_thinking: bool = False
    """Whether the request says that earlier reasoning is to be read."""
    answer_format: Literal["text", "json_object", "json_schema"] = "text"
    schema: dict[str, Any] | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: Literal["auto", "none", "required"] | Tool = "auto"
    parallel_tool_calls: bool = False
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    logprobs: bool = False
    top_logprobs: int = 0
    high_resolution: bool = False
    image_sizes: bool = False
    """Whether the answer reports the size that each image was scaled to."""
    ocr: OcrTask | None = None
    cuts_calls: bool = False
    """Whether a call longer than the limit comes as text, cut."""
    searches: bool = False
    """Whether the web may be searched."""
    returns_sources: bool = False
    """Whether the answer lists what a search found."""
    exact: str | None = None
    """The whole text of the answer, where the request leaves no other."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """A whole request: the model, the messages and the options."""

    model: str
    spec: ModelSpec
    messages: tuple[Message, ...]
    options: Options
    strict: bool = True
    account: str = ""
    """Whose key it came with, as `uploads.account_of` names it."""
    resolves_oss: bool = False
