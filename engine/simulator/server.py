"""The simulator itself: a real HTTP server on the loopback that answers like KIS.

It lives in the event loop of whoever starts it and takes its time from their clock, so a whole day
runs as fast as the work allows. Wherever it waits for that clock it says so (`Clock.parked`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from email.utils import format_datetime

import orjson
import polars as pl
from aiohttp import web

from engine.clock import KST, Clock, today
from engine.market.sessions import Market, market_of
from engine.simulator.endpoints import (
    MASTER,
    MASTER_PATH,
    TOKEN,
    TOKEN_PATH,
    Endpoint,
    endpoints,
)
from engine.simulator.exchange import Desk, served, served_session
from engine.simulator.faults.corrupt import DOWN, mangle, on_its_way
from engine.simulator.faults.injector import Disturbance, Numbered
from engine.simulator.faults.scenario import KillToken, Refuse, Scenario, Slow
from engine.simulator.market.data import BARS, MarketData
from engine.simulator.reference_answers import master_file
from engine.simulator.refusals import Refusal, missing_field, wrong_tr_id
from engine.simulator.tokens import Gate

JSON, ZIP = "application/json", "application/zip"
WITHOUT_TR_ID = {TOKEN_PATH: TOKEN, MASTER_PATH: MASTER}
APP_KEYS = {"simulated-key": "simulated-secret"}  # for whoever names none of their own


@dataclass
class Counts:
    """What the server saw and did.

    `refusals` are those the caller has brought on itself, by msg_cd; what the scenario did is in
    `faults`, by kind of rule.
    """

    calls: Counter[str] = field(default_factory=Counter)  # by TR id, tokenP, master
    refusals: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    tokens: list[datetime] = field(default_factory=list)  # requests for a token that were granted


class Simulator:
    """A running server. `base_url` is for the client's settings."""

    def __init__(self, market: MarketData, clock: Clock, gate: Gate, scenario: Scenario) -> None:
        self.counts, self.base_url = Counts(), ""
        self._clock, self._gate = clock, gate
        self._faults = Disturbance(scenario, today(clock), self.counts.faults)
        self._desk = Desk(market, self._faults.sheet)
        self._endpoints = endpoints()

    def served_bars(
        self, symbol: str, day: date, *, night: bool = False, owed_only: bool = True
    ) -> pl.DataFrame:
        """Return the bars of a session as they are served in the end, faults included.

        Columns label (KIS's: start of the minute), open, high, low, close, volume. Rows that the
        session does not owe (KIS serves some) are left out unless asked for.
        """
        of = served_session(symbol, Market.NIGHT if night else market_of(symbol), day)
        if of is None:
            return BARS.to_frame()
        return served(self._desk.sheet(symbol, of), owed_only=owed_only)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one HTTP request, dated by this server's own clock as every answer of KIS is."""
        dated = format_datetime(self._clock.now().replace(tzinfo=KST).astimezone(UTC), usegmt=True)
        response = await self._answer(request)
        response.headers["Date"] = dated
        return response

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        endpoint = self._endpoints.get(request.path)
        tr_id = endpoint.tr_id if endpoint else WITHOUT_TR_ID.get(request.path)
        if tr_id is None:
            return web.Response(status=404, text="Not Found")
        self.counts.calls[tr_id] += 1
        now = self._clock.now()
        if self._faults.down(tr_id, now):
            return web.Response(body=DOWN, status=503, content_type="text/html", charset="utf-8")
        try:
            if endpoint:
                return await self._quotation(endpoint, request, now)
            return await (self._token if tr_id == TOKEN else self._master)(request, now)
        except Refusal as refusal:
            if not refusal.injected:
                self.counts.refusals[refusal.msg_cd] += 1
            return web.Response(body=refusal.body(), status=refusal.status, content_type=JSON)

    async def _quotation(
        self, endpoint: Endpoint, request: web.BaseRequest, now: datetime
    ) -> web.StreamResponse:
        headers, query = request.headers, request.query
        self._gate.admit(headers, now, self._faults.pace)
        symbol = query.get("FID_INPUT_ISCD", "")
        hits = self._hits(endpoint.tr_id, symbol, now)
        if headers.get("tr_id") != endpoint.tr_id:
            raise wrong_tr_id()
        for name in endpoint.fields:
            if name not in query:
                raise missing_field(name)
        body = endpoint.answer(self._desk, query, now)
        if hits:
            body = mangle(body, hits, self._desk, symbol, now)
        return await self._deliver(body, hits, request)

    def _hits(self, tr_id: str, symbol: str, now: datetime) -> list[Numbered]:
        """Return the rules that this call meets; raises the first that is a refusal."""
        hits = self._faults.hits(tr_id, symbol, now)
        for _, rule in hits:
            if isinstance(rule, KillToken):
                raise self._gate.kill_tokens(rule.code)
            if isinstance(rule, Refuse):
                raise Refusal(
                    rule.code, rule.message, rule.status, of_gateway=tr_id == TOKEN, injected=True
                )
        return hits

    async def _deliver(
        self, body: bytes, hits: list[Numbered], request: web.BaseRequest, kind: str = JSON
    ) -> web.StreamResponse:
        """Send the answer, unless something happens to it on its way."""
        for _, rule in hits:
            if isinstance(rule, Slow):
                async with self._clock.parked(request.headers.get("gt_uid", object())):
                    await self._clock.sleep(rule.seconds)
        return await on_its_way(body, hits, request) or web.Response(body=body, content_type=kind)

    async def _token(self, request: web.BaseRequest, now: datetime) -> web.StreamResponse:
        hits = self._hits(TOKEN, "", now)
        token = self._gate.issue(_object(await request.read()), now)
        self.counts.tokens.append(now)
        body = orjson.dumps(
            {
                "access_token": token.text,
                "access_token_token_expired": f"{token.expires_at:%Y-%m-%d %H:%M:%S}",
                "token_type": "Bearer",
                "expires_in": 86400,
            }
        )
        return await self._deliver(body, hits, request)

    async def _master(self, request: web.BaseRequest, now: datetime) -> web.StreamResponse:
        hits = self._hits(MASTER, "", now)
        return await self._deliver(master_file(self._desk, now.date()), hits, request, ZIP)


def _object(body: bytes) -> dict[str, str]:
    try:
        asked = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return {str(k): str(v) for k, v in asked.items()} if isinstance(asked, dict) else {}


@asynccontextmanager
async def serve(
    market: MarketData,
    clock: Clock,
    *,
    faults: Scenario | None = None,
    calls_per_second: float = 20,
    app_keys: Mapping[str, str] | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
) -> AsyncIterator[Simulator]:
    """Serve a market on the loopback while the block runs; port 0 takes any free one.

    `app_keys` maps key to secret (default: one, `APP_KEYS`); calls beyond `calls_per_second` per
    key, counted in the clock's time, are refused. Raises OSError if the port is taken.
    """
    gate = Gate(app_keys or APP_KEYS, calls_per_second)
    simulator = Simulator(market, clock, gate, faults or Scenario())
    # A client that gave up must not leave its handler waiting for the clock: cancel it.
    server = web.Server(simulator.handle, access_log=None, handler_cancellation=True)
    runner = web.ServerRunner(server, shutdown_timeout=0.2)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        simulator.base_url = f"http://{host}:{runner.addresses[0][1]}"
        yield simulator
    finally:
        await runner.cleanup()
