"""Trades as one lazy frame: recent sessions from the database, older ones from their files.

A session is read from wherever it is when its turn comes: it may leave the database while the
frame is read, or be in both where a process was killed after the file was written and before the
partition was dropped.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from polars.io.plugins import register_io_source

from engine.errors import InputError, StoreError
from engine.history.pg_table import TableInfo, read_table_info
from engine.history.predicates import push_down
from engine.history.snapshots import batches, select, snapshot
from engine.store.connection import Cursor, fetch_frame
from engine.store.identifiers import identifier, literal
from engine.store.trade_files import (
    FRAME,
    TRADES,
    file_of,
    joined,
    sessions_in_files,
    stored_sessions,
)

log = logging.getLogger(__name__)

# The natural order: by session, each session in the order in which it is stored.
ORDER = ("session", "symbol", "day_volume")
_UNREADABLE = (
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,  # damage of some kinds: no Exception, and it would end us
    pa.ArrowException,
)
_SAME_SESSION = ("symbol", "day_volume")


def scan_trades(
    url: str,
    folder: Path,
    *,
    order_by: Sequence[str] | None = None,
    descending: bool = False,
    sessions: tuple[date, date] | None = None,
) -> pl.LazyFrame:
    """Return all trades, those in the database at `url` and those in the files of the folder.

    Rows come by session, symbol and day_volume, session after session, without a sort; another
    `order_by` sorts what is left of the frame, `()` asks for no order. Of `sessions` (first and
    last date) other sessions are not even looked at. A filter on session, symbol
    and traded_at reads little. Raises what `engine.history.scan.scan` raises.
    """
    with snapshot(url) as cursor:
        info = read_table_info(cursor, TRADES.name)

    def read(
        columns: list[str] | None, predicate: pl.Expr | None, rows: int | None, _size: int | None
    ) -> Iterator[pl.DataFrame]:
        names = list(FRAME) if columns is None else columns
        wanted = _Wanted(info, names, predicate, rows, sessions, ordered=order_by != ())
        yield from _read(url, folder, wanted)

    frame = register_io_source(
        read,
        schema=FRAME,
        is_pure=True,
        explain_name="trades",
        explain_detail=f"postgres and {folder}",
    )
    order = ORDER if order_by is None else tuple(order_by)
    if unknown := [name for name in order if name not in FRAME]:
        raise InputError(f"{TRADES.name} has no column {', '.join(unknown)} to sort by")
    if order == ORDER[: len(order)] and not descending:
        return frame.set_sorted(list(order)) if order else frame
    return frame.sort(*order, descending=descending) if order else frame


@dataclass
class _Wanted:
    """What Polars asks for; `rows` are still to be read, before the predicate."""

    info: TableInfo
    columns: list[str]
    predicate: pl.Expr | None
    rows: int | None
    sessions: tuple[date, date] | None
    ordered: bool

    def among(self, days: Iterable[date]) -> list[date]:
        """Return those of the days of which sessions are wanted."""
        return [d for d in days if not self.sessions or self.sessions[0] <= d <= self.sessions[1]]

    def of_frame(self, frame: pl.LazyFrame, height: int) -> pl.LazyFrame:
        """Return what is wanted of a session's trades, which are so many."""
        if self.rows is not None:
            frame = frame.head(self.rows)
            self.rows -= min(self.rows, height)
        if self.predicate is not None:
            frame = frame.filter(self.predicate)
        return frame.select(self.columns)


def sessions_with_trades(url: str, folder: Path) -> list[date]:
    """Return the sessions of which there are trades, in the database or in files, in order."""
    with _locked(url) as cursor:
        stored = stored_sessions(cursor)
    return sorted({*stored, *sessions_in_files(folder)})


