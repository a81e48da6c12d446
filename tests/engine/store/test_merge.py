"""The merge: what a table holds after batches were merged."""

from __future__ import annotations

import logging
import math
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import adbc_driver_manager
import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from engine import schemas
from engine.errors import SchemaMismatch
from engine.store import MergeCounts, Store
from engine.store.connection import Connection, store_error
from engine.store.merge import complete_rows, merge_tables
from engine.store.table_setup import make_partitions
from engine.store.tables import TABLES
from tests.engine.store.data import FETCHED, MINUTE, OPEN, batch, futures_bars, stock_bars

LATER = FETCHED + MINUTE


async def closes(store: Store, table: str = "futures_1m") -> list[float]:
    stored = await store.query(f"SELECT close FROM {table} ORDER BY symbol, timestamp")
    return stored["close"].to_pylist()


async def test_new_changed_and_unchanged_rows_are_counted(store: Store) -> None:
    first = await store.merge("futures_1m", futures_bars([1.0, 2.0, 3.0]))
    assert first == MergeCounts(inserted=3)
    second = futures_bars([1.0, 2.5, 3.0, 4.0], fetched=LATER)
    assert await store.merge("futures_1m", second) == MergeCounts(1, 1, 2)
    assert await store.merge("futures_1m", second) == MergeCounts(unchanged=4)
    assert await closes(store) == [1.0, 2.5, 3.0, 4.0]


async def test_unchanged_rows_are_not_rewritten(store: Store) -> None:
    await store.merge("futures_1m", futures_bars([1.0, 2.0]))
    places = "SELECT tableoid::text, ctid::text, xmin::text FROM futures_1m ORDER BY timestamp"
    before = await store.query(places)
    await store.merge("futures_1m", futures_bars([1.0, 2.0], fetched=LATER))
    assert await store.query(places) == before


async def test_a_product_gets_its_partition_when_first_needed(store: Store) -> None:
    await store.merge("futures_1m", futures_bars([1.0], symbol="101W09"))
    await store.merge("futures_1m", futures_bars([2.0], symbol="A01612"))
    assert await closes(store, "futures_101") == [1.0]
    assert await closes(store, "futures_a01") == [2.0]


async def test_a_batch_may_span_partitions_and_hold_a_key_twice(store: Store) -> None:
    august = futures_bars([1.0, 2.0])
    twice = pa.Table.from_batches(
        [august, futures_bars([3.0]), futures_bars([4.0], symbol="A01612")]
    )
    counts = await store.merge("futures_1m", twice.combine_chunks().to_batches()[0])
    assert counts == MergeCounts(inserted=3, unchanged=1)
    assert await closes(store) == [3.0, 2.0, 4.0]
    months = stock_bars([1.0] * 50_000)  # ends in October
    assert await store.merge("stocks_1m", months) == MergeCounts(inserted=50_000)
    assert len(await closes(store, "stocks_1m_202510")) > 0


async def test_older_values_do_not_overwrite_newer_ones(
    store: Store,
) -> None:
    await store.merge("futures_1m", futures_bars([2.0], fetched=LATER))
    assert await store.merge("futures_1m", futures_bars([1.0])) == MergeCounts(unchanged=1)
    assert await closes(store) == [2.0]


async def test_a_stored_row_that_the_sample_of_keys_misses_is_still_found(store: Store) -> None:
    await store.merge("futures_1m", futures_bars([9.0], start=OPEN + 100 * MINUTE))
    counts = await store.merge("futures_1m", futures_bars([1.0] * 1000, fetched=LATER))
    assert counts == MergeCounts(inserted=999, changed=1)
    assert await closes(store) == [1.0] * 1000


