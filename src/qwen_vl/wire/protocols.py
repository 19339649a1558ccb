"""The two protocols behind one face: where requests go, how they are written and answered."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace

from qwen_vl.errors import ConfigurationError
from qwen_vl.reply import Reply
from qwen_vl.request.types import Request
from qwen_vl.specs.endpoints import hide_password, to_native_url
from qwen_vl.specs.servers import Protocol
from qwen_vl.wire import native, openai
from qwen_vl.wire.body import Body
from qwen_vl.wire.encode import uses_oss
from qwen_vl.wire.events import EventDecoder

_NATIVE_PATH = "/services/aigc/multimodal-generation/generation"


class Wire(ABC):
    """One protocol."""

    @abstractmethod
    def path(self, base_url: str) -> str:
        """Tell where requests go: behind the base URL, or a whole address.

        Args:
            base_url: Of the OpenAI-compatible protocol.

        Raises:
            ConfigurationError: The endpoint does not speak this protocol.
        """

    @abstractmethod
    def encode(self, request: Request) -> Body:
        """Write the body of a request whose media is ready."""

    @abstractmethod
    def decode(self, body: bytes, headers: Mapping[str, str], request: Request) -> Reply:
        """Read a whole answer to a request whose media is ready."""

    @abstractmethod
    def decoder(self, headers: Mapping[str, str], request: Request) -> EventDecoder:
        """Make what reads the stream that answers a request whose media is ready."""

    def headers(self, request: Request) -> dict[str, str]:
        """Give the headers that go with a request."""
        headers = dict(request.headers)
        if uses_oss(request.turns):
            headers["X-DashScope-OssResourceResolve"] = "enable"
        return headers


class CompatibleWire(Wire):
    """The OpenAI-compatible protocol."""

    def path(self, base_url: str) -> str:
        """Tell where requests go."""
        del base_url
        return "/chat/completions"

    def encode(self, request: Request) -> Body:
        """Write the body of a request whose media is ready."""
        return openai.encode_request(request)

    def decode(self, body: bytes, headers: Mapping[str, str], request: Request) -> Reply:
        """Read a whole answer."""
        reply = openai.decode_reply(body, headers)
        return _with_replaced(reply, request)

    def decoder(self, headers: Mapping[str, str], request: Request) -> EventDecoder:
        """Make what reads a stream."""
        return openai.StreamDecoder(headers, request.replaced)


class NativeWire(Wire):
    """The service's own protocol."""

    def path(self, base_url: str) -> str:
        """Tell where requests go."""
        native = to_native_url(base_url)
        if native is None:
            raise ConfigurationError(
                f"{hide_password(base_url)} does not speak the native protocol: the hosted "
                "service alone does, and its addresses end with /compatible-mode/v1 or /api/v1."
            )
        return native + _NATIVE_PATH

    def encode(self, request: Request) -> Body:
        """Write the body of a request whose media is ready."""
        return native.encode_request(request)

    def decode(self, body: bytes, headers: Mapping[str, str], request: Request) -> Reply:
        """Read a whole answer."""
        reply = native.decode_reply(body, headers, model=request.model)
        return _with_replaced(reply, request)

    def decoder(self, headers: Mapping[str, str], request: Request) -> EventDecoder:
        """Make what reads a stream."""
        is_incremental = request.parameters.get("incremental_output", True)
        return native.StreamDecoder(
            headers,
            model=request.model,
            is_incremental=bool(is_incremental),
            replaced=request.replaced,
        )

    def headers(self, request: Request) -> dict[str, str]:
        """Give the headers that go with a request: one of them asks for a stream."""
        headers = super().headers(request)
        if request.stream:
            headers |= {"X-DashScope-SSE": "enable", "Accept": "text/event-stream"}
        return headers


def _with_replaced(reply: Reply, request: Request) -> Reply:
    return replace(reply, replaced_content=request.replaced) if request.replaced else reply


_WIRES: Mapping[Protocol, Wire] = {"openai": CompatibleWire(), "native": NativeWire()}


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
