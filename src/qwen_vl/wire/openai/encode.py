"""From a request to the body that the OpenAI-compatible protocol takes.

One function per part. Forms and places are those of the OpenAI-Chat page (2026-10) and the Vision
page (2026-08): the pixel limits and `fps` stand beside `image_url`, `video_url` and `video`.
"""

from collections.abc import Iterable, Mapping
from typing import Any, assert_never

import orjson

from qwen_vl.content import (
    Audio,
    Document,
    Frames,
    Image,
    Part,
    Reasoning,
    Source,
    Text,
    ToolCall,
    ToolResult,
    Turn,
    Url,
    Video,
)
from qwen_vl.errors import (
    ConfigurationError,
    MediaTooLargeError,
    QwenVLError,
    UnsupportedContentError,
)
from qwen_vl.models import MAX_BODY_BYTES, find_model
from qwen_vl.request import Request

_Json = dict[str, Any]


def encode_request(request: Request) -> bytes:
    """Write the body of a request whose media is ready: every source a `Url`.

    Args:
        request: What to ask.

    Returns:
        JSON in UTF-8.

    Raises:
        MediaTooLargeError: The body is longer than the service takes.
        UnsupportedContentError: A part stands in a turn that has no place for it, or its text is
            no Unicode.
        ConfigurationError: A parameter is nothing that JSON has.

    Example:
        >>> from qwen_vl.content import Text, Turn
        >>> turn = Turn(role="user", parts=(Text(text="Hello"),))
        >>> encode_request(Request(model="qwen3-vl-plus", turns=(turn,)))
        b'{"model":"qwen3-vl-plus","messages":[{"role":"user","content":"Hello"}]}'
    """
    try:
        body = orjson.dumps(
            {
                "model": request.model,
                "messages": encode_turns(request),
                **({"stream": True} if request.stream else {}),
                **request.parameters,
            }
        )
    except orjson.JSONEncodeError as error:
        raise _unwritable(request, error) from error
    if len(body) > MAX_BODY_BYTES:
        raise MediaTooLargeError(
            f"The request is {len(body):,} bytes long; the service takes {MAX_BODY_BYTES:,}.",
            where="messages",
            value=len(body),
            limit=MAX_BODY_BYTES,
            remedy="Pass pictures and videos by URL, or fewer of them.",
        )
    return body


def _unwritable(request: Request, error: Exception) -> QwenVLError:
    """Find what it is that JSON has no form for."""
    for name, value in request.parameters.items():
        if not _is_writable(value):
            return ConfigurationError(f"{name} cannot be sent as JSON: {error}.")
    for turn in request.turns:
        for part in turn.parts:
            inner = part.parts if isinstance(part, ToolResult) else ()
            for place in (*inner, part):
                if not _is_writable(place):
                    return UnsupportedContentError(
                        f"The {_kind(place)} cannot be sent as JSON: {error}.",
                        where=place.where,
                        remedy='For text: text.encode("utf-8", "replace").decode().',
                    )
    return ConfigurationError(f"The request cannot be sent as JSON: {error}.")


def _is_writable(value: object) -> bool:
    try:
        orjson.dumps(value)
    except orjson.JSONEncodeError:
        return False
    return True


def encode_turns(request: Request) -> list[_Json]:
    """Write the messages.

    The media of tool results follows the whole run of tool messages in one user message, since a
    tool message takes text alone and the results of parallel calls must stand together.

    Args:
        request: What to ask.
    """
    messages: list[_Json] = []
    tool_media: list[_Json] = []
    first_reasoned = find_first_reasoned(request)
    for index, turn in enumerate(request.turns):
        if tool_media and turn.role != "tool":
            messages.append({"role": "user", "content": tool_media})
            tool_media = []
        match turn.role:
            case "system" | "user":
                messages.append(_encode_spoken(turn))
            case "assistant":
                with_reasoning = index >= first_reasoned
                messages.append(_encode_assistant(turn, with_reasoning=with_reasoning))
            case "tool":
                for result in turn.parts:
                    message, media = _encode_tool_result(result)
                    messages.append(message)
                    tool_media += media
            case _:
                assert_never(turn.role)
    if tool_media:
        messages.append({"role": "user", "content": tool_media})
    return messages


def find_first_reasoned(request: Request) -> int:
    """Find from which turn on reasoning is sent back: all of it, or that since the last question.

    Args:
        request: What to ask.
    """
    asked = request.parameters.get("preserve_thinking")
    if find_model(request.model).preserves_thinking if asked is None else asked:
        return 0
    # Within the tool loop of the last question every thinking model reads its reasoning again
    # (Function calling page, 2026-07).
    questions = (index for index, turn in enumerate(request.turns) if turn.role == "user")
    return max(questions, default=-1) + 1


def _encode_spoken(turn: Turn) -> _Json:
    parts = [_encode_part(part, turn) for part in turn.parts]
    return {"role": turn.role, **_name(turn), "content": _plain_text(parts)}


