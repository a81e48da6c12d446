"""The writer: each batch is committed, or safe on disk until it can be.

Batches that arrive while a commit is under way share the next one (group commit). While the server
is away they go to the spool; as long as any batch is spooled, newer ones go behind it, so that the
server gets all of them in the order in which they were put. Few rows of several tables are one
commit: the bars of futures and stocks, the signals of all strategies. Many rows are one of their
own, and so is everything for a while after somebody has locked a table: a second connection then
commits what the locked table does not concern. Batches of one table always stay in order.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa

from engine.backoff import Backoff
from engine.clock import Clock
from engine.errors import InputError, StoreError, StoreUnreachable
from engine.store.merge import MergeCounts
from engine.store.queued_batches import QueuedBatch, QueuedBatches
from engine.store.spool import Entry, Spool, SpoolDamaged, any_table
from engine.store.store import Gate, Store
from engine.store.tables import table_of

log = logging.getLogger(__name__)

_GROUP = 100  # spooled batches that are merged together; fewer once it took too long, until all are
_PASSED_OVER = "they cannot be read, moved, merged or removed"
_BETWEEN_TRIES = Backoff(first=1.0, longest=30.0)
_CONNECTIONS = 2  # the second one is made when it is first needed
_LONGEST_MERGE = 100.0  # seconds that the server may say nothing; to wait for a lock takes less
_PATIENCE_FOR_LOCKS = "250ms"  # where tables share a commit
_APART = timedelta(minutes=1)  # after a commit of several tables has failed
_LAST_TRIES = 60.0  # seconds at the end for what neither the database nor the disk takes


class Writer:
    """Writes what is collected, and of the spool the tables that it `takes`; others take others."""

    def __init__(
        self,
        url: str,
        clock: Clock,
        spool_folder: Path,
        *,
        component: str = "krt",
        gate: Gate | None = None,
        takes: Callable[[str], bool] = any_table,
    ) -> None:
        self._clock = clock
        self._stores = [
            Store(url, clock, component=component, gate=gate, longest_merge=_LONGEST_MERGE)
            for _ in range(_CONNECTIONS)
        ]
        self._spool = Spool(spool_folder, takes)
        self.spool_trouble = self._spool.why_unusable()  # why nothing can be spooled, at the start
        self._queue = QueuedBatches()
        self._workers: dict[Store, asyncio.Task[None]] = {}  # at most one a connection
        self._apart_until = clock.now()  # when tables may share a commit again
        self._drainer: asyncio.Task[None] | None = None
        self._together = _GROUP  # spooled batches that the next merge may have
        self._named: set[Entry] = set()  # those of them that a line has named
        self._passed_over: set[Entry] = set()  # could not be merged the last time
        self._merged: set[Entry] = set()  # and could not be removed: a disk that is read-only now
        self._tables: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._urgent = asyncio.Event()  # a batch in the queue has no patience

    @property
    def spooled(self) -> tuple[int, int]:
        """The number of batches that wait on disk, and their bytes."""
        return self._spool.size()

    async def waiting_bars(self) -> pl.DataFrame | None:
        """Return symbol and stamp of the bars on disk, also of those set aside as refused.

        They are not missing. None if the folder or a batch in it cannot be read now.
        """
        try:
            return await self._clock.thread(self._spool.bars)
        except OSError:
            return None

    async def put(self, table: str, batch: pa.RecordBatch, *, patience: float = 0.0) -> MergeCounts:
        """Store the batch; return when it is committed or, with counts.spooled, safe on disk.

        It may wait `patience` seconds for other batches to share its commit. A batch without
        patience is committed at once, together with those that wait.

        Raises SchemaMismatch if the batch has another schema, StoreError or InputError if the rows
        are refused for good; those are kept in the spool's folder `refused`.
        """
        return await asyncio.shield(self.queue(table, batch, patience=patience))

    def queue(
        self,
        table: str,
        batch: pa.RecordBatch,
        *,
        patience: float = 0.0,
        after: asyncio.Future[MergeCounts] | None = None,
    ) -> asyncio.Future[MergeCounts]:
        """Have the batch stored; the future, which is not to be cancelled, gives what `put` does.

        Few rows that are queued one after another share a commit. `after` is the future of a batch
        without which this one must not be stored: it comes with it or later, and fails if it fails.
        """
        table_of(table, batch.schema).check_batch(batch.schema)
        put = QueuedBatch(table, batch, asyncio.get_running_loop().create_future(), after)
        self._queue.add(put)
        if not patience:
            self._urgent.set()
        self._start_working(patience)
        return put.done

    async def spool(self, table: str, batch: pa.RecordBatch) -> None:
        """Put the batch on disk while the database is slow: it is merged later. Raises OSError."""
        await self._clock.thread(self._spool.add, table, batch)
        self._start_draining()

    async def drain(self) -> MergeCounts:
        """Merge the spooled batches, in order. Raises StoreUnreachable while the server is away.

        Batches that cannot be read now stay for the next time. Raises OSError if the folder cannot.
        """
        counts = MergeCounts()
        self._passed_over.clear()
        while entries := await self._waiting():
            for group in _groups(entries, lambda: self._together):
                async with self._tables[group[0].table]:
                    counts += await self._merge_spooled(group)
        self._together = _GROUP
        return counts

    async def close(self) -> None:
        """Store what is in the queue, try the spool once more, and close the connection.

        Gives up after a minute what neither the database nor the disk takes.
        """
        self._urgent.set()
        if working := [worker for worker in self._workers.values() if not worker.done()]:
            with suppress(TimeoutError):
                async with self._clock.timeout(_LAST_TRIES):
                    await asyncio.wait(working)
            if late := [worker for worker in working if not worker.done()]:
                for worker in late:
                    worker.cancel()
                await asyncio.gather(*late, return_exceptions=True)
                log.error("❌ what neither the database nor the disk took is lost")
        if self._drainer is not None:
            self._drainer.cancel()
            await asyncio.gather(self._drainer, return_exceptions=True)
        try:
            await self.drain()
            if self.spooled[0]:
                log.warning("⚠️ %d batches (%d bytes) stay spooled: %s", *self.spooled, _PASSED_OVER)
        except (StoreUnreachable, OSError) as error:
            log.warning("⚠️ %d batches (%d bytes) stay spooled: %s", *self.spooled, error)
        for store in self._stores:
            await store.close()

    async def _waiting(self) -> list[Entry]:
        """Return the spooled batches, without those that could not be read the last time."""
        entries = await self._clock.thread(self._spool.entries)
        return [entry for entry in entries if entry not in self._passed_over]

    def _start_working(self, patience: float) -> None:
        """Have another worker commit what has come, if a connection is idle."""
        for store in self._stores:
            worker = self._workers.get(store)
            if worker is None or worker.done():
                self._workers[store] = asyncio.create_task(self._work(store, patience))
                return

    async def _work(self, store: Store, patience: float) -> None:
        """Commit or spool what is in the queue, the batches of one table together.

        A table of which batches are under way is left to whoever commits them.
        """
        if patience:
            with suppress(TimeoutError):
                async with self._clock.timeout(patience):
                    await self._urgent.wait()
        while group := self._queue.next_commit(together=self._clock.now() >= self._apart_until):
            self._urgent.clear()
            tables = {put.table for put in group}
            try:
                if len(tables) > 1 and not await self._commit_few(group, store):
                    self._apart_until = self._clock.now() + _APART
                    self._queue.put_back(group)
                    self._start_working(0.0)
                elif len(tables) == 1:
                    await self._commit_or_spool(group, store)
            except Exception as error:  # noqa: BLE001 - raised where the batch was put
                for put in group:
                    put.fail(error)
            finally:
                self._queue.release(tables)

    async def _commit_few(self, group: list[QueuedBatch], store: Store) -> bool:
        """Merge few batches of several tables in one commit; False if that cannot be done.

        Then each table is tried by itself: what is wrong may concern one of them.
        """
        batches: dict[str, list[pa.RecordBatch]] = {}
        for put in group:
            batches.setdefault(put.table, []).append(put.batch)
        try:
            async with AsyncExitStack() as locks:
                for table in batches:
                    await locks.enter_async_context(self._tables[table])
                if self._must_queue():
                    return False
                merged = await store.merge_tables(batches, lock_timeout=_PATIENCE_FOR_LOCKS)
        except (StoreUnreachable, StoreError, InputError):
            return False
        counts = {table: iter(found) for table, found in merged.items()}
        for put in group:
            put.succeed(next(counts[put.table]))
        return True

    async def _commit_or_spool(self, group: list[QueuedBatch], store: Store) -> None:
        """Commit the group or spool it. With neither server nor disk, keep it and try again."""
        failures = 0
        while group and not await self._commit(group, store):
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
                failures += 1
                await self._clock.sleep(_BETWEEN_TRIES.wait_after(failures))

    async def _commit(self, group: list[QueuedBatch], store: Store) -> bool:
        """Merge the group; False if it must wait: the server is away, or older ones are spooled."""
        try:
            async with self._tables[group[0].table]:
                if self._must_queue():
                    self._start_draining()
                    return False
                merged = await store.merge_all(group[0].table, [put.batch for put in group])
        except StoreUnreachable as error:
            log.warning("⚠️ %s; batches go to the spool", error)
            return False
        except (StoreError, InputError) as error:
            await self._keep_refused(group, error, store)
            return True
        for put, counts in zip(group, merged, strict=True):
            put.succeed(counts)
        return True

    def _must_queue(self) -> bool:
        """Return whether older batches wait that the server should get first.

        One that cannot be read or removed does not count, nor does a folder that cannot be read: a
        merge is right in any order, and newer batches must not wait for a broken disk.
        """
        try:
            return not self._passed_over.union(self._merged).issuperset(self._spool.entries())
        except OSError:
            return False

    async def _keep_refused(
        self, group: list[QueuedBatch], error: StoreError | InputError, store: Store
    ) -> None:
        """Keep what the server refuses for good; a bad batch does not take good ones with it."""
        if len(group) > 1:
            for put in group:
                await self._commit_or_spool([put], store)
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
        """Merge the spool until nothing waits, whatever happens on the way."""
        failures = 0
        while True:
            try:
                counts = await self.drain()
                if self._spool.empty:
                    break
                why: object = _PASSED_OVER
            except (StoreUnreachable, OSError) as error:
                why = error
            except Exception as error:  # noqa: BLE001 - else nobody would merge until the next put
                why = f"{type(error).__name__}: {error}"
            if not self._stores[0].answers:
                self._together = max(self._together // 10, 1)
            log.info("⏱️ %d batches (%d bytes) are spooled: %s", *self.spooled, why)
            failures += 1
            await self._clock.sleep(_BETWEEN_TRIES.wait_after(failures))
        log.info("✅ the spool is merged: %d rows came in", counts.inserted)

    async def _merge_spooled(self, entries: Sequence[Entry]) -> MergeCounts:
        """Merge batches of one table together; one that cannot be merged is set aside alone."""
        batches = {entry: batch for entry in entries if (batch := await self._read(entry))}
        if not batches:
            return MergeCounts()
        try:
            counts = await self._stores[0].merge_all(entries[0].table, list(batches.values()))
        except StoreUnreachable:
            raise
        except Exception as error:  # noqa: BLE001 - whatever one batch does, the others are merged
            if len(batches) > 1:
                alone = [await self._merge_spooled([entry]) for entry in batches]
                return sum(alone, MergeCounts())
            (entry,) = batches
            if isinstance(error, (StoreError, InputError)):
                await self._set_aside(entry, "refused", error)
            else:  # nobody refused it: it is tried again
                self._pass_over(entry, error)
            return MergeCounts()
        for entry in batches:
            await self._remove(entry)
        return sum(counts, MergeCounts())

    async def _remove(self, entry: Entry) -> None:
        self._merged.add(entry)
        try:
            await self._clock.thread(self._spool.remove, entry)
        except OSError as error:
            self._pass_over(entry, error, "removed")
        else:
            self._merged.discard(entry)

    async def _read(self, entry: Entry) -> pa.RecordBatch | None:
        """Return the batch; None if it is not to be merged now."""
        if entry in self._merged:
            await self._remove(entry)
            return None
        try:
            return await self._clock.thread(self._spool.read, entry)
        except FileNotFoundError:  # another process has merged it
            return None
        except SpoolDamaged as error:
            await self._set_aside(entry, "damaged", error)
            return None
        except OSError as error:  # no more files, a broken disk, rights: none of it is the batch's
            self._pass_over(entry, error)
            return None

    async def _set_aside(self, entry: Entry, why: str, error: Exception) -> None:
        try:
            kept = await self._clock.thread(self._spool.set_aside, entry, why)
        except FileNotFoundError:  # another process has done so
            return
        except OSError as trouble:
            self._pass_over(entry, trouble)
            return
        log.error("❌ a batch of %s is %s and kept in %s: %s", entry.table, why, kept, error)

    def _pass_over(self, entry: Entry, error: Exception, what: str = "merged") -> None:
        """Leave a batch where it is until the next try; the others are merged."""
        self._passed_over.add(entry)
        if entry not in self._named:
            self._named.add(entry)
            reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
            log.warning("⚠️ the batch %s cannot be %s now: %s", entry.path, what, reason)


def _groups(entries: list[Entry], most: Callable[[], int]) -> Iterator[list[Entry]]:
    """Split the entries, in order, where the table changes; a group is merged in one commit."""
    for _, same_table in itertools.groupby(entries, key=lambda entry: entry.table):
        while group := list(itertools.islice(same_table, most())):
            yield group
