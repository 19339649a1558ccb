"""How to reach an endpoint: its URL, the key, and whose client is used."""

import os
import sys
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from threading import TIMEOUT_MAX
from typing import Any

from pydantic import SecretStr

from qwen_vl.errors import ConfigurationError
from qwen_vl.specs.batch_chat import resolve_batch_url
from qwen_vl.specs.endpoints import hide_password, resolve_base_url, takes_environment_key
from qwen_vl.specs.servers import DEFAULT_PROTOCOL, DEFAULT_SERVER, Protocol, Server

API_KEY_VARIABLE = "DASHSCOPE_API_KEY"
DEFAULT_MAX_RESPONSE_BYTES = 64 * 2**20
_NO_KEY = "none"
_SYNC_CLIENTS = ("http_client", "openai_client")
_ASYNC_CLIENTS = ("http_async_client", "async_openai_client")
CLIENT_OPTIONS = (*_SYNC_CLIENTS, *_ASYNC_CLIENTS)
"""Options that take a client of the program's own."""
Timeout = tuple[float | None, float | None, float | None, float | None]
"""Seconds to connect, to read, to write, and to wait for a connection of the pool."""
_TIMEOUTS = ("connect", "read", "write", "pool")


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """How to reach the endpoint. The key is shown nowhere.

    Args:
        base_url: Ends before `/chat/completions`.
        api_key: Sent as a bearer token; `None` only where the caller's own client has one.
        timeout: Seconds to connect, read, write and wait for a connection, of one attempt; `None`
            for 600, and 5 to connect.
        max_retries: Further attempts after a failure that may pass.
        credentials: User and password, sent in place of the key.
        max_response_bytes: Maximum number of bytes of a decoded answer.
        retry_partial_answers: Whether an answer that broke off is asked for again.
        headers: Sent with every request.
        http_client: The caller's own `httpx2.Client`, used instead of a new one.
        http_async_client: The same for `httpx2.AsyncClient`.
        openai_client: The caller's own `openai.OpenAI`, used instead of a new one.
        async_openai_client: The same for `openai.AsyncOpenAI`.

    Raises:
        ConfigurationError: A client is of another kind, or there are two for the same calls.
    """

    base_url: str
    api_key: SecretStr | None
    timeout: Timeout | None = None
    max_retries: int = 2
    max_response_bytes: int = DEFAULT_MAX_RESPONSE_BYTES
    retry_partial_answers: bool = False
    credentials: SecretStr | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    http_client: Any = field(default=None, repr=False)
    http_async_client: Any = field(default=None, repr=False)
    openai_client: Any = field(default=None, repr=False)
    async_openai_client: Any = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_http_client(self.http_client, "http_client")
        check_http_client(self.http_async_client, "http_async_client")
        check_openai_client(self.openai_client, "openai_client")
        check_openai_client(self.async_openai_client, "async_openai_client")
        for http, openai in (_SYNC_CLIENTS, _ASYNC_CLIENTS):
            if getattr(self, http) is not None and getattr(self, openai) is not None:
                raise ConfigurationError(
                    f"{http} and {openai} exclude each other. Pass "
                    f"{openai}=openai.OpenAI(http_client=…) or {http}=… alone."
                )

    @property
    def authorization(self) -> str:
        """What the header of this name holds.

        Raises:
            ConfigurationError: There is neither a key nor a password.
        """
        if self.credentials is None:
            return f"Bearer {self.require_api_key()}"
        return f"Basic {b64encode(self.credentials.get_secret_value().encode()).decode()}"

    @property
    def account(self) -> str:
        """Identify the account at its endpoint: a hash, in which no key can be read.

        Two connections with the same value get the same answers.
        """
        clients = (self.openai_client, self.async_openai_client)
        secrets = [
            self.base_url,
            _reveal(self.api_key),
            _reveal(self.credentials),
            *(f"{name.lower()}: {value}" for name, value in sorted(self.headers.items())),
            *(f"{client.base_url} {client.api_key}" for client in clients if client is not None),
        ]
        return sha256("\n".join(secrets).encode()).hexdigest()

    def require_client(self, *, is_async: bool) -> None:
        """Check that the program's own client serves the calls that are made.

        Args:
            is_async: Whether they are asynchronous.

        Raises:
            ConfigurationError: The program passed a client for the other kind of calls only. Its
                endpoint, key and proxies are not known here.
        """
        needed, other = _SYNC_CLIENTS, _ASYNC_CLIENTS
        if is_async:
            needed, other = other, needed
        passed = next((name for name in other if getattr(self, name) is not None), None)
        if passed is not None and all(getattr(self, name) is None for name in needed):
            missing = needed[other.index(passed)]
            kind = "asynchronous" if is_async else "synchronous"
            raise ConfigurationError(
                f"{passed}=… serves the other kind of calls only. For {kind} calls, pass "
                f"{missing}=… too."
            )

    def require_api_key(self) -> str:
        """Return the key.

        Raises:
            ConfigurationError: There is none.
        """
        key = self.api_key.get_secret_value().strip() if self.api_key else ""
        if not key and os.environ.get(API_KEY_VARIABLE):
            raise ConfigurationError(
                f"{API_KEY_VARIABLE} is sent only to hosts of the service, and to this "
                "machine. Pass api_key=… for "
                f"{hide_password(self.base_url)}."
            )
        if not key:
            raise ConfigurationError(
                f"No API key. Set {API_KEY_VARIABLE} in the environment, or pass api_key=…"
            )
        if not (key.isascii() and key.isprintable()):
            # The transport would show it in its own complaint.
            raise ConfigurationError(
                "The API key contains an invalid character, such as a line break. Copy it again."
            )
        return key


