"""How fast batches become part of a table, side by side with what the server itself can do.

Everything is measured in one run, in turns, on a durable server of its own: ratios between rows of
the table hold on any machine, seconds do not.
"""

from __future__ import annotations

import statistics
import tempfile
import time
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa

from engine import schemas
from engine.clock import WallClock
from engine.store import embedded_server, migrate
from engine.store.connection import Connection
from engine.store.merge import complete, merge_rows
from engine.store.tables import TABLES

FUTURES = TABLES["futures_1m"]
OPEN = datetime(2025, 1, 2, 8, 46)


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
        )
    )
    table = frame.select(schemas.FUTURES_BARS.names).to_arrow().cast(schemas.FUTURES_BARS)
    return table.combine_chunks().to_batches()[0]


def measure(*, rounds: int = 3, symbols: int = 60, sessions: int = 41) -> list[dict[str, object]]:
    """Return the table: what, rows, seconds (median), rows per second, ratio, target, met."""
    folder = Path(tempfile.gettempdir()) / f"krt-bench-{uuid.uuid4().hex[:8]}"
    with embedded_server(folder, temporary=True) as url:
        migrate(url)
        connection = Connection(url, "bench")
        try:
            return [*_bulk(connection, rounds, symbols, sessions), *_batches(connection)]
        finally:
            connection.close()


def _bulk(
    connection: Connection, rounds: int, symbols: int, sessions: int
) -> list[dict[str, object]]:
    batch = bars(symbols, sessions)
    _run(connection, "SELECT make_partition('futures_1m', 'a01')")
    _run(connection, "CREATE TABLE copied (LIKE futures_1m INCLUDING ALL)")
    _merge(connection, batch)
    file = Path(_value(connection, "SELECT current_setting('data_directory')")) / "bench.copy"
    _run(
        connection, f"COPY (SELECT * FROM futures_1m ORDER BY symbol, timestamp) TO '{file}' BINARY"
    )
    took: dict[str, list[float]] = {"copy": [], "new": [], "unchanged": []}
    for _ in range(rounds):
        _run(connection, "TRUNCATE copied")
        took["copy"].append(_timed(lambda: _run(connection, f"COPY copied FROM '{file}' BINARY")))
        _run(connection, "TRUNCATE futures_1m")
        took["new"].append(_timed(lambda: _merge(connection, batch)))
        took["unchanged"].append(_timed(lambda: _merge(connection, batch)))
    copy = statistics.median(took["copy"])
    rows = batch.num_rows
    return [
        _row("server-side COPY of a binary file, same key", rows, copy, 1.0, None),
        _row("merge, all rows new", rows, new := statistics.median(took["new"]), copy / new, 0.4),
        _row(
            "merge, all rows unchanged", rows,
            same := statistics.median(took["unchanged"]), copy / same, 0.6,
        ),
    ]  # fmt: skip


def _batches(connection: Connection) -> list[dict[str, object]]:
    """Batches of 3,000 new rows against as many single upserts, each its own commit."""
    batches = [bars(8, 1, first=1000 + n).slice(0, 3000) for n in range(200)]
    _run(connection, "CHECKPOINT")  # what the million rows left to be written is not their concern
    merges = [_timed(lambda batch=batch: _merge(connection, batch)) for batch in batches]
    median, p99 = statistics.median(merges), statistics.quantiles(merges, n=100)[98]
    singles = _timed(lambda: _upserts(connection, bars(8, 1, first=2000).slice(0, 3000)))
    return [
        _row("3,000 single upserts", 3000, singles, 1.0, None),
        _row("a batch of 3,000 rows, median", 3000, median, singles / median, 50),
        _row("a batch of 3,000 rows, p99 (ratio p50/p99)", 3000, p99, median / p99, 1 / 3),
    ]


def _upserts(connection: Connection, batch: pa.RecordBatch) -> None:
    for row in batch.to_pylist():
        connection.alone(
            "INSERT INTO futures_1m VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$8,'a01')"
            " ON CONFLICT (symbol, timestamp, product) DO UPDATE SET close = excluded.close",
            list(row.values()),
        )


def _merge(connection: Connection, batch: pa.RecordBatch) -> None:
    merge_rows(connection, FUTURES, complete(FUTURES, [batch], WallClock().now()))


def _run(connection: Connection, statement: str) -> None:
    connection.alone(statement)


def _value(connection: Connection, query: str) -> str:
    with connection.transaction(read_only=True) as cursor:
        cursor.execute(query)
        return str(cursor.fetchone()[0])


def _timed(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _row(
    what: str, rows: int, seconds: float, ratio: float, target: float | None
) -> dict[str, object]:
    return {
        "what": what, "rows": rows, "seconds": round(seconds, 4),
        "rows_per_second": round(rows / seconds), "ratio": round(ratio, 2), "target": target,
        "met": target is None or ratio >= target,
    }  # fmt: skip


if __name__ == "__main__":
    print(pl.DataFrame(measure()))  # noqa: T201
