"""The page's server: one page, its files, and a stream of what changed for each who watches."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import zlib
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from hmac import compare_digest
from html import escape
from typing import Any

import orjson
from aiohttp import web

from engine.clock import WallClock
from pipelines.reports.dashboard.assets import assets, template, version
from pipelines.reports.dashboard.choice import read_choice
from pipelines.reports.dashboard.content import PageContent, Viewer
from pipelines.reports.dashboard.instruments import find_symbols
from pipelines.reports.page_guard import MOST_VIEWERS, page_names, why_refused
from pipelines.texts import Language, Texts, language_of, preferred_language

log = logging.getLogger(__name__)

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src data:;"
    " img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_WEEK = 7 * 86_400
_YEAR = 365 * 86_400
_GRACE = 1.0  # seconds for those who watch when the server ends
_LANGUAGE = "krt_language"
_LONGEST = 40  # letters that are looked for
_AGES = ("seconds_ago", "minutes_ago", "hours_ago")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class PageServer:
    """Serves the page of a viewer on an address.

    `token` lets viewers in; without one everybody on the machine is. `allowed` are further names of
    ours: a proxy's. `refresh` is how often it looks again, in seconds; `usual` the language for
    browsers that like neither of ours.
    """

    viewer: Viewer
    host: str
    port: int
    refresh: float = 5.0
    token: str = ""
    allowed: frozenset[str] = frozenset()
    usual: Language | None = None
    most_viewers: int = MOST_VIEWERS
    watching: int = field(default=0, init=False)

    def application(self) -> web.Application:
        """Return the application: for a runner, and for tests."""
        app = web.Application(middlewares=[self._guard], client_max_size=4096)
        app.router.add_get("/", self._page)
        app.router.add_post("/login", self._login)
        app.router.add_get("/events", self._events)
        app.router.add_get("/state", self._state)
        app.router.add_get("/symbols", self._symbols)
        app.router.add_get("/health", _alive)
        app.router.add_get("/static/{version}/{name}", _asset)
        return app

    async def serve(self, ready: Callable[[], None]) -> None:
        """Serve until cancelled; `ready` is called once the port listens."""
        runner = web.AppRunner(self.application(), access_log=None, shutdown_timeout=_GRACE)
        await runner.setup()
        await self._read({})  # the first viewer need not wait for what is loaded once
        try:
            await web.TCPSite(runner, self.host, self.port).start()
            ready()
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        names = frozenset(page_names(self.host, guarded=bool(self.token)))
        given = {name.lower(): request.headers.getall(name) for name in request.headers}
        if why := why_refused(given, names, self.allowed):
            response: web.StreamResponse = web.Response(status=403, text=f"{why}\n")
        elif self._is_open(request) or self._is_known(request):
            response = await handler(request)
        elif request.method == "GET" and request.path == "/":
            response = self._ask_for_token(request)
        else:
            response = web.Response(status=401, text="the token is missing\n")
        if not response.prepared:
            response.headers.update(_HEADERS)
            if "Cache-Control" not in response.headers:
                response.headers["Cache-Control"] = "no-store"
        return response

    def _is_open(self, request: web.Request) -> bool:
        """Say whether a path shows nothing of the data: the way in, and files that all have."""
        return (
            not self.token
            or request.path in ("/login", "/health")
            or (request.path.startswith("/static/"))
        )

    def _is_known(self, request: web.Request) -> bool:
        kept = request.cookies.get(self._cookie, "")
        return compare_digest(kept.encode(), _proof(self.token).encode())

    @property
    def _cookie(self) -> str:
        return f"krt_{self.port}"  # a browser keeps cookies by host, whatever the port

    def _ask_for_token(self, request: web.Request) -> web.Response:
        """Let in who has the token in the address, once; ask all others for it."""
        given = request.query.get("access_token")
        if given is not None and self._is_token(given):
            rest = request.rel_url.without_query_params("access_token")
            return self._let_in(str(rest))
        return self._login_page(request, wrong=given is not None)

    def _is_token(self, given: str) -> bool:
        return compare_digest(given.encode(), self.token.encode())

    def _let_in(self, where: str) -> web.Response:
        response = web.Response(status=303, headers={"Location": where})
        response.set_cookie(
            self._cookie, _proof(self.token), max_age=_WEEK, httponly=True, samesite="Lax"
        )
        return response

    async def _login(self, request: web.Request) -> web.Response:
        given = (await request.post()).get("token", "")
        if self.token and isinstance(given, str) and self._is_token(given.strip()):
            return self._let_in("/")
        return self._login_page(request, wrong=True)

    def _login_page(self, request: web.Request, *, wrong: bool) -> web.Response:
        t = Texts(self._language(request))
        names = ("login_title", "login_field", "login_button")
        said = {name: escape(t(name)) for name in names}
        trouble = escape(t("login_wrong")) if wrong else ""
        text = template("login.html").substitute(
            said, language=t.language, version=version(), trouble=trouble
        )
        return web.Response(status=401, text=text, content_type="text/html")

    def _language(self, request: web.Request) -> Language:
        """Return the language switched to; else the browser's, else that of the settings."""
        switched = language_of(request.query.get("lang") or request.cookies.get(_LANGUAGE))
        return switched or preferred_language(
            request.headers.get("Accept-Language", ""), self.usual
        )

    async def _page(self, request: web.Request) -> web.Response:
        t = Texts(self._language(request))
        other = "en" if t.language == "ko" else "ko"
        names = ("connecting", "skip_to_chart", "chart_help", "language_switch", "choices")
        words = ("connection_lost", "too_many", *_AGES, "days_left")
        text = template("page.html").substitute(
            {name: escape(t(name)) for name in names},
            language=t.language,
            other=other,
            version=version(),
            words=escape(orjson.dumps({name: _raw(t, name) for name in words}).decode()),
        )
        response = web.Response(text=text, content_type="text/html")
        if request.query.get("lang"):
            response.set_cookie(_LANGUAGE, t.language, max_age=_YEAR, samesite="Lax")
        return response

    async def _state(self, request: web.Request) -> web.Response:
        """Answer everything at once, as a program may want it."""
        t = Texts(self._language(request))
        content = await self._read(request.query)
        body = orjson.dumps(_message(content, t, Sent()))
        response = web.Response(body=body, content_type="application/json")
        response.enable_compression()
        return response

    async def _symbols(self, request: web.Request) -> web.Response:
        """Answer which instruments a text in `find` means: code and name of each."""
        t, content = Texts(self._language(request)), await self._read(request.query)
        wanted = request.query.get("find", "")[:_LONGEST]
        found = find_symbols(t, content.board.day, wanted) if content.board else []
        return web.Response(body=orjson.dumps(found), content_type="application/json")

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """Send everything, then what changed, as server-sent events, until the viewer leaves."""
        if self.watching >= self.most_viewers:
            return web.Response(status=503, text="too many viewers\n")
        t, sent, clock = Texts(self._language(request)), Sent(), WallClock()
        response = web.StreamResponse(headers={**_HEADERS, "Cache-Control": "no-store"})
        response.content_type = "text/event-stream"
        pack = _packer(request)
        if pack is not None:
            response.headers["Content-Encoding"] = "gzip"
        await response.prepare(request)
        self.watching += 1
        try:
            with suppress(ConnectionError):
                while True:
                    content = await self._read(request.query)
                    message = orjson.dumps(_message(content, t, sent))
                    event = b"data: " + message + b"\n\n"
                    await response.write(pack(event) if pack else event)
                    await clock.sleep(self.refresh)
        finally:
            self.watching -= 1
        return response

    async def _read(self, query: Mapping[str, str]) -> PageContent:
        choice = read_choice(query)
        return await WallClock().thread(lambda: self.viewer.read(choice))


