"""The writer: what is put is committed, or safe on disk until it can be.

Batches that arrive while a commit is under way go together into the next one (group commit). While
the server is away they go to the spool; as long as anything is spooled, newer batches queue behind
it, so that the server sees all of them in the order in which they were put.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from engine.clock import Clock
from engine.errors import InputError, StoreError, StoreUnreachable
from engine.store.merge import MergeCounts
from engine.store.spool import Entry, Spool, SpoolDamaged
from engine.store.store import Store
from engine.store.tables import table_of

log = logging.getLogger(__name__)

_GROUP = 100  # spooled batches that are merged together
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0  # seconds between tries to reach the server


@dataclass(frozen=True)
class _Put:
    table: str
    batch: pa.RecordBatch
    done: asyncio.Future[MergeCounts]

    def succeed(self, counts: MergeCounts) -> None:
        if not self.done.done():
            self.done.set_result(counts)

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


class Writer:
    """The way into the database for everything that is collected (the spec's DataWriter)."""

    def __init__(
        self, url: str, clock: Clock, spool_folder: Path, *, component: str = "krt"
    ) -> None:
        self._clock, self._store = clock, Store(url, clock, component=component)
        self._spool = Spool(spool_folder)
        self._queue: list[_Put] = []
        self._worker: asyncio.Task[None] | None = None
        self._drainer: asyncio.Task[None] | None = None
        self._one_at_a_time = asyncio.Lock()
        self._urgent = asyncio.Event()  # somebody in the queue cannot wait

    @property
    def spooled(self) -> tuple[int, int]:
        """How many batches wait on disk, and their bytes."""
        return self._spool.size()

    async def put(self, table: str, batch: pa.RecordBatch, *, patience: float = 0.0) -> MergeCounts:
        """Store the batch; returns when it is committed or, with counts.spooled, safe on disk.

        With `patience` it waits so many seconds for others to share its commit; a batch that has
        none takes those that wait along.

        Raises SchemaMismatch for a batch of another shape, StoreError or InputError if the rows
        are refused for good; those are kept in the spool's folder `refused`.
        """
        table_of(table, batch.schema).rows(batch)
        put = _Put(table, batch, asyncio.get_running_loop().create_future())
        self._queue.append(put)
        if not patience:
            self._urgent.set()
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work(patience))
        return await asyncio.shield(put.done)

    async def drain(self) -> MergeCounts:
        """Merge what is spooled, in order. Raises StoreUnreachable while the server is away."""
        counts = MergeCounts()
        while entries := await self._clock.thread(self._spool.entries):
            for group in _groups(entries):
                async with self._one_at_a_time:
                    counts += await self._merge_spooled(group)
        return counts

    async def close(self) -> None:
        """Store what is under way, try the spool once more, and close the connection."""
        self._urgent.set()
        while self._worker is not None and not self._worker.done():
            await self._worker
        if self._drainer is not None:
            self._drainer.cancel()
            await asyncio.gather(self._drainer, return_exceptions=True)
        try:
            await self.drain()
        except StoreUnreachable as error:
            log.warning("⚠️ %d batches (%d bytes) stay spooled: %s", *self.spooled, error)
        await self._store.close()

    async def _work(self, patience: float) -> None:
        """Settle everything in the queue, the batches of one table together."""
        with suppress(TimeoutError):
            async with self._clock.timeout(patience):
                await self._urgent.wait()
        while self._queue:
            self._urgent.clear()
            table = self._queue[0].table
            group = [put for put in self._queue if put.table == table]
            self._queue = [put for put in self._queue if put.table != table]
            try:
                await self._settle(group)
            except Exception as error:  # noqa: BLE001 - whoever put it is told
                for put in group:
                    put.fail(error)

    async def _settle(self, group: list[_Put]) -> None:
        """Commit the group or spool it. With neither server nor disk, hold on to it and retry."""
        pause = _FIRST_PAUSE
        while group and not await self._commit(group):
            try:
                while group:
                    await self._clock.thread(self._spool.add, group[0].table, group[0].batch)
                    put = group.pop(0)
                    put.succeed(MergeCounts(spooled=put.batch.num_rows))
                self._start_draining()
            except OSError as error:
                log.error(
                    "❌ neither the database nor the disk takes the batch: %s", error.strerror
                )
                await self._clock.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

    async def _commit(self, group: list[_Put]) -> bool:
        """Merge the group; False if that must wait: the server is away, or others wait already."""
        try:
            async with self._one_at_a_time:
                if not self._spool.empty:
                    self._start_draining()
                    return False
                merged = await self._store.merge_all(group[0].table, [put.batch for put in group])
        except StoreUnreachable as error:
            log.warning("⚠️ %s; batches go to the spool", error)
            return False
        except (StoreError, InputError) as error:
            await self._refused(group, error)
            return True
        for put, counts in zip(group, merged, strict=True):
            put.succeed(counts)
        return True

    async def _refused(self, group: list[_Put], error: StoreError | InputError) -> None:
        """Keep what the server refuses for good; one bad batch does not spoil the others."""
        if len(group) > 1:
            for put in group:
                await self._settle([put])
            return
        try:
            entry = await self._clock.thread(self._spool.add, group[0].table, group[0].batch)
            await self._set_aside(entry, "refused", error)
        except OSError as full:
            log.error("❌ the disk does not take a batch that was refused: %s", full.strerror)
        group[0].fail(error)

    def _start_draining(self) -> None:
        if self._drainer is None or self._drainer.done():
            self._drainer = asyncio.create_task(self._keep_draining())

    async def _keep_draining(self) -> None:
        pause = _FIRST_PAUSE
        while not self._spool.empty:
            try:
                counts = await self.drain()
            except (StoreUnreachable, OSError) as error:
                log.info("⏱️ %d batches (%d bytes) are spooled: %s", *self.spooled, error)
                await self._clock.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                log.info("✅ the spool is merged: %d rows came in", counts.inserted)

    async def _merge_spooled(self, entries: Sequence[Entry]) -> MergeCounts:
        """Merge batches of one table together; what cannot be merged is set aside on its own."""
        batches = {entry: batch for entry in entries if (batch := await self._read(entry))}
        if not batches:
            return MergeCounts()
        try:
            counts = await self._store.merge_all(entries[0].table, list(batches.values()))
        except StoreUnreachable:
            raise
        except (StoreError, InputError) as error:
            if len(batches) > 1:
                alone = [await self._merge_spooled([entry]) for entry in batches]
                return sum(alone, MergeCounts())
            (entry,) = batches
            await self._set_aside(entry, "refused", error)
            return MergeCounts()
        for entry in batches:
            await self._clock.thread(self._spool.remove, entry)
        return sum(counts, MergeCounts())

    async def _read(self, entry: Entry) -> pa.RecordBatch | None:
        try:
            return await self._clock.thread(self._spool.read, entry)
        except FileNotFoundError:  # another process has merged it
            return None
        except (SpoolDamaged, OSError) as error:
            await self._set_aside(entry, "damaged", error)
            return None

    async def _set_aside(self, entry: Entry, why: str, error: Exception) -> None:
        try:
            kept = await self._clock.thread(self._spool.set_aside, entry, why)
        except FileNotFoundError:  # another process has done so
            return
        log.error("❌ a batch of %s is %s and kept in %s: %s", entry.table, why, kept, error)


def _groups(entries: list[Entry]) -> Iterator[list[Entry]]:
    """Cut the entries, in order, where the table changes; a group is merged in one commit."""
    for _, of_one_table in itertools.groupby(entries, key=lambda entry: entry.table):
        rest = list(of_one_table)
        while rest:
            yield rest[:_GROUP]
            rest = rest[_GROUP:]
