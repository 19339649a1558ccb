"""Hosts of the temporary storage that videos are uploaded to.

The endpoint's answer names the host that a file is posted to. It is checked like any other foreign
text: a gateway, or another that answers in its place, must not choose where files go.
"""

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

from qwen_vl.errors import ConfigurationError, ServiceError

DEFAULT_UPLOAD_HOSTS = ("*.aliyuncs.com",)
"""Hosts of the temporary storage: buckets of Alibaba Cloud OSS.

unsure: the Temp-URL page (2026) shows one bucket as an example and lists none.
"""

_SCHEME_PORTS = {"http": 80, "https": 443}
_PATTERN = re.compile(
    r"(?:(?P<scheme>https?)://)?(?P<host>\[[\w:.]+\]|[\w.*-]+)(?::(?P<port>\d{1,5}))?", re.ASCII
)

_NO_LEAVE = "The service gave no leave to upload: its answer names"


class UploadHosts:
    """Hosts that files may be posted to.

    Args:
        patterns: Host names over https, `*` for any part of a name: `"*.aliyuncs.com"`,
            `"storage.example.com:8443"`. One that begins with `http://` allows plain HTTP.
        endpoint: URL of the endpoint that the policies come from. Its own scheme, host and port
            are allowed too: it is given the key, and so trusted with a file.

    Raises:
        ConfigurationError: A pattern is not a host.

    Example:
        >>> hosts = UploadHosts(["*.aliyuncs.com"], "https://dashscope.aliyuncs.com/api/v1")
        >>> hosts.check("https://bucket.oss-cn-beijing.aliyuncs.com")
        >>> hosts.check("https://example.com")
        Traceback (most recent call last):
        qwen_vl.errors.ServiceError: The service gave no leave to upload: its answer names the \
storage host https://example.com, which upload_hosts does not allow. Add it there if you trust it \
with the file.
    """

    def __init__(self, patterns: Sequence[str], endpoint: str) -> None:
        self._allowed = [_parse_pattern(pattern) for pattern in patterns]
        self._endpoint = _origin_of(endpoint)

    def check(self, url: str) -> None:
        """Check where a file is to be posted to.

        Args:
            url: `upload_host` of a policy.

        Raises:
            ServiceError: The host is not allowed, or the URL holds credentials or a query.
        """
        origin = _origin_of(url)
        if origin is None:
            # The URL is not shown: what stands before an @ may be a password.
            raise ServiceError(
                f"{_NO_LEAVE} a storage host that is not a plain http:// or https:// URL. Check "
                "base_url."
            )
        if origin != self._endpoint and not any(_matches(origin, one) for one in self._allowed):
            raise ServiceError(
                f"{_NO_LEAVE} the storage host {_show(origin)}, which upload_hosts does not allow. "
                "Add it there if you trust it with the file."
            )


_Origin = tuple[str, str, int]


def check_upload_hosts(patterns: Sequence[str]) -> tuple[str, ...]:
    """Return the patterns of `upload_hosts`.

    Args:
        patterns: As of `UploadHosts`.

    Raises:
        ConfigurationError: They are one text, or one is not a host.
    """
    if isinstance(patterns, str):
        raise ConfigurationError(f"upload_hosts is {patterns!r}. Pass a list: [{patterns!r}].")
    for pattern in patterns:
        _parse_pattern(pattern)
    return tuple(patterns)


def _parse_pattern(pattern: str) -> _Origin:
    found = _PATTERN.fullmatch(pattern)
    if found is None or not found["host"].strip("*."):
        raise ConfigurationError(
            f"upload_hosts has {pattern!r}, which is not a host. Pass host names such as "
            "'storage.example.com' or '*.aliyuncs.com'."
        )
    scheme = found["scheme"] or "https"
    port = int(found["port"] or _SCHEME_PORTS[scheme])
    return scheme, found["host"].lower().strip("[]"), port


def _origin_of(url: str) -> _Origin | None:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    is_plain = url.isascii() and url.isprintable() and " " not in url and "\\" not in url
    if not is_plain or parts.scheme not in _SCHEME_PORTS or not host or "@" in parts.netloc:
        return None
    if parts.query or parts.fragment:
        return None
    return parts.scheme, host, port or _SCHEME_PORTS[parts.scheme]


def _matches(origin: _Origin, allowed: _Origin) -> bool:
    scheme, host, port = allowed
    return (scheme, port) == (origin[0], origin[2]) and fnmatchcase(origin[1], host)


def _show(origin: _Origin) -> str:
    scheme, host, port = origin
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}" + ("" if port == _SCHEME_PORTS[scheme] else f":{port}")
