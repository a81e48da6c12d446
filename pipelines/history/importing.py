"""Bars of a file become part of the history, where KIS has said nothing else.

What KIS gave is never replaced by a file: it stands, and how often it differs is counted. A bar
that came from a file gives way to KIS's, as the merge has it (`engine.store.merge`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa

from engine.columns import BARS
from engine.history.bar_file_times import BarTimes
from engine.history.bar_import import batches_to_store, read_bars_of_file, rejected_batch
from engine.history.queries import read_bars
from engine.market.nights import session_of
from engine.store import MergeCounts, Store

_REFUSED_AT_ONCE = 50_000  # rows


@dataclass(frozen=True)
class ImportReport:
    """What became of the rows of a file.

    Of `bars`, `inserted` are new and `changed` replaced those of an earlier file; for `kept` ones
    other values are stored, which stay, and the rest is stored as it is. `reasons` (reason, rows)
    counts the refused rows, which are in `rejected_rows`.
    """

    rows: int
    bars: int
    inserted: int
    changed: int
    kept: int
    refused: int
    repeated: int
    empty: int
    reasons: pl.DataFrame

    def figures(self) -> dict[str, int]:
        """Return the counts by name."""
        return {
            "rows": self.rows,
            "bars": self.bars,
            "inserted": self.inserted,
            "changed": self.changed,
            "already_stored": self.bars - self.inserted - self.changed - self.kept,
            "kept_as_stored": self.kept,
            "refused": self.refused,
            "repeated": self.repeated,
            "without_trade": self.empty,
        }


async def import_bars(
    store: Store,
    path: Path,
    times: BarTimes | None = None,
    on_stored: Callable[[int, int], None] = lambda _done, _all: None,
) -> ImportReport:
    """Store the bars of a file, and its refused rows; both may be done again at any time.

    `on_stored` is told how many bars of how many are stored. Raises InputError, StoreError.
    """
    now = store.now()
    found = read_bars_of_file(path, now, times)
    for part in found.refused.iter_slices(_REFUSED_AT_ONCE):
        await store.merge("rejected_rows", rejected_batch(part, path, now))
    counts, kept, done = MergeCounts(), 0, 0
    for table, batch in batches_to_store(found.bars, now):
        counts += await store.merge(table, batch)
        kept += await _stored_otherwise(store, batch)
        done += batch.num_rows
        on_stored(done, found.bars.height)
    return ImportReport(
        found.rows,
        found.bars.height,
        counts.inserted,
        counts.changed,
        kept,
        found.refused.height,
        found.repeated,
        found.empty,
        found.refused.group_by("reason")
        .agg(rows=pl.len())
        .sort("rows", "reason", descending=[True, False]),
    )


async def _stored_otherwise(store: Store, batch: pa.RecordBatch) -> int:
    """Return for how many bars of a batch other values are stored, after it was merged."""
    bars = pl.DataFrame(batch).select(list(BARS))
    sessions = bars.select(day=session_of(pl.col("symbol"), pl.col("timestamp")))["day"].sort()
    first, last = sessions[0], sessions[-1]
    stored = await read_bars(store, bars["symbol"].unique().to_list(), first, last)
    return bars.join(stored, on=list(BARS), how="anti").height
