"""URLs that the server fetches itself: what can be said of them here, where none is fetched."""

import ipaddress
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

# Amazon S3 and what is compatible, Google Cloud Storage, Alibaba Cloud OSS, Volcengine TOS and
# Huawei Cloud OBS sign alike: `X-Amz-Date=20261129T000000Z&X-Amz-Expires=3600`.
_SIGNED = re.compile(r"x-(amz|goog|oss|tos|obs)-date")
_SIGNED_AT = "%Y%m%dT%H%M%SZ"
# Beside one of these, `Expires` is a Unix time: older signatures of the same services, CloudFront.
_SIGNERS = ("signature", "key-pair-id", "ossaccesskeyid", "awsaccesskeyid", "googleaccessid")
_SHOWN_CHARS = 200
_LOCAL_SUFFIXES = (".localhost", ".local", ".internal", ".lan", ".home.arpa")


def is_local(url: str) -> bool:
    """Return whether only this machine or its network reaches the host of a URL.

    Args:
        url: `http:` or `https:`; other schemes lack a host.

    Example:
        >>> is_local("http://localhost:8000/a.png"), is_local("https://example.com/a.png")
        (True, False)
    """
    try:
        host = (urlsplit(url).hostname or "") if url[:4].lower() == "http" else ""
    except ValueError:
        return False
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return bool(host) and ("." not in host or host.endswith(_LOCAL_SUFFIXES))


def has_expired(url: str) -> bool:
    """Return whether a URL was signed for a time that is over.

    Args:
        url: Of object storage, or any other.

    Example:
        >>> has_expired("https://b.example.com/a.png?Expires=1700000000&Signature=x")
        True
    """
    try:
        query = {name.lower(): value for name, value in parse_qsl(urlsplit(url).query)}
    except ValueError:
        return False
    expiry = _find_expiry(query)
    return expiry is not None and expiry < time.time()


def shorten_url(url: str) -> str:
    """Return a URL as it may be shown: without user, password and signature.

    Args:
        url: `http:`, `https:` or `oss:`.

    Example:
        >>> shorten_url("https://user:secret@example.com/a.png?Signature=x")
        'https://example.com/a.png'
    """
    try:
        split = urlsplit(url)
    except ValueError:
        return url.partition("?")[0][:_SHOWN_CHARS]
    return f"{split.scheme}://{split.netloc.rpartition('@')[2]}{split.path}"[:_SHOWN_CHARS]


def _find_expiry(query: Mapping[str, str]) -> float | None:
    """Return until when a URL is signed, as a Unix time; `None` where it does not say."""
    try:
        for name in query:
            if signed := _SIGNED.fullmatch(name):
                begin = datetime.strptime(query[name], _SIGNED_AT).replace(tzinfo=UTC)
                lifetime = int(query[f"x-{signed[1]}-expires"])
                return (begin + timedelta(seconds=lifetime)).timestamp()
        if "expires" in query and any(name in query for name in _SIGNERS):
            return float(int(query["expires"]))
        if "q-sign-time" in query:
            # Tencent Cloud COS: from;to.
            return float(int(query["q-sign-time"].partition(";")[2]))
        if "se" in query and "sig" in query:
            # Azure Storage.
            end = datetime.fromisoformat(query["se"])
            return (end if end.tzinfo else end.replace(tzinfo=UTC)).timestamp()
    except (KeyError, ValueError, OverflowError):
        # Something else by that name.
        return None
    return None
