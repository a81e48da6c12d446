"""A caller of the simulator that does not use our client: plain httpx, real HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from engine.clock import VirtualClock
from engine.simulator import APP_KEYS, MarketData, Simulator, SyntheticMarket, serve
from tests.paths import DIRTY_STOCKS_FILE, FUTURES_FILE, KIS_SAMPLES, STOCKS_FILE, require

CERTIFICATES = httpx.create_ssl_context()  # read once: no call needs them
FUTURES = "/uapi/domestic-futureoption/v1/quotations/"
STOCKS = "/uapi/domestic-stock/v1/quotations/"
PATHS = {
    "FHKIF03020200": FUTURES + "inquire-time-fuopchartprice",
    "FHKST03010200": STOCKS + "inquire-time-itemchartprice",
    "FHKST03010230": STOCKS + "inquire-time-dailychartprice",
    "FHPIF05030100": FUTURES + "display-board-callput",
    "FHPIF05030000": FUTURES + "display-board-top",
    "FHPIF05030200": FUTURES + "display-board-futures",
    "FHPIO056104C0": FUTURES + "display-board-option-list",
    "FHMIF10000000": FUTURES + "inquire-price",
    "CTCA0903R": STOCKS + "chk-holiday",
}


class Caller:
    """Calls one simulator with one app key."""

    def __init__(self, http: httpx.AsyncClient, simulator: Simulator, clock: VirtualClock) -> None:
        self.http = http
        self.simulator = simulator
        self.clock = clock
        ((key, secret),) = APP_KEYS.items()
        self.headers = {"appkey": key, "appsecret": secret, "custtype": "P"}

    async def ask_token(self, **changed: str) -> httpx.Response:
        keys = {k: self.headers[k] for k in ("appkey", "appsecret")}
        body = {"grant_type": "client_credentials", **keys, **changed}
        return await self.http.post("/oauth2/tokenP", json=body)

    async def log_in(self) -> None:
        token = (await self.ask_token()).json()["access_token"]
        self.headers["authorization"] = f"Bearer {token}"

    async def get(self, tr_id: str, **query: str) -> httpx.Response:
        headers = {**self.headers, "tr_id": tr_id}
        return await self.http.get(PATHS[tr_id], params=query, headers=headers)

    async def json(self, tr_id: str, **query: str) -> Any:
        answer = await self.get(tr_id, **query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def futures(
        self,
        symbol: str,
        day: str,
        hour: str,
        *,
        market: str = "F",
        past: str = "Y",
        fake: str = "N",
    ) -> list[dict[str, str]]:
        query = {
            "FID_COND_MRKT_DIV_CODE": market,
            "FID_INPUT_ISCD": symbol,
            "FID_HOUR_CLS_CODE": "60",
            "FID_PW_DATA_INCU_YN": past,
            "FID_FAKE_TICK_INCU_YN": fake,
            "FID_INPUT_DATE_1": day,
            "FID_INPUT_HOUR_1": hour,
        }
        return (await self.json("FHKIF03020200", **query))["output2"]

    async def stock_past(
        self, symbol: str, day: str, hour: str, *, past: str = "Y", fake: str = ""
    ) -> list[dict[str, str]]:
        query = {
            "FID_COND_MRKT_DIV_CODE": "J",
            "FID_INPUT_ISCD": symbol,
            "FID_INPUT_DATE_1": day,
            "FID_INPUT_HOUR_1": hour,
            "FID_PW_DATA_INCU_YN": past,
            "FID_FAKE_TICK_INCU_YN": fake,
        }
        return (await self.json("FHKST03010230", **query))["output2"]

    async def stock_today(self, symbol: str, hour: str) -> list[dict[str, str]]:
        query = {
            "FID_ETC_CLS_CODE": "",
            "FID_COND_MRKT_DIV_CODE": "J",
            "FID_INPUT_ISCD": symbol,
            "FID_INPUT_HOUR_1": hour,
            "FID_PW_DATA_INCU_YN": "N",
        }
        return (await self.json("FHKST03010200", **query))["output2"]

    async def board(self, maturity: str, market_class: str = "", *, market: str = "O") -> Any:
        return await self.json(
            "FHPIF05030100",
            FID_COND_MRKT_DIV_CODE=market,
            FID_COND_SCR_DIV_CODE="20503",
            FID_MRKT_CLS_CODE="CO",
            FID_MTRT_CNT=maturity,
            FID_COND_MRKT_CLS_CODE=market_class,
            FID_MRKT_CLS_CODE1="PO",
        )

    async def quote(self, symbol: str, market: str) -> Any:
        return await self.json(
            "FHMIF10000000", FID_COND_MRKT_DIV_CODE=market, FID_INPUT_ISCD=symbol
        )


Calling = Callable[..., AbstractAsyncContextManager[Caller]]


@pytest.fixture
def calling() -> Calling:
    """`async with calling(start, market=…, …) as caller`: a simulator, logged in to."""

    @asynccontextmanager
    async def call(
        start: datetime, market: MarketData | None = None, *, log_in: bool = True, **options: Any
    ) -> AsyncIterator[Caller]:
        clock = VirtualClock(start)
        options = {"calls_per_second": 1e9, **options}
        async with (
            serve(market or SyntheticMarket(7), clock, **options) as simulator,
            httpx.AsyncClient(base_url=simulator.base_url, verify=CERTIFICATES) as http,
        ):
            caller = Caller(http, simulator, clock)
            if log_in:
                await caller.log_in()
            yield caller

    return call


@pytest.fixture
def futures_file() -> Path:
    return require(FUTURES_FILE)


@pytest.fixture
def stocks_file() -> Path:
    return require(STOCKS_FILE)


@pytest.fixture
def answers_file() -> Path:
    return require(DIRTY_STOCKS_FILE)


@pytest.fixture
def samples() -> Path:
    return require(KIS_SAMPLES)
