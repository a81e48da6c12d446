"""One query after another in one snapshot of the database, each streamed in batches."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import adbc_driver_manager
import polars as pl

from engine.history.pg_table import TableInfo
from engine.store.connection import Cursor, connect, store_error
from engine.store.identifiers import identifier

log = logging.getLogger(__name__)

BATCH_BYTES = 1 << 20  # on the wire: some ten thousand bars; memory holds a few of these
_TIMEOUT = "1h"  # for the whole scan, since the consumer sets the pace


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
