"""A minute of everything that KIS tells only once, from frames to committed rows."""

from __future__ import annotations

import asyncio
import statistics
from datetime import datetime, timedelta

import polars as pl
import pyarrow as pa

from engine import schemas
from engine.clock import WallClock
from engine.fetchers.told_once import INVESTORS
from engine.market.told_once import STREAMS
from engine.store import Store
from tests.benchmarks.bench_env import BenchEnv
from tests.benchmarks.rows import Row

FIRST = datetime(2026, 11, 18, 9, 1)
CONTRACTS = ("A01612", "A05612")
TINY = {"minutes": 2}
QUICK = {"minutes": 10}
LIMIT = 0.05  # seconds
_SUBJECTS = {
    "futures_state": CONTRACTS,
    "expected_prices": (*CONTRACTS, "005930", "000660"),
    **{stream.table: stream.usual for stream in STREAMS.values() if stream.usual},
}
_SCHEMAS = {
    "futures_state": schemas.FUTURES_STATE,
    "investor_flows": schemas.INVESTOR_FLOWS,
    "programme_trades": schemas.PROGRAMME_TRADES,
    "index_1m": schemas.INDEX_BARS,
    "expected_prices": schemas.EXPECTED_PRICES,
}


def rows_of_minute(table: str, minute: int) -> pa.RecordBatch:
    """Return what a minute brings of a table: all its subjects, a row each, of flows twelve."""
    schema = _SCHEMAS[table]
    key = pl.DataFrame({"symbol": _SUBJECTS[table]})
    if table == "investor_flows":
        key = key.join(pl.DataFrame({"investor": list(INVESTORS.values())}), how="cross")
    stamp = FIRST + minute * timedelta(minutes=1)
    numbers = {
        name: pl.lit(1_000.0 + minute).cast(kind)
        for name, kind in pl.Schema(schema).items()
        if kind.is_numeric()
    }
    if table == "expected_prices":
        key = key.with_columns(said_at=pl.lit(stamp))
    if "source" in schema.names:
        key = key.with_columns(source=pl.lit("FHKST01010200"))
    frame = key.with_columns(timestamp=pl.lit(stamp), fetched_at=pl.lit(stamp), **numbers)
    return schemas.conform(frame, schema)


def measure(env: BenchEnv, *, minutes: int = 60) -> list[Row]:
    """Measure minutes, one after the other; each commits one batch a table."""
    batches = [
        {table: rows_of_minute(table, minute) for table in _SCHEMAS}
        for minute in range(minutes + 1)
    ]
    took = asyncio.run(_store(env.database(), batches))[1:]  # the first one checks the tables
    rows = sum(batch.num_rows for batch in batches[0].values())
    median, worst = statistics.median(took), max(took)
    return [
        Row("a minute of all that is told once", median, rows=rows, most=LIMIT),
        Row("the slowest of these minutes", worst, rows=rows),
    ]


async def _store(url: str, batches: list[dict[str, pa.RecordBatch]]) -> list[float]:
    store = Store(url, WallClock())
    loop = asyncio.get_running_loop()
    try:
        taken = []
        for minute in batches:
            began = loop.time()
            for table, batch in minute.items():
                await store.merge(table, batch)
            taken.append(loop.time() - began)
        return taken
    finally:
        await store.close()
