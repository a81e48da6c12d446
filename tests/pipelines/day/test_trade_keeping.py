"""A slow disk or database never blocks the reading of frames, and what is lost is known."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from datetime import date, datetime

import pyarrow as pa
import pytest

from engine.clock import VirtualClock
from engine.errors import StoreError
from engine.store import MergeCounts
from pipelines.day.statistics import DayStatistics
from pipelines.day.trade_keeping import FRAMES_LOST, NOT_KEPT, TradeKeeper
from pipelines.day_plan import plan
from pipelines.feed import Feed
from tests.engine.store.trades import trades

DAY = date(2025, 9, 1)
NOON = datetime(2025, 9, 1, 12)


class SlowWriter:
    """A writer whose database and disk take as long as the test says, or nothing."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.commit_takes = 0.0
        self.spools = False
        self.disk_is_full = False
        self.committed: list[int] = []
        self.on_disk: list[int] = []

    async def put(self, _table: str, batch: pa.RecordBatch) -> MergeCounts:
        await self.clock.sleep(self.commit_takes)
        if self.spools:
            self.on_disk.append(batch.num_rows)
            return MergeCounts(spooled=batch.num_rows)
        self.committed.append(batch.num_rows)
        return MergeCounts(inserted=batch.num_rows)

    async def spool(self, _table: str, batch: pa.RecordBatch) -> None:
        if self.disk_is_full:
            raise OSError(28, "No space left on device")
        self.on_disk.append(batch.num_rows)


class Keeping:
    """A keeper that gets ten trades a second, and what it stored."""

    def __init__(self, most_waiting: int = 500_000) -> None:
        self.clock = VirtualClock(NOON)
        self.writer = SlowWriter(self.clock)
        self.stats = DayStatistics(plan(Feed(("005930",)), DAY), simulated=True)
        self.rejected: list[dict[str, object]] = []
        self.keeper = TradeKeeper(
            self.writer, self.reject, self.clock, self.stats, most_waiting=most_waiting
        )
        self.given = 0

    async def reject(self, rows: pa.RecordBatch) -> MergeCounts:
        self.rejected += rows.to_pylist()
        return MergeCounts()

    async def follow(self, seconds: int) -> None:
        running = asyncio.create_task(self.keeper.run())
        for _ in range(seconds):
            self.keeper.keep(trades(DAY, ("005930",), 10, since=self.given))
            self.given += 10
            await self.clock.sleep(1)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_trades_of_some_seconds_are_committed_together() -> None:
    at = Keeping()
    await at.follow(20)
    await at.keeper.flush()
    assert sum(at.writer.committed) == at.stats.trades == at.given == 200
    assert len(at.writer.committed) <= 8
    assert at.writer.on_disk == []


async def test_beside_a_commit_that_takes_long_trades_go_to_disk(
    caplog: pytest.LogCaptureFixture,
) -> None:
    at = Keeping()
    at.writer.commit_takes = 60
    await at.follow(90)
    assert 100 <= sum(at.writer.on_disk) < 900
    at.writer.commit_takes = 0
    with caplog.at_level(logging.INFO):
        await at.follow(40)
    await at.keeper.flush()
    assert sum(at.writer.committed) + sum(at.writer.on_disk) == at.given == at.stats.trades
    told = [record.getMessage() for record in caplog.records]
    assert 2 <= sum("trades went to disk" in line for line in told) <= 8  # each time it doubles
    assert told[-1] == "✅ feed: trades go to the database again"


async def test_while_the_database_is_away_the_spool_takes_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    at = Keeping()
    at.writer.spools = True
    await at.follow(300)
    await at.keeper.flush()
    assert sum(at.writer.on_disk) == at.stats.trades == 3000
    assert sum("trades went to disk" in r.getMessage() for r in caplog.records) < 12
    assert at.stats.lost_trades == 0


async def test_what_nothing_takes_is_bounded_counted_and_written_down() -> None:
    at = Keeping(most_waiting=200)
    at.writer.commit_takes, at.writer.disk_is_full = 600, True
    await at.follow(100)
    assert at.keeper._trades.rows <= 200
    at.writer.commit_takes, at.writer.disk_is_full = 0, False
    await at.follow(10)
    await at.clock.sleep(600)
    await at.keeper.flush()
    kept = sum(at.writer.committed) + sum(at.writer.on_disk)
    assert kept == at.stats.trades
    assert kept + at.stats.lost_trades == at.given
    lost = [json.loads(row["raw"]) for row in at.rejected if row["reason"] == NOT_KEPT]
    assert sum(one["trades"] for one in lost) == at.stats.lost_trades > 500
    assert {row["symbol"] for row in at.rejected} == {"005930"}
    assert lost[0]["first"].startswith("2025-09-01 09:0")


async def test_frames_that_were_pushed_out_are_written_down() -> None:
    at = Keeping()
    at.keeper.note_lost_frames(17)
    await at.keeper.flush()
    assert [(row["reason"], json.loads(row["raw"])["frames"]) for row in at.rejected] == [
        (FRAMES_LOST, 17)
    ]


async def test_refused_trades_do_not_end_the_keeping(caplog: pytest.LogCaptureFixture) -> None:
    at = Keeping()

    async def refuse(_table: str, _batch: pa.RecordBatch) -> MergeCounts:
        raise StoreError("the database refused: no")

    put: Callable[..., object] = at.writer.put
    at.writer.put = refuse
    await at.follow(5)
    at.writer.put = put
    await at.follow(5)
    assert at.writer.committed
    assert "trades are refused: the database refused: no" in caplog.text
