"""How fast the exact missing minutes of a long history are found, and in how much memory.

Ten million bars, one in a thousand missing: Postgres's own anti-join of generate_series with the
table, against one list of stamps a symbol over ADBC into DuckDB, and against DuckDB over the
Parquet export. All three must find the same, in turns, in one run; ours in a process of its own,
whose peak memory is measured. Ratios between rows of the table hold on any machine.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import psutil

from engine import sessions
from engine.clock import WallClock
from engine.history.gaps import find_missing, missing
from engine.history.owed import owed, targets
from engine.store import Store, embedded_server, migrate
from engine.store.connection import Connection
from engine.store.export import export

LAST = date(2026, 10, 30)
LOST = 0.001
CEILING = 1_000  # MB
COMMITTED = datetime(2026, 11, 1)


def measure(
    *, rounds: int = 3, symbols: int = 60, days: int = 440, folder: Path | None = None
) -> list[dict[str, object]]:
    """Return the table: what, rows, seconds (median), rows per second, ratio, target, met.

    440 sessions of 60 stocks are ten million bars. The last row's ratio is the ceiling of 1,000 MB
    over the peak memory.
    """
    place = folder or Path(tempfile.gettempdir()) / f"krt-bench-{uuid.uuid4().hex[:8]}"
    wanted = history(symbols, days)
    with embedded_server(place, durable=False, temporary=folder is None) as url:
        migrate(url)
        rows = fill(url, wanted)
        with tempfile.TemporaryDirectory() as exported:
            export(url, Path(exported), wanted)
            return compare(url, Path(exported), wanted, rows, rounds)


def compare(
    url: str, exported: Path, wanted: pl.DataFrame, rows: int, rounds: int
) -> list[dict[str, object]]:
    """Measure the three ways in turns, and that they agree."""
    listed = exported / "targets.parquet"
    wanted.write_parquet(listed)
    took: dict[str, list[float]] = {"postgres": [], "adbc": [], "parquet": []}
    peaks, found = [], set()
    for _ in range(rounds):
        seconds, count = in_postgres(url, wanted)
        took["postgres"].append(seconds)
        found.add(count)
        for way, source in (("adbc", url), ("parquet", str(exported))):
            said = in_a_process(way, source, listed)
            took[way].append(said["seconds"])
            peaks.append(said["peak"])
            found.add(said["missing"])
    if len(found) != 1:
        raise AssertionError(f"the ways do not agree on what is missing: {found}")
    base, adbc, parquet = (statistics.median(took[way]) for way in took)
    peak = max(peaks)
    return [
        _row(f"{found.pop():,} missing minutes: generate_series anti-join", rows, base, 1.0, None),
        _row("missing minutes: ADBC, DuckDB", rows, adbc, base / adbc, 3),
        _row("missing minutes: Parquet export, DuckDB", rows, parquet, base / parquet, 10),
        _row(f"missing minutes: peak memory {peak:.0f} MB", rows, adbc, CEILING / peak, 1),
    ]  # fmt: skip


def history(symbols: int, days: int) -> pl.DataFrame:
    """Return the targets: so many stocks on the last so many sessions of the real calendar."""
    start = sessions.previous_sessions(sessions.Market.STOCKS, LAST, days - 1)[0]
    return targets([f"{10 * n + 100:06d}" for n in range(symbols)], start, LAST)


def fill(url: str, wanted: pl.DataFrame) -> int:
    """Store the bars of the targets but one in a thousand; return how many."""
    connection, rows = Connection(url, "bench"), 0
    try:
        for (month,), part in wanted.group_by(pl.col("session").dt.strftime("%Y%m")):
            bars = _bars(part)
            rows += bars.height
            with connection.transaction() as cursor:
                cursor.execute(f"SELECT make_partition('stocks_1m', '{month}')::text")
                cursor.fetchall()
                arrow = bars.to_arrow(compat_level=pl.CompatLevel.oldest())
                cursor.adbc_ingest("stocks_1m", arrow, mode="append")
        connection.alone("VACUUM ANALYZE stocks_1m")
    finally:
        connection.close()
    return rows


def _bars(part: pl.DataFrame) -> pl.DataFrame:
    kept = owed(part).sample(fraction=1 - LOST, seed=part.height)
    wave = (pl.col("place") * 7919 % 101).cast(pl.Float64) * 50
    return kept.select(
        timestamp="stamp", symbol="symbol", timeframe=pl.lit("1m"), open=50_000 + wave,
        high=50_100 + wave, low=49_900 + wave, close=50_050 + wave, volume=pl.col("place") + 1,
        fetched_at=pl.lit(COMMITTED), committed_at=pl.lit(COMMITTED),
    )  # fmt: skip


def in_postgres(url: str, wanted: pl.DataFrame) -> tuple[float, int]:
    """Find what is missing as one would in SQL: the owed stamps, less those in the table."""
    days = [
        sessions.session(sessions.Market.STOCKS, day) for day in wanted["session"].unique().sort()
    ]
    spans = ", ".join(
        f"(timestamp '{s.first_stamp}', timestamp '{s.continuous_end}', timestamp '{s.auction}')"
        for s in days
        if s
    )
    codes = ", ".join(f"('{symbol}')" for symbol in wanted["symbol"].unique().sort())
    query = f"""
        WITH symbols (symbol) AS (VALUES {codes}),
             days (first_stamp, last_stamp, auction) AS (VALUES {spans}),
             stamps AS (
                 SELECT stamp FROM days, LATERAL (
                     SELECT generate_series(first_stamp, last_stamp, interval '1 minute') AS stamp
                     UNION ALL SELECT auction) AS minutes)
        SELECT owed.symbol, owed.stamp
        FROM (SELECT symbol, stamp FROM symbols CROSS JOIN stamps) AS owed
        LEFT JOIN stocks_1m AS b ON b.symbol = owed.symbol AND b.timestamp = owed.stamp
        WHERE b.symbol IS NULL"""
    connection = Connection(url, "bench")
    try:
        start = time.perf_counter()
        count = connection.query(query).num_rows
        return time.perf_counter() - start, count
    finally:
        connection.close()


def in_a_process(way: str, source: str, listed: Path) -> dict[str, Any]:
    """Find it in a process of its own; return seconds, missing and peak (MB of memory)."""
    command = [sys.executable, __file__, way, source, str(listed)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return dict(json.loads(said.splitlines()[-1]))


def find(way: str, source: str, listed: str) -> dict[str, Any]:
    """Find what is missing over ADBC (`source` is the URL) or in the Parquet export (a folder)."""
    wanted = pl.read_parquet(listed)
    with _peak_memory() as peak:
        start = time.perf_counter()
        if way == "adbc":
            runs = asyncio.run(_over_adbc(source, wanted))
        else:
            files = Path(source).as_posix() + "/stocks_1m/*/*/*.parquet"
            runs = find_missing(
                wanted,
                f"SELECT symbol, timestamp FROM read_parquet('{files}', hive_partitioning = false)",
            )
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "missing": int(runs["bars"].sum()), "peak": max(peak)}


async def _over_adbc(url: str, wanted: pl.DataFrame) -> pl.DataFrame:
    store = Store(url, WallClock(), component="bench")
    try:
        return await missing(store, wanted, WallClock())
    finally:
        await store.close()


@contextmanager
def _peak_memory() -> Iterator[list[float]]:
    """Yield a list that holds this process's memory in MB, looked at every five milliseconds."""
    seen, done, process = [0.0], threading.Event(), psutil.Process()

    def look() -> None:
        while not done.wait(0.005):
            seen.append(process.memory_info().rss / 1e6)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


def _row(
    what: str, rows: int, seconds: float, ratio: float, target: float | None
) -> dict[str, object]:
    return {
        "what": what, "rows": rows, "seconds": round(seconds, 4),
        "rows_per_second": round(rows / seconds), "ratio": round(ratio, 2), "target": target,
        "met": target is None or ratio >= target,
    }  # fmt: skip


if __name__ == "__main__":
    if len(sys.argv) == 4:
        print(json.dumps(find(*sys.argv[1:])))  # noqa: T201
    else:
        print(pl.DataFrame(measure()))  # noqa: T201
