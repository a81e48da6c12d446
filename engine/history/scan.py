"""The history as lazy Polars frames: the server does what SQL can express, Polars does the rest.

A scan reads when its frame is collected, on a connection of its own, in batches, in one snapshot.
The server selects columns, filters (see `predicates`), sorts by the key and limits (`head`).
`frame.explain()` shows what Polars hands to the scan (PROJECT, SELECTION, SLICE); the SQL made of
it is logged at DEBUG. Literals stand in the SQL: a query with bound parameters does not run through
COPY and takes twice as long.

Rows come in the order of the table's key. So `frame.sort(key)` costs nothing and `head` returns the
same rows each time. Polars does not say how many rows it needs of a filtered or sorted scan; it
stops reading, some frames later. Therefore a first page is queried with a LIMIT, which the server
plans to answer fast, and is handed on in small frames; the rest is queried only if Polars goes on
reading. (Polars closes a scan that it no longer reads at its next call.)
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import polars as pl
from polars.io.plugins import register_io_source

from engine.errors import InputError, StoreError
from engine.history import archived
from engine.history.pg_table import TableInfo, read_table_info
from engine.history.predicates import Pushed, push_down
from engine.history.snapshots import batches, select, snapshot
from engine.store.archive import ARCHIVED
from engine.store.connection import fetch_frame

log = logging.getLogger(__name__)

PAGE = 10_000  # rows
_FIRST_FRAME = 2_000  # rows; the first page is handed on in frames of this size


def scan(
    table: str,
    url: str,
    *,
    order_by: Sequence[str] | None = None,
    descending: bool = False,
) -> pl.LazyFrame:
    """Return a table or view of the database as a lazy frame.

    `order_by` is the order in which rows come; default the table's key (a view has none: any
    order). `()` asks for no order, which is fastest if everything is read. `descending` reverses
    the order: `scan("futures_1m", url, order_by=["timestamp"], descending=True)
    .filter(pl.col("symbol") == "A01612").head(10)` are the newest ten bars.

    Times are KST without zone; the table's comments name units. Raises InputError if there is no
    such table or column, StoreUnreachable if the server cannot be reached; collecting raises the
    same.
    """
    with snapshot(url) as cursor:
        info = read_table_info(cursor, table)
        in_files = archived.has_archive(cursor, table)
    order = info.key if order_by is None else tuple(order_by)
    if unknown := [name for name in order if name not in info.schema]:
        known = ", ".join(info.schema)
        raise InputError(f"{table} has no column {', '.join(unknown)} to sort by; it has {known}")
    total = order and tuple(dict.fromkeys((*order, *info.key)))
    if in_files:
        frame = _scan_archived(url, info)
        return frame.sort(*total, descending=descending) if total else frame

    def read(
        columns: list[str] | None, predicate: pl.Expr | None, rows: int | None, _size: int | None
    ) -> Iterator[pl.DataFrame]:
        wanted = list(info.schema) if columns is None else columns
        pushed = Pushed(None, exact=True) if predicate is None else push_down(predicate, info)
        sql = select(info, wanted, pushed.condition, total, descending=descending, rows=rows)
        if not pushed.exact:
            log.debug("🔄 left to Polars, in whole or in part: %s", predicate)
        pages = [sql]
        if rows is None and info.is_total(total):
            pages = [f"{sql} LIMIT {PAGE}", f"{sql} OFFSET {PAGE}"]
        for batch in _stream(url, pages, table):
            yield batch if pushed.exact or predicate is None else batch.filter(predicate)

    frame = register_io_source(
        read,
        schema=info.schema,
        is_pure=True,  # one query over one table twice reads it once
        explain_name="postgres",
        explain_detail=f"{table}{', by ' + ', '.join(order) if order else ''}",
    )
    return frame.set_sorted(list(order), descending=descending) if order else frame


def _scan_archived(url: str, info: TableInfo) -> pl.LazyFrame:
    """Return a table of which months are in files alone, in no order."""

    def read(
        columns: list[str] | None, predicate: pl.Expr | None, rows: int | None, _size: int | None
    ) -> Iterator[pl.DataFrame]:
        names = list(info.schema) if columns is None else columns
        yield from archived.read(url, info, archived.Wanted(names, predicate, rows))

    return register_io_source(
        read,
        schema=info.schema,
        is_pure=True,
        explain_name="postgres and files",
        explain_detail=info.name,
    )


def query(url: str, sql: str) -> pl.DataFrame:
    """Return the result of one SQL statement, read-only; raises what `scan` raises."""
    with snapshot(url) as cursor:
        log.debug("🚀 %s", sql)
        return fetch_frame(cursor, sql)


def _stream(url: str, pages: list[str], table: str) -> Iterator[pl.DataFrame]:
    """Yield the results batch by batch; a page that is not full is the last.

    Raises StoreError if bars of the table left the database after the scan was made.
    """
    may_leave = table == ARCHIVED.name
    with snapshot(url, archived.LOCK if may_leave else None) as cursor:
        if may_leave and archived.has_archive(cursor, table):
            raise StoreError("a month of stock bars has just left the database: scan them again")
        for page in pages:
            height = 0
            for batch in batches(cursor, page):
                height += batch.height
                yield from batch.iter_slices(_FIRST_FRAME) if page is pages[0] else [batch]
            if height < PAGE:
                return