@dataclass
class Sent:
    """What one who watches has: parts, and the numbers of the chart with what it is called."""

    parts: dict[str, str] = field(default_factory=dict)
    chart: Mapping[str, list[list[Any]]] = field(default_factory=dict)
    words: dict[str, Any] = field(default_factory=dict)


def _message(content: PageContent, t: Texts, sent: Sent) -> dict[str, Any]:
    """Return what differs from what was sent, and keep it as sent.

    `rows` are, for each list of the chart, from which place on it changed and what stands there.
    """
    parts = content.parts(t)
    changed = {name: html for name, html in parts.items() if sent.parts.get(name) != html}
    message: dict[str, Any] = {
        "now": content.now.isoformat() if content.now else None,
        "runs": content.runs,
        "parts": changed,
    }
    sent.parts = {**sent.parts, **parts}
    if content.board is None:
        return message
    words = content.chart_words(t)
    if words.get("key") != sent.words.get("key"):
        sent.chart = {}
        message["anew"] = True
    if words != sent.words:
        message["chart"] = sent.words = words
    if content.chart is not sent.chart:
        rows = {
            name: [place, numbers[place:]]
            for name, numbers in content.chart.items()
            if (place := _common(sent.chart.get(name, []), numbers)) < len(numbers)
            or len(numbers) != len(sent.chart.get(name, []))
        }
        if rows:
            message["rows"] = rows
        sent.chart = content.chart
    return message


def _common(before: list[list[Any]], now: list[list[Any]]) -> int:
    """Return how many rows at the beginning are the same."""
    pairs = enumerate(zip(before, now, strict=False))
    shorter = min(len(before), len(now))
    return next((place for place, (old, new) in pairs if old != new), shorter)


def _packer(request: web.Request) -> Callable[[bytes], bytes] | None:
    """Return what compresses event after event as one gzip stream; None for who cannot read it."""
    if "gzip" not in request.headers.get("Accept-Encoding", ""):
        return None
    stream = zlib.compressobj(5, zlib.DEFLATED, 31)
    return lambda event: stream.compress(event) + stream.flush(zlib.Z_SYNC_FLUSH)


async def _alive(_request: web.Request) -> web.Response:
    return web.Response(text="ok\n")


async def _asset(request: web.Request) -> web.Response:
    asset = assets().get(request.match_info["name"])
    if asset is None:
        return web.Response(status=404, text="there is no such file\n")
    packs = "gzip" in request.headers.get("Accept-Encoding", "")
    return web.Response(
        body=asset.packed if packs else asset.plain,
        content_type=asset.content_type,
        headers={
            "Cache-Control": f"public, max-age={_YEAR}, immutable",
            "Vary": "Accept-Encoding",
            **({"Content-Encoding": "gzip"} if packs else {}),
        },
    )


def _proof(token: str) -> str:
    """Return what a browser keeps to show that it was let in: not the token itself."""
    return hashlib.sha256(f"krt page {token}".encode()).hexdigest()


def _raw(t: Texts, name: str) -> str:
    """Return a text whose {places} the browser fills."""
    return t(name, at="{at}", count="{count}")
