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
from contextlib import contextmanager
from typing import Any

import adbc_driver_manager
import polars as pl
from polars.io.plugins import register_io_source

from engine.errors import InputError
from engine.history.pg_table import TableInfo, read_table_info
from engine.history.predicates import Pushed, push_down
from engine.store.connection import Cursor, connect, fetch_frame, store_error
from engine.store.identifiers import identifier

log = logging.getLogger(__name__)

BATCH_BYTES = 1 << 20  # on the wire: some ten thousand bars; memory holds a few of these
PAGE = 10_000  # rows
_FIRST_FRAME = 2_000  # rows; the first page is handed on in frames of this size
_TIMEOUT = "1h"  # for the whole scan, since the consumer sets the pace


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
    info = _table_info(url, table)
    order = info.key if order_by is None else tuple(order_by)
    if unknown := [name for name in order if name not in info.schema]:
        raise InputError(f"{table} has no column {', '.join(unknown)} to sort by")
    total = order and tuple(dict.fromkeys((*order, *info.key)))

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
        for batch in _stream(url, pages):
            yield batch if pushed.exact or predicate is None else batch.filter(predicate)

    frame = register_io_source(
        read,
        schema=info.schema,
        is_pure=True,  # one query over one table twice reads it once
        explain_name="postgres",
        explain_detail=f"{table}{', by ' + ', '.join(order) if order else ''}",
    )
    return frame.set_sorted(list(order), descending=descending) if order else frame


def query(url: str, sql: str) -> pl.DataFrame:
    """Return the result of one SQL statement, read-only; raises what `scan` raises."""
    with snapshot(url) as cursor:
        log.debug("🚀 %s", sql)
        return fetch_frame(cursor, sql)


def select(
    info: TableInfo,
    columns: list[str],
    condition: str | None,
    order: tuple[str, ...],
    *,
    descending: bool = False,
    rows: int | None = None,
) -> str:
    """Return the SELECT. A limit comes before the condition: Polars takes rows, then filters."""
    where = f" WHERE {condition}" if condition else ""
    ordering = info.order_list(order, descending=descending)
    by = f" ORDER BY {ordering}" if order else ""
    source = identifier(info.name)
    if rows is not None and condition:
        source = f"(SELECT * FROM {source}{by} LIMIT {rows}) AS head"  # noqa: S608
    limit = f" LIMIT {rows}" if rows is not None and not condition else ""
    return f"SELECT {info.select_list(columns)} FROM {source}{where}{by}{limit}"  # noqa: S608


def _table_info(url: str, table: str) -> TableInfo:
    with snapshot(url) as cursor:
        return read_table_info(cursor, table)


def _stream(url: str, pages: list[str]) -> Iterator[pl.DataFrame]:
    """Yield the results batch by batch; a page that is not full is the last."""
    with snapshot(url) as cursor:
        for page in pages:
            height = 0
            for batch in batches(cursor, page):
                height += batch.height
                yield from batch.iter_slices(_FIRST_FRAME) if page is pages[0] else [batch]
            if height < PAGE:
                return


def batches(cursor: Cursor, sql: str) -> Iterator[pl.DataFrame]:
    """Yield a query's result in batches; if the consumer stops reading, the server stops too."""
    cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(BATCH_BYTES)})
    log.debug("🚀 %s", sql)
    cursor.execute(sql)
    reader = cursor.fetch_record_batch()
    try:
        for batch in reader:
            yield pl.DataFrame(batch)
    except GeneratorExit:
        cursor.adbc_cancel()  # otherwise closing would read the rest of the result first
        raise
    finally:
        reader.close()


@contextmanager
def snapshot(url: str, lock: str | None = None) -> Iterator[Cursor]:
    """Open a connection whose queries all see one moment; raises what a store's Connection does.

    `lock` is a LOCK TABLE that comes first: what it keeps from happening has not happened after
    that moment either.
    """
    connection: Any = None
    try:
        connection = connect(url, "scan")
        with connection.cursor() as cursor:
            cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            cursor.execute(f"SET LOCAL statement_timeout = '{_TIMEOUT}'")
            cursor.execute("SET LOCAL search_path = public")
            if lock is not None:
                cursor.execute(lock)
            yield cursor
    except adbc_driver_manager.Error as error:
        raise store_error(error) from error
    finally:
        if connection is not None:
            connection.close()  # which ends the transaction
