"""From a request to the body that the native protocol takes (Native-API page, 2026-09).

A part's key is its type, what stands beside it is the same as in the other protocol, and all
parameters are in a separate object.
"""

from typing import Any

from qwen_vl.content import Audio, Frames, Image, Text, Video
from qwen_vl.reply import omit_none
from qwen_vl.request.cache_control import write_marker
from qwen_vl.request.types import Request
from qwen_vl.wire.body import Body
from qwen_vl.wire.encode import Json, PartEncoder, encode_turns, to_wire_url, write_body

# Streams end with their usage here, wanted or not, and are asked for by a header.
_OTHER_PROTOCOL = frozenset({"stream_options"})


def encode_request(request: Request) -> Body:
    """Write the body of a request whose media is ready.

    Args:
        request: What to ask; every source is a `Url` or a `DataUrl`.

    Returns:
        JSON in UTF-8, in pieces.

    Raises:
        UnsupportedContentError: The turn's role does not support a part, or its text is
            no Unicode.
        ConfigurationError: A parameter is nothing that JSON has.

    Example:
        >>> from qwen_vl.content import Turn
        >>> turn = Turn(role="user", parts=(Text(text="Hello"),))
        >>> bytes(encode_request(Request(model="qwen3-vl-plus", turns=(turn,))))
        b'{"model":"qwen3-vl-plus","input":{"messages":[{"role":"user","content":\
[{"text":"Hello"}]}]},"parameters":{}}'
    """
    parameters = {
        # Thinking demands it, and other models would send each time all that was said so far.
        **({"incremental_output": True} if request.stream else {}),
        **{name: held for name, held in request.parameters.items() if name not in _OTHER_PROTOCOL},
    }
    if parameters.get("tools"):
        parameters["tools"] = [_describe(tool) for tool in parameters["tools"]]
    body = {
        "model": request.model,
        "input": {"messages": encode_turns(request, _ENCODER)},
        "parameters": parameters,
    }
    return write_body(request, body)


def _describe(tool: Any) -> Any:
    """Return a tool with a description, which the page requires: its name if it lacks one."""
    function = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(function, dict) or function.get("description"):
        return tool
    return {**tool, "function": {**function, "description": str(function.get("name"))}}


class NativeEncoder(PartEncoder):
    """How the native protocol writes parts."""

    def text(self, text: Text) -> Json:
        """Write words."""
        return {"text": text.text, **write_marker(text.cache_control)}

    def image(self, image: Image) -> Json:
        """Encode an image. `detail` is not documented for this protocol, and is left out."""
        return {
            "image": to_wire_url(image.source),
            **omit_none(
                min_pixels=image.min_pixels,
                max_pixels=image.max_pixels,
                enable_rotate=image.enable_rotate,
            ),
            **write_marker(image.cache_control),
        }

    def video(self, video: Video) -> list[Json]:
        """Write a video."""
        if isinstance(video.source, Frames):
            encoder: Json = {"video": [to_wire_url(frame) for frame in video.source.frames]}
        else:
            encoder = {"video": to_wire_url(video.source), **omit_none(max_frames=video.max_frames)}
        beside = omit_none(
            fps=video.fps,
            min_pixels=video.min_pixels,
            max_pixels=video.max_pixels,
            total_pixels=video.total_pixels,
        )
        return [{**encoder, **beside, **write_marker(video.cache_control)}]

    def audio(self, audio: Audio) -> Json:
        """Encode audio; its format is not part of this protocol."""
        return {"audio": to_wire_url(audio.source)}

    def user_content(self, parts: list[Json]) -> str | list[Json]:
        """Write the content of a system's or a user's message: always a list."""
        return parts or ""

    def assistant_content(self, texts: list[Json]) -> str | list[Json]:
        """Write the content of an assistant's message: empty where it but calls tools."""
        return [text for text in texts if text["text"]] or ""


_ENCODER = NativeEncoder()
