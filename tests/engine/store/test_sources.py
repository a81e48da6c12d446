"""Bars by feed and by REST: REST stands, and a bar says who gave it first and whether both did."""

from __future__ import annotations

import itertools
import logging
from datetime import datetime

import polars as pl
import pyarrow as pa
import pytest

from engine.history.origins import Origins, read_origins
from engine.schemas import FEED, FILE, REST
from engine.store import MergeCounts, Store
from tests.engine.store.data import FETCHED, MINUTE, OPEN, futures_bars, signals, stock_bars

LATER = FETCHED + MINUTE
LATEST = LATER + MINUTE


async def origins(
    store: Store, table: str = "futures_1m"
) -> list[tuple[float, str, datetime | None]]:
    stored = await store.query(f"SELECT close, source, confirmed_at FROM {table} ORDER BY 1")
    return pl.DataFrame(stored).rows()


@pytest.mark.parametrize("make", [futures_bars, stock_bars])
async def test_rest_confirms_the_values_of_the_feed_and_nothing_counts_as_changed(
    store: Store, make
) -> None:
    table = "futures_1m" if make is futures_bars else "stocks_1m"
    await store.merge(table, make([1.0, 2.0], source=FEED))
    moments = f"SELECT fetched_at, committed_at FROM {table} WHERE close < 3 ORDER BY close"
    before = await store.query(moments)
    answer = make([1.0, 2.0, 3.0], fetched=LATER)
    assert await store.merge(table, answer) == MergeCounts(inserted=1, unchanged=2)
    assert await store.merge(table, make([1.0, 2.0], fetched=LATEST)) == MergeCounts(unchanged=2)
    assert await origins(store, table) == [
        (1.0, FEED, LATER),
        (2.0, FEED, LATER),
        (3.0, REST, None),
    ]
    assert await store.query(moments) == before
    assert (await store.query("SELECT * FROM replaced_bars")).num_rows == 0


