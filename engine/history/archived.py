"""Stock bars as one frame: those in the database, and the months that are in files alone.

The database says which months have left it, and for which file; that and the drop of the partition
are one transaction. A reader therefore asks for the rows first and for the months afterwards, or
holds the table: nothing can leave unseen in between. A bar that is in both counts once, as the
database has it (`engine.store.archive`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from engine.history.pg_table import TableInfo
from engine.history.predicates import Pushed, push_down
from engine.history.snapshots import batches, select, snapshot
from engine.store import Store
from engine.store.archive import (
    ARCHIVED,
    FRAME,
    KEY,
    MONTHS,
    MONTHS_QUERY,
    archived_files,
    stored_months,
    with_stored,
)
from engine.store.connection import Cursor, fetch_frame
from engine.store.identifiers import identifier, literal

Ask = Callable[[str], pl.DataFrame]
LOCK = f"LOCK TABLE {identifier(ARCHIVED.name)} IN ACCESS SHARE MODE"
_BAR = ("symbol", "timestamp")


def has_archive(cursor: Cursor, table: str) -> bool:
    """Say whether some of a table's rows are in files alone."""
    return table == ARCHIVED.name and fetch_frame(cursor, MONTHS_QUERY).height > 0


@dataclass
class Wanted:
    """What Polars asks for; `rows` are still to be read, before the predicate."""

    columns: list[str]
    predicate: pl.Expr | None
    rows: int | None

    @property
    def needed(self) -> list[str]:
        """The columns to read: those wanted, and those that the predicate looks at."""
        roots = [] if self.predicate is None else self.predicate.meta.root_names()
        return list(dict.fromkeys([*self.columns, *roots]))

    def of_frame(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return what is wanted of rows that were read from the database, and count them."""
        if self.rows is not None:
            frame = frame.head(self.rows)
            self.rows -= frame.height
        if self.predicate is not None:
            frame = frame.filter(self.predicate)
        return frame.select(self.columns)


def read(url: str, info: TableInfo, wanted: Wanted) -> Iterator[pl.DataFrame]:
    """Yield all rows, in no order; in one snapshot, from which no month can leave."""
    with snapshot(url, LOCK) as cursor:
        files = archived_files(fetch_frame(cursor, MONTHS_QUERY).cast(MONTHS))
        both = [month for month in stored_months(cursor) if month in files]
        outside = " AND ".join(f"NOT ({_of_month(month)})" for month in both)
        pushed = Pushed(None, exact=False)
        if wanted.predicate is not None and wanted.rows is None:
            pushed = push_down(wanted.predicate, info)
        condition = " AND ".join(f"({part})" for part in (outside, pushed.condition) if part)
        sql = select(info, wanted.needed, condition or None, ())
        limit = "" if wanted.rows is None else f" LIMIT {wanted.rows}"
        for batch in batches(cursor, sql + limit):
            yield wanted.of_frame(batch)
        late = [
            fetch_frame(cursor, select(info, list(info.schema), _of_month(month), ()))
            for month in both
        ]
    alone = [file for month, file in files.items() if month not in both]
    frames = [_scan([files[month]], info, rows) for month, rows in zip(both, late, strict=True)]
    for frame in [*frames, *([_scan(alone, info)] if alone else [])]:
        if wanted.rows is None:
            found = frame if wanted.predicate is None else frame.filter(wanted.predicate)
            yield from found.select(wanted.columns).collect_batches(maintain_order=False)
        elif wanted.rows:
            yield wanted.of_frame(frame.select(wanted.needed).head(wanted.rows).collect())


def _scan(
    files: Sequence[object], info: TableInfo, stored: pl.DataFrame | None = None
) -> pl.LazyFrame:
    frame = _files(files).select(list(info.schema))
    return frame if stored is None else with_stored(frame, stored, KEY)


def _files(files: Sequence[object]) -> pl.LazyFrame:
    return pl.scan_parquet(
        list(map(str, files)),
        schema=FRAME,
        missing_columns="insert",
        glob=False,
        hive_partitioning=False,
    )


def _of_month(month: date) -> str:
    first = f"{literal(month)}::timestamp"
    return f"timestamp >= {first} AND timestamp < {first} + interval '1 month'"


async def with_archived(
    store: Store, stored: pl.DataFrame, symbols: Sequence[str], first: date, last: date
) -> pl.DataFrame:
    """Return bars of the table that were read before, and those of symbols that files have.

    `stored` has symbol, timestamp and columns of the bars; so has what is returned.
    """
    months = pl.DataFrame(await store.query(months_query(first, last)))
    found = archived_bars(months, stored, first, last, symbols)
    return stored if found is None else await store.clock.thread(found.collect)


def months_query(first: date, last: date) -> str:
    """Return the query for the months in files that have sessions from first to last."""
    return (
        f"{MONTHS_QUERY} AND first_session <= {literal(last)} AND last_session >= {literal(first)}"
    )


def archived_bars(
    months: pl.DataFrame,
    stored: pl.DataFrame,
    first: date,
    last: date,
    symbols: Sequence[str] | None = None,
) -> pl.LazyFrame | None:
    """Return the bars of files from first to last, and the stored ones; None without files.

    Of the symbols, or of all. Raises StoreError if a file is not here.
    """
    if months.is_empty():
        return None
    files = archived_files(months.cast(MONTHS))
    begin, end = pl.lit(first).cast(FRAME["timestamp"]), pl.lit(last + timedelta(days=1))
    frame = _files(list(files.values())).filter(
        pl.col("timestamp").is_between(begin, end.cast(FRAME["timestamp"]), closed="left")
    )
    if symbols is not None:
        ends = pl.lit(min(symbols)), pl.lit(max(symbols))  # files are sorted: the rest stays unread
        frame = frame.filter(pl.col("symbol").is_between(*ends))
        frame = frame.filter(pl.col("symbol").is_in(list(symbols)))
    return with_stored(frame.select(stored.columns), stored, _BAR)