def _reveal(secret: SecretStr | None) -> str:
    return secret.get_secret_value() if secret is not None else ""


def normalize_timeout(timeout: Any) -> Timeout | None:
    """Return the timeouts of one attempt.

    Args:
        timeout: Seconds, (connect, read) in seconds, or an `httpx2.Timeout` (or `httpx.Timeout`);
            `None` where nothing is said.

    Raises:
        ConfigurationError: It is something else.

    Example:
        >>> normalize_timeout((5, 60))
        (5, 60, 60, 5)
    """
    if timeout is None:
        return None
    if all(hasattr(timeout, name) for name in _TIMEOUTS):
        timeout = tuple(getattr(timeout, name) for name in _TIMEOUTS)
    match timeout:
        case (connect, read, write, pool):
            pass
        case (connect, read):
            write, pool = read, connect
        case _:
            connect = read = write = pool = timeout
    for seconds in (connect, read, write, pool):
        if not _is_duration(seconds):
            raise ConfigurationError(
                f"timeout {timeout!r} is not a number of seconds above 0. Pass seconds, a pair "
                "(connect, read) in seconds, or an httpx2.Timeout."
            )
    return _limited(connect), _limited(read), _limited(write), _limited(pool)


def normalize_deadline(deadline: Any) -> float | None:
    """Return the seconds that a call may take.

    Args:
        deadline: Seconds; `None` or infinity for as long as it takes.

    Raises:
        ConfigurationError: It is something else.

    Example:
        >>> normalize_deadline(20), normalize_deadline(float("inf"))
        (20, None)
    """
    if not _is_duration(deadline):
        raise ConfigurationError(
            f"deadline {deadline!r} is not a number of seconds above 0. Pass seconds, or None."
        )
    return _limited(deadline)


MIN_QUEUE_SECONDS, MAX_QUEUE_SECONDS = 3, 120
"""Range of `queue_seconds`, beside 0 for no queue (Queueing page, 2026-10)."""


def normalize_queue_seconds(seconds: Any) -> int | None:
    """Return how long the service may let a request wait.

    Args:
        seconds: A whole number, 0 or from 3 to 120; `None` where nothing is said.

    Raises:
        ConfigurationError: It is something else.

    Example:
        >>> normalize_queue_seconds(30)
        30
    """
    if seconds is None:
        return None
    # unsure: whether the service reads parts of a second; the page has whole ones.
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    is_whole = is_number and seconds == seconds // 1
    if not (is_whole and (seconds == 0 or MIN_QUEUE_SECONDS <= seconds <= MAX_QUEUE_SECONDS)):
        raise ConfigurationError(
            f"queue_seconds is {seconds!r}; it must be 0, or a whole number from "
            f"{MIN_QUEUE_SECONDS} to {MAX_QUEUE_SECONDS}."
        )
    return int(seconds)


def _is_duration(seconds: Any) -> bool:
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    return seconds is None or (is_number and seconds > 0)


def _limited(seconds: float | None) -> float | None:
    # Python's clocks cannot count more, infinity for example.
    return seconds if seconds is None or seconds <= TIMEOUT_MAX else None


