"""What the feed gave is kept beside the day's other work: nothing waits for it, and it for nothing.

Trades have a writer, a connection and a part of the spool of their own: a commit of many trades, or
a lock on their table, holds up no bar. While the database is away or slow they go to disk; while
the disk is, too, they wait in memory, bounded. What finds no room there is counted, and written
down as a rejected row for each symbol. The bars lose nothing by it: they were made before.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime

import polars as pl
import pyarrow as pa

from engine import schemas
from engine.clock import Clock
from engine.concurrency import run_until_first_error
from engine.errors import KrtError
from engine.features.ticks import clashes, distinct_trades
from engine.store import MergeCounts, Writer
from pipelines.day.first_trades import FirstTrades
from pipelines.day.statistics import DayStatistics

log = logging.getLogger(__name__)

NOT_KEPT = "neither the database nor the disk took them"
CLASH = "another trade has this volume of the session"
FRAMES_LOST = "nobody had read them in time"
_TOGETHER = 3.0  # seconds that trades wait: a commit of few costs as much as one of many
_SLOW = 5.0  # seconds for a commit: what has come meanwhile goes to disk then
_MOST_WAITING = 500_000  # trades in memory
_MOST_REJECTED = 10_000
_LAST_TRIES = 60.0  # seconds at the end


def is_trades(table: str) -> bool:
    """Say whether the writer of trades stores a table's batches."""
    return table == "trades"


def is_not_trades(table: str) -> bool:
    """Say whether the writer of everything else does."""
    return not is_trades(table)


