"""How signals, rejected rows, gaps and heartbeats are stored."""

from __future__ import annotations

import subprocess
from datetime import date, timedelta

import polars as pl
import pyarrow as pa
import pytest

from engine import schemas
from engine.errors import InputError, SchemaMismatch
from engine.store import MergeCounts, Store
from engine.store.embedded.programs import find_programs
from engine.store.metadata import store_strategy_symbols, system_status
from tests.engine.store.data import FETCHED, MINUTE, OPEN, batch, futures_bars, signals
from tests.heartbeats import record_heartbeat


async def test_a_corrected_signal_wins_and_the_first_one_is_kept_once(
    store: Store,
) -> None:
    assert await store.merge("dolpha1_signal", signals([0, 1])) == MergeCounts(inserted=2)
    later = signals([0, -1], created=FETCHED + MINUTE)
    assert await store.merge("dolpha1_signal", later) == MergeCounts(changed=1, unchanged=1)
    for repeated in (later, signals([0, 1]), later):  # earlier ones are outdated
        assert await store.merge("dolpha1_signal", repeated) == MergeCounts(unchanged=2)
    given = await store.query("SELECT monitor_signal FROM dolpha1_signal ORDER BY timestamp")
    assert given["monitor_signal"].to_pylist() == [0, -1]
    corrections = await store.query(
        "SELECT table_name, timestamp, (given->>'monitor_signal')::bigint AS given,"
        " (corrected->>'monitor_signal')::bigint AS corrected FROM signal_corrections"
    )
    assert corrections.to_pylist() == [
        {
            "table_name": "dolpha1_signal",
            "timestamp": OPEN + MINUTE,
            "given": 1,
            "corrected": -1,
        }
    ]


async def test_computing_the_same_signal_again_later_changes_nothing(store: Store) -> None:
    await store.merge("dolpha1_signal", signals([0, 1, -1]))
    again = signals([0, 1, -1], created=FETCHED + 90 * MINUTE)
    assert await store.merge("dolpha1_signal", again) == MergeCounts(unchanged=3)


async def test_a_strategys_schema_must_have_the_columns_of_all_signals(store: Store) -> None:
    rows = signals([1])
    with pytest.raises(InputError, match="lack the columns reason"):
        await store.merge("other_signal", rows.drop_columns(["reason"]))
    await store.merge("other_signal", rows)
    longer = rows.append_column("more", pa.array([1.5]))
    with pytest.raises(SchemaMismatch, match="more is missing"):
        await store.merge("other_signal", longer)


async def test_a_strategy_may_have_dates_and_times_but_no_unsupported_types(
    store: Store,
) -> None:
    dated = pl.from_arrow(signals([1])).with_columns(
        pl.col("timestamp").dt.date().alias("expiry"), pl.col("timestamp").alias("range_ends")
    )
    rows = dated.to_arrow().to_batches()[0]
    assert await store.merge("dated_signal", rows) == MergeCounts(inserted=1)
    short = dated.with_columns(pl.lit(1, pl.Int32).alias("count")).to_arrow().to_batches()[0]
    with pytest.raises(InputError, match=r"count \(int32\)"):
        await store.merge("dated_signal", short)


async def test_a_new_strategys_table_is_made_with_its_first_signal(store: Store) -> None:
    frame = pl.from_arrow(signals([1, 0])).select(
        "timestamp",
        "symbol",
        "close",
        "monitor_signal",
        "trade_signal",
        "reason",
        pl.lit(355.5).alias("range_high"),
        "created_at",
    )
    rows = frame.to_arrow().to_batches()[0]
    assert await store.merge("opening_range_signal", rows) == MergeCounts(inserted=2)
    assert await store.merge("opening_range_signal", rows) == MergeCounts(unchanged=2)
    stored = await store.query("SELECT range_high, reason FROM opening_range_signal LIMIT 1")
    assert stored.to_pylist() == [{"range_high": 355.5, "reason": "test"}]
    comment = "SELECT col_description('opening_range_signal'::regclass, attnum) IS NULL AS bare"
    bare = await store.query(
        f"{comment} FROM pg_attribute WHERE attrelid = 'opening_range_signal'::regclass"
        " AND attnum > 0"
    )
    assert not any(bare["bare"].to_pylist())