async def test_nan_equals_nan_and_null_equals_null(store: Store) -> None:
    def matrix(value: float | None, fetched=FETCHED) -> pa.RecordBatch:
        frame = pl.DataFrame(
            {"timestamp": [OPEN], "underlying_symbol": ["202612_KOSPI200"], "metric_type": ["iv"]}
        ).with_columns(fetched_at=pl.lit(fetched))
        cells = {name: pl.lit(None, pl.Float64) for name in schemas.level_columns()}
        cells["c_atm"] = pl.lit(value, pl.Float64)
        return batch(frame.with_columns(**cells), schemas.OPTION_MATRIX)

    async def changed(value: float | None, seconds: int) -> int:
        fetched = FETCHED + timedelta(seconds=seconds)
        return (await store.merge("option_matrices", matrix(value, fetched))).changed

    assert await store.merge("option_matrices", matrix(math.nan)) == MergeCounts(inserted=1)
    assert await changed(math.nan, 1) == 0
    assert await changed(None, 2) == 1
    assert await changed(None, 3) == 0
    assert await changed(0.0, 4) == 1
    stored = await store.query("SELECT c_atm, c_itm1 FROM option_matrices_202612_kospi200")
    assert stored.to_pylist() == [{"c_atm": 0.0, "c_itm1": None}]


async def test_every_value_comes_back_bit_for_bit(store: Store) -> None:
    values = np.array([5e-324, -0.0, 1 / 3, 1.7976931348623157e308, math.inf, 350.05])
    await store.merge("futures_1m", futures_bars(values.tolist()))
    stored = np.array(await closes(store))
    assert (stored.view(np.int64) == values.view(np.int64)).all()


async def test_a_corrected_bar_leaves_its_old_values_in_the_history(store: Store) -> None:
    await store.merge("futures_1m", futures_bars([1.0, 2.0]))
    await store.merge("futures_1m", futures_bars([1.0, 2.5], fetched=LATER))
    kept = await store.query(
        "SELECT r.symbol, r.timestamp, r.close, r.new_close, r.fetched_at,"
        " r.replaced_at = b.committed_at AS when_replaced"
        " FROM replaced_bars r JOIN futures_1m b USING (symbol, timestamp)"
    )
    assert kept.to_pylist() == [
        {
            "symbol": "101W09",
            "timestamp": OPEN + MINUTE,
            "close": 2.0,
            "new_close": 2.5,
            "fetched_at": FETCHED,
            "when_replaced": True,
        }
    ]


async def test_a_correction_by_hand_is_kept_as_well(store: Store) -> None:
    await store.merge("stocks_1m", stock_bars([100.0]))
    await store.execute("UPDATE stocks_1m_202509 SET close = 101")
    kept = await store.query("SELECT table_name, close, new_close FROM replaced_bars")
    assert kept.to_pylist() == [{"table_name": "stocks_1m", "close": 100.0, "new_close": 101.0}]


async def test_a_corporate_action_is_logged_in_one_line_as_an_adjustment(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    before = [70_000.0 + 100 * n for n in range(381)]
    await store.merge("stocks_1m", stock_bars(before))
    await store.merge("stocks_1m", stock_bars([10_000.0, 20_000.0], symbol="000660"))
    frame = pl.from_arrow(stock_bars(before, fetched=LATER)).with_columns(
        (pl.col("open", "high", "low", "close") / 7).round()
    )
    await store.merge("stocks_1m", batch(frame, schemas.STOCK_BARS))
    await store.merge("stocks_1m", stock_bars([10_000.0, 20_100.0], symbol="000660", fetched=LATER))
    assert [r.message for r in caplog.records if r.levelno == logging.WARNING] == [
        "⚠️ 005930 2025-09-01: adjustment for a corporate action, 381 bars × 0.142857",
        "⚠️ 000660 2025-09-01: KIS corrected 1 bar",
    ]
    found = await store.query("SELECT symbol, bars, kind FROM corrections ORDER BY symbol")
    assert [tuple(row.values()) for row in found.to_pylist()] == [
        ("000660", 1, "correction"),
        ("005930", 381, "adjustment"),
    ]


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("open", pa.array([1], pa.int64())),
        ("timestamp", pa.array([OPEN], pa.timestamp("ms"))),
        ("timestamp", pa.array([OPEN], pa.timestamp("us", "Asia/Seoul"))),
        ("symbol", pa.array([None], pa.null())),
    ],
)
async def test_a_batch_of_other_types_is_refused(
    store: Store, column: str, values: pa.Array
) -> None:
    good = futures_bars([1.0])
    bad = good.set_column(good.schema.get_field_index(column), column, values)
    with pytest.raises(
        SchemaMismatch, match=f"{column} is {values.type}, not ".replace("[", r"\[")
    ):
        await store.merge("futures_1m", bad)
    with pytest.raises(SchemaMismatch, match="volume is missing"):
        await store.merge("futures_1m", good.drop_columns(["volume"]))
    assert await closes(store) == []