class TradeKeeper:
    """Keeps trades and rejected records; `keep` and `keep_rejected` never wait."""

    def __init__(
        self,
        writer: Writer,
        store_rejected: Callable[[pa.RecordBatch], Awaitable[MergeCounts]],
        clock: Clock,
        stats: DayStatistics,
        *,
        first_trades: FirstTrades | None = None,
        most_waiting: int = _MOST_WAITING,
    ) -> None:
        self._writer = writer
        self._store_rejected = store_rejected
        self._clock = clock
        self._stats = stats
        self._first_trades = first_trades
        self._most_waiting = most_waiting
        self._trades = Waiting(most_waiting)
        self._rejected = Waiting(_MOST_REJECTED)
        self._commit: asyncio.Task[None] | None = None
        self._spooled = _Growing()
        self._lost = _Growing()
        self._told_of_disk = False

    def keep(self, trades: pa.RecordBatch) -> None:
        """Keep trades; the oldest that wait go where there is no room."""
        for lost in self._trades.add(trades):
            self._note_lost(lost.num_rows)
            self.keep_rejected(_what_was_lost(lost, self._clock.now()))

    def keep_rejected(self, rows: pa.RecordBatch) -> None:
        """Keep records that are no trades, or what is known of trades that were lost."""
        self._rejected.add(rows)

    def note_lost_frames(self, frames: int) -> None:
        """Write down that frames were pushed out before anybody read them."""
        now = self._clock.now()
        row = {"received_at": now, "tr_id": "feed", "symbol": None, "reason": FRAMES_LOST}
        raw = f'{{"frames": {frames}, "until": "{now}"}}'
        self.keep_rejected(pa.RecordBatch.from_pylist([{**row, "raw": raw}], schemas.REJECTED_ROWS))

    async def run(self) -> None:
        """Store what is kept, until cancelled."""
        await run_until_first_error(self._store_trades(), self._store_what_was_rejected())

    async def flush(self) -> None:
        """Store all that waits; give up what neither the database nor the disk takes.

        A commit that is still under way then is the writer's, whose closing waits for it.
        """
        with suppress(TimeoutError):
            async with self._clock.timeout(_SLOW):
                if self._commit is not None:
                    await asyncio.shield(self._commit)
                if self._trades.rows:
                    self._commit = asyncio.create_task(self._put(self._trades.take()))
                    await asyncio.shield(self._commit)
        if self._trades.rows:
            await self._spool(self._trades.take())
        with suppress(TimeoutError):
            async with self._clock.timeout(_LAST_TRIES):
                await self._flush_rejected()
        if self._trades.rows:
            self._note_lost(self._trades.rows)

    async def _store_trades(self) -> None:
        """Store trades, those of a few seconds together; go on beside a commit that takes long."""
        began = self._clock.now()
        while True:
            await self._clock.sleep(_TOGETHER)
            if not self._trades.rows:
                continue
            if self._commit is None or self._commit.done():
                began = self._clock.now()
                self._commit = asyncio.create_task(self._put(self._trades.take()))
            elif (self._clock.now() - began).total_seconds() >= _SLOW or (
                self._trades.rows > self._most_waiting // 2
            ):
                await self._spool(self._trades.take())

    async def _store_what_was_rejected(self) -> None:
        while True:
            await self._clock.sleep(_TOGETHER)
            await self._flush_rejected()

    async def _flush_rejected(self) -> None:
        if self._rejected.rows:
            try:
                await self._store_rejected(self._rejected.take())
            except KrtError as error:
                log.warning("⚠️ feed: rejected records are refused: %s", error)

    async def _put(self, taken: pa.RecordBatch) -> None:
        batch = self._without_clashes(taken)
        try:
            counts = await self._writer.put("trades", batch)
        except KrtError as error:
            log.warning("⚠️ feed: %d trades are refused: %s", batch.num_rows, error)
            return
        except Exception as error:  # noqa: BLE001 - nobody waits for this task
            log.error("❌ feed: a commit crashed, its trades go to disk: %r", error)
            await self._spool(batch)
            return
        self._stats.trades += counts.inserted + counts.spooled
        if counts.spooled:
            self._note_spooled(counts.spooled)
        elif self._spooled.total:
            self._spooled.total = self._spooled.told = 0
            log.info("✅ feed: trades go to the database again")
        if self._first_trades:
            self._first_trades.note(batch)
            if not counts.spooled:  # all that was spooled before them is in the database, too
                await self._first_trades.compare()

    def _without_clashes(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return the trades but those that have the volume of the session of another one.

        These are kept as rejected. The trigger of the table `trades` does the same with those that
        come in later batches.
        """
        keys = pl.DataFrame(batch.select(["symbol", "day_volume"]))
        if not keys.is_duplicated().any():  # nearly always
            return batch
        marked = distinct_trades(pl.LazyFrame(batch)).with_columns(clashes().alias("clash"))
        rows = marked.collect(engine="in-memory")
        rejected = rows.filter("clash").select(
            "received_at",
            pl.lit("trades").alias("tr_id"),
            "symbol",
            pl.lit(CLASH).alias("reason"),
            pl.struct(pl.all().exclude("received_at", "clash")).struct.json_encode().alias("raw"),
        )
        self.keep_rejected(schemas.conform(rejected, schemas.REJECTED_ROWS))
        return schemas.conform(rows.filter(~pl.col("clash")), schemas.TRADES)

    async def _spool(self, batch: pa.RecordBatch) -> None:
        """Put trades on disk while the database is slow; if that fails, they wait on."""
        try:
            await self._writer.spool("trades", batch)
        except OSError as error:
            if not self._told_of_disk:
                log.warning("⚠️ feed: the disk takes no trades: %s", error.strerror or error)
            self._told_of_disk = True
            self._trades.put_back(batch)
            return
        self._told_of_disk = False
        self._stats.trades += batch.num_rows
        self._note_spooled(batch.num_rows)

    def _note_spooled(self, trades: int) -> None:
        if self._spooled.grow(trades):
            waiting = self._spooled.total
            log.warning("⚠️ feed: the database is away or slow: %d trades went to disk", waiting)

    def _note_lost(self, trades: int) -> None:
        self._stats.lost_trades += trades
        if self._lost.grow(trades):
            log.error("❌ feed: %d trades were not kept: nothing takes them", self._lost.total)


class Waiting:
    """Batches of one schema in memory, no more than so many rows of them."""

    def __init__(self, most: int) -> None:
        self.rows = 0
        self._batches: list[pa.RecordBatch] = []
        self._most = most

    def add(self, batch: pa.RecordBatch) -> list[pa.RecordBatch]:
        """Add a batch; return the oldest ones, which had to go."""
        if batch.num_rows:
            self._batches.append(batch)
            self.rows += batch.num_rows
        gone = []
        while self.rows > self._most:
            gone.append(self._batches.pop(0))
            self.rows -= gone[-1].num_rows
        return gone

    def put_back(self, batch: pa.RecordBatch) -> None:
        """Let a batch wait again, as the oldest; the next `add` may push it out."""
        self._batches.insert(0, batch)
        self.rows += batch.num_rows

    def take(self) -> pa.RecordBatch:
        """Return all rows as one batch."""
        taken, self._batches, self.rows = self._batches, [], 0
        return pa.Table.from_batches(taken).combine_chunks().to_batches()[0]


class _Growing:
    """A number that is worth a line when it begins to grow and whenever it has doubled."""

    def __init__(self) -> None:
        self.total = self.told = 0

    def grow(self, more: int) -> bool:
        """Add to the number; say whether it is worth a line now."""
        self.total += more
        if not self.total or self.total < 2 * self.told:
            return False
        self.told = self.total
        return True


def _what_was_lost(trades: pa.RecordBatch, now: datetime) -> pa.RecordBatch:
    """Return a rejected row for each symbol: how many trades are missing, and of which time."""
    found = (
        pl.DataFrame(trades)
        .group_by("symbol", maintain_order=True)
        .agg(
            trades=pl.len(),
            first=pl.col("traded_at").min().dt.to_string(),
            last=pl.col("traded_at").max().dt.to_string(),
        )
        .select(
            pl.lit(now, pl.Datetime("us")).alias("received_at"),
            pl.lit("feed").alias("tr_id"),
            "symbol",
            pl.lit(NOT_KEPT).alias("reason"),
            pl.struct("trades", "first", "last").struct.json_encode().alias("raw"),
        )
    )
    return schemas.conform(found, schemas.REJECTED_ROWS)
