"""How fast batches become part of a table, side by side with what the server itself can do.

Everything is measured in one run, in turns, on a durable server.
"""

from __future__ import annotations

import statistics
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa

from engine import schemas
from engine.clock import WallClock
from engine.store.connection import Connection
from engine.store.merge import complete_rows, merge_tables
from engine.store.tables import TABLES
from tests.benchmarks.bench_env import BenchEnv
from tests.benchmarks.rows import Row, in_turns, seconds_taken

FUTURES = TABLES["futures_1m"]
OPEN = datetime(2025, 1, 2, 8, 46)
BATCH = 3000
SINGLES = 1000
TINY = {"rounds": 1, "symbols": 2, "sessions": 2, "batches": 2}
QUICK = {"rounds": 1, "symbols": 60, "sessions": 4, "batches": 10}


def bars(symbols: int, sessions: int, *, first: int = 0, close: float = 350.0) -> pa.RecordBatch:
    """Return full sessions of 411 bars of so many futures, as a fetcher would give them."""
    minutes = pl.DataFrame({"minute": range(411)})
    days = pl.DataFrame({"day": range(first, first + sessions)})
    codes = pl.DataFrame({"symbol": [f"A01{n:03}" for n in range(symbols)]})
    walk = (pl.col("minute") * 7 + pl.col("day") * 13).mod(97) * 0.05
    frame = (
        codes.join(days, how="cross")
        .join(minutes, how="cross")
        .with_columns(
            timestamp=pl.lit(OPEN) + pl.duration(days="day", minutes="minute"),
            open=close + walk,
            high=close + walk + 0.15,
            low=close + walk - 0.1,
            close=close + walk + 0.05,
            volume=(pl.col("minute") * 31).mod(1009),
            fetched_at=pl.lit(OPEN + timedelta(days=900)),
            source=pl.lit(schemas.REST),
        )
    )
    table = frame.select(schemas.FUTURES_BARS.names).to_arrow().cast(schemas.FUTURES_BARS)
    return table.combine_chunks().to_batches()[0]


def measure(
    env: BenchEnv, *, rounds: int = 3, symbols: int = 60, sessions: int = 41, batches: int = 70
) -> list[Row]:
    """Measure; the sizes are a million rows, and `batches` of 3,000 rows each round."""
    connection = Connection(env.database(), "bench")
    try:
        return [
            *_bulk(connection, rounds, bars(symbols, sessions)),
            *_batches(connection, rounds, batches),
        ]
    finally:
        connection.close()


def _bulk(connection: Connection, rounds: int, batch: pa.RecordBatch) -> list[Row]:
    connection.execute_alone("SELECT make_partition('futures_1m', 'a01')")
    connection.execute_alone("CREATE TABLE copied (LIKE futures_1m INCLUDING ALL)")
    _merge(connection, batch)
    file = Path(_value(connection, "SELECT current_setting('data_directory')")) / "bench.copy"
    connection.execute_alone(
        f"COPY (SELECT * FROM futures_1m ORDER BY symbol, timestamp) TO '{file}' BINARY"
    )
    took = in_turns(
        {
            "copy": lambda: connection.execute_alone(f"COPY copied FROM '{file}' BINARY"),
            "new": lambda: _merge(connection, batch),
            "unchanged": lambda: _merge(connection, batch),
        },
        rounds,
        before={
            "copy": lambda: connection.execute_alone("TRUNCATE copied"),
            "new": lambda: connection.execute_alone("TRUNCATE futures_1m"),
        },
    )
    rows = batch.num_rows
    return [
        Row("all rows new vs COPY in the server", took["new"], took["copy"], rows, least=0.4),
        Row(
            "all rows unchanged vs COPY in the server",
            took["unchanged"],
            took["copy"],
            rows,
            least=0.6,
        ),
    ]


def _batches(connection: Connection, rounds: int, count: int) -> list[Row]:
    """Batches of 3,000 new rows against as many single upserts, each its own commit."""
    connection.execute_alone(
        "CHECKPOINT"
    )  # what the million rows left to be written is not their concern
    merges, singles = [], []
    for turn in range(rounds):
        one_by_one = bars(8, 1, first=2000 + turn).slice(0, SINGLES)
        seconds = seconds_taken(lambda rows=one_by_one: _upserts(connection, rows))
        singles.append(BATCH / SINGLES * seconds)
        for n in range(count):
            batch = bars(8, 1, first=1000 + turn * count + n).slice(0, BATCH)
            merges.append(seconds_taken(lambda batch=batch: _merge(connection, batch)))
    median, p99 = statistics.median(merges), statistics.quantiles(merges, n=100)[98]
    one = statistics.median(singles)
    return [
        Row("a batch of 3,000 rows vs single upserts", median, one, BATCH, least=50),
        Row("a batch of 3,000 rows, p99 vs p50", p99, median, BATCH, least=1 / 3),
    ]


def _upserts(connection: Connection, batch: pa.RecordBatch) -> None:
    for row in batch.to_pylist():
        connection.execute_alone(
            "INSERT INTO futures_1m VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$8,'a01',$9)"
            " ON CONFLICT (symbol, timestamp, product) DO UPDATE SET close = excluded.close",
            list(row.values()),
        )


def _merge(connection: Connection, batch: pa.RecordBatch) -> None:
    rows = complete_rows(FUTURES, [batch], WallClock().now())
    merge_tables(connection, [(FUTURES, rows)])


def _value(connection: Connection, query: str) -> str:
    with connection.transaction(read_only=True) as cursor:
        cursor.execute(query)
        return str(cursor.fetchone()[0])
