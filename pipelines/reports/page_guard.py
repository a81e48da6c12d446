"""Who may ask the page: not the pages of others that somebody has open in the same browser.

A browser lets any page send requests to this machine and open WebSockets to it, and a page whose
name its owner points at 127.0.0.1 may even read the answers. So each request must name this server
as its host (a page without a token; with one, that is the protection) and come from its own pages.
"""

from __future__ import annotations

import os
from collections.abc import (
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    MutableMapping,
    Sequence,
)
from collections.abc import Set as AbstractSet
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from pipelines.reports.environment import PAGE_ALLOWED, PAGE_NAMES, PAGE_VIEWERS

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
MOST_VIEWERS = 20
_REFUSED = 1008  # WebSocket: the policy forbids it
_LATER = 1013  # WebSocket: try again later


def is_loopback(host: str) -> bool:
    """Say whether an address can be reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def page_names(host: str, *, guarded: bool) -> list[str]:
    """Return the names by which a page on the address may be asked for; none: by any.

    With a token every name will do: who has no token gets nothing, under whatever name.
    """
    return [] if guarded else sorted({host.strip("[]").lower(), *LOOPBACK_NAMES})


class PageGuard:
    """An ASGI application that lets through what may pass, and answers the rest itself.

    `names` are the hosts that may be asked for (empty: any), `allowed` further ones whose pages are
    ours too: a proxy's.
    """

    def __init__(
        self, app: App, names: Iterable[str], allowed: Iterable[str], most_viewers: int
    ) -> None:
        self._app = app
        self._names = frozenset(names)
        self._allowed = frozenset(allowed)
        self._most = most_viewers
        self._viewers = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or hold one WebSocket until it ends."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        if why := why_refused(_headers(scope), self._names, self._allowed):
            await _refuse(scope, receive, send, why, 403, _REFUSED)
        elif scope["type"] == "http":
            await self._app(scope, receive, _unframed(send))
        elif self._viewers >= self._most:
            await _refuse(scope, receive, send, "too many viewers", 503, _LATER)
        else:
            self._viewers += 1
            try:
                await self._app(scope, receive, send)
            finally:
                self._viewers -= 1


def why_refused(
    headers: Mapping[str, Sequence[str]], names: AbstractSet[str], allowed: AbstractSet[str]
) -> str | None:
    """Return why a request is not answered; None if it may be.

    `headers` by their names in small letters; `names` and `allowed` as of `PageGuard`.
    """
    hosts = headers.get("host", [])
    host = _name(f"//{hosts[0]}") if len(hosts) == 1 else None
    if host is None:
        return "the host is missing or no host"
    if names and host not in names | allowed:
        return "this page does not have that name; see --allow-host"
    for origin in headers.get("origin", []):
        same = urlsplit(origin).netloc.lower() == hosts[0].lower()
        if not same and _name(origin) not in allowed:
            return "another page asks; see --allow-host"
    site = next(iter(headers.get("sec-fetch-site", [])), "none")
    opens = next(iter(headers.get("sec-fetch-dest", [])), "") == "document"
    if site not in ("same-origin", "none") and not opens:
        return "another page asks"
    return None


def guard_from_environment(app: App) -> PageGuard:
    """Return the guard that our parent process describes in the environment."""
    names, allowed = (
        [name for name in os.environ.get(variable, "").split(",") if name]
        for variable in (PAGE_NAMES, PAGE_ALLOWED)
    )
    return PageGuard(app, names, allowed, int(os.environ.get(PAGE_VIEWERS, MOST_VIEWERS)))


def _headers(scope: Scope) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        found.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return found


def _name(address: str) -> str | None:
    """Return the host of an address without port and brackets, in small letters; None if none."""
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


def _unframed(send: Send) -> Send:
    """Let no other page show ours in a frame, where it would be a viewer and could be clicked."""

    async def send_with_header(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            own = [(b"x-frame-options", b"DENY")]
            message = {**message, "headers": [*message.get("headers", []), *own]}
        await send(message)

    return send_with_header


async def _refuse(
    scope: Scope, receive: Receive, send: Send, why: str, status: int, code: int
) -> None:
    if scope["type"] == "websocket":
        await receive()  # the request to connect; closing before accepting answers 403
        await send({"type": "websocket.close", "code": code, "reason": why})
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": f"{why}\n".encode()})
