"""Batches that wait to be committed, and which of them go together.

Few rows of several tables are one commit; many rows are one of their own, as is everything while
tables are kept apart. Batches of one table stay in order. One that follows from another, as signals
do from bars, is never committed without it.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import pyarrow as pa

from engine.store.merge import MergeCounts

_FEW = 500  # rows, of all tables of a commit


@dataclass(frozen=True, eq=False)
class QueuedBatch:
    """A batch in the queue, and the future that its caller waits for.

    `after` is that of a batch that was put earlier, without which this one must not be stored.
    """

    table: str
    batch: pa.RecordBatch
    done: asyncio.Future[MergeCounts]
    after: asyncio.Future[MergeCounts] | None = None

    @property
    def is_held(self) -> bool:
        """Whether what it follows is not stored yet."""
        return self.after is not None and not self.after.done()

    @property
    def failed_before(self) -> BaseException | None:
        """Why what it follows was refused, if it was."""
        return None if self.after is None or self.is_held else self.after.exception()

    def succeed(self, counts: MergeCounts) -> None:
        """Tell who waits that the batch is stored."""
        if not self.done.done():
            self.done.set_result(counts)

    def fail(self, error: BaseException) -> None:
        """Tell who waits that it is not."""
        if not self.done.done():
            self.done.set_exception(error)
            self.done.exception()  # who was cancelled meanwhile does not ask for it


class QueuedBatches:
    """Batches in the order in which they came; of a table, one commit is under way at a time."""

    def __init__(self) -> None:
        self._waiting: list[QueuedBatch] = []
        self._under_way: set[str] = set()  # tables

    def add(self, put: QueuedBatch) -> None:
        """Queue a batch."""
        self._waiting.append(put)

    def next_commit(self, *, together: bool) -> list[QueuedBatch]:
        """Take the batches of the next commit, until their tables are released; none if none may.

        All that wait, if they are few rows and tables may go `together`. Else those of one table,
        up to one that follows a batch of another.
        """
        for put in self._waiting[:]:
            if error := put.failed_before:
                self._waiting.remove(put)
                put.fail(error)
        group = self._group(together=together)
        taken = set(group)
        self._waiting = [put for put in self._waiting if put not in taken]
        self._under_way.update(put.table for put in group)
        return group

    def put_back(self, group: Sequence[QueuedBatch]) -> None:
        """Queue batches again, before all others."""
        self._waiting = [*group, *self._waiting]
        self.release({put.table for put in group})

    def release(self, tables: Collection[str]) -> None:
        """Note that no batch of these tables is being committed any more."""
        self._under_way.difference_update(tables)

    def _group(self, *, together: bool) -> list[QueuedBatch]:
        free = [put for put in self._waiting if put.table not in self._under_way]
        waiting = {put.done for put in free}
        free = [put for put in free if not put.is_held or put.after in waiting]
        if not free or (together and sum(put.batch.num_rows for put in free) <= _FEW):
            return free
        of_table = (put for put in free if put.table == free[0].table)
        return list(itertools.takewhile(lambda put: not put.is_held, of_table))
