"""A bad day and a storm: in the end every bar is there, and KIS was not called too fast."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest

from engine.clock import VirtualClock
from engine.errors import KisError
from engine.fetchers.bars import BarFetcher
from engine.fetchers.base import BarRequest
from engine.fetchers.derivatives import DerivativeBarFetcher
from engine.fetchers.stock import StockBarFetcher
from engine.kis.client import KisClient
from engine.market.sessions import Session
from engine.market.symbols import parse
from engine.settings import AppKey, KisSettings
from engine.simulator import APP_KEYS, SyntheticMarket, load_scenario, serve
from tests.served import served_bars

FROM = datetime(2026, 11, 20, 11, 10, 2)
MINUTES = 40
SYMBOLS = ("A01612", "005930", "000660", "035420")
KEY = ["symbol", "timestamp"]
VALUES = ["open", "high", "low", "close", "volume"]


def session(symbol: str) -> Session:
    found = parse(symbol).session(FROM.date())
    assert found is not None
    return found


class Collector:
    """The least that a job does: a poll a minute for each symbol, later answers win."""

    def __init__(self, client: KisClient) -> None:
        self.client = client
        self.failures: list[KisError] = []
        self._futures = DerivativeBarFetcher(client)
        self._stocks = StockBarFetcher(client)
        self.stored: dict[tuple[str, datetime], tuple[float, ...]] = {}

    def fetcher(self, symbol: str) -> BarFetcher:
        return self._futures if symbol == "A01612" else self._stocks

    async def follow(self, symbol: str) -> None:
        for n in range(MINUTES):
            minute = FROM + timedelta(minutes=n)
            await self.client.clock.sleep_until(minute)
            deadline = minute + timedelta(seconds=57)
            try:
                await self.store(BarRequest(symbol, session(symbol), deadline=deadline))
            except KisError as error:
                self.failures.append(error)
                assert self.client.clock.now() <= deadline

    async def store(self, request: BarRequest) -> None:
        bars = pl.DataFrame(await self.fetcher(request.symbol).fetch(request))
        assert (bars["timestamp"] <= self.client.clock.now()).all()
        self.stored |= {(row[0], row[1]): row[2:] for row in bars.select(*KEY, *VALUES).iter_rows()}


async def reconcile(collector: Collector) -> None:
    """Fetch the whole day when it is sealed, again where a page was empty or failed."""
    clock = collector.client.clock
    await clock.sleep_until(session("A01612").sealed_at + timedelta(minutes=1))
    for symbol in SYMBOLS:
        expected = len(session(symbol).stamps())
        for _ in range(20):
            with suppress(KisError):
                await collector.store(BarRequest(symbol, session(symbol), whole_day=True))
            if sum(key[0] == symbol for key in collector.stored) >= expected:
                break
            await clock.sleep(30)


@pytest.mark.parametrize("name", ["rough", "storm"])
async def test_in_the_end_every_bar_is_there(name: str, tmp_path: Path) -> None:
    clock = VirtualClock(FROM)
    keys = tuple(AppKey(app_key=k, app_secret=s) for k, s in APP_KEYS.items())
    scenario = load_scenario(name)
    async with serve(SyntheticMarket(3), clock, faults=scenario) as simulator:
        client = KisClient(
            KisSettings(base_url=simulator.base_url, app_keys=keys), clock, folder=tmp_path
        )
        collector = Collector(client)
        await asyncio.gather(*map(collector.follow, SYMBOLS))
        await reconcile(collector)
        await client.close()
        served = {
            (symbol, stamp): tuple(values)
            for symbol in SYMBOLS
            for stamp, *values in served_bars(simulator.exchange, symbol, FROM.date())
            .select(session(symbol).stamp_of_label(pl.col("label")).alias("stamp"), *VALUES)
            .iter_rows()
        }
    assert collector.stored == served
    tokens = simulator.counts.tokens
    assert all(b - a >= timedelta(minutes=1) for a, b in pairwise(tokens))
    assert len(tokens) >= 2  # one died
    calls = sum(simulator.counts.calls.values())
    assert simulator.counts.refusals.get("EGW00201", 0) < 0.01 * calls
    for error in collector.failures:
        assert error.tr_id
        assert error.symbol in SYMBOLS
