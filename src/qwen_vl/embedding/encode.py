"""Bodies of embedding requests.

The native form is on the Multimodal-embedding page (2026-11), which has no OpenAI-compatible one.
"""

from typing import Any

from qwen_vl.content import DataUrl, Image, Part, Text, Turn, Video
from qwen_vl.errors import ConfigurationError
from qwen_vl.request.types import Request
from qwen_vl.specs.endpoints import hide_password, to_native_url
from qwen_vl.wire.body import Attachment, Body
from qwen_vl.wire.encode import write_body

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


def _join(turn: Turn) -> dict[str, Any]:
    images = [part for part in turn.parts if isinstance(part, Image)]
    joined: dict[str, Any] = {}
    for part in turn.parts:
        if isinstance(part, Image) and len(images) > 1:
            joined["multi_images"] = [to_url(image) for image in images]
        else:
            joined |= to_content(part)
    return joined
