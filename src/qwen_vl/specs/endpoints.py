"""Where the service is: hosts by region and workspace, and the variables that name them.

Base URL page and OpenAI-Chat page, as of 2026-11-22.
"""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from qwen_vl.errors import ConfigurationError

DEFAULT_REGION = "cn-beijing"

SHARED_HOSTS: Mapping[str, str] = {
    "cn-beijing": "https://dashscope.aliyuncs.com",
    "ap-southeast-1": "https://dashscope-intl.aliyuncs.com",
    "us-east-1": "https://dashscope-us.aliyuncs.com",
    "cn-hongkong": "https://cn-hongkong.dashscope.aliyuncs.com",
}
"""Hosts that need no workspace; Frankfurt and Tokyo have none (Native-API page, 2026-09)."""

WORKSPACE_REGIONS = (*SHARED_HOSTS, "eu-central-1", "ap-northeast-1")
"""Regions that a workspace has a host in."""

COMPATIBLE_PATH = "/compatible-mode/v1"
NATIVE_PATH = "/api/v1"
_WORKSPACE_DOMAIN = ".maas.aliyuncs.com"

BASE_URL_VARIABLES = (
    "DASHSCOPE_COMPATIBLE_BASE_URL",
    "DASHSCOPE_API_BASE",
    "DASHSCOPE_BASE_URL",
    "DASHSCOPE_HTTP_BASE_URL",
)
"""Environment variables that name the endpoint, the first that is set counts.

The official SDK reads the first, third and fourth; other packages read the second.
"""

_REGION_VARIABLES = ("DASHSCOPE_REGION", "DASHSCOPE_API_REGION")
_WORKSPACE_VARIABLES = ("DASHSCOPE_WORKSPACE", "DASHSCOPE_WORKSPACE_ID")


def resolve_base_url(
    *,
    base_url: str | None,
    region: str | None,
    workspace: str | None,
    environ: Mapping[str, str],
) -> str:
    """Give the base URL of the OpenAI-compatible protocol.

    What the program says counts before the environment, and an address before a region.

    Args:
        base_url: An address; the native protocol's (`…/api/v1`) and the bare host of the service
            are turned into the OpenAI-compatible one.
        region: `"cn-beijing"`, `"ap-southeast-1"`, …
        workspace: A workspace id; the region's workspace host is used then.
        environ: The environment.

    Returns:
        For instance `https://dashscope.aliyuncs.com/compatible-mode/v1`.

    Raises:
        ConfigurationError: The region is unknown, or has only workspace hosts.

    Example:
        >>> resolve_base_url(base_url=None, region="ap-southeast-1", workspace=None, environ={})
        'https://dashscope-intl.aliyuncs.com/compatible-mode/v1'
    """
    if base_url is None and region is None and workspace is None:
        base_url = _first_set(BASE_URL_VARIABLES, environ)
    if base_url is not None:
        return _compatible_url(base_url)
    region = region or _first_set(_REGION_VARIABLES, environ) or DEFAULT_REGION
    workspace = workspace or _first_set(_WORKSPACE_VARIABLES, environ)
    if region not in WORKSPACE_REGIONS:
        known = ", ".join(WORKSPACE_REGIONS)
        raise ConfigurationError(
            f"Region {region!r} is not known. Known are {known}; for another, pass base_url=…"
        )
    if workspace:
        return f"https://{workspace}.{region}{_WORKSPACE_DOMAIN}{COMPATIBLE_PATH}"
    if region not in SHARED_HOSTS:
        raise ConfigurationError(
            f"Region {region!r} has only workspace hosts. Pass workspace=…, or set "
            "DASHSCOPE_WORKSPACE."
        )
    return SHARED_HOSTS[region] + COMPATIBLE_PATH


def to_native_url(base_url: str) -> str | None:
    """Give the base URL of the native protocol at the same endpoint.

    Args:
        base_url: That of the OpenAI-compatible protocol.

    Returns:
        `None` where the endpoint is none of the service's, by its path.

    Example:
        >>> to_native_url("https://dashscope-intl.aliyuncs.com/compatible-mode/v1")
        'https://dashscope-intl.aliyuncs.com/api/v1'
    """
    url = base_url.rstrip("/")
    if url.endswith(NATIVE_PATH):
        return url
    if not url.endswith(COMPATIBLE_PATH):
        return None
    return url.removesuffix(COMPATIBLE_PATH) + NATIVE_PATH


def hide_password(base_url: str) -> str:
    """Give an address as it may be shown: who stands before the host, with a password, may not.

    Args:
        base_url: Any.

    Example:
        >>> hide_password("https://ada:secret@example.com/v1/")
        'https://example.com/v1'
    """
    return re.sub(r"//[^/@]*@", "//", base_url).rstrip("/")


def explain_refused_key(base_url: str) -> str:
    """Say why a key may be refused that is right elsewhere: keys belong to a region.

    Args:
        base_url: Of the endpoint that refused it.

    Returns:
        Empty where the endpoint is none of the service's, by its path.

    Example:
        >>> explain_refused_key("https://dashscope-intl.aliyuncs.com/compatible-mode/v1")
        'This host takes keys of the region ap-southeast-1 alone: pass region=… for another.'
    """
    if to_native_url(base_url) is None:
        return ""
    host = urlsplit(base_url).hostname or ""
    region = next(
        (name for name, url in SHARED_HOSTS.items() if urlsplit(url).hostname == host), ""
    )
    if region:
        return f"This host takes keys of the region {region} alone: pass region=… for another."
    if host.endswith(_WORKSPACE_DOMAIN):
        workspace, region = host.removesuffix(_WORKSPACE_DOMAIN).split(".", 1)
        return (
            f"This host takes keys of the workspace {workspace} in {region} alone: pass region=… "
            "and workspace=… for another."
        )
    return "Keys belong to a region: check that it is that of the address."


def _compatible_url(base_url: str) -> str:
    url = base_url.strip().rstrip("/").removesuffix("/chat/completions")
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigurationError(
            f"base_url {base_url!r} is no address. It begins with https:// and ends with "
            f"{COMPATIBLE_PATH} or /v1."
        )
    if parts.hostname.endswith(".aliyuncs.com"):
        # The native protocol's path answers an OpenAI client with a bare 404.
        if parts.path == NATIVE_PATH:
            return url.removesuffix(NATIVE_PATH) + COMPATIBLE_PATH
        if not parts.path:
            return url + COMPATIBLE_PATH
    return url


def _first_set(names: tuple[str, ...], environ: Mapping[str, str]) -> str | None:
    return next((environ[name] for name in names if environ.get(name)), None)
