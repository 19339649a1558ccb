"""The two protocols: where requests go, and how they are encoded and their answers decoded."""

import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from qwen_vl.errors import ConfigurationError
from qwen_vl.reply import Reply, Usage
from qwen_vl.request.types import Request
from qwen_vl.specs.endpoints import hide_password, to_native_url
from qwen_vl.specs.servers import Protocol
from qwen_vl.wire import native, openai
from qwen_vl.wire.body import Body
from qwen_vl.wire.encode import uses_oss
from qwen_vl.wire.events import EventDecoder
from qwen_vl.wire.sse import MAX_EVENT_BYTES

_NATIVE_PATH = "/services/aigc/multimodal-generation/generation"


class _OpenStream(typing.Protocol):
    def __call__(
        self,
        headers: Mapping[str, str],
        request: Request,
        max_event_bytes: int = MAX_EVENT_BYTES,
    ) -> EventDecoder: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """The functions of one protocol. Each takes a request whose media is prepared."""

    path: Callable[[str], str]
    """Return where requests go, from the base URL of the OpenAI-compatible protocol: a path behind
    it, or a whole URL. Raises `ConfigurationError` if the endpoint does not speak the protocol."""

    headers: Callable[[Request], dict[str, str]]
    """Return the headers of a request."""

    encode: Callable[[Request], Body]
    """Encode the body of a request."""

    decode: Callable[[bytes, Mapping[str, str], Request], Reply]
    """Decode a whole answer from its body and headers."""

    decoder: _OpenStream
    """Return a decoder for the stream that answers a request, from the answer's headers."""


def find_wire(protocol: Protocol) -> Wire:
    """Find a protocol by its name.

    Args:
        protocol: `"openai"` or `"native"`.

    Raises:
        ConfigurationError: The name is not known.

    Example:
        >>> find_wire("openai").path("https://dashscope.aliyuncs.com/compatible-mode/v1")
        '/chat/completions'
    """
    wire = _WIRES.get(protocol)
    if wire is None:
        known = ", ".join(_WIRES)
        raise ConfigurationError(f"protocol {protocol!r} is not known. Known are {known}.")
    return wire


def read_usage(raw: object) -> Usage:
    """Read the token counts that a framework's answer holds.

    Args:
        raw: The service's own object, of either protocol; `Usage.raw` is one.

    Raises:
        ConfigurationError: There are none.

    Example:
        >>> read_usage({"prompt_tokens": 140, "prompt_tokens_details": {"image_tokens": 128}})
        Usage(input_tokens=140, output_tokens=0, total_tokens=140, image_tokens=128, \
video_tokens=None, audio_tokens=None, text_tokens=None, cached_tokens=None, \
cache_creation_tokens=None, reasoning_tokens=None)
    """
    is_native = isinstance(raw, Mapping) and "input_tokens" in raw
    usage = native.decode_usage(raw) if is_native else openai.decode_usage(raw)
    if usage is None:
        raise ConfigurationError(
            "The answer has no token counts. In a stream only the last chunk has them, so add the "
            "chunks up, and none has them with stream_usage=False."
        )
    return usage


def _openai_headers(request: Request) -> dict[str, str]:
    resolve = {"X-DashScope-OssResourceResolve": "enable"} if uses_oss(request.turns) else {}
    return {**request.headers, **resolve}


def _decode_openai(body: bytes, headers: Mapping[str, str], request: Request) -> Reply:
    return _with_replaced(openai.decode_reply(body, headers), request)


def _open_openai(
    headers: Mapping[str, str], request: Request, max_event_bytes: int = MAX_EVENT_BYTES
) -> EventDecoder:
    return openai.StreamDecoder(headers, replaced=request.replaced, max_event_bytes=max_event_bytes)


def _native_url(base_url: str) -> str:
    native_url = to_native_url(base_url)
    if native_url is None:
        raise ConfigurationError(
            f"{hide_password(base_url)} does not speak the native protocol: only the hosted "
            "service does, and its URLs end with /compatible-mode/v1 or /api/v1."
        )
    return native_url + _NATIVE_PATH


def _native_headers(request: Request) -> dict[str, str]:
    # A header asks for a stream, not the body.
    stream = {"X-DashScope-SSE": "enable", "Accept": "text/event-stream"} if request.stream else {}
    return {**_openai_headers(request), **stream}


def _decode_native(body: bytes, headers: Mapping[str, str], request: Request) -> Reply:
    return _with_replaced(native.decode_reply(body, headers, model=request.model), request)


def _open_native(
    headers: Mapping[str, str], request: Request, max_event_bytes: int = MAX_EVENT_BYTES
) -> EventDecoder:
    return native.StreamDecoder(
        headers,
        model=request.model,
        is_incremental=bool(request.parameters.get("incremental_output", True)),
        replaced=request.replaced,
        max_event_bytes=max_event_bytes,
    )


def _with_replaced(reply: Reply, request: Request) -> Reply:
    return replace(reply, replaced_content=request.replaced) if request.replaced else reply


_WIRES: Mapping[Protocol, Wire] = {
    "openai": Wire(
        path=lambda _base_url: "/chat/completions",
        headers=_openai_headers,
        encode=openai.encode_request,
        decode=_decode_openai,
        decoder=_open_openai,
    ),
    "native": Wire(
        path=_native_url,
        headers=_native_headers,
        encode=native.encode_request,
        decode=_decode_native,
        decoder=_open_native,
    ),
}
