"""The native protocol's bodies in the OpenAI-compatible form, so that one test speaks of both.

Written from the service's pages (OpenAI-Chat, 2026-10; Native-API, 2026-09), not from the encoders:
a part's key becomes its `type`, and what stands in `parameters` stands at the top level.
"""

from typing import Any

_BESIDE = (
    *("fps", "min_pixels", "max_pixels", "total_pixels"),
    *("cache_control", "prompt_cache_breakpoint"),
)


def to_compatible(body: dict[str, Any], *, is_streamed: bool) -> dict[str, Any]:
    """Spell a body of the native protocol as the other one would."""
    assert body.keys() <= {"model", "input", "parameters"}
    assert body["input"].keys() == {"messages"}
    parameters = dict(body["parameters"])
    # A stream of the native protocol holds what is new only where it is asked to.
    assert parameters.pop("incremental_output", None) is (True if is_streamed else None)
    stream = {"stream": True, "stream_options": {"include_usage": True}} if is_streamed else {}
    messages = [_to_message(message) for message in body["input"]["messages"]]
    return {"model": body["model"], "messages": messages, **stream, **parameters}


def _to_message(message: dict[str, Any]) -> dict[str, Any]:
    content = message["content"]
    if isinstance(content, list):
        parts = [_to_part(part) for part in content]
        is_plain = all(part.keys() == {"type", "text"} for part in parts)
        if is_plain and (len(parts) == 1 or message["role"] == "assistant"):
            content = "".join(part["text"] for part in parts)
        else:
            content = parts
    return {**message, "content": content}


def _to_part(part: dict[str, Any]) -> dict[str, Any]:
    (kind,) = part.keys() & {"text", "image", "video", "audio"}
    value = part[kind]
    assert part.keys() - {kind} <= {*_BESIDE, "max_frames", "enable_rotate"}
    beside = {name: part[name] for name in _BESIDE if name in part}
    match kind:
        case "text":
            return {"type": "text", "text": value, **beside}
        case "image":
            return {"type": "image_url", "image_url": {"url": value}, **beside}
        case "video" if isinstance(value, str):
            return {"type": "video_url", "video_url": {"url": value}, **beside}
        case "video":
            return {"type": "video", "video": value, **beside}
        case "audio":
            # The format has no place in the native protocol.
            return {"type": "input_audio", "input_audio": {"data": value}}
    raise AssertionError(kind)


def as_sent_by(protocol: str, part: dict[str, Any]) -> dict[str, Any]:
    """Give a part without `detail` where the protocol has no place for it."""
    if protocol == "openai" or "detail" not in part.get("image_url", {}):
        return part
    return {**part, "image_url": {"url": part["image_url"]["url"]}}