async def test_a_table_with_other_columns_is_refused(store: Store) -> None:
    await store.execute("ALTER TABLE futures_1m ALTER COLUMN fetched_at TYPE date")
    with pytest.raises(SchemaMismatch, match="fetched_at is date, not timestamp"):
        await store.merge("futures_1m", futures_bars([1.0]))


async def test_the_column_order_of_a_batch_is_free_and_so_is_its_kind_of_text(store: Store) -> None:
    shuffled = pl.from_arrow(futures_bars([1.0])).select(reversed(schemas.FUTURES_BARS.names))
    merged = await store.merge("futures_1m", shuffled.to_arrow().to_batches()[0])
    assert merged == MergeCounts(inserted=1)


async def test_an_empty_batch_changes_nothing(store: Store) -> None:
    assert await store.merge("futures_1m", futures_bars([1.0]).slice(0, 0)) == MergeCounts()


async def test_the_plan_for_a_small_batch_scans_no_whole_table(store: Store) -> None:
    """A minute's batch must cost the same after a year as on the first day."""
    for symbol in ("A01612", "A01703", "A05612"):
        await store.merge("futures_1m", futures_bars([1.0] * 100_000, symbol=symbol))
    await store.execute("ANALYZE")
    touched = (
        "SELECT sum(seq_tup_read)::float8 AS n FROM pg_stat_user_tables WHERE relname ~ '^futures'"
    )
    await store.query("SELECT pg_stat_force_next_flush()::text")
    before = (await store.query(touched))["n"].to_pylist()[0]
    await store.merge("futures_1m", futures_bars([2.0] * 30, symbol="A01612", fetched=LATER))
    await store.query("SELECT pg_stat_force_next_flush()::text")
    assert (await store.query(touched))["n"].to_pylist()[0] == before


def test_two_writers_at_once_count_every_row_once(database_url: str) -> None:
    writers = [Connection(database_url, "first"), Connection(database_url, "second")]
    table = TABLES["futures_1m"]
    with writers[0].transaction() as cursor:
        make_partitions(cursor, table, ["a01"])

    def merge(writer: Connection, symbol: str, bars: int) -> int:
        rows = complete_rows(table, [futures_bars([1.0] * bars, symbol=symbol)], FETCHED)
        return int(merge_tables(writer, [(table, rows)])[0]["inserted"].sum())

    with ThreadPoolExecutor(2) as pool:
        for n in range(10):
            merge(writers[0], symbol := f"A01{n:03}", 1)  # from now on by way of staging
            assert sum(pool.map(merge, writers, [symbol] * 2, [400] * 2)) == 399
    for writer in writers:
        writer.close()


async def test_a_trade_that_comes_again_keeps_its_first_row(store: Store) -> None:
    trade = {
        "session": OPEN.date(),
        "symbol": "A01612",
        "traded_at": OPEN,
        "received_at": OPEN,
        "price": 340.0,
        "size": 2,
        "side": "B",
        "day_volume": 17,
    }
    rows = [trade, trade | {"received_at": OPEN + MINUTE, "side": None}]
    for row in rows:
        frame = pl.DataFrame([{name: row.get(name) for name in schemas.TRADES.names}])
        await store.merge("trades", batch(frame, schemas.TRADES))
    kept = await store.query("SELECT side, received_at FROM trades")
    assert kept.to_pylist() == [{"side": "B", "received_at": OPEN}]


