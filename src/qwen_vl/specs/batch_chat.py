"""Batch Chat: ordinary calls at half the price, which are answered when there is room.

A call is held open until it is answered, for an hour at most; what is not answered by then is not
billed (Batch-Chat page, 2026-10).
"""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from qwen_vl.errors import ConfigurationError, warn
from qwen_vl.specs.endpoints import (
    COMPATIBLE_PATH,
    DEFAULT_REGION,
    SHARED_HOSTS,
    find_region,
    find_url,
    hide_password,
    resolve_base_url,
)
from qwen_vl.specs.servers import DEFAULT_PROTOCOL, DEFAULT_SERVER, Protocol, Server

BATCH_URL = f"https://batch.dashscope.aliyuncs.com{COMPATIBLE_PATH}"
"""The only host; it is in Beijing, and workspaces have none (Batch-Chat page, 2026-10)."""

BATCH_TIMEOUT = (30.0, 3_600.0, 600.0, 3_600.0)
"""Seconds to connect, to read, to write and to wait for a connection, where none are given: the
service gives up after an hour (the same page). Thousands of calls may connect at once."""

BATCH_MODELS = frozenset(
    {
        "qwen3.8-max",
        "qwen3.8-flash",
        *("qwen3.7-max", "qwen3.7-plus", "qwen3.7-flash"),
        *("qwen3.6-plus", "qwen3.6-flash"),
        *("qwen3.5-plus", "qwen3.5-flash", "qwen3.5-omni-plus"),
        "qwen3-vl-plus",
        *("qwen-plus", "qwen-flash"),
    }
)
"""Models that it has (the same page)."""

# The English copy of the model's page says yes, the Chinese one no (Qwen4 page, 2026-11).
_UNSURE_MODELS = re.compile(r"qwen4-max")
_OWN_DOMAIN = ".aliyuncs.com"


def resolve_batch_url(
    *,
    base_url: str | None,
    region: str | None,
    workspace: str | None,
    environ: Mapping[str, str],
) -> str:
    """Return the base URL of Batch Chat.

    Args:
        base_url: A URL that the program gives, such as that of the sandbox.
        region: As it was set.
        workspace: As it was set.
        environ: The environment, whose URL and region count where the program gives none.

    Raises:
        ConfigurationError: Another host or region of the hosted service is asked for.

    Example:
        >>> resolve_batch_url(base_url=None, region=None, workspace=None, environ={})
        'https://batch.dashscope.aliyuncs.com/compatible-mode/v1'
    """
    if base_url is None:
        asked = workspace or region or (None if find_url(environ) else find_region(environ))
        if asked not in {None, DEFAULT_REGION}:
            raise ConfigurationError(
                f"Batch Chat is in {DEFAULT_REGION} only, on a host that is no workspace's, and "
                f"{asked!r} is set. Pass region={DEFAULT_REGION!r}, with a key of that region."
            )
        if asked is not None or find_url(environ) is None:
            return BATCH_URL
    url = resolve_base_url(base_url=base_url, region=None, workspace=None, environ=environ)
    is_own = (urlsplit(url).hostname or "").endswith(_OWN_DOMAIN)
    if base_url is None and url == SHARED_HOSTS[DEFAULT_REGION] + COMPATIBLE_PATH:
        return BATCH_URL
    if is_own and url != BATCH_URL:
        raise ConfigurationError(
            f"Batch Chat is at {BATCH_URL}, not at {hide_password(url)}. Pass "
            f"base_url={BATCH_URL!r}, with a key of {DEFAULT_REGION}."
        )
    return url


def resolve_upload_url(base_url: str) -> str:
    """Return the endpoint that takes uploads for another: that of the region for Batch Chat.

    Args:
        base_url: Any.

    Example:
        >>> resolve_upload_url("https://batch.dashscope.aliyuncs.com/compatible-mode/v1")
        'https://dashscope.aliyuncs.com/compatible-mode/v1'
    """
    return SHARED_HOSTS[DEFAULT_REGION] + COMPATIBLE_PATH if base_url == BATCH_URL else base_url


def check_batch(model: str, *, protocol: Protocol, server: Server) -> None:
    """Check that Batch Chat answers a call.

    Args:
        model: Model id.
        protocol: How the hosted service is spoken to.
        server: Which server is asked.

    Raises:
        ConfigurationError: It is not the hosted service's OpenAI-compatible protocol, or the model
            is not among those of the page.

    Example:
        >>> check_batch("qwen3-vl-plus", protocol="openai", server="dashscope")
    """
    if server != DEFAULT_SERVER or protocol != DEFAULT_PROTOCOL:
        other = f"server={server!r}" if server != DEFAULT_SERVER else f"protocol={protocol!r}"
        raise ConfigurationError(
            f'service_tier="batch" and {other} exclude each other: Batch Chat is the hosted '
            "service's, by the OpenAI-compatible protocol."
        )
    if _UNSURE_MODELS.fullmatch(model):
        warn(
            f"Pages of the service contradict each other about {model} at Batch Chat. It is "
            "asked; try one call before thousands."
        )
    elif model not in BATCH_MODELS:
        raise ConfigurationError(
            f"Batch Chat does not have {model!r}. It has {', '.join(sorted(BATCH_MODELS))}."
        )