def _encode_assistant(turn: Turn, *, with_reasoning: bool) -> _Json:
    texts: list[_Json] = []
    reasoning: list[str] = []
    calls: list[_Json] = []
    for part in turn.parts:
        match part:
            case Text():
                texts.append(_encode_text(part))
            case Reasoning():
                reasoning.append(part.text)
            case ToolCall():
                calls.append(_encode_tool_call(part))
            case _:
                raise _misplaced(part, turn)
    is_marked = any("cache_control" in text for text in texts)
    content = texts if is_marked else "".join(text["text"] for text in texts)
    return {
        "role": "assistant",
        **_name(turn),
        "content": content,
        **({"reasoning_content": "".join(reasoning)} if with_reasoning and any(reasoning) else {}),
        **({"tool_calls": calls} if calls else {}),
        **({"partial": True} if turn.is_partial else {}),
    }


def _encode_tool_result(result: Part) -> tuple[_Json, list[_Json]]:
    if not isinstance(result, ToolResult):
        raise UnsupportedContentError(
            f"A tool message holds a {_kind(result)} outside of a result.",
            where=result.where,
            remedy="Answer a tool call with its id.",
        )
    texts = [part.text for part in result.parts if isinstance(part, Text)]
    media = [
        _encode_image(part) if isinstance(part, Image) else _encode_video(part)
        for part in result.parts
        if isinstance(part, Image | Video)
    ]
    note = f"The pictures or videos of this result follow in the next message ({len(media)})."
    content = "\n".join([*texts, *([note] if media else [])])
    message = {"role": "tool", "tool_call_id": result.tool_call_id, "content": content}
    if not media:
        return message, []
    label = {"type": "text", "text": f"From tool call {result.tool_call_id}:"}
    return message, [label, *media]


def _encode_part(part: Part, turn: Turn) -> _Json:
    match part:
        case Text():
            return _encode_text(part)
        case Image() if turn.role == "user":
            return _encode_image(part)
        case Video() if turn.role == "user":
            return _encode_video(part)
        case Audio() if turn.role == "user":
            return _encode_audio(part)
        case Image() | Video() | Audio() | Reasoning() | ToolCall() | ToolResult():
            raise _misplaced(part, turn)
        case Document():
            raise TypeError("Media was not made ready: Document")
        case _:
            assert_never(part)


def _encode_text(text: Text) -> _Json:
    return {"type": "text", "text": text.text, **_given(cache_control=text.cache_control)}


def _encode_image(image: Image) -> _Json:
    return {
        "type": "image_url",
        "image_url": {"url": _address(image.source), **_given(detail=image.detail)},
        **_given(
            min_pixels=image.min_pixels,
            max_pixels=image.max_pixels,
            cache_control=image.cache_control,
        ),
    }


def _encode_video(video: Video) -> _Json:
    if isinstance(video.source, Frames):
        frames = [_address(frame) for frame in video.source.frames]
        form: _Json = {"type": "video", "video": frames}
    else:
        form = {"type": "video_url", "video_url": {"url": _address(video.source)}}
    return {
        **form,
        **_given(
            fps=video.fps,
            min_pixels=video.min_pixels,
            max_pixels=video.max_pixels,
            total_pixels=video.total_pixels,
            cache_control=video.cache_control,
        ),
    }


def _encode_audio(audio: Audio) -> _Json:
    data = {"data": _address(audio.source), "format": audio.format}
    return {"type": "input_audio", "input_audio": data}


def _encode_tool_call(call: ToolCall) -> _Json:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


def _address(source: Source) -> str:
    if not isinstance(source, Url):
        raise TypeError(f"Media was not made ready: {type(source).__name__}")
    return source.address


def _plain_text(parts: list[_Json]) -> str | list[_Json]:
    if len(parts) == 1 and parts[0].keys() == {"type", "text"}:
        return str(parts[0]["text"])
    return parts or ""


def _name(turn: Turn) -> _Json:
    return _given(name=turn.name)


def _given(**values: object) -> _Json:
    return {name: value for name, value in values.items() if value is not None}


def _misplaced(part: Part, turn: Turn) -> UnsupportedContentError:
    match part:
        case Reasoning() | ToolCall():
            place = "an assistant's"
        case ToolResult():
            place = "a tool's"
        case _:
            place = "a user"
    return UnsupportedContentError(
        f"The service takes no {_kind(part)} in a message of the {turn.role}.",
        where=part.where,
        remedy=f"Put it in {place} message.",
    )


def _kind(part: Part) -> str:
    names: Mapping[type[Any], str] = {
        Text: "text",
        Image: "picture",
        Video: "video",
        Audio: "sound",
        Document: "document",
        Reasoning: "reasoning",
        ToolCall: "tool call",
        ToolResult: "tool result",
    }
    return names[type(part)]


def uses_oss(turns: Iterable[Turn]) -> bool:
    """Tell whether any media lies in the service's temporary storage.

    Its addresses need the header `X-DashScope-OssResourceResolve: enable` (Temp-URL page).

    Args:
        turns: The conversation.
    """
    return any(_is_oss(part) for turn in turns for part in turn.parts)


def _is_oss(part: Part) -> bool:
    match part:
        case Image() | Audio():
            sources: tuple[Source, ...] = (part.source,)
        case Video():
            sources = part.source.frames if isinstance(part.source, Frames) else (part.source,)
        case ToolResult():
            return any(_is_oss(inner) for inner in part.parts)
        case _:
            return False
    return any(isinstance(s, Url) and s.address[:6].lower() == "oss://" for s in sources)
