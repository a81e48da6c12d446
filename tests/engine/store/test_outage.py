"""A day with the database away for twenty minutes ends like a day without an outage."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa

from engine.clock import VirtualClock, WallClock
from engine.store import Store, Writer
from tests.engine.store.data import MINUTE, futures_bars, signals
from tests.engine.store.outage import away

OPEN = datetime(2025, 9, 1, 8, 45)
MINUTES = 60
Outage = Callable[[ExitStack, int], None]


async def collect(url: str, spool: Path, outage: Outage) -> None:
    """Poll each minute: the last 30 bars again, one of them corrected later; then the signal."""
    clock = VirtualClock(OPEN)
    writer = Writer(url, clock, spool)
    with ExitStack() as server:
        for minute in range(1, MINUTES + 1):
            await clock.sleep_until(OPEN + minute * MINUTE + timedelta(seconds=2))
            outage(server, minute)
            for symbol in ("101W09", "105W09"):
                await writer.put("futures_1m", polled(symbol, minute, clock.now()))
            given = signals([minute % 3 - 1] * minute, created=clock.now())
            await writer.put("dolpha1_signal", given.slice(minute - 1))
        outage(server, MINUTES + 1)
        await writer.drain()
        await writer.close()


def polled(symbol: str, minute: int, now: datetime) -> pa.RecordBatch:
    first = max(1, minute - 29)
    # Every seventh bar is corrected three minutes after it closed.
    closes = [
        350.0 + bar + (0.05 if bar % 7 == 0 and minute >= bar + 3 else 0)
        for bar in range(first, minute + 1)
    ]
    return futures_bars(closes, symbol=symbol, start=OPEN + first * MINUTE, fetched=now)


async def contents(url: str) -> list[pl.DataFrame]:
    """Return what the day stored, except when it was merged."""
    store = Store(url, WallClock())
    answers = [
        pl.DataFrame(await store.query(f"SELECT * FROM {table} ORDER BY symbol, timestamp"))
        for table in ("futures_1m", "dolpha1_signal")
    ]
    await store.close()
    return [answer.drop("committed_at") for answer in answers]


def test_twenty_minutes_without_the_database_change_nothing_in_the_end(
    database_url: str, another_database_url: str, tmp_path: Path
) -> None:
    calm, troubled = database_url, another_database_url

    def never(_: ExitStack, __: int) -> None:
        pass

    def from_the_30th_to_the_50th(server: ExitStack, minute: int) -> None:
        if minute == 30:
            server.enter_context(away(troubled))
        if minute == 50:
            assert list(tmp_path.glob("troubled/*.arrow")), "nothing was spooled"
            server.close()

    # Each day runs in an event loop of its own, because a virtual clock controls a whole loop.
    asyncio.run(collect(calm, tmp_path / "calm", never))
    asyncio.run(collect(troubled, tmp_path / "troubled", from_the_30th_to_the_50th))
    expected, found = asyncio.run(contents(calm)), asyncio.run(contents(troubled))
    assert [frame.height for frame in found] == [2 * MINUTES, MINUTES]
    for calm_table, troubled_table in zip(expected, found, strict=True):
        assert troubled_table.equals(calm_table)
