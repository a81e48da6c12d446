"""The store as the rest of the engine sees it: merge what came in, ask what is there."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa

from engine.clock import Clock
from engine.store.connection import Connection
from engine.store.identifiers import literal
from engine.store.merge import MergeCounts, merge_batches
from engine.store.tables import Table, table_of


class Store:
    """One connection on a thread of its own.

    `component` names the connection in pg_stat_activity. Every method raises StoreUnreachable if
    the server is away (the next call connects again) and StoreError if it refuses.
    """

    def __init__(self, url: str, clock: Clock, *, component: str = "krt") -> None:
        self._clock = clock
        self._connection = Connection(url, component)
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=component)
        self._partitions: set[tuple[str, str]] = set()

    async def merge(self, table: str, batch: pa.RecordBatch) -> MergeCounts:
        """Make the batch part of the stream's table; returns when it is committed.

        Idempotent: any order, repetition or crash of merges leads to the same table. Raises
        SchemaMismatch if the batch does not have the stream's schema.
        """
        return (await self.merge_all(table, [batch]))[0]

    async def merge_all(self, table: str, batches: Sequence[pa.RecordBatch]) -> list[MergeCounts]:
        """Merge the batches, in order, in one transaction; count each on its own."""
        return await self._clock.thread(
            self._merge, table_of(table), batches, executor=self._executor
        )

    async def query(self, sql: str, *, read_only: bool = True) -> pa.Table:
        """Return what one SQL statement gives."""
        return await self._clock.thread(self._query, sql, read_only, executor=self._executor)

    async def execute(self, sql: str) -> None:
        """Run one SQL statement that gives nothing."""
        await self._clock.thread(self._execute, sql, executor=self._executor)

    async def close(self) -> None:
        """Close the connection."""
        await self._clock.thread(self._connection.close, executor=self._executor)
        self._executor.shutdown()

    def _merge(self, table: Table, batches: Sequence[pa.RecordBatch]) -> list[MergeCounts]:
        self._make_partitions(table, batches)
        with self._connection.transaction() as cursor:
            return merge_batches(cursor, table, batches, self._clock.now())

    def _make_partitions(self, table: Table, batches: Sequence[pa.RecordBatch]) -> None:
        if table.piece is None:
            return
        pieces = {
            (table.name, piece)
            for batch in batches
            for piece in table.rows(batch).select(table.piece.unique()).to_series()
        }
        missing = pieces - self._partitions
        if missing:
            with self._connection.transaction() as cursor:
                for name, piece in sorted(missing):
                    cursor.execute(f"SELECT make_partition({literal(name)}, {literal(piece)})")
                    cursor.fetchall()
            self._partitions |= missing

    def _query(self, sql: str, read_only: bool) -> pa.Table:
        with self._connection.transaction(read_only=read_only) as cursor:
            cursor.execute(sql)
            return cursor.fetch_arrow_table()

    def _execute(self, sql: str) -> None:
        with self._connection.transaction() as cursor:
            cursor.execute(sql)
