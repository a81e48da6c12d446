"""The store as the rest of the engine sees it: merge batches, query tables."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import datetime
from typing import Any, TypeVar

import polars as pl
import pyarrow as pa

from engine.clock import Clock
from engine.errors import StoreError, StoreUnreachable
from engine.store.archive import ARCHIVED, archived_pieces, recall
from engine.store.connection import Connection
from engine.store.merge import MergeCounts, complete_rows, merge_tables
from engine.store.table_setup import check_table, make_partitions, months_ahead
from engine.store.tables import Table, table_of

log = logging.getLogger(__name__)

Result = TypeVar("Result")

_NO_PARTITION = "23514"  # or another constraint; servers say which in many languages
_LAST_SECONDS = 5.0  # for a statement that waits for a lock when the store is closed


class Gate:
    """Keeps everybody from using a database until it is known to be the right one, up to date."""

    def __init__(self, why_closed: str | None = None) -> None:
        self._why_closed = why_closed

    def open(self) -> None:
        """Let the database be used."""
        self._why_closed = None

    @property
    def is_open(self) -> bool:
        """Whether the database may be used."""
        return self._why_closed is None

    def require_open(self) -> None:
        """Raise StoreUnreachable while the gate is closed."""
        if self._why_closed:
            raise StoreUnreachable(f"the database cannot be used: {self._why_closed}")


class Store:
    """One connection on a thread of its own.

    `component` names the connection in pg_stat_activity. Every method raises StoreUnreachable if
    the server is away (the next call connects again) or the `gate` closed, and StoreError if it
    refuses. A merge for which the server has no answer in `longest_merge` seconds ends, too.
    """

    def __init__(
        self,
        url: str,
        clock: Clock,
        *,
        component: str = "krt",
        gate: Gate | None = None,
        longest_merge: float | None = None,
    ) -> None:
        self.url = url
        self._longest_merge = longest_merge
        self._gate = gate or Gate()
        self.clock = clock
        self._connection = Connection(url, component)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=component)
        self._ready: set[tuple[str, str]] = set()  # (table, partition or schema) checked this run
        self._archived: set[str] = set()  # months of bars that were in files when they were checked
        self._unanswered: asyncio.Future[Any] | None = None  # the last call that took too long

    @property
    def may_be_used(self) -> bool:
        """Whether the gate is open: nothing is said about the server behind it."""
        return self._gate.is_open

    def now(self) -> datetime:
        """Return the present moment of the store's clock."""
        return self.clock.now()

    async def merge(self, table: str, batch: pa.RecordBatch) -> MergeCounts:
        """Make the batch part of the stream's table; return when it is committed.

        Idempotent: any order, repetition or crash of merges leads to the same table. Raises
        SchemaMismatch if the batch does not have the stream's schema.
        """
        return (await self.merge_all(table, [batch]))[0]

    async def merge_all(self, table: str, batches: Sequence[pa.RecordBatch]) -> list[MergeCounts]:
        """Merge the batches, in order, in one transaction; return the counts of each."""
        return (await self.merge_tables({table: batches}))[table]

    async def merge_tables(
        self, batches: Mapping[str, Sequence[pa.RecordBatch]], *, lock_timeout: str = ""
    ) -> dict[str, list[MergeCounts]]:
        """Merge batches by table, those of each in order, all in one transaction; count each.

        With a `lock_timeout`, such as 250ms, it gives up so soon where somebody else locks a table.
        """
        full = {name: held for name, held in batches.items() if any(b.num_rows for b in held)}
        counts = {name: [MergeCounts() for _ in held] for name, held in batches.items()}
        if full:
            parts = [(table_of(name, held[0].schema), held) for name, held in full.items()]
            self._gate.require_open()
            merged = await self._in_time(self._merge, parts, lock_timeout)
            counts |= dict(zip(full, merged, strict=True))
        return counts

    async def _in_time(self, function: Callable[..., Result], *args: object) -> Result:
        """Run a function on the connection's thread; wait for it at most `longest_merge`.

        A server that hangs, or whose disk does, keeps its connections, and its timeouts end
        nothing. What it was asked it may do yet: the same rows merged again change nothing. Until
        it answers nothing else is merged on this connection.
        """
        if not self.answers:
            raise StoreUnreachable("the database has still not answered")
        call = asyncio.ensure_future(self.clock.thread(function, *args, executor=self._executor))
        try:
            async with self._limit():
                return await asyncio.shield(call)
        except TimeoutError:
            self._unanswered = call
            call.add_done_callback(_look_at_its_error)
            seconds = f"{self._longest_merge:g}"
            raise StoreUnreachable(f"the database has not answered for {seconds} seconds") from None
        except asyncio.CancelledError:
            call.cancel()
            raise

    def _limit(self) -> AbstractAsyncContextManager[object]:
        return self.clock.timeout(self._longest_merge) if self._longest_merge else nullcontext()

    @property
    def answers(self) -> bool:
        """Whether the server has answered every call by now, or has time left for it."""
        return self._unanswered is None or self._unanswered.done()

    async def query(self, sql: str, *, read_only: bool = True) -> pa.Table:
        """Return the result of one SQL statement."""
        self._gate.require_open()
        return await self.clock.thread(self._query, sql, read_only, executor=self._executor)

    async def execute(self, sql: str) -> None:
        """Run one SQL statement for its effect."""
        self._gate.require_open()
        await self.clock.thread(self._execute, sql, executor=self._executor)

    async def close(self) -> None:
        """Close the connection; a statement that is under way gets a few seconds to end.

        If the server does not answer, the connection stays as it is: closing it would never end.
        """
        if not self.answers:
            self._executor.shutdown(wait=False)
            return
        closing = asyncio.ensure_future(
            self.clock.thread(self._connection.close, executor=self._executor)
        )
        try:
            async with self.clock.timeout(_LAST_SECONDS):
                await asyncio.shield(closing)
        except TimeoutError:
            self._connection.cancel()
            await closing
        self._executor.shutdown()

    def _merge(
        self, parts: Sequence[tuple[Table, Sequence[pa.RecordBatch]]], lock_timeout: str
    ) -> list[list[MergeCounts]]:
        complete = [
            (table, complete_rows(table, batches, self.clock.now())) for table, batches in parts
        ]
        try:
            merged = self._prepare_and_merge(complete, lock_timeout)
        except StoreError as error:
            self._ready.clear()  # a table or partition may have been dropped meanwhile
            if getattr(error.__cause__, "sqlstate", None) != _NO_PARTITION:
                raise
            merged = self._prepare_and_merge(complete, lock_timeout)  # a month has just left
        return [_counts(batches, rows) for (_, batches), rows in zip(parts, merged, strict=True)]

    def _prepare_and_merge(
        self, complete: Sequence[tuple[Table, pl.DataFrame]], lock_timeout: str
    ) -> list[pl.DataFrame]:
        for table, rows in complete:
            partitions = table.partitions(rows)
            self._prepare(table, partitions, lock_timeout)
            if table.name == ARCHIVED.name and self._may_be_in_files(partitions):
                recall(self._connection, rows)
        return merge_tables(self._connection, complete, lock_timeout=lock_timeout)

    def _may_be_in_files(self, partitions: list[str]) -> bool:
        """Say whether bars of a month may be in a file: the present month never is.

        Another process may have moved a month since it was checked here.
        """
        now = f"{self.now():%Y%m}"
        return any(name < now or name in self._archived for name in partitions)

    def _prepare(self, table: Table, partitions: list[str], lock_timeout: str) -> None:
        """Check, once a run, that the table fits, and make the partitions that it lacks."""
        shape = (table.name, str(table.schema))
        missing = [name for name in partitions if (table.name, name) not in self._ready]
        if missing or shape not in self._ready:
            begin = self._connection.transaction_selecting(lock_timeout=lock_timeout)
            with begin as (cursor, _):
                check_table(cursor, table)
                make_partitions(cursor, table, [*missing, *months_ahead(table, self.now())])
                if table.name == ARCHIVED.name:
                    self._archived = archived_pieces(cursor)
            self._ready |= {shape, *((table.name, name) for name in missing)}

    def _query(self, sql: str, read_only: bool) -> pa.Table:
        return self._connection.query(sql, read_only=read_only)

    def _execute(self, sql: str) -> None:
        with self._connection.transaction() as cursor:
            cursor.execute(sql)
            cursor.fetch_arrow_table()  # a query runs only when its result is fetched


def _look_at_its_error(call: asyncio.Future[Any]) -> None:
    """Keep asyncio from complaining of an error that came when nobody waited any more."""
    if not call.cancelled():
        call.exception()


def _counts(batches: Sequence[pa.RecordBatch], merged: pl.DataFrame) -> list[MergeCounts]:
    counts = {number: (inserted, changed) for number, inserted, changed in merged.iter_rows()}
    found = []
    for number, batch in enumerate(batches):
        inserted, changed = counts.get(number, (0, 0))
        found.append(MergeCounts(inserted, changed, batch.num_rows - inserted - changed))
    return found
