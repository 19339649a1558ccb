"""Bodies of embedding requests.

The native form is on the Multimodal-embedding page (2026-11), which lacks an OpenAI-compatible one.
That of vLLM 0.32 is what its example sends (examples/pooling/embed/vision_embedding_online.py).
"""

from typing import Any

from qwen_vl.content import DataUrl, Image, Part, Text, Turn, Video
from qwen_vl.errors import ConfigurationError
from qwen_vl.request.types import Request
from qwen_vl.specs.endpoints import hide_password, to_native_url
from qwen_vl.wire.body import Attachment, Body
from qwen_vl.wire.encode import write_body

# The default of the reference code, which vLLM's example sends too.
_DEFAULT_INSTRUCTION = "Represent the user's input."

NATIVE_PATH = "/services/embeddings/multimodal-embedding/multimodal-embedding"


def find_native_url(base_url: str, path: str) -> str:
    """Return the URL of a native service.

    Args:
        base_url: Of the endpoint.
        path: Of the service, behind the native base URL.

    Raises:
        ConfigurationError: The endpoint does not have it.
    """
    native_url = to_native_url(base_url)
    if native_url is None:
        raise ConfigurationError(
            f"{hide_password(base_url)} is not an endpoint of the hosted service, whose "
            "URLs end with /compatible-mode/v1 or /api/v1. For a self-hosted server, pass "
            'server="vllm" or server="sglang".'
        )
    return native_url + path


def encode_native(request: Request, *, joins_parts: bool) -> Body:
    """Write the body of a native request.

    Args:
        request: One turn for each item; its media can be sent. `parameters` are the service's.
        joins_parts: Whether the parts of an item stand in one content object.
    """
    contents: list[dict[str, Any]] = []
    for turn in request.turns:
        if joins_parts and len(turn.parts) > 1:
            contents.append(_join(turn))
        else:
            contents += [to_content(part) for part in turn.parts]
    # The page requires `parameters`, be they empty.
    parameters = dict(request.parameters)
    body = {"model": request.model, "input": {"contents": contents}, "parameters": parameters}
    return write_body(request, body)


def to_content(part: Part) -> dict[str, Any]:
    """Return the content object of one part.

    Args:
        part: A text, image or video whose media can be sent.
    """
    match part:
        case Text():
            return {"text": part.text}
        case Image():
            return {"image": to_url(part)}
        case Video():
            return {"video": to_url(part)}
        case _:  # pragma: no cover - items hold nothing else.
            raise TypeError(part)


def to_url(part: Image | Video) -> Any:
    """Return the URL of an image or video, as the body holds it.

    Args:
        part: Its media can be sent.
    """
    source: Any = part.source
    return Attachment(source) if isinstance(source, DataUrl) else source.url


def to_chat_part(part: Part) -> dict[str, Any]:
    """Return a part as chat completions have it, which self-hosted servers read.

    Args:
        part: A text, image or video whose media can be sent.
    """
    match part:
        case Text():
            return {"type": "text", "text": part.text}
        case Image():
            return {"type": "image_url", "image_url": {"url": to_url(part)}}
        case Video():
            return {"type": "video_url", "video_url": {"url": to_url(part)}}
        case _:  # pragma: no cover - items hold nothing else.
            raise TypeError(part)


def encode_vllm(request: Request, *, instruction: str | None) -> Body:
    """Write the body of a request to vLLM: one conversation for each item.

    Several of them, a list of lists, are taken from 0.32 on.

    Args:
        request: One turn for each item; its media can be sent. `parameters` are top-level fields.
        instruction: What the vectors are for; `None` for the models' default.
    """
    conversations = [_to_conversation(turn, instruction) for turn in request.turns]
    messages: Any = conversations[0] if len(conversations) == 1 else conversations
    body = {
        "model": request.model,
        "messages": messages,
        "encoding_format": "float",
        "continue_final_message": True,
        "add_special_tokens": True,
        **request.parameters,
    }
    return write_body(request, body)


def _to_conversation(turn: Turn, instruction: str | None) -> list[dict[str, Any]]:
    # The reference code has media before text.
    parts = sorted(turn.parts, key=lambda part: isinstance(part, Text))
    content = [to_chat_part(part) for part in parts]
    if not isinstance(parts[-1], Text):
        content.append({"type": "text", "text": ""})
    system = {"type": "text", "text": instruction or _DEFAULT_INSTRUCTION}
    return [
        {"role": "system", "content": [system]},
        {"role": "user", "content": content},
        {"role": "assistant", "content": [{"type": "text", "text": ""}]},
    ]


def _join(turn: Turn) -> dict[str, Any]:
    images = [part for part in turn.parts if isinstance(part, Image)]
    joined: dict[str, Any] = {}
    for part in turn.parts:
        if isinstance(part, Image) and len(images) > 1:
            joined["multi_images"] = [to_url(image) for image in images]
        else:
            joined |= to_content(part)
    return joined
