"""The simulator itself: a real HTTP and WebSocket server on the loopback that answers like KIS.

It runs in the event loop of its caller and takes its time from the caller's clock, so a whole day
runs as fast as the work allows. Wherever it waits for that clock it says so (`Clock.parked`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache

import orjson
from aiohttp import web

from engine.clock import KST, Clock, today
from engine.errors import CalendarRangeError
from engine.simulator.endpoints import (
    APPROVAL,
    APPROVAL_PATH,
    MASTER,
    MASTER_PATH,
    OAUTH,
    OAUTH_PATH,
    STOCK_MASTER_PATHS,
    Endpoint,
    endpoints,
)
from engine.simulator.exchange import SimulatedExchange
from engine.simulator.faults.corrupt import MAINTENANCE_PAGE, broken_response, corrupt_rows
from engine.simulator.faults.injector import FaultInjector, NumberedRule
from engine.simulator.faults.moving import moved_market
from engine.simulator.faults.rule import WEBSOCKET
from engine.simulator.faults.scenario import KillToken, Refuse, Scenario, Slow
from engine.simulator.market.data import MarketData
from engine.simulator.market.listed_stocks import stock_master_file
from engine.simulator.query import in_capitals
from engine.simulator.reference_answers import master_file
from engine.simulator.refusals import Refusal, missing_field, unknown_service, wrong_field
from engine.simulator.stream.connection import PATH as STREAM_PATH
from engine.simulator.stream.connection import ClientConnection
from engine.simulator.stream.hub import Hub, Limits
from engine.simulator.tokens import Admission

JSON = "application/json"
ZIP = "application/zip"
UNKNOWN = "unknown"  # how calls of what is not served are counted
WITHOUT_TR_ID = {
    OAUTH_PATH: OAUTH,
    APPROVAL_PATH: APPROVAL,
    MASTER_PATH: MASTER,
    **dict.fromkeys(STOCK_MASTER_PATHS, MASTER),
}
# Unless `serve` is given others. Clients insist on the lengths of real ones (docs/kis.md#clients).
APP_KEYS = {"simulated-key".ljust(36, "-"): "simulated-secret".ljust(180, "-")}


@dataclass
class Counts:
    """Counts of calls and answers.

    `refusals` are those that the caller caused, by msg_cd; `faults` are the scenario's, by kind of
    rule.
    """

    calls: Counter[str] = field(default_factory=Counter)  # by TR id, tokenP, master
    refusals: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    tokens: list[datetime] = field(default_factory=list)  # requests for a token that were granted


class Simulator:
    """A running server. `base_url` and `stream_url` are for the client's settings.

    `exchange` is what it answers from. It is public, so that tests can compare with what is served
    in the end, or replace it.
    """

    def __init__(
        self,
        market: MarketData,
        clock: Clock,
        gate: Admission,
        scenario: Scenario,
        limits: Limits,
    ) -> None:
        self.counts = Counts()
        self.base_url = ""
        self.stream_url = ""
        self._clock = clock
        self._gate = gate
        self._faults = FaultInjector(scenario, today(clock), self.counts.faults)
        moved = moved_market(market, scenario, today(clock))
        self.exchange = SimulatedExchange(moved, self._faults.add_faults)
        self._endpoints = endpoints()
        self._handled = 0
        self.stream = Hub(self.exchange, clock, gate, limits, self._faults)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one HTTP request in KIS's headers, this server's time in Date among them.

        One below /tryitout begins a WebSocket and is served until that ends.
        """
        if request.path.startswith(STREAM_PATH):
            return await self._serve_stream(request)
        dated = _date_header(self._clock.now().replace(microsecond=0))
        self._handled += 1
        response = await self._answer(request)
        asked = request.headers
        response.headers["Date"] = dated
        response.headers["tr_id"] = asked.get("tr_id", "")
        response.headers["gt_uid"] = asked.get("gt_uid") or f"{self._handled:032d}"
        response.headers.setdefault("tr_cont", "")
        return response

    async def _serve_stream(self, request: web.BaseRequest) -> web.StreamResponse:
        self.counts.calls[WEBSOCKET] += 1
        if self._faults.is_down(WEBSOCKET, self._clock.now()):
            return web.Response(status=503)
        return await ClientConnection(self.stream, request).run()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path = _clean_path(request.path)
        endpoint = self._endpoints.get(path)
        tr_id = endpoint.tr_id if endpoint else WITHOUT_TR_ID.get(path, UNKNOWN)
        self.counts.calls[tr_id] += 1
        now = self._clock.now()
        if self._faults.is_down(tr_id, now):
            return web.Response(
                body=MAINTENANCE_PAGE, status=503, content_type="text/html", charset="utf-8"
            )
        try:
            if endpoint:
                return await self._quotation(endpoint, request, now)
            if tr_id == UNKNOWN:
                return self._refuse_unknown(path, request.headers, now)
            without_token = {OAUTH: self._token, APPROVAL: self._approval, MASTER: self._master}
            return await without_token[tr_id](request, now)
        except CalendarRangeError:
            return self._refuse(wrong_field("DATE"))
        except Refusal as refusal:
            return self._refuse(refusal)

    def _refuse(self, refusal: Refusal) -> web.Response:
        if not refusal.injected:
            self.counts.refusals[refusal.msg_cd] += 1
        return web.Response(body=refusal.body(), status=refusal.status, content_type=JSON)

    async def _quotation(
        self, endpoint: Endpoint, request: web.BaseRequest, now: datetime
    ) -> web.StreamResponse:
        headers = request.headers
        query = in_capitals(request.query)
        self._gate.admit(headers, now, self._faults.pace)
        symbol = query.get("FID_INPUT_ISCD", "")
        hits = self._rules_for_call(endpoint.tr_id, symbol, now)
        if headers.get("tr_id") != endpoint.tr_id:
            raise unknown_service()
        for name in endpoint.fields:
            if name not in query:
                raise missing_field(name)
        body = endpoint.answer(self.exchange, query, now)
        more = endpoint.tr_cont(body)
        if hits:
            body = corrupt_rows(body, hits, self.exchange, symbol, now)
        response = await self._deliver(body, hits, request)
        response.headers["tr_cont"] = more
        return response

    def _refuse_unknown(
        self, path: str, headers: Mapping[str, str], now: datetime
    ) -> web.StreamResponse:
        """Refuse what is not served: orders, balances, other markets.

        Below /uapi the key and the token are checked first. Always raises Refusal.
        """
        if not path.startswith("/uapi/"):
            raise unknown_service(status=404)
        self._gate.admit(headers, now, self._faults.pace)
        raise unknown_service()

    def _rules_for_call(self, tr_id: str, symbol: str, now: datetime) -> list[NumberedRule]:
        """Return the rules that apply to this call. Raises Refusal if one of them is a refusal."""
        hits = self._faults.rules_for_call(tr_id, symbol, now)
        for _, rule in hits:
            if isinstance(rule, KillToken):
                raise self._gate.kill_tokens(rule.code)
            if isinstance(rule, Refuse):
                raise Refusal(
                    rule.code,
                    rule.message,
                    rule.status,
                    of_gateway=tr_id in (OAUTH, APPROVAL),
                    injected=True,
                )
        return hits

    async def _deliver(
        self, body: bytes, hits: list[NumberedRule], request: web.BaseRequest, kind: str = JSON
    ) -> web.StreamResponse:
        """Return the answer, or what the rules make of it, after the delay that they ask for."""
        for _, rule in hits:
            if isinstance(rule, Slow):
                async with self._clock.parked(request.headers.get("gt_uid", object())):
                    await self._clock.sleep(rule.seconds)
        return await broken_response(body, hits, request) or web.Response(
            body=body, content_type=kind
        )

    async def _token(self, request: web.BaseRequest, now: datetime) -> web.StreamResponse:
        hits = self._rules_for_call(OAUTH, "", now)
        token = self._gate.issue(_object(await request.read()))
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

    async def _approval(self, request: web.BaseRequest, now: datetime) -> web.StreamResponse:
        hits = self._rules_for_call(APPROVAL, "", now)
        body = orjson.dumps({"approval_key": self._gate.approve(_object(await request.read()))})
        return await self._deliver(body, hits, request)

    async def _master(self, request: web.BaseRequest, now: datetime) -> web.StreamResponse:
        hits = self._rules_for_call(MASTER, "", now)
        if market := STOCK_MASTER_PATHS.get(_clean_path(request.path)):
            body = stock_master_file(self.exchange.market, market, now.date())
        else:
            body = master_file(self.exchange, now.date())
        return await self._deliver(body, hits, request, ZIP)


