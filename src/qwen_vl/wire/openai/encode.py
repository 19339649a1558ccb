"""From a request to the body that the OpenAI-compatible protocol takes.

Forms and places are those of the OpenAI-Chat page (2026-10) and the Vision page (2026-08): the
pixel limits and `fps` stand beside `image_url`, `video_url` and `video`. Self-hosted servers have
other places, see `self_hosted`.
"""

from qwen_vl.content import Audio, Frames, Image, Text, Video
from qwen_vl.errors import MediaTooLargeError
from qwen_vl.reply import omit_none
from qwen_vl.request.cache_control import write_marker
from qwen_vl.request.types import Request
from qwen_vl.specs.models import MAX_BODY_BYTES
from qwen_vl.specs.servers import DEFAULT_SERVER
from qwen_vl.wire.body import Body
from qwen_vl.wire.encode import Json, PartEncoder, encode_turns, to_wire_url, write_body
from qwen_vl.wire.openai.self_hosted import encode_for_own_server


def encode_request(request: Request) -> Body:
    """Write the body of a request whose media is ready.

    Args:
        request: What to ask; every source is a `Url` or a `DataUrl`.

    Returns:
        JSON in UTF-8, in pieces.

    Raises:
        MediaTooLargeError: The body is longer than the service takes.
        UnsupportedContentError: The turn's role does not support a part, its text is not
            Unicode, or the server takes no such part.
        ConfigurationError: A parameter is nothing that JSON has, or the server cannot do it.

    Example:
        >>> from qwen_vl.content import Turn
        >>> turn = Turn(role="user", parts=(Text(text="Hello"),))
        >>> bytes(encode_request(Request(model="qwen3-vl-plus", turns=(turn,))))
        b'{"model":"qwen3-vl-plus","messages":[{"role":"user","content":"Hello"}]}'
    """
    if request.server != DEFAULT_SERVER:
        return write_body(request, encode_for_own_server(request))
    body = write_body(
        request,
        {
            "model": request.model,
            "messages": encode_turns(request, _ENCODER),
            **({"stream": True} if request.stream else {}),
            **request.parameters,
        },
    )
    if len(body) > MAX_BODY_BYTES:
        raise MediaTooLargeError(
            f"The request is {len(body):,} bytes long; the service takes {MAX_BODY_BYTES:,}.",
            where="messages",
            value=len(body),
            limit=MAX_BODY_BYTES,
            remedy="Pass images and videos by URL, or fewer of them.",
        )
    return body


class CompatibleEncoder(PartEncoder):
    """How the hosted service has parts written."""

    def text(self, text: Text) -> Json:
        """Write words."""
        return {"type": "text", "text": text.text, **write_marker(text.cache_control)}

    def image(self, image: Image) -> Json:
        """Write an image."""
        return {
            "type": "image_url",
            "image_url": {"url": to_wire_url(image.source), **omit_none(detail=image.detail)},
            **omit_none(
                min_pixels=image.min_pixels,
                max_pixels=image.max_pixels,
            ),
            **write_marker(image.cache_control),
        }

    def video(self, video: Video) -> list[Json]:
        """Write a video."""
        if isinstance(video.source, Frames):
            frames = [to_wire_url(frame) for frame in video.source.frames]
            encoder: Json = {"type": "video", "video": frames}
        else:
            encoder = {"type": "video_url", "video_url": {"url": to_wire_url(video.source)}}
        beside = omit_none(
            fps=video.fps,
            min_pixels=video.min_pixels,
            max_pixels=video.max_pixels,
            total_pixels=video.total_pixels,
        )
        return [{**encoder, **beside, **write_marker(video.cache_control)}]

    def audio(self, audio: Audio) -> Json:
        """Encode audio."""
        data = {"data": to_wire_url(audio.source), "format": audio.format}
        return {"type": "input_audio", "input_audio": data}

    def user_content(self, parts: list[Json]) -> str | list[Json]:
        """Encode the content of a system or user message: a single text becomes a string."""
        if len(parts) == 1 and parts[0].keys() == {"type", "text"}:
            return str(parts[0]["text"])
        return parts or ""

    def assistant_content(self, texts: list[Json]) -> str | list[Json]:
        """Write the content of an assistant's message: a list only where a part is marked."""
        is_marked = any(text.keys() > {"type", "text"} for text in texts)
        return texts if is_marked else "".join(text["text"] for text in texts)


_ENCODER = CompatibleEncoder()