def check_http_client(client: object, option: str) -> None:
    """Check that a client is of the HTTP library that requests are sent with.

    Args:
        client: Whatever was passed.
        option: `"http_client"` or `"http_async_client"`.

    Raises:
        ConfigurationError: It is something else.
    """
    if client is None:
        return
    name = "AsyncClient" if "async" in option else "Client"
    # A client of it can only be there if it is loaded.
    kind = getattr(sys.modules.get("httpx2"), name, None)
    if kind is None or not isinstance(client, kind):
        raise ConfigurationError(
            f"{option} must be an httpx2.{name}, not {_name_kind(client)}. httpx2 has the same "
            f"arguments as httpx: {option}=httpx2.{name}(verify=…, proxy=…)."
        )


def check_openai_client(client: object, option: str) -> None:
    """Check that a client is one of the SDK, of the right kind, or something that wraps one.

    Args:
        client: Whatever was passed.
        option: `"openai_client"` or `"async_openai_client"`.

    Raises:
        ConfigurationError: It is something else.
    """
    if client is None:
        return
    names = ("OpenAI", "AsyncOpenAI")
    other, name = names if "async" in option else reversed(names)
    is_other = isinstance(client, getattr(sys.modules.get("openai"), other, ()))
    # Tracers wrap clients in other classes.
    if is_other or not all(hasattr(client, needed) for needed in ("api_key", "base_url", "post")):
        raise ConfigurationError(
            f"{option} must be an openai.{name}, not {_name_kind(client)}: "
            f"{option}=openai.{name}(base_url=…, api_key=…)."
        )


def _name_kind(value: object) -> str:
    return f"{type(value).__module__.partition('.')[0]}.{type(value).__qualname__}"


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
    is_batch: bool = False,
) -> str:
    """Find the URL of an endpoint, from what is set and what the environment says.

    Args:
        base_url: As it was set; the environment's value applies to the hosted service only.
        region: `"cn-beijing"`, `"ap-southeast-1"`, …
        workspace: A workspace id.
        protocol: How the hosted service is spoken to.
        server: Which server is asked.
        is_batch: Whether Batch Chat is asked.

    Raises:
        ConfigurationError: The region is unknown, a self-hosted server lacks a URL, or it
            is asked to use the native protocol.

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
        resolve = resolve_batch_url if is_batch else resolve_base_url
        return resolve(base_url=base_url, region=region, workspace=workspace, environ=os.environ)
    if protocol != DEFAULT_PROTOCOL:
        raise ConfigurationError(
            f"server {server!r} and protocol {protocol!r} exclude each other: servers of your "
            "own speak the OpenAI-compatible protocol."
        )
    if base_url is None:
        # What the environment says of the hosted service is nothing to send elsewhere.
        raise ConfigurationError(
            f"server {server!r} is a self-hosted server: pass its URL, as "
            'base_url="http://localhost:8000/v1".'
        )
    return resolve_base_url(base_url=base_url, region=None, workspace=None, environ={})


def find_api_key(
    api_key: SecretStr | str | None,
    server: Server,
    *,
    is_set: bool,
    own_url: str | None = None,
) -> SecretStr | None:
    """Find the key that is sent.

    Args:
        api_key: As the settings hold it; text only where they were not validated.
        server: Which server is asked.
        is_set: Whether the program itself gave it, and not the environment.
        own_url: Base URL that the program itself gave, and not the environment.
    """
    if isinstance(api_key, str):
        api_key = SecretStr(api_key)
    if server == DEFAULT_SERVER:
        # A pickled model has lost the key that it was given, and takes that of where it wakes up.
        if not is_set and own_url is not None and not takes_environment_key(own_url):
            # The environment's key is for the service, or for the environment's own URL.
            return None
        return api_key or api_key_from_environment()
    # The key of the hosted service is not for other servers, most of which want none.
    return api_key if is_set and api_key else SecretStr(_NO_KEY)


def check_one_authorization(api_key: SecretStr | None, credentials: SecretStr | None) -> None:
    """Check that there is one thing to authorize requests by.

    Args:
        api_key: The key that would be sent.
        credentials: User and password of the base URL.

    Raises:
        ConfigurationError: There are both.
    """
    has_key = api_key is not None and api_key.get_secret_value() not in {"", _NO_KEY}
    if credentials is not None and has_key:
        raise ConfigurationError(
            "base_url holds a user or a password, and there is an API key: the Authorization "
            "header holds one of them. Remove the one that is not meant."
        )
