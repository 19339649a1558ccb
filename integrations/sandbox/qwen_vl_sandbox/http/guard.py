"""Requests that a web page has a browser send are refused before anything is read of them."""

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_FORBIDDEN = 403


class HostGuard:
    """Answers requests for this machine only.

    A page whose host name an attacker points to this machine could otherwise read what the
    sandbox answers, and have it fetch URLs of this machine. IP addresses cannot be pointed
    elsewhere, so they are allowed; so is `localhost`.

    Args:
        app: The application.
        hosts: Further host names.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        self._app = app
        self._hosts = {"localhost", *(host.lower() for host in hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "http":
            headers = dict(scope["headers"])
            refusal = self._find_fault(headers.get(b"host"), headers.get(b"origin"))
            if refusal is not None:
                await PlainTextResponse(f"{refusal}\n", _FORBIDDEN)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _find_fault(self, host: bytes | None, origin: bytes | None) -> str | None:
        named = (host or b"").decode("latin-1")
        if not self._is_allowed(f"//{named}"):
            return (
                f"The Host header {named[:100]!r} is not allowed. Use an IP address or localhost, "
                "or pass allowed_hosts=… to the sandbox."
            )
        if origin is not None and not self._is_allowed(origin.decode("latin-1")):
            return "Requests of web pages are not answered."
        return None

    def _is_allowed(self, url: str) -> bool:
        try:
            host = (urlsplit(url).hostname or "").rstrip(".")
            return host in self._hosts or bool(ipaddress.ip_address(host))
        except ValueError:
            return False
