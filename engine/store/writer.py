"""The writer: what is put is committed, or safe on disk until it can be.

Batches that arrive while a commit is under way go together into the next one (group commit). While
the server is away they go to the spool; as long as anything is spooled, newer batches queue behind
it, so that the server sees all of them in the order in which they were put.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from engine.clock import Clock
from engine.errors import StoreError, StoreUnreachable
from engine.store.merge import MergeCounts
from engine.store.spool import Entry, Spool
from engine.store.store import Store
from engine.store.tables import table_of

log = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0  # seconds between tries to reach the server


@dataclass(frozen=True)
class _Put:
    table: str
    batch: pa.RecordBatch
    done: asyncio.Future[MergeCounts]


class Writer:
    """The way into the database for everything that is collected (the spec's DataWriter)."""

    def __init__(
        self, url: str, clock: Clock, spool_folder: Path, *, component: str = "krt"
    ) -> None:
        self._clock, self._store = clock, Store(url, clock, component=component)
        self._spool = Spool(spool_folder)
        self._queue: deque[_Put] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._drainer: asyncio.Task[None] | None = None
        self._committing = asyncio.Lock()
        self._urgent = asyncio.Event()

    @property
    def spooled(self) -> tuple[int, int]:
        """How many batches wait on disk, and their bytes."""
        return self._spool.size()

    async def put(self, table: str, batch: pa.RecordBatch, *, patience: float = 0.0) -> MergeCounts:
        """Store the batch; returns when it is committed or, with counts.spooled, safe on disk.

        A batch with `patience` waits up to so many seconds for others to share its commit; one
        without takes those that wait with it.

        Raises SchemaMismatch for a batch of another shape, StoreError if the server refuses the
        rows for good; they are then kept in the spool's folder `refused`.
        """
        table_of(table, batch.schema).rows(batch)
        done: asyncio.Future[MergeCounts] = asyncio.get_running_loop().create_future()
        self._queue.append(_Put(table, batch, done))
        if not patience:
            self._urgent.set()
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work(patience))
        return await asyncio.shield(done)

    async def drain(self) -> MergeCounts:
        """Merge what is spooled, in order. Raises StoreUnreachable while the server is away."""
        counts = MergeCounts()
        async with self._committing:
            while entries := await self._clock.thread(self._spool.entries):
                for entry in entries:
                    counts += await self._drain_one(entry)
        return counts

    async def close(self) -> None:
        """Store what is under way, try the spool once more, and close the connection."""
        self._urgent.set()
        while self._worker is not None and not self._worker.done():
            await self._worker
        if self._drainer is not None:
            self._drainer.cancel()
            await asyncio.gather(self._drainer, return_exceptions=True)
        if not self._spool.empty:
            try:
                await self.drain()
            except StoreUnreachable as error:
                batches, size = self.spooled
                log.warning("⚠️ %d batches (%d bytes) stay spooled: %s", batches, size, error)
        await self._store.close()

    async def _work(self, patience: float) -> None:
        with suppress(TimeoutError):
            async with self._clock.timeout(patience):
                await self._urgent.wait()
        while self._queue:
            self._urgent.clear()
            table = self._queue[0].table
            group = [put for put in self._queue if put.table == table]
            self._queue = deque(put for put in self._queue if put.table != table)
            async with self._committing:
                await self._settle(table, group)

    async def _settle(self, table: str, group: list[_Put]) -> None:
        """Commit or spool the group. With neither server nor disk, hold on to it and try again."""
        while group:
            if self._spool.empty and (left := await self._commit(table, group)) is not None:
                group = left
                continue
            try:
                for put in list(group):
                    await self._clock.thread(self._spool.add, table, put.batch)
                    group.remove(put)
                    _resolve(put, MergeCounts(spooled=put.batch.num_rows))
            except OSError as error:
                log.error("❌ neither database nor spool takes %s: %s", table, error.strerror)
                await self._clock.sleep(_FIRST_PAUSE)
            self._start_draining()

    async def _commit(self, table: str, group: list[_Put]) -> list[_Put] | None:
        """Merge the group; return what is left of it, or None if the server is away."""
        try:
            merged = await self._store.merge_all(table, [put.batch for put in group])
        except StoreUnreachable as error:
            log.warning("⚠️ %s; spooling %s", error, table)
            return None
        except StoreError as error:
            if len(group) > 1:  # find the culprit
                for put in group:
                    await self._settle(table, [put])
                return []
            await self._refuse(group[0], error)
            return []
        for put, counts in zip(group, merged, strict=True):
            _resolve(put, counts)
        return []

    async def _refuse(self, put: _Put, error: StoreError) -> None:
        def keep() -> Path:
            self._spool.add(put.table, put.batch)
            return self._spool.set_aside(self._spool.entries()[-1], "refused")

        kept = await self._clock.thread(keep)
        log.error("❌ %s: kept in %s", error, kept)
        if not put.done.done():
            put.done.set_exception(error)

    def _start_draining(self) -> None:
        if self._drainer is None or self._drainer.done():
            self._drainer = asyncio.create_task(self._keep_draining())

    async def _keep_draining(self) -> None:
        pause = _FIRST_PAUSE
        while not self._spool.empty:
            await self._clock.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
            try:
                counts = await self.drain()
            except StoreUnreachable as error:
                batches, size = self.spooled
                log.info("⏱️ %d batches (%d bytes) spooled: %s", batches, size, error)
            else:
                log.info("✅ the spool is merged: %d rows came in", counts.inserted)

    async def _drain_one(self, entry: Entry) -> MergeCounts:
        try:
            batch = await self._clock.thread(self._spool.read, entry)
        except (OSError, pa.ArrowInvalid) as error:
            kept = await self._clock.thread(self._spool.set_aside, entry, "damaged")
            log.error(
                "❌ a spooled batch of %s is damaged (%s): kept in %s", entry.table, error, kept
            )
            return MergeCounts()
        try:
            counts = await self._store.merge(entry.table, batch)
        except StoreUnreachable:
            raise
        except StoreError as error:
            kept = await self._clock.thread(self._spool.set_aside, entry, "refused")
            log.error("❌ %s: kept in %s", error, kept)
            return MergeCounts()
        await self._clock.thread(self._spool.remove, entry)
        return counts


def _resolve(put: _Put, counts: MergeCounts) -> None:
    if not put.done.done():
        put.done.set_result(counts)
