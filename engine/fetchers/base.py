"""What all sources of data have in common: a request in, one RecordBatch out.

A new source is a class of `PriceFetcher` and a line in the registry. Rows that cannot be used are
never lost: they are counted and kept, each once, until `take_rejected` is called.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter, OrderedDict
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

import pyarrow as pa

from engine.kis.client import KisClient, Priority
from engine.schemas import REJECTED_ROWS
from engine.sessions import Session

_REMEMBERED = 10_000  # rejected rows known already, so that each is handed out once


@dataclass(frozen=True)
class BarRequest:
    """Bars of one symbol in one session.

    `until` is the last stamp wanted (none: the last minute that has ended). One page, unless
    `since`, the first stamp wanted, or `whole_day` asks for more. `deadline` is when to give up.
    """

    symbol: str
    session: Session
    until: datetime | None = None
    whole_day: bool = False
    since: datetime | None = None
    priority: Priority = Priority.LIVE
    deadline: datetime | None = None

    @property
    def first_wanted(self) -> datetime | None:
        """Return the first stamp that pages must reach; None if one page will do."""
        return self.session.first_stamp if self.whole_day else self.since


class PriceFetcher(ABC):
    """A source of data: a request in, one RecordBatch out, what was rejected at the side.

    `counts` says how many rows of the answers went where.
    """

    schema: ClassVar[pa.Schema]

    def __init__(self, client: KisClient) -> None:
        self.client, self.counts = client, Counter[str]()
        self._rejected: list[pa.RecordBatch] = []
        self._known: OrderedDict[tuple[str, str, str], None] = OrderedDict()

    @abstractmethod
    async def fetch(self, request: Any) -> pa.RecordBatch:
        """Fetch what is asked for. Raises KisError."""

    def take_rejected(self) -> pa.RecordBatch:
        """Return the rows rejected since the last time, in REJECTED_ROWS, each of them once."""
        taken, self._rejected = self._rejected, []
        return pa.concat_batches(taken) if taken else _no_rejected()

    def _reject(self, batch: pa.RecordBatch) -> None:
        """Keep rejected rows. Polls overlap: the same row comes again and again."""
        reasons = batch["reason"].to_pylist()
        self.counts.update(reasons)
        keys = list(
            zip(batch["symbol"].to_pylist(), reasons, batch["raw"].to_pylist(), strict=True)
        )
        fresh = [key not in self._known for key in keys]
        self._known.update(dict.fromkeys(keys))
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        if any(fresh):
            self._rejected.append(batch.filter(pa.array(fresh)))


def _no_rejected() -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], schema=REJECTED_ROWS)
