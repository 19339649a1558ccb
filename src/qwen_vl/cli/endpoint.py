"""The endpoint that a command asks, and the settings that reach it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import ValidationError

from qwen_vl.connection import api_key_from_environment
from qwen_vl.errors import ConfigurationError, MissingExtraError
from qwen_vl.settings import QwenVLSettings
from qwen_vl.specs.servers import DEFAULT_SERVER, Server

_SANDBOX_KEY = "sk-sandbox"
# A gateway asks the hosted service, which is what the sandbox imitates.
_GATEWAY: Server = "openai_compatible"


def make_settings(**values: Any) -> QwenVLSettings:
    """Create the settings of a command.

    Args:
        **values: Fields.

    Raises:
        ConfigurationError: One has a value that it cannot have.
    """
    is_hosted = values.get("server", DEFAULT_SERVER) == DEFAULT_SERVER
    if is_hosted and values.get("base_url") and not values.get("api_key"):
        # A URL that the user types is meant for the key of the same shell.
        values["api_key"] = api_key_from_environment()
    try:
        return QwenVLSettings(**values)
    except ValidationError as error:
        wrong = [f"{_name_option(found['loc'])}{found['msg']}" for found in error.errors()]
        raise ConfigurationError(f"{'; '.join(wrong)}.") from error


def _name_option(place: tuple[int | str, ...]) -> str:
    return f"--{str(place[0]).replace('_', '-')}: " if place else ""


@contextmanager
def open_endpoint(
    *,
    sandbox: bool,
    server: Server = DEFAULT_SERVER,
    base_url: str | None = None,
    reads: bool = False,
) -> Iterator[dict[str, Any]]:
    """Start the sandbox if it is wanted, and give the settings that reach the endpoint.

    Args:
        sandbox: Whether to ask a sandbox.
        server: Server to ask, or to imitate.
        base_url: Base URL that the user gave.
        reads: Whether a sandbox should read the text in images.

    Raises:
        ConfigurationError: There is a base URL too.
        MissingExtraError: The sandbox is not installed, or what it needs to read.
    """
    if not sandbox:
        yield {"server": server, "base_url": base_url}
        return
    if base_url is not None:
        raise ConfigurationError("--sandbox and --base-url exclude each other. Pass one of them.")
    imitated = DEFAULT_SERVER if server == _GATEWAY else server
    with reading_required():
        made = load_sandbox().Sandbox(server=imitated, reads=reads)
    with made as running:
        yield {"server": server, "base_url": running.base_url, "api_key": _SANDBOX_KEY}


@contextmanager
def reading_required() -> Iterator[None]:
    """Start a sandbox that may have to read text.

    Raises:
        MissingExtraError: What it needs for that is not installed.
    """
    try:
        yield
    except ImportError as error:
        raise MissingExtraError("A sandbox that reads text", extra="sandbox-ocr") from error


def load_sandbox() -> Any:
    """Import the sandbox.

    Raises:
        MissingExtraError: It is not installed, or what it needs is not.
    """
    try:
        import qwen_vl_sandbox  # noqa: PLC0415 - an extra.

        _ = qwen_vl_sandbox.Sandbox
    except ImportError as error:
        raise MissingExtraError("The sandbox", extra="sandbox") from error
    return qwen_vl_sandbox