def listening(url: str) -> subprocess.Popen[str]:
    psql = subprocess.Popen(
        [find_programs().folder / "bin" / "psql", "-X", "-q", "-A", "-t", url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    psql.stdin.write("LISTEN dolpha1_signal;\nSELECT 'listening';\n")
    psql.stdin.flush()
    assert psql.stdout.readline() == "listening\n"
    return psql


async def test_traded_signals_are_announced_when_they_are_committed(
    store: Store, database_url: str
) -> None:
    listener = listening(database_url)
    await store.merge("dolpha1_signal", signals([0, 1, -1]))
    await store.merge(
        "dolpha1_signal", signals([1], symbol="A01612", created=FETCHED + 90 * MINUTE)
    )
    output, _ = listener.communicate("SELECT 1;\n", timeout=30)
    notices = [line for line in output.splitlines() if "Asynchronous notification" in line]
    assert len(notices) == 2, "a zero and a signal computed long after its bar are not announced"
    assert '"monitor_signal": 1' in notices[0]
    assert '"symbol": "101W09"' in notices[1]


async def test_the_view_of_a_strategy_shows_the_bars_of_its_symbols(store: Store) -> None:
    await store.merge("futures_1m", futures_bars([1.0], symbol="101W09"))
    await store.merge("futures_1m", futures_bars([2.0], symbol="A01612"))
    await store.merge("futures_1m", futures_bars([3.0], symbol="A05612"))
    await store_strategy_symbols(store, "dolpha1", ["101W09"])
    await store_strategy_symbols(store, "dolpha1", ["101W09", "A01612"])
    bars = await store.query("SELECT * FROM dolpha1 ORDER BY symbol")
    assert bars["close"].to_pylist() == [1.0, 2.0]
    assert bars.column_names == ["timestamp", "symbol", "open", "high", "low", "close", "volume"]


def rejected(*raws: str, minutes: int = 0) -> pa.RecordBatch:
    frame = pl.DataFrame({"raw": raws}).with_columns(
        received_at=pl.lit(FETCHED + minutes * MINUTE),
        tr_id=pl.lit("FHMIF10010000"),
        symbol=pl.lit("101W09"),
        reason=pl.lit("close is not a number"),
    )
    return batch(frame, schemas.REJECTED_ROWS)


async def test_a_rejected_row_that_comes_again_is_counted_not_stored_again(store: Store) -> None:
    await store.merge("rejected_rows", rejected('{"a":1}', '{"b":2}'))
    await store.merge("rejected_rows", rejected('{"a":1}', minutes=1))
    repeated = rejected('{"a":1}', minutes=2)
    await store.merge("rejected_rows", repeated)
    await store.merge("rejected_rows", repeated)  # the same answer, merged again
    stored = await store.query(
        "SELECT raw, times, first_received_at, received_at FROM rejected_rows ORDER BY raw"
    )
    assert [tuple(row.values()) for row in stored.to_pylist()] == [
        ('{"a":1}', 3, FETCHED, FETCHED + 2 * MINUTE),
        ('{"b":2}', 1, FETCHED, FETCHED),
    ]


def gap(state: str, attempts: int, minutes: int) -> pa.RecordBatch:
    now = FETCHED + minutes * MINUTE
    frame = pl.DataFrame(
        {
            "symbol": ["101W09"],
            "session": [date(2025, 9, 1)],
            "market": ["derivatives"],
            "first_stamp": [OPEN],
            "last_stamp": [OPEN + MINUTE],
            "stamps": [2],
            "state": [state],
            "attempts": [attempts],
            "reason": [None],
            "opened_at": [now],
            "answered_at": [None],
            "updated_at": [now],
        },
        schema_overrides={"reason": pl.String, "answered_at": pl.Datetime("us")},
    )
    return batch(frame, schemas.GAPS)


async def test_a_gap_keeps_the_time_when_it_was_opened(store: Store) -> None:
    await store.merge("gaps", gap("open", 0, 0))
    assert await store.merge("gaps", gap("filled", 1, 5)) == MergeCounts(changed=1)
    assert await store.merge("gaps", gap("open", 0, 1)) == MergeCounts(unchanged=1)
    stored = await store.query("SELECT state, attempts, opened_at FROM gaps")
    assert stored.to_pylist() == [{"state": "filled", "attempts": 1, "opened_at": FETCHED}]


async def test_status_has_heartbeats_last_bars_gaps_corrections_signals_and_rejections(
    store: Store,
) -> None:
    await record_heartbeat(store, "live", "collecting", "411 bars", 411, OPEN)
    await record_heartbeat(store, "live", "done", "412 bars", 412, OPEN + MINUTE)
    await store.merge("futures_1m", futures_bars([1.0, 2.0], symbol="101W09"))
    await store.merge("futures_1m", futures_bars([3.0], symbol="A01612"))
    later = FETCHED + timedelta(minutes=1)
    await store.merge("futures_1m", futures_bars([1.5], symbol="101W09", fetched=later))
    await store.merge("gaps", gap("open", 0, 0))
    await store.merge("rejected_rows", rejected('{"a":1}'))
    await store.merge("dolpha1_signal", signals([0, 1]))
    await store.merge("dolpha1_signal", signals([0, -1], created=later))
    frames = await system_status(store)
    beats, bars, gaps, corrections, corrected, rejections, _trades, _sizes = frames.values()
    assert beats.select("component", "status", "data_count").rows() == [("live", "done", 412)]
    assert bars.select("symbol", "timestamp", "close").rows() == [
        ("101W09", OPEN + MINUTE, 2.0),
        ("A01612", OPEN, 3.0),
    ]
    assert gaps["stamps"].to_list() == [2]
    assert corrections.select("symbol", "bars", "kind").rows() == [("101W09", 1, "correction")]
    assert corrected.select("table_name", "symbol", "session", "cause", "signals").rows() == [
        ("dolpha1_signal", "101W09", OPEN.date(), "rest", 1)
    ]
    assert rejections["times"].to_list() == [1]
    assert next(iter(frames)) == "Heartbeats"
