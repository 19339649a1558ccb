"""Where the service is: hosts by region and workspace, and the variables that name them.

Base-URL page and OpenAI-Chat page, as of 2026-11-22.
"""

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

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
    """Return the base URL of the OpenAI-compatible protocol.

    What the program says takes precedence over the environment, and a URL before a region.

    Args:
        base_url: A URL; the native protocol's (`…/api/v1`) and the bare host of the service
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
        base_url = find_url(environ)
    if base_url is not None:
        return _compatible_url(base_url)
    region = region or find_region(environ) or DEFAULT_REGION
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


def find_url(environ: Mapping[str, str]) -> str | None:
    """Return the URL that the environment names.

    Args:
        environ: The environment.
    """
    return _first_set(BASE_URL_VARIABLES, environ)


def find_region(environ: Mapping[str, str]) -> str | None:
    """Return the region that the environment names.

    Args:
        environ: The environment.
    """
    return _first_set(_REGION_VARIABLES, environ)


def find_url_region(base_url: str) -> str | None:
    """Return the region of an endpoint of the hosted service; `None` for any other URL.

    Args:
        base_url: Any.

    Example:
        >>> find_url_region("https://ws-1.ap-southeast-1.maas.aliyuncs.com/compatible-mode/v1")
        'ap-southeast-1'
    """
    host = (urlsplit(base_url).hostname or "").removeprefix("batch.")
    for region, url in SHARED_HOSTS.items():
        if host == urlsplit(url).hostname:
            return region
    region = host.removesuffix(_WORKSPACE_DOMAIN).rpartition(".")[2]
    is_own = host.endswith(_WORKSPACE_DOMAIN) and region in WORKSPACE_REGIONS
    return region if is_own else None


def to_native_url(base_url: str) -> str | None:
    """Return the base URL of the native protocol at the same endpoint.

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


def check_base_url(base_url: str) -> str:
    """Return a base URL that requests can be sent to.

    Args:
        base_url: As it was set.

    Raises:
        ConfigurationError: It cannot be one: another scheme, no host, a port that no host has, a
            query, or spaces.

    Example:
        >>> check_base_url("localhost:8000/v1")
        Traceback (most recent call last):
        qwen_vl.errors.ConfigurationError: base_url 'localhost:8000/v1' is not a URL that requests \
can be sent to. It starts with https:// or http:// and ends with /compatible-mode/v1 or /v1.
    """
    try:
        parts = urlsplit(base_url)
        # Reading the port checks it.
        is_usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        is_usable = is_usable and not (parts.query or parts.fragment)
    except ValueError:
        is_usable = False
    if not is_usable or not base_url.isprintable() or " " in base_url:
        raise ConfigurationError(
            f"base_url {hide_password(base_url)!r} is not a URL that requests can be sent to. It "
            f"starts with https:// or http:// and ends with {COMPATIBLE_PATH} or /v1."
        )
    return base_url


def takes_environment_key(base_url: str) -> bool:
    """Return whether the environment's key may be sent to a URL that the program names itself.

    Args:
        base_url: Any.

    Returns:
        Whether it is one of the hosted service, or of this machine, such as that of the sandbox.

    Example:
        >>> takes_environment_key("https://dashscope.aliyuncs.com/compatible-mode/v1")
        True
        >>> takes_environment_key("https://gateway.example.com/v1")
        False
    """
    try:
        host = urlsplit(base_url).hostname or ""
    except ValueError:
        return False
    if host.endswith(".aliyuncs.com") or host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def split_credentials(base_url: str) -> tuple[str, str | None]:
    """Separate who stands before the host of a URL, with a password, from the rest.

    Args:
        base_url: Any.

    Returns:
        The URL without them, and `user:password`, percent-decoded; `None` where there are none.

    Example:
        >>> split_credentials("https://ada:secret@example.com/v1")
        ('https://example.com/v1', 'ada:secret')
    """
    scheme, separator, rest = base_url.partition("://")
    host, slash, path = rest.partition("/")
    credentials, at, bare = host.rpartition("@")
    if not at:
        return base_url, None
    return f"{scheme}{separator}{bare}{slash}{path}", unquote(credentials)


def hide_password(base_url: str) -> str:
    """Return a URL as it may be shown: who stands before the host, with a password, may not.

    Args:
        base_url: Any.

    Example:
        >>> hide_password("https://ada:secret@example.com/v1/")
        'https://example.com/v1'
    """
    return re.sub(r"//[^/@]*@", "//", base_url).rstrip("/")


def explain_refused_key(base_url: str) -> str:
    """Return why a valid key may be refused: keys belong to a region.

    Args:
        base_url: Of the endpoint that refused it.

    Returns:
        Empty where the endpoint is none of the service's, by its path.

    Example:
        >>> explain_refused_key("https://dashscope-intl.aliyuncs.com/compatible-mode/v1")
        'This host accepts only keys of the region ap-southeast-1: pass region=… for another.'
    """
    if to_native_url(base_url) is None:
        return ""
    host = urlsplit(base_url).hostname or ""
    region = next(
        (name for name, url in SHARED_HOSTS.items() if urlsplit(url).hostname == host), ""
    )
    if region:
        return f"This host accepts only keys of the region {region}: pass region=… for another."
    if host.endswith(_WORKSPACE_DOMAIN):
        workspace, region = host.removesuffix(_WORKSPACE_DOMAIN).split(".", 1)
        return (
            f"This host accepts only keys of the workspace {workspace} in {region}: pass region=… "
            "and workspace=… for another."
        )
    return "Keys belong to a region: check that it is that of the URL."


def _compatible_url(base_url: str) -> str:
    url = base_url.strip().rstrip("/").removesuffix("/chat/completions")
    parts = urlsplit(check_base_url(url))
    if (parts.hostname or "").endswith(".aliyuncs.com"):
        # The native protocol's path answers an OpenAI client with a bare 404.
        if parts.path == NATIVE_PATH:
            return url.removesuffix(NATIVE_PATH) + COMPATIBLE_PATH
        if not parts.path:
            return url + COMPATIBLE_PATH
    return url


def _first_set(names: tuple[str, ...], environ: Mapping[str, str]) -> str | None:
    return next((environ[name] for name in names if environ.get(name)), None)
