"""Real answers that two collectors saved, served unchanged: what is stored is right."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa

from engine.clock import VirtualClock
from engine.fetchers.base import BarRequest
from engine.fetchers.stock import StockBarFetcher
from engine.kis.client import KisClient
from engine.market.sessions import Session
from engine.market.symbols import parse
from engine.settings import AppKey, KisSettings
from engine.simulator import APP_KEYS, serve
from engine.store import Store
from tests.engine.simulator.recorded_answers import AnsweringExchange, RecordedAnswers
from tests.paths import DIRTY_STOCKS_FILE as FILE
from tests.paths import needs

pytestmark = needs(FILE)

FIRST = datetime(2026, 8, 19, 20)  # KIS still has all of it
LATER = datetime(2026, 8, 20, 20)
CSAT = date(2025, 11, 13)  # everything one hour later
KEY = ["symbol", "timestamp"]
VALUES = ["open", "high", "low", "close", "volume"]


def session(symbol: str, asked: date) -> Session:
    """Return the session asked for; one answer is about a Saturday, for which one is made up."""
    day = asked
    while (before := parse(symbol).session(day)) is None:
        day -= timedelta(days=1)
    if day == asked:
        return before
    moved = {name: getattr(before, name) + (asked - day) for name in ("opens", "continuous_end")}
    return replace(before, date=asked, auction=None, **moved)


@asynccontextmanager
async def open_fetcher(clock: VirtualClock, folder: Path) -> AsyncIterator[StockBarFetcher]:
    keys = tuple(AppKey(app_key=k, app_secret=s) for k, s in APP_KEYS.items())
    answers = RecordedAnswers(FILE, LATER)
    async with serve(answers, clock, calls_per_second=1000) as simulator:
        simulator.exchange = AnsweringExchange(answers)
        settings = KisSettings(base_url=simulator.base_url, app_keys=keys, calls_per_second=100)
        client = KisClient(settings, clock, folder=folder)
        try:
            yield StockBarFetcher(client)
        finally:
            await client.close()


def answers() -> pl.DataFrame:
    saved = pl.read_parquet(FILE).with_columns(
        pl.col("asked_date").str.to_date("%Y%m%d"), pl.col("timestamp").dt.date().alias("day")
    )
    return saved.rename({"timestamp": "label"})


def expected(saved: pl.DataFrame, *, last: bool) -> pl.DataFrame:
    """Return what must be stored of each asked date's first or last answer, computed simply."""
    chosen = pl.col("collector").max() if last else pl.col("collector").min()
    of_answer = saved.filter(pl.col("collector") == chosen.over("symbol", "asked_date"))
    later = pl.when(pl.col("day") == CSAT).then(pl.lit("-1h")).otherwise(pl.lit("0h"))
    time = pl.col("label").dt.offset_by(later).dt.time()
    auction = time == pl.time(15, 30)
    is_expected = auction | time.is_between(pl.time(9, 0), pl.time(15, 19))
    good = of_answer.filter(pl.col("day") == pl.col("asked_date"), is_expected, pl.col("low") > 0)
    stamp = pl.when(auction).then("label").otherwise(pl.col("label").dt.offset_by("1m"))
    return good.select("symbol", stamp.alias("timestamp"), *VALUES).sort(KEY)


async def collect(fetcher: StockBarFetcher, saved: pl.DataFrame) -> pa.Table:
    asked = saved.select("symbol", "asked_date").unique().sort("symbol", "asked_date")
    requests = [
        BarRequest(symbol, session(symbol, day), whole_day=True)
        for symbol, day in asked.iter_rows()
    ]
    return pa.Table.from_batches(await asyncio.gather(*map(fetcher.fetch, requests)))


def frame(table: pa.Table) -> pl.DataFrame:
    found = pl.from_arrow(table)
    assert isinstance(found, pl.DataFrame)
    return found.select(*KEY, *VALUES).sort(KEY)


def batch(table: pa.Table) -> pa.RecordBatch:
    return table.combine_chunks().to_batches()[0]


async def test_real_dirty_answers_are_stored_once_and_the_later_ones_win(
    store: Store, tmp_path: Path
) -> None:
    clock, saved = VirtualClock(FIRST), answers()
    twice = saved.filter(pl.col("collector").n_unique().over("symbol", "asked_date") > 1)
    async with open_fetcher(clock, tmp_path) as fetcher:
        first_table = await collect(fetcher, saved)
        rejected = fetcher.take_rejected()
        await clock.sleep_until(LATER)
        later_table = await collect(fetcher, twice)
    first, later = frame(first_table), frame(later_table)
    assert first.equals(expected(saved, last=False))
    assert later.equals(expected(twice, last=True))

    wrong_date = saved.filter(pl.col("day") != pl.col("asked_date"))
    asked_wrong = wrong_date.select("symbol", "asked_date").unique()
    first_pages = 120 * len(asked_wrong)  # a page of nothing but another date is the last one
    assert rejected["reason"].to_pylist().count("another date") == first_pages == 360

    await store.merge("stocks_1m", batch(first_table))
    counts = await store.merge("stocks_1m", batch(later_table))
    changed = first.join(later, on=KEY).filter(
        pl.any_horizontal(pl.col(v) != pl.col(f"{v}_right") for v in VALUES)
    )
    assert counts.changed == len(changed) > 500

    columns = ", ".join([*KEY, *VALUES])
    stored = frame(await store.query(f"SELECT {columns} FROM stocks_1m"))
    assert not stored.select(KEY).is_duplicated().any()
    stands = pl.concat([later, first.join(later, on=KEY, how="anti")]).sort(KEY)
    assert stored.equals(stands)
    replaced = frame(await store.query(f"SELECT {columns} FROM replaced_bars"))
    assert replaced.equals(changed.select(*KEY, *VALUES))
