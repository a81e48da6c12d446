"""The history as lazy Polars frames: what can be said in SQL is, Polars does the rest.

A scan reads when its frame is collected, on a connection of its own, in batches, in one snapshot.
Column selection, filters (see `predicates`), `head` and the order of the key are the server's work.
`frame.explain()` shows what Polars hands to the scan (PROJECT, SELECTION, SLICE); the SQL made of
it is logged at DEBUG. Literals stand in the SQL: a query with bound parameters does not run through
COPY and takes twice as long.

Rows come in the order of the table's key. So `frame.sort(key)` costs nothing and `head` means the
same rows each time. Polars does not say how many rows it wants of a filtered or sorted scan; it
just stops listening, some frames later. Therefore a first page is asked for with a LIMIT, which the
server plans to answer fast, is handed on in small frames, and what lies behind it is asked for only
if somebody still listens. (Polars lets go of a scan it no longer listens to at its next call.)
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import adbc_driver_manager
import adbc_driver_postgresql.dbapi as adbc
import polars as pl
from polars.io.plugins import register_io_source

from engine.errors import InputError
from engine.history.pg_table import TableInfo, read_table_info
from engine.history.predicates import Pushed, push_down
from engine.store.connection import Cursor, connection_url, fetch_frame, store_error
from engine.store.identifiers import identifier

log = logging.getLogger(__name__)

BATCH_BYTES = 1 << 20  # of the wire: some ten thousand bars; what is held is a few of these
PAGE = 10_000  # rows
_FIRST = 2_000  # rows of the first page that are handed on at a time
_TIMEOUT = "1h"  # for the whole reading: its pace is the consumer's


def scan(
    table: str,
    url: str,
    *,
    order_by: Sequence[str] | None = None,
    descending: bool = False,
) -> pl.LazyFrame:
    """Return a table or view of the database as a lazy frame.

    `order_by` is the order in which rows come; default the table's key (a view has none: any
    order). `()` asks for no order, which is quickest where everything is read. `descending` turns
    the order round: `scan("futures_1m", url, order_by=["timestamp"], descending=True)
    .filter(pl.col("symbol") == "A01612").head(10)` are the newest ten bars.

    Times are KST without zone; the table's comments name units. Raises InputError where there is no
    such table or column, StoreUnreachable if the server is away; collecting raises the same.
    """
    relation = _described(url, table)
    order = relation.key if order_by is None else tuple(order_by)
    if unknown := [name for name in order if name not in relation.schema]:
        raise InputError(f"{table} has no column {', '.join(unknown)} to be ordered by")
    total = order and tuple(dict.fromkeys((*order, *relation.key)))

    def read(
        columns: list[str] | None, predicate: pl.Expr | None, rows: int | None, _size: int | None
    ) -> Iterator[pl.DataFrame]:
        wanted = list(relation.schema) if columns is None else columns
        pushed = Pushed(None, exact=True) if predicate is None else push_down(predicate, relation)
        sql = select(relation, wanted, pushed.condition, total, descending=descending, rows=rows)
        if not pushed.exact:
            log.debug("🔄 left to Polars, in whole or in part: %s", predicate)
        paged = rows is None and relation.is_total(total)
        for batch in _paged(url, sql) if paged else _stream(url, [sql]):
            yield batch if pushed.exact or predicate is None else batch.filter(predicate)

    frame = register_io_source(
        read,
        schema=relation.schema,
        is_pure=True,  # one query over one table twice reads it once
        explain_name="postgres",
        explain_detail=f"{table}{', by ' + ', '.join(order) if order else ''}",
    )
    return frame.set_sorted(list(order), descending=descending) if order else frame


def query(url: str, sql: str) -> pl.DataFrame:
    """Return what one SQL statement gives, read-only; raises as `scan` does."""
    with _snapshot(url) as cursor:
        log.debug("🚀 %s", sql)
        return fetch_frame(cursor, sql)


def select(
    relation: TableInfo,
    columns: list[str],
    condition: str | None,
    order: tuple[str, ...],
    *,
    descending: bool = False,
    rows: int | None = None,
) -> str:
    """Return the SELECT. A limit comes before the condition: Polars takes rows, then filters."""
    where = f" WHERE {condition}" if condition else ""
    ordering = relation.ordered(order, descending=descending)
    by = f" ORDER BY {ordering}" if order else ""
    source = identifier(relation.name)
    if rows is not None and condition:
        source = f"(SELECT * FROM {source}{by} LIMIT {rows}) AS head"  # noqa: S608
    limit = f" LIMIT {rows}" if rows is not None and not condition else ""
    return f"SELECT {relation.selected(columns)} FROM {source}{where}{by}{limit}"  # noqa: S608


def _described(url: str, table: str) -> TableInfo:
    with _snapshot(url) as cursor:
        return read_table_info(cursor, table)


def _paged(url: str, sql: str) -> Iterator[pl.DataFrame]:
    return _stream(url, [f"{sql} LIMIT {PAGE}", f"{sql} OFFSET {PAGE}"])


def _stream(url: str, pages: list[str]) -> Iterator[pl.DataFrame]:
    """Yield the answers batch by batch; a page that is not full is the last."""
    with _snapshot(url) as cursor:
        for page in pages:
            height = 0
            for batch in _batches(cursor, page):
                height += batch.height
                yield from batch.iter_slices(_FIRST) if page is pages[0] else [batch]
            if height < PAGE:
                return


def _batches(cursor: Cursor, sql: str) -> Iterator[pl.DataFrame]:
    """Yield the answer batch by batch; whoever stops listening stops the server."""
    cursor.adbc_statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(BATCH_BYTES)})
    log.debug("🚀 %s", sql)
    cursor.execute(sql)
    reader = cursor.fetch_record_batch()
    try:
        for batch in reader:
            yield pl.DataFrame(batch)
    except GeneratorExit:
        cursor.adbc_cancel()  # else closing would read the rest of the answer first
        raise
    finally:
        reader.close()


@contextmanager
def _snapshot(url: str) -> Iterator[Cursor]:
    """Open a connection whose queries all see one moment; raises as engine.store.Connection."""
    connection: Any = None
    try:
        connection = adbc.connect(connection_url(url, "scan"), autocommit=True)
        with connection.cursor() as cursor:
            cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            cursor.execute(f"SET LOCAL statement_timeout = '{_TIMEOUT}'")
            yield cursor
    except adbc_driver_manager.Error as error:
        raise store_error(error) from error
    finally:
        if connection is not None:
            connection.close()  # which ends the transaction
