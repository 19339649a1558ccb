"""How to reach an endpoint: its address, the key, and whose client is used."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr

from qwen_vl.errors import ConfigurationError
from qwen_vl.specs.endpoints import resolve_base_url
from qwen_vl.specs.servers import DEFAULT_PROTOCOL, DEFAULT_SERVER, Protocol, Server

API_KEY_VARIABLE = "DASHSCOPE_API_KEY"
_NO_KEY = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """How to reach the endpoint. The key is shown nowhere.

    Args:
        base_url: Ends before `/chat/completions`.
        api_key: Sent as a bearer token; `None` only where the caller's own client has one.
        timeout: Seconds for one attempt; `None` for 600, and 5 to connect.
        max_retries: Further attempts after a failure that may pass.
        headers: Sent with every request.
        openai_client: The caller's own `openai.OpenAI`, used instead of a new one.
        async_openai_client: The same for `openai.AsyncOpenAI`.
    """

    base_url: str
    api_key: SecretStr | None
    timeout: float | None = None
    max_retries: int = 2
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    openai_client: Any = field(default=None, repr=False)
    async_openai_client: Any = field(default=None, repr=False)

    def require_api_key(self) -> str:
        """Give the key.

        Raises:
            ConfigurationError: There is none.
        """
        key = self.api_key.get_secret_value().strip() if self.api_key else ""
        if not key:
            raise ConfigurationError(
                f"There is no API key. Set {API_KEY_VARIABLE} in the environment, or pass api_key=…"
            )
        if not (key.isascii() and key.isprintable()):
            # The transport would show it in its own complaint.
            raise ConfigurationError(
                "The API key holds a character that no key has, such as a line break. Copy it anew."
            )
        return key


def api_key_from_environment() -> SecretStr | None:
    """Read the key from `DASHSCOPE_API_KEY`, if it is there."""
    key = os.environ.get(API_KEY_VARIABLE)
    return SecretStr(key) if key else None


def find_base_url(
    base_url: str | None,
    *,
    region: str | None,
    workspace: str | None,
    protocol: Protocol,
    server: Server,
) -> str:
    """Find the address of an endpoint, from what is set and what the environment says.

    Args:
        base_url: As it was set; the environment's counts for the hosted service alone.
        region: `"cn-beijing"`, `"ap-southeast-1"`, …
        workspace: A workspace id.
        protocol: How the hosted service is spoken to.
        server: Which server is asked.

    Raises:
        ConfigurationError: The region is not known, a server of one's own has no address, or it
            shall speak the service's own protocol.

    Example:
        >>> find_base_url(
        ...     "http://localhost:8000/v1",
        ...     region=None,
        ...     workspace=None,
        ...     protocol="openai",
        ...     server="vllm",
        ... )
        'http://localhost:8000/v1'
    """
    if server == DEFAULT_SERVER:
        return resolve_base_url(
            base_url=base_url, region=region, workspace=workspace, environ=os.environ
        )
    if protocol != DEFAULT_PROTOCOL:
        raise ConfigurationError(
            f"server {server!r} and protocol {protocol!r} exclude each other: servers of your "
            "own speak the OpenAI-compatible protocol."
        )
    if base_url is None:
        # What the environment says of the hosted service is nothing to send elsewhere.
        raise ConfigurationError(
            f"server {server!r} is a server of your own: pass its address, as "
            'base_url="http://localhost:8000/v1".'
        )
    return resolve_base_url(base_url=base_url, region=None, workspace=None, environ={})


def find_api_key(api_key: SecretStr | None, server: Server, *, is_set: bool) -> SecretStr | None:
    """Find the key that is sent.

    Args:
        api_key: As the settings hold it.
        server: Which server is asked.
        is_set: Whether the program itself gave it, and not the environment.
    """
    if server == DEFAULT_SERVER:
        return api_key or api_key_from_environment()
    # The key of the hosted service is not for other servers, most of which want none.
    return api_key if is_set and api_key else SecretStr(_NO_KEY)