async def test_where_rest_differs_it_stands_and_the_bar_of_the_feed_is_kept(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    await store.merge("futures_1m", futures_bars([1.0, 2.0], source=FEED, fetched=LATER))
    # REST stands even if its answer is the older one.
    assert await store.merge("futures_1m", futures_bars([1.0, 2.5])) == MergeCounts(0, 1, 1)
    again = futures_bars([9.0, 9.0], source=FEED, fetched=LATEST)
    assert await store.merge("futures_1m", again) == MergeCounts(unchanged=2)
    assert await origins(store) == [(1.0, FEED, FETCHED), (2.5, REST, None)]
    kept = await store.query("SELECT close, new_close, source, new_source FROM replaced_bars")
    assert pl.DataFrame(kept).row(0) == (2.0, 2.5, FEED, REST)
    found = await store.query("SELECT kind, bars FROM corrections")
    assert pl.DataFrame(found).row(0) == ("feed", 1)
    lines = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert lines[0] == "⚠️ 101W09 2025-09-01: REST replaced 1 bar of the feed"


async def test_both_in_one_commit_are_as_one_after_the_other(store: Store) -> None:
    feed = futures_bars([1.0, 2.0], source=FEED, fetched=LATER)
    rest = futures_bars([1.0, 2.5])
    counts = await store.merge_all("futures_1m", [rest, feed])
    assert sum(counts, MergeCounts()) == MergeCounts(inserted=2, unchanged=2)
    assert await origins(store) == [(1.0, FEED, FETCHED), (2.5, REST, None)]


@pytest.mark.parametrize("feed_first", [True, False])
async def test_what_rest_gave_is_replaced_by_rest_though_the_feed_gives_the_same_at_once(
    store: Store, feed_first: bool
) -> None:
    """The bar becomes the feed's, confirmed; that REST corrected its own is kept as what it was."""
    await store.merge("futures_1m", futures_bars([1.0]))
    rest = futures_bars([1.5], fetched=LATEST)
    feed = futures_bars([1.5], source=FEED, fetched=LATER)
    counts = await store.merge_all("futures_1m", [feed, rest] if feed_first else [rest, feed])
    assert sum(counts, MergeCounts()) == MergeCounts(changed=1, unchanged=1)
    assert await origins(store) == [(1.5, FEED, LATEST)]
    kept = await store.query("SELECT close, new_close, source, new_source FROM replaced_bars")
    assert pl.DataFrame(kept).rows() == [(1.0, 1.5, REST, REST)]


@pytest.mark.parametrize("order", list(itertools.permutations([FILE, FEED, REST])))
async def test_a_file_gives_way_to_the_feed_and_both_to_rest_in_any_order(
    store: Store, order: tuple[str, ...]
) -> None:
    values = {FILE: [1.0, 1.0, 1.0, 9.0], FEED: [2.0, 2.0], REST: [3.0, 2.0, 1.0]}
    moments = [FETCHED, LATER, LATEST]
    for source, fetched in zip(order, moments, strict=True):
        await store.merge("stocks_1m", stock_bars(values[source], source=source, fetched=fetched))
    stored = await store.query("SELECT close, source FROM stocks_1m ORDER BY timestamp")
    found = pl.DataFrame(stored)
    assert found["close"].to_list() == [3.0, 2.0, 1.0, 9.0]
    assert found["source"].to_list()[3] == FILE
    at_once = [stock_bars(values[source], source=source, symbol="000660") for source in order]
    await store.merge_all("stocks_1m", at_once)
    together = await store.query(
        "SELECT close FROM stocks_1m WHERE symbol = '000660' ORDER BY timestamp"
    )
    assert together["close"].to_pylist() == [3.0, 2.0, 1.0, 9.0]


async def test_rest_confirms_a_bar_of_a_file_and_what_it_replaces_is_kept(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    await store.merge("stocks_1m", stock_bars([1.0, 2.0], source=FILE, fetched=LATER))
    assert await store.merge("stocks_1m", stock_bars([1.0, 2.5])) == MergeCounts(0, 1, 1)
    assert await origins(store, "stocks_1m") == [(1.0, FILE, FETCHED), (2.5, REST, None)]
    kept = await store.query("SELECT close, source, new_source FROM replaced_bars")
    assert pl.DataFrame(kept).row(0) == (2.0, FILE, REST)
    kinds = await store.query("SELECT kind FROM corrections")
    assert kinds["kind"].to_pylist() == ["file"]
    assert "005930 2025-09-01: of a file replaced: 1 bar" in caplog.text


async def test_a_batch_of_before_the_feed_is_of_rest_and_so_is_a_bar_put_in_by_hand(
    store: Store,
) -> None:
    bars = futures_bars([1.0])
    await store.merge("futures_1m", pa.record_batch(bars.drop_columns(["source"])))
    await store.execute(
        "INSERT INTO futures_1m (timestamp, symbol, open, high, low, close, volume, fetched_at,"
        " committed_at, product) SELECT timestamp + interval '1 minute', symbol, open, high, low,"
        " 2, volume, fetched_at, committed_at, product FROM futures_1m"
    )
    assert await origins(store) == [(1.0, REST, None), (2.0, REST, None)]


async def test_a_confirmation_scans_no_whole_table(store: Store) -> None:
    for symbol in ("A01612", "A01703"):
        await store.merge("futures_1m", futures_bars([1.0] * 50_000, symbol=symbol, source=FEED))
    await store.execute("ANALYZE")
    touched = (
        "SELECT sum(seq_tup_read)::float8 AS n FROM pg_stat_user_tables WHERE relname ~ '^futures'"
    )
    await store.query("SELECT pg_stat_force_next_flush()::text")
    before = (await store.query(touched))["n"].to_pylist()[0]
    await store.merge("futures_1m", futures_bars([1.0] * 30, symbol="A01612", fetched=LATER))
    await store.query("SELECT pg_stat_force_next_flush()::text")
    assert (await store.query(touched))["n"].to_pylist()[0] == before
    confirmed = await store.query("SELECT count(confirmed_at) AS n FROM futures_1m")
    assert confirmed["n"].to_pylist() == [30]


async def test_a_signal_says_whether_it_changed_because_a_bar_of_the_feed_was_replaced(
    store: Store,
) -> None:
    async def corrections() -> list[tuple[datetime, str]]:
        found = await store.query("SELECT timestamp, cause FROM signal_corrections ORDER BY 1, 2")
        return pl.DataFrame(found).rows()

    await store.merge("futures_1m", futures_bars([1.0, 2.0], source=FEED))
    await store.merge("dolpha1_signal", signals([0, 1]))
    await store.merge("futures_1m", futures_bars([1.0, 2.5], fetched=LATER))
    await store.merge("dolpha1_signal", signals([0, -1], created=LATER))
    assert await corrections() == [(OPEN + MINUTE, "feed")]
    # KIS corrects its own bar: what happened to the feed before is not a cause any more.
    await store.merge("futures_1m", futures_bars([1.0, 2.7], fetched=LATEST))
    await store.merge("dolpha1_signal", signals([0, 0], created=LATEST))
    assert await corrections() == [(OPEN + MINUTE, "feed"), (OPEN + MINUTE, "rest")]


async def test_what_rest_replaced_and_then_gave_as_the_feed_had_is_counted_so(store: Store) -> None:
    day = OPEN.date()
    await store.merge("futures_1m", futures_bars([1.0, 2.0, 3.0], source=FEED))
    await store.merge("futures_1m", futures_bars([1.0, 2.5, 3.5], fetched=LATER))
    symbols = ("101W09", "005930")
    assert await read_origins(store, symbols, day) == Origins(3, 1, 2, 0, {"feed": 0, "rest": 0})
    await store.merge("futures_1m", futures_bars([1.0, 2.0, 3.5], fetched=LATEST))
    assert await read_origins(store, symbols, day) == Origins(3, 1, 2, 1, {"feed": 0, "rest": 0})
    assert (await read_origins(store, (), day)).by_feed == 0