def _clean_path(path: str) -> str:
    """Return the path with single slashes: clients do send //uapi/..."""
    return re.sub("/+", "/", path) if "//" in path else path


@lru_cache(1)  # of all calls of a second
def _date_header(now: datetime) -> str:
    return format_datetime(now.replace(tzinfo=KST).astimezone(UTC), usegmt=True)


def _object(body: bytes) -> dict[str, str]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return {str(k): str(v) for k, v in value.items()} if isinstance(value, dict) else {}


@asynccontextmanager
async def serve(
    market: MarketData,
    clock: Clock,
    *,
    faults: Scenario | None = None,
    calls_per_second: float = 20,
    app_keys: Mapping[str, str] | None = None,
    token_clock: Clock | None = None,
    limits: Limits | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
) -> AsyncIterator[Simulator]:
    """Serve a market on the loopback while the block runs; port 0 takes any free one.

    `app_keys` maps key to secret (default: one, `APP_KEYS`); calls beyond `calls_per_second` per
    key, counted in the clock's time, are refused. Tokens live by `token_clock` if there is one.
    `limits` are those of the WebSocket.
    Raises OSError if the port is taken.
    """
    gate = Admission(app_keys or APP_KEYS, calls_per_second, token_clock or clock)
    simulator = Simulator(market, clock, gate, faults or Scenario(), limits or Limits())
    # When a client gives up, its handler must not go on waiting for the clock: cancel it.
    server = web.Server(simulator.handle, access_log=None, handler_cancellation=True)
    runner = web.ServerRunner(server, shutdown_timeout=0.2)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        address = f"{host}:{runner.addresses[0][1]}"
        simulator.base_url, simulator.stream_url = f"http://{address}", f"ws://{address}"
        yield simulator
    finally:
        await runner.cleanup()
