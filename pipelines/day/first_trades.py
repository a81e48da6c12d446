"""What a collector that was killed has missed: its first trades after it show that.

The volume of the session in the first trade of a symbol says what was traded until then, and the
last trade that is stored says how much of it is there.
"""

from __future__ import annotations

import logging

import polars as pl
import pyarrow as pa

from engine.errors import KrtError
from engine.features.missing_trades import NEEDED, ORDER
from engine.history.missing_trades import read_missing_before
from engine.store import Store

log = logging.getLogger(__name__)

_NAMED = 20  # symbols in a line of the log


class FirstTrades:
    """Compares the first trade of each symbol in this run with what was stored before it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen: set[str] = set()
        self._waiting: list[pl.DataFrame] = []  # first trades that are not compared yet

    def note(self, batch: pa.RecordBatch) -> None:
        """Note the first trades of symbols (TRADES) that this run has not had before."""
        names = set(pl.Series(batch.column("symbol")).unique().to_list()) - self._seen
        if names:
            rows = pl.DataFrame(batch.select(NEEDED)).filter(pl.col("symbol").is_in(list(names)))
            self._waiting.append(rows.sort(ORDER).unique(["session", "symbol"], keep="first"))
            self._seen |= names

    async def compare(self) -> None:
        """Say in a line which trades are missing before those that were noted and are committed.

        While the database does not answer, they wait for the next time.
        """
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        try:
            found = await read_missing_before(self._store, pl.concat(waiting))
        except KrtError as error:
            log.debug("first trades: %s", error)
            self._waiting += waiting
            return
        lost = found.filter(pl.col("missing") > 0).sort("missing", descending=True)
        if lost.height:
            said = [
                f"{symbol} {missing:,} ({after:%H:%M:%S} to {before:%H:%M:%S})"
                for _, symbol, after, before, missing in lost.head(_NAMED).iter_rows()
            ]
            if lost.height > _NAMED:
                said.append(f"{lost.height - _NAMED} more")
            log.warning("⚠️ feed: trades were missed while nothing collected: %s", ", ".join(said))
