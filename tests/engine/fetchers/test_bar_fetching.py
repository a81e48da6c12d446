"""Whole days and single polls against the simulator: every finished bar, nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from engine.clock import VirtualClock
from engine.fetchers.base import BarRequest
from engine.fetchers.derivatives import DerivativeBarFetcher
from engine.fetchers.registry import FETCHERS
from engine.fetchers.stock import StockBarFetcher
from engine.kis.client import KisClient
from engine.market import sessions
from engine.market.sessions import Market, Session
from engine.schemas import FUTURES_BARS, OPTION_CHAIN, STOCK_BARS, VENUE_BARS
from engine.settings import AppKey, KisSettings
from engine.simulator import APP_KEYS, Simulator, SyntheticMarket, serve
from tests.served import served_bars
from tests.stamps import session_on

DAY = date(2026, 11, 20)
BEFORE = date(2026, 11, 18)  # the 19th is CSAT day
BARS = ["timestamp", "open", "high", "low", "close", "volume"]


@asynccontextmanager
async def at(now: datetime, folder: Path) -> AsyncIterator[tuple[Simulator, KisClient]]:
    """Open a simulator and a client at a moment."""
    clock = VirtualClock(now)
    keys = tuple(AppKey(app_key=k, app_secret=s) for k, s in APP_KEYS.items())
    async with serve(SyntheticMarket(3), clock) as simulator:
        settings = KisSettings(base_url=simulator.base_url, app_keys=keys, calls_per_second=20)
        client = KisClient(settings, clock, folder=folder)
        try:
            yield simulator, client
        finally:
            await client.close()


def truth(simulator: Simulator, symbol: str, session: Session) -> pl.DataFrame:
    night = session.market is Market.NIGHT
    served = served_bars(simulator.exchange, symbol, session.date, night=night)
    stamp = session.stamp_of_label(pl.col("label")).alias("timestamp")
    return served.with_columns(stamp).select(BARS)


def bars(batch: pa.RecordBatch) -> pl.DataFrame:
    frame = pl.from_arrow(batch)
    assert isinstance(frame, pl.DataFrame)
    assert frame["timestamp"].is_sorted()
    assert not frame["timestamp"].is_duplicated().any()
    return frame


WHOLE_DAYS = [  # symbol, day, calls: as few as the rows of an answer allow
    ("A01612", BEFORE, 5),
    ("A01612", date(2026, 11, 19), 5),  # one hour later
    ("A01612", date(2026, 12, 10), 4),  # its expiry: 395 bars, no auction
    ("005930", BEFORE, 4),
]


@pytest.mark.parametrize(("symbol", "day", "calls"), WHOLE_DAYS)
async def test_a_whole_past_day_takes_as_few_calls_as_its_rows_allow(
    tmp_path: Path, symbol: str, day: date, calls: int
) -> None:
    session = session_on(symbol, day)
    async with at(datetime(2026, 12, 14, 20), tmp_path) as (simulator, client):
        fetcher = (StockBarFetcher if symbol == "005930" else DerivativeBarFetcher)(client)
        batch = await fetcher.fetch(BarRequest(symbol, session, whole_day=True))
        assert bars(batch).select(BARS).equals(truth(simulator, symbol, session))
    assert batch.schema == (STOCK_BARS if symbol == "005930" else FUTURES_BARS)
    assert batch.num_rows == len(session.stamps())
    assert client.calls == calls
    assert set(batch["symbol"].to_pylist()) == {symbol}


async def test_a_night_goes_on_past_midnight(tmp_path: Path) -> None:
    session = sessions.session(Market.NIGHT, BEFORE)
    assert session is not None
    async with at(datetime(2026, 11, 20, 20), tmp_path) as (simulator, client):
        fetcher = DerivativeBarFetcher(client)
        batch = await fetcher.fetch(BarRequest("A01612_NIGHT", session, whole_day=True))
        found = bars(batch).select(BARS)
        assert set(batch["symbol"].to_pylist()) == {"A01612_NIGHT"}
        assert found.equals(truth(simulator, "A01612", session))
    assert found["timestamp"].min() == datetime(2026, 11, 18, 18, 1)
    assert found["timestamp"].max() == datetime(2026, 11, 19, 6, 0)
    assert client.calls <= -(-len(found) // 102) + 1


@pytest.mark.parametrize("symbol", ["A01612", "005930"])
async def test_a_whole_day_is_fetched_at_once_after_the_close(tmp_path: Path, symbol: str) -> None:
    session = session_on(symbol, DAY)
    async with at(session.sealed_at, tmp_path) as (simulator, client):
        fetcher = (StockBarFetcher if symbol == "005930" else DerivativeBarFetcher)(client)
        batch = await fetcher.fetch(BarRequest(symbol, session, whole_day=True))
        assert bars(batch).select(BARS).equals(truth(simulator, symbol, session))
    assert client.calls <= 5


@pytest.mark.parametrize(("symbol", "most"), [("A01612", 102), ("005930", 30)])
@pytest.mark.parametrize("moment", ["09:00:59", "09:01:00", "09:46:02", "12:00:02", "15:25:30"])
async def test_a_poll_brings_the_finished_bars_of_one_call(
    tmp_path: Path, symbol: str, most: int, moment: str
) -> None:
    now = datetime.fromisoformat(f"{DAY} {moment}")
    session = session_on(symbol, DAY)
    async with at(now, tmp_path) as (simulator, client):
        fetcher = (StockBarFetcher if symbol == "005930" else DerivativeBarFetcher)(client)
        found = bars(await fetcher.fetch(BarRequest(symbol, session)))
        served = truth(simulator, symbol, session).filter(pl.col("timestamp") <= now)
    assert found.select(BARS).equals(served.tail(most))
    assert client.calls == (1 if now >= session.first_stamp else 0)
    assert not fetcher.take_rejected()


async def test_before_the_first_minute_has_ended_there_is_no_call(tmp_path: Path) -> None:
    session = session_on("A01612", DAY)
    async with at(session.opens + timedelta(seconds=59), tmp_path) as (_, client):
        batch = await DerivativeBarFetcher(client).fetch(
            BarRequest("A01612", session, whole_day=True)
        )
    assert (batch.num_rows, batch.schema, client.calls) == (0, FUTURES_BARS, 0)


async def test_the_auction_counts_when_its_minute_is_over(tmp_path: Path) -> None:
    session = session_on("A01612", DAY)
    for after, last in ((60, session.auction), (59, session.continuous_end)):
        async with at(session.auction + timedelta(seconds=after), tmp_path) as (_, client):
            batch = await DerivativeBarFetcher(client).fetch(BarRequest("A01612", session))
        assert batch["timestamp"][-1].as_py() == last


@pytest.mark.parametrize("symbol", ["A01612", "005930"])
async def test_a_gap_costs_only_the_calls_that_cover_it(tmp_path: Path, symbol: str) -> None:
    session = session_on(symbol, DAY)
    since, until = datetime(2026, 11, 20, 10, 15), datetime(2026, 11, 20, 10, 24)
    async with at(session.sealed_at, tmp_path) as (_, client):
        fetcher = (StockBarFetcher if symbol == "005930" else DerivativeBarFetcher)(client)
        request = BarRequest(symbol, session, since=since, until=until)
        stamps = set(bars(await fetcher.fetch(request))["timestamp"])
    assert {since + timedelta(minutes=n) for n in range(10)} <= stamps
    assert max(stamps) == until
    assert client.calls == 1


async def test_until_the_auction_means_the_auction(tmp_path: Path) -> None:
    session = session_on("005930", BEFORE)
    async with at(datetime(2026, 11, 20, 20), tmp_path) as (_, client):
        request = BarRequest("005930", session, until=session.auction, since=session.auction)
        batch = await StockBarFetcher(client).fetch(request)
    assert batch["timestamp"][-1].as_py() == session.auction
    assert client.calls == 1


async def test_a_thin_stock_has_fewer_bars_and_no_gap_between_pages(tmp_path: Path) -> None:
    symbol = "900300"
    session = session_on(symbol, BEFORE)
    async with at(datetime(2026, 11, 20, 20), tmp_path) as (simulator, client):
        batch = await StockBarFetcher(client).fetch(BarRequest(symbol, session, whole_day=True))
        assert bars(batch).select(BARS).equals(truth(simulator, symbol, session))


async def test_an_option_has_bars_of_its_own_market(tmp_path: Path) -> None:
    session = session_on("B01612A97", BEFORE)
    async with at(datetime(2026, 11, 20, 20), tmp_path) as (simulator, client):
        batch = await DerivativeBarFetcher(client).fetch(
            BarRequest("B01612A97", session, whole_day=True)
        )
        assert bars(batch).select(BARS).equals(truth(simulator, "B01612A97", session))


@pytest.mark.parametrize("symbol", ["101W09", "A01606"])
async def test_a_code_that_kis_has_dropped_has_no_bars_and_no_error(
    tmp_path: Path, symbol: str
) -> None:
    session = session_on("A01612", BEFORE)
    async with at(datetime(2026, 11, 20, 20), tmp_path) as (_, client):
        batch = await DerivativeBarFetcher(client).fetch(
            BarRequest(symbol, session, whole_day=True)
        )
    assert batch.num_rows == 0
    assert client.calls == 1


def test_every_source_has_a_line_in_the_registry() -> None:
    schemas = {name: fetcher.schema for name, fetcher in FETCHERS.items()}
    assert schemas == {
        "stock": STOCK_BARS,
        "venue": VENUE_BARS,
        "deriv": FUTURES_BARS,
        "option_chain": OPTION_CHAIN,
        "night_chain": OPTION_CHAIN,
    }
