"""How fast the exact missing minutes of a long history are found, and in how much memory.

Ten million bars, one in a thousand missing: Postgres's own anti-join of generate_series with the
table, against one string of stamps a symbol over ADBC into DuckDB, and against DuckDB over the
Parquet export. All three must find the same, in turns, in one run; ours in a process of its own,
whose peak memory is measured.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from engine.clock import WallClock
from engine.history.gaps import find_gaps, gaps_in
from engine.market import sessions
from engine.store import Store
from engine.store.connection import Connection
from tests.benchmarks.bench_env import BenchEnv
from tests.benchmarks.rows import Row, in_own_process, memory

CEILING = 1_000  # MB
TINY = {"rounds": 1, "symbols": 2, "days": 5, "alone": False}
QUICK = {"rounds": 1, "symbols": 10, "days": 22}


def measure(
    env: BenchEnv, *, rounds: int = 3, symbols: int = 60, days: int = 440, alone: bool = True
) -> list[Row]:
    """Find what is missing in turns, three ways; 440 sessions of 60 stocks are ten million bars.

    Memory means something only where each way has a process `alone`.
    """
    look = partial(in_own_process, __spec__.name) if alone else find
    history = env.history(symbols, days)
    export_folder, listed = env.export_folder(history), env.folder / "targets.parquet"
    history.targets.write_parquet(listed)
    took: dict[str, list[float]] = {"postgres": [], "adbc": [], "parquet": []}
    peaks, found = [], set()
    for _ in range(rounds):
        seconds, count = in_postgres(history.url, history.targets)
        took["postgres"].append(seconds)
        found.add(count)
        for way, source in (("adbc", history.url), ("parquet", str(export_folder))):
            said = look(way, source, str(listed))
            took[way].append(said["seconds"])
            peaks.append(said["peak"])
            found.add(said["missing"])
    if len(found) != 1:
        raise AssertionError(f"the ways do not agree on what is missing: {found}")
    base, adbc, parquet = (statistics.median(took[way]) for way in took)
    rows, sql = history.rows, "vs anti-join in Postgres"
    return [
        Row(f"missing minutes over ADBC {sql}", adbc, base, rows, least=3),
        Row(f"missing minutes, Parquet {sql}", parquet, base, rows, least=10),
        Row(
            "peak memory of the process that looks", max(peaks), None, rows, most=CEILING, unit="MB"
        ),
    ]


def in_postgres(url: str, wanted: pl.DataFrame) -> tuple[float, int]:
    """Find what is missing as one would in SQL: the expected stamps, less those in the table."""
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
        SELECT expected.symbol, expected.stamp
        FROM (SELECT symbol, stamp FROM symbols CROSS JOIN stamps) AS expected
        LEFT JOIN stocks_1m AS b ON b.symbol = expected.symbol AND b.timestamp = expected.stamp
        WHERE b.symbol IS NULL"""
    connection = Connection(url, "bench")
    try:
        start = time.perf_counter()
        count = connection.query(query).num_rows
        return time.perf_counter() - start, count
    finally:
        connection.close()


def find(way: str, source: str, listed: str) -> dict[str, Any]:
    """Find what is missing over ADBC (`source` is the URL) or in the Parquet export (a folder)."""
    wanted = pl.read_parquet(listed)
    with memory() as seen:
        start = time.perf_counter()
        if way == "adbc":
            runs = asyncio.run(_over_adbc(source, wanted))
        else:
            files = Path(source).as_posix() + "/stocks_1m/*/*/*.parquet"
            runs = gaps_in(
                wanted,
                f"SELECT symbol, timestamp FROM read_parquet('{files}', hive_partitioning = false)",
            )
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "missing": int(runs["bars"].sum()), "peak": max(seen)}


async def _over_adbc(url: str, wanted: pl.DataFrame) -> pl.DataFrame:
    store = Store(url, WallClock(), component="bench")
    try:
        return await find_gaps(store, wanted, WallClock())
    finally:
        await store.close()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(find(*sys.argv[1:])))
