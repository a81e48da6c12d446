"""The simulator itself: a real HTTP server on the loopback that answers like KIS.

It lives in the event loop of whoever starts it and takes its time from their clock, so a whole day
runs as fast as the work allows. Wherever it waits for that clock it says so (`Clock.parked`).
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date, datetime

import orjson
import polars as pl
from aiohttp import web

from engine.clock import Clock
from engine.sessions import Market
from engine.simulator import bar_answers, reference_answers
from engine.simulator.board_answers import Board
from engine.simulator.desk import Desk, served, served_session
from engine.simulator.market import MarketData
from engine.simulator.refusals import Refusal, missing_field
from engine.simulator.tokens import Gate

log = logging.getLogger(__name__)

FUTURES, STOCKS = (
    "/uapi/domestic-futureoption/v1/quotations/",
    "/uapi/domestic-stock/v1/quotations/",
)
TOKEN_PATH, MASTER_PATH = "/oauth2/tokenP", "/common/master/fo_idx_code_mts.mst.zip"
APP_KEYS = {"simulated-key": "simulated-secret"}  # for whoever names none of their own
BARS = ("FID_COND_MRKT_DIV_CODE", "FID_INPUT_ISCD", "FID_INPUT_HOUR_1", "FID_PW_DATA_INCU_YN")

Answer = Callable[[Desk, Mapping[str, str], datetime], bytes]


@dataclass(frozen=True)
class Endpoint:
    """One TR: its id, the query fields that must be there and who answers."""

    tr_id: str
    fields: tuple[str, ...]
    answer: Answer


@dataclass
class Counts:
    """What the server saw and did."""

    calls: Counter[str] = field(default_factory=Counter)  # by TR id, tokenP and master included
    refusals: Counter[str] = field(
        default_factory=Counter
    )  # by msg_cd: refused for the caller's sake
    faults: Counter[str] = field(default_factory=Counter)  # by kind: what the scenario did
    tokens: list[datetime] = field(default_factory=list)  # when a token was asked for and granted


class Simulator:
    """A running server. `base_url` is for the client's settings."""

    def __init__(self, market: MarketData, clock: Clock, gate: Gate) -> None:
        self.clock, self.gate, self.desk = clock, gate, Desk(market)
        self.counts = Counts()
        self.base_url = ""
        self._endpoints = endpoints(Board(self.desk))

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one HTTP request."""
        now = self.clock.now()
        try:
            return await self._answer(request, now)
        except Refusal as refusal:
            self.counts.refusals[refusal.msg_cd] += 1
            return _json(refusal.body(), refusal.status)

    async def _answer(self, request: web.BaseRequest, now: datetime) -> web.StreamResponse:
        path = request.path
        if path == TOKEN_PATH:
            return _json(self._token(await request.read(), now))
        if path == MASTER_PATH:
            self.counts.calls["master"] += 1
            body = reference_answers.master_file(self.desk, now.date())
            return web.Response(body=body, content_type="application/zip")
        endpoint = self._endpoints.get(path)
        if endpoint is None:
            return web.Response(status=404, text="Not Found")
        return _json(self._quotation(endpoint, request, now))

    def _token(self, body: bytes, now: datetime) -> bytes:
        self.counts.calls["tokenP"] += 1
        try:
            asked = orjson.loads(body)
        except orjson.JSONDecodeError:
            asked = {}
        token = self.gate.issue(asked if isinstance(asked, dict) else {}, now)
        self.counts.tokens.append(now)
        return orjson.dumps({
            "access_token": token.text,
            "access_token_token_expired": f"{token.expires_at:%Y-%m-%d %H:%M:%S}",
            "token_type": "Bearer", "expires_in": 86400,
        })  # fmt: skip

    def _quotation(self, endpoint: Endpoint, request: web.BaseRequest, now: datetime) -> bytes:
        self.counts.calls[endpoint.tr_id] += 1
        headers, query = request.headers, request.query
        self.gate.admit(headers, now)
        if headers.get("tr_id") != endpoint.tr_id:
            raise Refusal("EGW00304", "유효하지 않은 tr_id입니다.")
        for name in endpoint.fields:
            if name not in query:
                raise missing_field(name)
        return endpoint.answer(self.desk, query, now)

    def served_bars(self, symbol: str, day: date, *, night: bool = False) -> pl.DataFrame:
        """Return the bars of a session as they are served in the end, faults included.

        Columns label (KIS's: start of the minute), open, high, low, close, volume.
        """
        market = Market.NIGHT if night else Market.STOCKS
        of = served_session(symbol, market, day)
        if of is None:
            return pl.DataFrame(schema=_no_bars())
        return served(self.desk.sheet(symbol, of))


def _no_bars() -> pl.Schema:
    from engine.simulator.market import BARS as SCHEMA

    return SCHEMA


def _json(body: bytes, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/json", charset="utf-8")


def endpoints(board: Board) -> dict[str, Endpoint]:
    """Return path → endpoint of everything that is served under an app key."""
    code = BARS[:2]
    past = ("FID_INPUT_DATE_1", "FID_FAKE_TICK_INCU_YN")
    return {
        FUTURES + "inquire-time-fuopchartprice": Endpoint(
            "FHKIF03020200", (*BARS, *past, "FID_HOUR_CLS_CODE"), bar_answers.futures_bars
        ),
        STOCKS + "inquire-time-itemchartprice": Endpoint(
            "FHKST03010200", (*BARS, "FID_ETC_CLS_CODE"), bar_answers.stock_bars_today
        ),
        STOCKS + "inquire-time-dailychartprice": Endpoint(
            "FHKST03010230", (*BARS, *past), bar_answers.stock_bars_past
        ),
        FUTURES + "display-board-callput": Endpoint(
            "FHPIF05030100",
            ("FID_COND_MRKT_DIV_CODE", "FID_COND_SCR_DIV_CODE", "FID_MRKT_CLS_CODE", "FID_MTRT_CNT",
             "FID_COND_MRKT_CLS_CODE", "FID_MRKT_CLS_CODE1"),
            board.board,
        ),
        FUTURES + "display-board-top": Endpoint("FHPIF05030000", code, board.top),
        FUTURES + "display-board-futures": Endpoint(
            "FHPIF05030200", ("FID_COND_MRKT_DIV_CODE", "FID_COND_MRKT_CLS_CODE"), board.futures
        ),
        FUTURES + "display-board-option-list": Endpoint(
            "FHPIO056104C0", ("FID_COND_SCR_DIV_CODE",), reference_answers.series_list
        ),
        FUTURES + "inquire-price": Endpoint("FHMIF10000000", code, board.quote),
        STOCKS + "chk-holiday": Endpoint(
            "CTCA0903R", ("BASS_DT", "CTX_AREA_NK", "CTX_AREA_FK"), reference_answers.holidays
        ),
    }  # fmt: skip


@asynccontextmanager
async def serve(
    market: MarketData,
    clock: Clock,
    *,
    calls_per_second: float = 20,
    app_keys: Mapping[str, str] | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
) -> AsyncIterator[Simulator]:
    """Serve a market on the loopback while the block runs; port 0 takes any free one.

    `app_keys` maps key to secret; the pace is refused beyond `calls_per_second` per key.
    """
    gate = Gate(app_keys or APP_KEYS, calls_per_second)
    simulator = Simulator(market, clock, gate)
    # A client that gave up must not leave its handler waiting for the clock: cancel it.
    runner = web.ServerRunner(
        web.Server(simulator.handle, access_log=None, handler_cancellation=True),
        shutdown_timeout=0.2,
    )
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    try:
        await site.start()
        simulator.base_url = f"http://{host}:{runner.addresses[0][1]}"
        yield simulator
    finally:
        await runner.cleanup()
