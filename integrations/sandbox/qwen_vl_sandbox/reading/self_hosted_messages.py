"""Reading messages as servers that hold the model themselves do.

They take far more than the service: any role, any order, tools' results without calls.
"""

import json
import re
from dataclasses import dataclass
from typing import Any, NoReturn

import orjson

from qwen_vl_sandbox.errors.api_error import reject
from qwen_vl_sandbox.reading.conversation import (
    Audio,
    ImagePart,
    Message,
    Part,
    Role,
    Text,
    ToolCall,
    Video,
)
from qwen_vl_sandbox.specs.servers import Server

JPEG_LIST = re.compile(r"data:video/jpeg;base64,", re.IGNORECASE)
DEFAULT_LIST = 32
"""Images of a frame list that vLLM samples where `num_frames` says nothing."""

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
_MEDIA_TYPES = ("image_url", "video_url", "input_video", "audio_url", "input_audio")


@dataclass(frozen=True, slots=True)
class MediaOptions:
    """What a request says about all its media at once; pixels as fewest and most."""

    image: tuple[int | None, int | None] = (None, None)
    video: tuple[int | None, int | None] = (None, None)
    fps: float | None = None
    num_frames: int = DEFAULT_LIST


def read_messages(value: Any, server: Server, media: MediaOptions) -> tuple[Message, ...]:
    """Read all messages.

    Raises:
        ApiError: The server would not take them.
    """
    if not isinstance(value, list) or not value:
        reject("[] is too short - 'messages'", code=server.shape_code)
    reader = _Reader(server, media)
    return tuple(reader.read(item, f"messages[{at}]") for at, item in enumerate(value))


def holds_frame_list(value: Any) -> bool:
    """Return whether any part is a list of images that stands for a video."""
    return any(
        isinstance(url, dict) and JPEG_LIST.match(str(url.get("url", "")))
        for item in (value if isinstance(value, list) else ())
        for part in _parts_of(item)
        if isinstance(part, dict)
        for url in (part.get("video_url"),)
    )


def unknown_in_messages(value: Any, server: Server) -> list[str]:
    """Name what stands in messages and is not read."""
    found = []
    for at, item in enumerate(value if isinstance(value, list) else ()):
        if server.empties_arguments:
            found += [f"messages[{at}].{path}" for path in _unread_arguments(item)]
        for index, part in enumerate(_parts_of(item)):
            if not isinstance(part, dict):
                continue
            path, kind = f"messages[{at}].content[{index}]", _kind_of(part)
            found += [f"{path}.{name}" for name in sorted(part.keys() - {"type", kind, "uuid"})]
            inner = part.get(kind)
            if isinstance(inner, dict):
                read = server.parts.get(kind, frozenset())
                found += [f"{path}.{kind}.{name}" for name in sorted(inner.keys() - read)]
                if "detail" in inner and "detail" in read:
                    # It is checked and then ignored.
                    found.append(f"{path}.{kind}.detail")
    return found


def _parts_of(item: Any) -> list[Any]:
    content = item.get("content") if isinstance(item, dict) else None
    return content if isinstance(content, list) else []


def _unread_arguments(item: Any) -> list[str]:
    calls = item.get("tool_calls") if isinstance(item, dict) else None
    found = []
    for index, call in enumerate(calls if isinstance(calls, list) else ()):
        function = call.get("function") if isinstance(call, dict) else None
        text = function.get("arguments") if isinstance(function, dict) else None
        if isinstance(text, str) and text and not _is_json(text):
            found.append(f"tool_calls[{index}].function.arguments")
    return found


def _kind_of(part: dict[str, Any]) -> str:
    kind = part.get("type")
    if isinstance(kind, str):
        return kind
    return next((name for name in ("text", *_MEDIA_TYPES) if name in part), "")


