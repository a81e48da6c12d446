"""Bars of many symbols at once: each is refused on its own, and counted after all commits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from engine import schemas
from engine.clock import VirtualClock, WallClock
from engine.columns import BARS
from engine.errors import StoreError
from engine.store import MergeCounts, Store, Writer
from pipelines.day import ingest, warm_up
from pipelines.day.alerts import Alerts, Contact
from pipelines.day.ingest import Ingestor
from pipelines.day.statistics import DayStatistics
from pipelines.day.warm_up import open_windows
from pipelines.day_plan import plan
from pipelines.feed import Feed
from strategies.registry import STRATEGIES
from strategies.window import LiveWindow
from tests.engine.store.data import futures_bars

DAY = date(2025, 9, 1)
OPEN = datetime(2025, 9, 1, 9)
(FUTURE,) = plan(Feed(futures=("A01",)), DAY).futures


class Puts:
    """A writer that notes what is put, and refuses one symbol's batches."""

    def __init__(self, refused: str) -> None:
        self.put_symbols: list[str] = []
        self.refused = refused

    def queue(
        self,
        _table: str,
        batch: pa.RecordBatch,
        *,
        patience: float = 0.0,
        after: asyncio.Future[MergeCounts] | None = None,
    ) -> asyncio.Future[MergeCounts]:
        assert patience == 0.0, "the feed's bars wait for nobody"
        self.put_symbols.append(symbol := batch["symbol"][0].as_py())
        done: asyncio.Future[MergeCounts] = asyncio.get_running_loop().create_future()
        if symbol == self.refused:
            done.set_exception(StoreError("refused"))
            done.exception()
        else:
            done.set_result(MergeCounts(inserted=batch.num_rows))
        return done

    async def put(self, table: str, batch: pa.RecordBatch) -> MergeCounts:
        return await self.queue(table, batch)


@pytest.fixture
def bars() -> dict[str, list[pa.RecordBatch]]:
    symbols = ("A01509", "A05509", "A06509")
    return {"futures_1m": [futures_bars([1.0, 2.0], symbol=one, start=OPEN) for one in symbols]}


async def test_what_is_refused_of_one_symbol_takes_no_other_with_it(
    bars: dict[str, list[pa.RecordBatch]],
) -> None:
    clock, writer = VirtualClock(OPEN), Puts("A05509")
    stats = DayStatistics(plan(Feed(futures=("A01", "A05", "A06")), DAY), simulated=True)
    ingestor = Ingestor(writer, clock, stats, Alerts([], clock, Contact()))  # type: ignore[arg-type]
    refused = await ingestor.store_bars_at_once(bars)
    assert writer.put_symbols == ["A01509", "A05509", "A06509"]
    assert {symbol: str(error) for symbol, error in refused.items()} == {"A05509": "refused"}
    assert {symbol: len(stamps) for symbol, stamps in stats.stored.items()} == {
        "A01509": 2,
        "A06509": 2,
    }
    assert stats.rows == MergeCounts(inserted=4)
    assert set(stats.last_bar) == {"A01509", "A06509"}


async def test_windows_that_are_open_stay_when_the_catching_up_begins_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What came while the second ones were read for would be in none of them."""
    today, clock = plan(Feed(futures=("A01",)), DAY), VirtualClock(OPEN)
    stats = DayStatistics(today, simulated=True)
    ingestor = Ingestor(Puts("none"), clock, stats, Alerts([], clock, Contact()))  # type: ignore[arg-type]
    (future,) = today.futures

    async def store(close: float, start: datetime) -> None:
        batch = futures_bars([close], symbol=future, start=start)
        assert await ingestor.store_bars_at_once({"futures_1m": [batch]}) == {}

    async def read(*_: object) -> pl.DataFrame:
        if ingestor.windows:
            await store(101.0, OPEN)
        return BARS.to_frame()

    monkeypatch.setattr(warm_up, "read_bars", read)
    database = Store("", clock)
    await open_windows(today, database, ingestor)
    await open_windows(today, database, ingestor)
    if not stats.last_signal:
        await store(101.0, OPEN)
    await store(103.0, OPEN + timedelta(minutes=1))
    assert stats.last_signal[f"dolpha1 {future}"]["vwap"] == 102.0
    await database.close()


async def test_a_bar_of_the_feed_on_its_way_behind_one_of_rest_makes_no_signal() -> None:
    """The table keeps REST's, whichever comes last, and signals follow the table."""
    today, clock = plan(Feed(futures=("A01",)), DAY), VirtualClock(OPEN)
    stats = DayStatistics(today, simulated=True)
    ingestor = Ingestor(Puts("none"), clock, stats, Alerts([], clock, Contact()))  # type: ignore[arg-type]
    (future,) = today.futures
    strategy = STRATEGIES["dolpha1"]
    none = BARS.to_frame()
    await ingestor.begin_signals([LiveWindow(strategy, strategy.params(), future, none, since=DAY)])
    given = {
        source: {"futures_1m": [futures_bars([close], symbol=future, start=OPEN, source=source)]}
        for source, close in ((schemas.REST, 102.0), (schemas.FEED, 101.0))
    }
    await asyncio.gather(*(ingestor.store_bars_at_once(bars) for bars in given.values()))
    assert stats.last_signal[f"dolpha1 {future}"]["close"] == 102.0