async def test_of_two_trades_with_one_volume_of_the_session_the_second_is_rejected(
    store: Store,
) -> None:
    trade = {
        "session": OPEN.date(),
        "symbol": "A01612",
        "traded_at": OPEN,
        "received_at": OPEN,
        "price": 340.0,
        "size": 2,
        "day_volume": 17,
    }
    other = trade | {"price": 999.0, "received_at": OPEN + MINUTE}
    for row in (trade, other, other, trade):
        frame = pl.DataFrame([{name: row.get(name) for name in schemas.TRADES.names}])
        await store.merge("trades", batch(frame, schemas.TRADES))
    kept = await store.query("SELECT price, size FROM trades")
    assert kept.to_pylist() == [{"price": 340.0, "size": 2}]
    rejected = await store.query(
        "SELECT symbol, reason, (raw::jsonb->>'price')::float8 AS price FROM rejected_rows"
    )
    assert rejected.to_pylist() == [
        {
            "symbol": "A01612",
            "reason": "another trade has this volume of the session",
            "price": 999.0,
        }
    ]


@pytest.mark.parametrize("order", ["feed first", "rest first", "one batch"])
async def test_what_one_source_alone_knows_stays_whichever_comes_first(
    store: Store, order: str
) -> None:
    """The feed alone has volumes of programme trading, REST the index; REST is asked later."""
    stamp = datetime(2026, 11, 18, 9, 1)
    numbers = {n: 5 for n, k in pl.Schema(schemas.PROGRAMME_TRADES).items() if k.is_integer()}
    volumes = {name: None for name in numbers if name.endswith("_volume")}
    key = {"timestamp": stamp, "symbol": "KOSPI"}
    fed = {**key, **numbers, "source": "feed", "fetched_at": stamp, "index_price": None}
    asked = {
        **key,
        **numbers,
        **volumes,
        "source": "rest",
        "index_price": 2_900.0,
        "fetched_at": stamp.replace(second=2),
    }
    orders = {
        "feed first": [[fed], [asked]],
        "rest first": [[asked], [fed]],
        "one batch": [[fed, asked]],
    }
    for rows in [*orders[order], [asked]]:
        await store.merge(
            "programme_trades", pa.RecordBatch.from_pylist(rows, schemas.PROGRAMME_TRADES)
        )
    (found,) = (await store.query("SELECT * FROM programme_trades")).to_pylist()
    assert {name: found[name] for name in numbers} == numbers
    assert (found["source"], found["index_price"]) == ("rest", 2_900.0)


@pytest.mark.parametrize("newer_first", [True, False])
async def test_of_one_commit_the_newer_value_stays_whichever_came_first(
    store: Store, newer_first: bool
) -> None:
    """Answers overtake each other, and two processes number their batches in the spool alike."""
    newer, older = futures_bars([2.0], fetched=LATER), futures_bars([1.0])
    group = [newer, older] if newer_first else [older, newer]
    counts = await store.merge_all("futures_1m", group)
    assert sum(counts, MergeCounts()) == MergeCounts(inserted=1, unchanged=1)
    assert (await store.query("SELECT close FROM futures_1m"))["close"].to_pylist() == [2.0]


async def test_a_partition_that_has_left_is_made_again_whatever_language_the_server_speaks(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.merge("stocks_1m", stock_bars([1.0]))
    await store.execute("DROP TABLE stocks_1m_202509")
    message = '해당 로우를 위한 "stocks_1m" 파티션 없음'
    monkeypatch.setattr("engine.store.connection._server_message", lambda _: message)
    assert await store.merge("stocks_1m", stock_bars([1.0])) == MergeCounts(inserted=1)


def test_a_message_of_a_korean_server_is_one_line_without_the_statement() -> None:
    said = adbc_driver_manager.DataError(
        "IO: [libpq] Failed to execute query 'SELECT 1/0': 오류:  0으로는 나눌수 없습니다",
        status_code=adbc_driver_manager.AdbcStatusCode.IO,
        sqlstate="22012",
        details=[("PG_DIAG_MESSAGE_PRIMARY", "0으로는 나눌수 없습니다".encode())],
    )
    assert str(store_error(said)) == "the database refused: 0으로는 나눌수 없습니다"