class _Reader:
    def __init__(self, server: Server, media: MediaOptions) -> None:
        self._server = server
        self._media = media

    def read(self, item: Any, path: str) -> Message:
        if not isinstance(item, dict) or not isinstance(item.get("role"), str):
            self._refuse_shape(f"{path} must be an object with a role.")
        role = _ROLES.get(item["role"], "user")
        reasoning = item.get(self._server.reasoning_key) or item.get("reasoning_content")
        return Message(
            role=role,
            parts=self._parts(item, role, path),
            reasoning=reasoning if isinstance(reasoning, str) else "",
            tool_calls=self._calls(item, path),
            tool_call_id=item.get("tool_call_id"),
        )

    def _parts(self, item: dict[str, Any], role: Role, path: str) -> tuple[Part, ...]:
        content = item.get("content")
        if isinstance(content, str):
            return (Text(content),)
        if content is None and role != "user":
            return ()
        if not isinstance(content, list):
            self._refuse_shape(f"{path}.content must be a string or a list of parts.")
        read = [self._part(part, f"{path}.content[{at}]") for at, part in enumerate(content)]
        words = "".join(part.text for part in read if isinstance(part, Text))
        media = tuple(part for part in read if not isinstance(part, Text))
        return (*media, Text(words)) if words else media

    def _part(self, part: Any, path: str) -> Part:
        if not isinstance(part, dict):
            self._refuse_shape(f"{path} must be an object.")
        is_typed = isinstance(part.get("type"), str)
        kind = _kind_of(part) if is_typed or self._server.untyped_parts else ""
        if kind not in self._server.parts:
            reject(self._server.unknown_kind.format(kind=kind))
        if kind == "text":
            text = part.get("text")
            if not isinstance(text, str):
                self._refuse_shape(f"{path}.text must be a string.")
            return Text(text)
        return self._medium(part, kind, path)

    def _medium(self, part: dict[str, Any], kind: str, path: str) -> Part:
        if kind == "input_audio":
            return self._audio(part, path)
        url = self._url(part, kind, path)
        media = self._media
        if kind == "image_url":
            return ImagePart(path, url, *media.image)
        if kind == "audio_url":
            return Audio(path, url, "")
        source: str | tuple[str, ...] = url
        if self._server.frame_lists and (head := JPEG_LIST.match(url)):
            frames = url[head.end() :].split(",")
            seen = frames if media.num_frames < 0 else frames[: media.num_frames]
            source = tuple(f"data:image/jpeg;base64,{frame}" for frame in seen)
        fps = media.fps or (2.0 if isinstance(source, str) else 1.0)
        return Video(path, source, fps, *media.video)

    def _audio(self, part: dict[str, Any], path: str) -> Audio:
        """Read bare Base64 (ggml-org/llama.cpp, tools/server/server-common.cpp)."""
        inner = part.get("input_audio")
        held = inner if isinstance(inner, dict) else {}
        data, kind = held.get("data"), held.get("format")
        if kind not in {"wav", "mp3"}:
            reject("input_audio.format must be either 'wav' or 'mp3'")
        if not isinstance(data, str):
            self._refuse_shape(f"{path}.input_audio.data must be a string.")
        return Audio(path, f"data:audio/{kind};base64,{data}", kind)

    def _url(self, part: dict[str, Any], kind: str, path: str) -> str:
        inner = part.get(kind)
        plain = self._server.plain_image_url or (
            self._server.untyped_parts and kind == "image_url" and "type" not in part
        )
        if isinstance(inner, str) and plain:
            return inner
        if not isinstance(inner, dict):
            self._refuse_shape(f"{path}.{kind} must be an object with a url.")
        url = inner.get("url")
        if kind == "input_video" and isinstance(inner.get("data"), str):
            return f"data:video/mp4;base64,{inner['data']}"
        if not isinstance(url, str):
            self._refuse_shape(f"{path}.{kind}.url must be a string.")
        details = self._server.details
        if details is not None and inner.get("detail") not in (None, *details):
            self._refuse_shape(f"{path}.{kind}.detail must be one of {sorted(details)}.")
        return url

    def _calls(self, item: dict[str, Any], path: str) -> tuple[ToolCall, ...]:
        calls = item.get("tool_calls")
        if not isinstance(calls, list):
            return ()
        return tuple(self._call(call, f"{path}.tool_calls[{at}]") for at, call in enumerate(calls))

    def _call(self, call: Any, path: str) -> ToolCall:
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            self._refuse_shape(f"{path}.function must be an object with a name.")
        arguments = function.get("arguments", "")
        if not isinstance(arguments, str):
            self._refuse_shape(f"{path}.function.arguments must be a string.")
        return ToolCall(function["name"], self._arguments(arguments), call.get("id"))

    def _arguments(self, text: str) -> str:
        """Return what the model gets to read of the arguments of a past call."""
        server = self._server
        if server.empties_arguments:
            try:
                json.loads(text)
            except json.JSONDecodeError:
                return "{}"
            except (ValueError, RecursionError) as error:
                # Integers of more than 4,300 digits, and thousands of nested lists.
                reject(str(error))
            return text
        if server.bad_arguments is None:
            return text
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            message = server.bad_arguments.format(line=error.lineno, column=error.colno)
            reject(message, status=server.arguments_status)
        if server.no_object is not None and not isinstance(value, dict):
            reject(server.no_object, status=server.arguments_status)
        return text

    def _refuse_shape(self, message: str) -> NoReturn:
        reject(self._server.wrong_shape or message, code=self._server.shape_code)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
