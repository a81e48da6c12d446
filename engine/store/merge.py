"""The merge: a batch becomes part of a table in one transaction, whatever came before.

Two ways lead in. A sample of the batch's keys tells which is likely to be right:

- none of them is stored: the rows go straight into the table by COPY. Should one be stored after
  all, Postgres says so, everything is taken back, and the other way is taken;
- staging (a temporary table, by COPY) → rows whose values are not stored yet → INSERT … ON
  CONFLICT. Comparing first is three times as fast as asking the conflict machinery for every row.

Merges of one table wait for each other (an advisory lock of the transaction), so that counts are
exact and two writers cannot deadlock; ON CONFLICT still guards against anybody else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import adbc_driver_manager
import polars as pl
import pyarrow as pa

from engine.errors import StoreError
from engine.store.connection import SETTINGS, Connection, Cursor, fetch_frame
from engine.store.corrections import log_corrections
from engine.store.identifiers import identifier, identifiers, literal, literals
from engine.store.tables import COMMITTED_AT, Table

_BATCH = "batch_number"
_SAMPLE = 64
_UNIQUE_VIOLATION = "23505"


@dataclass(frozen=True)
class MergeCounts:
    """What became of the rows of a batch.

    `changed` rows were stored with other values: overwritten, or for signals recorded as
    corrections. `unchanged` ones were stored already, were outdated, or came twice in the batch.
    `spooled` ones are safe on disk, to be merged later.
    """

    inserted: int = 0
    changed: int = 0
    unchanged: int = 0
    spooled: int = 0

    def __add__(self, other: MergeCounts) -> MergeCounts:
        return MergeCounts(
            self.inserted + other.inserted,
            self.changed + other.changed,
            self.unchanged + other.unchanged,
            self.spooled + other.spooled,
        )


def complete(table: Table, batches: Sequence[pa.RecordBatch], now: datetime) -> pl.DataFrame:
    """Return the rows of all batches with every column of the table, once a key, in key order.

    Of rows with one key the last value stays, as it was first read: reading a bar again without
    news does not make it newer. `batch_number` tells which batch a row is from. Raises
    SchemaMismatch.
    """
    numbered = [
        table.rows(batch).lazy().with_columns(pl.lit(number, pl.Int32).alias(_BATCH))
        for number, batch in enumerate(batches)
    ]
    ordered = pl.concat(numbered).sort(table.key, maintain_order=True)
    rows = ordered.with_columns(
        *(expression.alias(name) for name, expression in table.derived.items()),
        pl.lit(now, pl.Datetime("us")).alias(COMMITTED_AT),
    ).collect(engine="in-memory")
    if _differs_all(rows, table.key):  # what is left is for polls that overlap
        return rows
    rows = rows.filter(_differs([*table.key, *table.differing], shift=1))
    return rows.filter(_differs(table.key, shift=-1))


def _differs_all(rows: pl.DataFrame, key: Sequence[str]) -> bool:
    """Return whether every row, in order of the key, has another key than the one before."""
    return bool(rows.select(_differs(key, shift=1).all()).item())


def _differs(columns: Sequence[str], shift: int) -> pl.Expr:
    """Return whether a row differs from the one before (1) or after (-1) in any of the columns."""
    at_the_edge = pl.int_range(pl.len()) == (0 if shift > 0 else pl.len() - 1)
    changes = (pl.col(name).ne_missing(pl.col(name).shift(shift)) for name in columns)
    return pl.any_horizontal(at_the_edge, *changes)


def merge_rows(connection: Connection, table: Table, rows: pl.DataFrame) -> pl.DataFrame:
    """Merge complete rows in a transaction of their own; committed on return.

    Returns batch_number, inserted, changed: one row for each batch that brought any news.
    """
    try:
        with connection.transaction(bare=True) as cursor:
            return _merge(cursor, table, rows, straight=True)
    except _StoredAlready:
        with connection.transaction(bare=True) as cursor:
            return _merge(cursor, table, rows, straight=False)


class _StoredAlready(StoreError):
    """Rows that were inserted as new ones were none; the transaction is taken back."""


def _merge(cursor: Cursor, table: Table, rows: pl.DataFrame, *, straight: bool) -> pl.DataFrame:
    bounds = _bounds(table, rows)
    likely_stored = _lock_and_look(cursor, table, rows, bounds)
    if straight and not likely_stored:
        _insert_straight(cursor, table, rows)
        return rows.group_by(_BATCH).agg(inserted=pl.len(), changed=0)
    cursor.execute(
        f"CREATE TEMP TABLE staging (LIKE {identifier(table.name)} INCLUDING GENERATED"
        f" INCLUDING DEFAULTS, {_BATCH} integer) ON COMMIT DROP"
    )
    _copy(cursor, "staging", rows[[*table.columns, _BATCH]], temporary=True)
    news = fetch_frame(cursor, merge_statement(table, bounds))
    if news["changed"].sum():
        log_corrections(cursor, table, rows[COMMITTED_AT][0])
    return news


def _lock_and_look(cursor: Cursor, table: Table, rows: pl.DataFrame, bounds: str) -> bool:
    """Wait for the table's other merges, then say whether any of a sample of the rows is stored.

    One round trip, settings included; the answer may be older than the lock, and is only a guess.
    """
    sample = rows[list(table.key)].gather_every(max(1, rows.height // _SAMPLE))
    values = ", ".join(f"({literals(row)})" for row in sample.iter_rows())
    keys = " AND ".join(f"t.{identifier(c)} = k.{identifier(c)}" for c in table.key)
    answer = fetch_frame(
        cursor,
        f"SELECT {SETTINGS}, pg_advisory_xact_lock(hashtextextended({literal(table.name)}, 0)),"
        f" EXISTS (SELECT FROM (VALUES {values}) AS k ({identifiers(table.key)})"
        f" JOIN {identifier(table.name)} AS t ON {keys} WHERE {bounds}) AS stored",
    )
    return bool(answer["stored"].item())


def _insert_straight(cursor: Cursor, table: Table, rows: pl.DataFrame) -> None:
    """Insert the rows as they are. Raises _StoredAlready if one of them is."""
    try:
        _copy(cursor, table.name, rows[table.columns])
    except adbc_driver_manager.IntegrityError as error:
        if error.sqlstate == _UNIQUE_VIOLATION:
            raise _StoredAlready(table.name) from error
        raise


def _copy(cursor: Cursor, table: str, rows: pl.DataFrame, *, temporary: bool = False) -> None:
    arrow = rows.to_arrow(compat_level=pl.CompatLevel.oldest())
    cursor.adbc_ingest(table, arrow, mode="append", temporary=temporary)


def _bounds(table: Table, rows: pl.DataFrame) -> str:
    """Return what is true of all stored rows that can matter, for the planner to look nowhere else.

    Without it, the partitions of other products and months would be opened.
    """
    bounds = []
    if "timestamp" in table.key:
        first: datetime = rows["timestamp"].min()  # type: ignore[assignment]
        last: datetime = rows["timestamp"].max()  # type: ignore[assignment]
        bounds.append(f"t.timestamp BETWEEN {literal(first)} AND {literal(last)}")
    if table.partitioned_by not in (None, "timestamp"):
        pieces = literals(table.pieces(rows))
        bounds.append(f"t.{identifier(str(table.partitioned_by))} IN ({pieces})")
    return " AND ".join(bounds) or "true"


def merge_statement(table: Table, bounds: str = "true") -> str:
    """Return the statement that merges the staged rows and counts them by batch.

    `news` holds only the rows whose values are not stored yet.
    """
    key = " AND ".join(f"t.{identifier(c)} = s.{identifier(c)}" for c in table.primary_key)
    first = identifier(table.primary_key[0])
    values, stored = identifiers(table.differing, "s"), identifiers(table.differing, "t")
    version = identifier(table.version)
    return f"""
        WITH news AS MATERIALIZED (
            SELECT s.*, t.{first} IS NOT NULL AS known
            FROM staging AS s LEFT JOIN {identifier(table.name)} AS t ON {key} AND {bounds}
            WHERE t.{first} IS NULL
               OR ROW({values}) IS DISTINCT FROM ROW({stored}) AND s.{version} >= t.{version}
        ), {_overwrite(table)}
        SELECT {_BATCH}, count(*) FILTER (WHERE NOT known) AS inserted,
               count(*) FILTER (WHERE known) AS changed
        FROM news GROUP BY {_BATCH}"""


def _overwrite(table: Table) -> str:
    version, counter = identifier(table.version), table.counter
    updates = [f"{identifier(c)} = excluded.{identifier(c)}" for c in table.updated]
    updates += [f"{identifier(counter)} = t.{identifier(counter)} + 1"] if counter else []
    return f"""merged AS ({_insert(table)} DO UPDATE SET {", ".join(updates)}
        WHERE ROW({identifiers(table.differing, "t")})
              IS DISTINCT FROM ROW({identifiers(table.differing, "excluded")})
          AND excluded.{version} >= t.{version})"""


def _insert(table: Table) -> str:
    columns, key = identifiers(table.columns), identifiers(table.primary_key)
    return f"""
        INSERT INTO {identifier(table.name)} AS t ({columns})
        SELECT {columns} FROM news ORDER BY {key} ON CONFLICT ({key})"""