def _read(url: str, folder: Path, wanted: _Wanted) -> Iterator[pl.DataFrame]:
    with _locked(url) as cursor:
        stored = wanted.among(stored_sessions(cursor))
        files = wanted.among(sessions_in_files(folder))
        _name_lost_files(cursor, [*stored, *files], wanted)
        if not files:
            for day in stored:
                yield from _session(cursor, day, wanted)
            return
    sessions = sorted({*stored, *files})
    for in_file, days in groupby(sessions, key=set(files).__contains__):
        if in_file:
            for day in days:
                yield from _from_file(url, folder, day, wanted, also_stored=day in stored)
        else:
            yield from _from_database(url, folder, list(days), wanted)


def _locked(url: str) -> AbstractContextManager[Cursor]:
    """Open a snapshot out of which no session can go."""
    return snapshot(url, f"LOCK TABLE {identifier(TRADES.name)} IN ACCESS SHARE MODE")


def _name_lost_files(cursor: Cursor, found: list[date], wanted: _Wanted) -> None:
    """Warn of sessions that have left the database for files that are not here."""
    moved = fetch_frame(cursor, "SELECT session, folder FROM trade_files ORDER BY session")
    gone = wanted.among(moved["session"])
    lost = moved.filter(pl.col("session").is_in(gone), ~pl.col("session").is_in(found))
    if lost.height:
        log.warning(
            "⚠️ trades of %d sessions (%s to %s) are missing here: their files were written to %s",
            lost.height,
            lost["session"][0],
            lost["session"][-1],
            ", ".join(lost["folder"].unique().sort()),
        )


def _from_file(
    url: str, folder: Path, day: date, wanted: _Wanted, *, also_stored: bool
) -> Iterator[pl.DataFrame]:
    if wanted.rows == 0:
        return
    path = file_of(folder, day)
    # Before the file: trades that leave in between are in it.
    stored = _stored(url, wanted.info, day) if also_stored else None
    try:
        frame, height = pl.scan_parquet(path, glob=False), pq.read_metadata(path).num_rows
        if stored is not None:
            whole = joined(frame.collect(), stored)
            frame, height = whole.lazy(), whole.height
        yield from wanted.of_frame(frame, height).collect_batches(maintain_order=True)
    except _UNREADABLE as error:
        raise StoreError(f"a file of trades cannot be read: {path}: {error}") from error


def _stored(url: str, info: TableInfo, day: date) -> pl.DataFrame:
    """Return the trades of a session that the database has, though there is a file."""
    sql = select(info, list(FRAME), _of_session(day), _SAME_SESSION)
    with snapshot(url) as cursor:
        return fetch_frame(cursor, sql).match_to_schema(FRAME)


def _from_database(
    url: str, folder: Path, days: list[date], wanted: _Wanted
) -> Iterator[pl.DataFrame]:
    """Yield sessions of the database, and from their files those that have left it just now."""
    with _locked(url) as cursor:
        present = set(stored_sessions(cursor))
        for day in days:
            if day not in present:
                yield from _from_file(url, folder, day, wanted, also_stored=False)
                continue
            yield from _session(cursor, day, wanted)


def _session(cursor: Cursor, day: date, wanted: _Wanted) -> Iterator[pl.DataFrame]:
    if wanted.rows == 0:
        return
    predicate, condition, needed = wanted.predicate, _of_session(day), wanted.columns
    if predicate is not None:
        needed = list(dict.fromkeys([*needed, *predicate.meta.root_names()]))
        pushed = push_down(predicate, wanted.info) if wanted.rows is None else None
        if pushed is not None and pushed.condition:
            condition += f" AND ({pushed.condition})"
    order = _SAME_SESSION if wanted.ordered or wanted.rows is not None else ()
    sql = select(wanted.info, needed, condition, order)
    limited = sql if wanted.rows is None else f"{sql} LIMIT {wanted.rows}"
    for batch in batches(cursor, limited):
        if wanted.rows is not None:
            wanted.rows -= batch.height
        yield batch if predicate is None else batch.filter(predicate).select(wanted.columns)


def _of_session(day: date) -> str:
    return f"session = {literal(day)}"