async def test_a_bar_of_the_feed_makes_a_signal_where_that_of_rest_was_refused() -> None:
    today, clock, writer = plan(Feed(futures=("A01",)), DAY), VirtualClock(OPEN), Puts("none")
    stats = DayStatistics(today, simulated=True)
    ingestor = Ingestor(writer, clock, stats, Alerts([], clock, Contact()))  # type: ignore[arg-type]
    (future,) = today.futures
    strategy = STRATEGIES["dolpha1"]
    none = BARS.to_frame()
    await ingestor.begin_signals([LiveWindow(strategy, strategy.params(), future, none, since=DAY)])

    async def refused(source: str, close: float) -> list[str]:
        bars = futures_bars([close], symbol=future, start=OPEN, source=source)
        return list(await ingestor.store_bars_at_once({"futures_1m": [bars]}))

    writer.refused = future
    assert await refused(schemas.REST, 102.0) == [future]
    writer.refused = "none"
    assert await refused(schemas.FEED, 101.0) == []
    assert stats.last_signal[f"dolpha1 {future}"]["close"] == 101.0


@pytest.fixture
async def storing(empty_database_url: str, tmp_path: Path) -> AsyncIterator[Ingestor]:
    """Return an ingestor that stores the day's front month."""
    clock = WallClock()
    writer = Writer(empty_database_url, clock, tmp_path)
    stats = DayStatistics(plan(Feed(futures=("A01",)), DAY), simulated=True)
    yield Ingestor(writer, clock, stats, Alerts([], clock, Contact()))
    await writer.close()


async def test_a_strategy_that_fails_keeps_no_bar_from_being_stored(
    storing: Ingestor, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (window,) = await _watch(storing, "dolpha1")

    def fail(_: object) -> pl.DataFrame:
        raise ValueError("no such column")

    monkeypatch.setattr(window, "_evaluated", fail)
    bars = {"futures_1m": [futures_bars([1.0], symbol=FUTURE, start=OPEN)]}
    with pytest.raises(ValueError, match="no such column"):
        await storing.store_bars_at_once(bars)
    stored = await _query(empty_database_url, "SELECT count(*) AS n FROM futures_1m")
    assert stored["n"].to_pylist() == [1]


async def test_signals_that_no_table_can_hold_keep_no_bar_from_being_stored(
    storing: Ingestor, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _watch(storing, "dolpha1")

    def refuse(*_: object) -> pa.RecordBatch:
        raise StoreError("no column holds that")

    monkeypatch.setattr(ingest, "signal_batch", refuse)
    bars = {"futures_1m": [futures_bars([1.0, 2.0], symbol=FUTURE, start=OPEN)]}
    refused = await storing.store_bars_at_once(bars)
    assert {symbol: str(error) for symbol, error in refused.items()} == {
        FUTURE: "no column holds that"
    }
    stored = await _query(empty_database_url, "SELECT count(*) AS n FROM futures_1m")
    assert stored["n"].to_pylist() == [2]


async def test_bars_do_not_wait_for_a_slow_strategy(
    storing: Ingestor, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (window,) = await _watch(storing, "dolpha1")
    evaluate, may_end = window._evaluated, threading.Event()

    def slow(bars: pl.DataFrame) -> object:
        may_end.wait()
        return evaluate(bars)

    monkeypatch.setattr(window, "_evaluated", slow)
    bars = {"futures_1m": [futures_bars([1.0, 2.0], symbol=FUTURE, start=OPEN)]}
    done = asyncio.create_task(storing.store_bars_at_once(bars))
    counted = "SELECT count(*) AS n FROM "
    while (await _query(empty_database_url, f"{counted}futures_1m"))["n"].to_pylist() != [2]:
        assert not done.done()
    assert (await _query(empty_database_url, f"{counted}dolpha1_signal"))["n"].to_pylist() == [0]
    may_end.set()
    assert await done == {}
    assert (await _query(empty_database_url, f"{counted}dolpha1_signal"))["n"].to_pylist() == [1]


async def test_bars_and_their_signals_are_one_commit(
    storing: Ingestor, empty_database_url: str
) -> None:
    windows = await _watch(storing, *STRATEGIES)
    for minute in range(2):
        start = OPEN + timedelta(minutes=minute)
        bars = futures_bars([1.0 + minute], symbol=FUTURE, start=start)
        assert await storing.store_bars_at_once({"futures_1m": [bars]}) == {}
    tables = ["futures_1m", *(window.table for window in windows)]
    selected = (f"SELECT xmin::text AS x, '{one}' AS t, timestamp FROM {one}" for one in tables)
    commits = await _query(
        empty_database_url,
        f"SELECT timestamp, count(DISTINCT x) AS commits, count(*) AS n"
        f" FROM ({' UNION ALL '.join(selected)}) AS all_rows GROUP BY 1 ORDER BY 1",
    )
    assert commits["commits"].to_pylist() == [1, 1]
    assert commits["n"].to_pylist() == [1, len(tables)], "one bar alone gives no signal"


async def _watch(ingestor: Ingestor, *names: str) -> list[LiveWindow]:
    """Have strategies watch the future."""
    windows = [
        LiveWindow(one, one.params(), FUTURE, BARS.to_frame(), since=DAY)
        for one in map(STRATEGIES.__getitem__, names)
    ]
    await ingestor.begin_signals(windows)
    return windows


async def _query(url: str, sql: str) -> pa.Table:
    store = Store(url, WallClock())
    found = await store.query(sql)
    await store.close()
    return found
