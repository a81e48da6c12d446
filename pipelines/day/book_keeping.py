"""The book of futures from the feed into its files, each minute; nothing here ends the day.

What has come is written a second after each minute's end, as a whole file; then a row of
`book_minutes` says what the files have of the minute, so that it is counted as every stream is.
A kill loses what came since the minute's end. A disk that takes nothing is told once, and the
updates wait in memory, the newest of them.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from engine.clock import Clock, floor_minute
from engine.columns import TIME
from engine.errors import KrtError
from engine.market.hours import MINUTE
from engine.schemas import BOOK_MINUTES, conform
from engine.store import book_files
from pipelines.day.ingest import Ingestor
from pipelines.day.trade_keeping import Waiting

log = logging.getLogger(__name__)

_AFTER = timedelta(seconds=1)  # 99 % of what the exchange sends is here by then
_MOST_WAITING = 200_000  # updates in memory: a day of one contract
_LAST_TRY = 10.0  # seconds for what waits when the feed is closed
_COUNTED_FOR = timedelta(minutes=5)  # a minute's updates are counted together for so long


class BookKeeper:
    """Keeps the books of contracts in the files of a folder (`engine.store.book_files`)."""

    def __init__(
        self,
        folder: Path,
        session: date,
        contracts: Collection[str],
        ingestor: Ingestor,
        clock: Clock,
        *,
        simulated: bool = False,
    ) -> None:
        self.contracts = tuple(contracts)
        self._folder = folder
        self._session = session
        self._ingestor = ingestor
        self._clock = clock
        self._simulated = simulated
        self._waiting = Waiting(_MOST_WAITING)
        self._recent = pl.DataFrame(schema=_RECENT)  # of minutes that may get more
        self._told_of_disk = False
        self.lost = 0  # updates that found no room

    def keep(self, books: pa.RecordBatch) -> None:
        """Keep the updates (BOOK) of the contracts."""
        if books.num_rows:
            wanted = pc.is_in(books["symbol"], value_set=pa.array(self.contracts))
            for gone in self._waiting.add(books.filter(wanted)):
                self.lost += gone.num_rows

    async def run(self) -> None:
        """Write each minute's updates, until cancelled."""
        await self._join_left_parts()
        while True:
            await self._clock.sleep_until(floor_minute(self._clock.now()) + MINUTE + _AFTER)
            await self._write()

    async def close(self, *, over: bool) -> None:
        """Write what waits; once the session is over, make its parts one file."""
        try:
            async with self._clock.timeout(_LAST_TRY):
                await self._write()
                if over:
                    await self._clock.thread(book_files.join_parts, self._folder, self._session)
        except (KrtError, OSError, TimeoutError) as error:
            log.warning("⚠️ book: its parts are made one file the next time: %s", error)

    async def _join_left_parts(self) -> None:
        """Make files of the sessions that a kill or an early end left in parts."""
        try:
            for session in await self._clock.thread(book_files.sessions, self._folder):
                if session != self._session:
                    await self._clock.thread(book_files.join_parts, self._folder, session)
                elif self._simulated:
                    now = self._clock.now()
                    await self._clock.thread(book_files.forget_after, self._folder, session, now)
        except (KrtError, OSError) as error:
            log.warning("⚠️ book: its parts are made one file the next time: %s", error)

    async def _write(self) -> None:
        if not self._waiting.rows:
            return
        batch = self._waiting.take()
        try:
            await self._clock.thread(book_files.write_part, self._folder, self._session, batch)
        except OSError as error:
            if not self._told_of_disk:
                log.error("❌ book: the disk takes no files: %s", error.strerror or error)
            self._told_of_disk = True
            self._waiting.put_back(batch)
            return
        self._told_of_disk = False
        new = pl.DataFrame(batch).select(
            "symbol", minute_of("told_at").alias("timestamp"), "received_at"
        )
        self._recent = pl.concat([self._recent, new])
        counted = book_minutes(self._recent)
        for symbol in self.contracts:
            rows = counted.filter(
                pl.col("symbol") == symbol, pl.col("timestamp").is_in(new["timestamp"].implode())
            )
            try:
                await self._ingestor.store_stream(
                    f"BOOK_{symbol}", "book_minutes", conform(rows, BOOK_MINUTES)
                )
            except KrtError as error:
                log.warning("⚠️ book: %s: %s", symbol, error)
        oldest = self._clock.now() - _COUNTED_FOR
        self._recent = self._recent.filter(pl.col("timestamp") >= oldest)


_RECENT = pl.Schema([("symbol", pl.String()), ("timestamp", TIME), ("received_at", TIME)])


def minute_of(moment: str) -> pl.Expr:
    """Return the end of the minute in which a moment lies."""
    return pl.col(moment).dt.truncate("1m") + MINUTE


def book_minutes(updates: pl.DataFrame) -> pl.DataFrame:
    """Return BOOK_MINUTES of updates (symbol, timestamp, received_at), ascending.

    What arrives after its minute's end counts as of that end.
    """
    begin, end = pl.col("timestamp") - MINUTE, pl.col("timestamp")
    arrived = pl.col("received_at").clip(begin, end)
    return (
        updates.sort("symbol", "timestamp", "received_at")
        .with_columns(arrived=arrived)
        .group_by("symbol", "timestamp", maintain_order=True)
        .agg(
            updates=pl.len().cast(pl.Int64),
            pause=pl.concat_list(
                (pl.col("arrived").first() - begin.first()),
                pl.col("arrived").diff().max().fill_null(timedelta()),
                (end.first() - pl.col("arrived").last()),
            ).list.max(),
            fetched_at=pl.col("received_at").max(),
        )
        .with_columns(longest_pause=pl.col("pause").dt.total_microseconds() / 1e6)
        .select(BOOK_MINUTES.names)
    )
