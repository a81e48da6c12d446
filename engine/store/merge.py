"""The merge: a batch becomes part of a table in one transaction, whatever came before.

    staging (temporary, bulk COPY) → compare with what is stored → INSERT … ON CONFLICT

Rows that are stored already are found by a join before the conflict machinery is asked, and are
left alone. Merges of one table wait for each other (an advisory lock of the transaction), so that
counts are exact and two writers cannot deadlock; ON CONFLICT still guards against anybody else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl
import pyarrow as pa

from engine.store.connection import Cursor
from engine.store.identifiers import identifier, identifiers, literal
from engine.store.tables import COMMITTED_AT, Rule, Table

_BATCH = "batch_number"


@dataclass(frozen=True)
class MergeCounts:
    """What became of the rows of a batch. `spooled` ones are on disk, to be merged later."""

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


def merge_batches(
    cursor: Cursor, table: Table, batches: Sequence[pa.RecordBatch], now: datetime
) -> list[MergeCounts]:
    """Merge the batches, in order, inside the cursor's transaction; count each on its own."""
    frames = [table.rows(batch) for batch in batches]
    rows = _rows(table, frames, now)
    lock = f"SELECT pg_advisory_xact_lock(hashtextextended({literal('merge:' + table.name)}, 0))"
    _ask(cursor, lock)
    _stage(cursor, table, rows)
    answer = _ask(cursor, merge_statement(table))
    counted = {number: (inserted, changed) for number, inserted, changed in answer.iter_rows()}
    return [
        MergeCounts(*counted.get(number, (0, 0)), len(frame) - sum(counted.get(number, (0, 0))))
        for number, frame in enumerate(frames)
    ]


def _rows(table: Table, frames: list[pl.DataFrame], now: datetime) -> pl.DataFrame:
    """Return all rows with every column of the table, once a key (the last), in key order."""
    numbered = [
        frame.with_columns(pl.lit(number, pl.Int32).alias(_BATCH))
        for number, frame in enumerate(frames)
    ]
    return (
        pl.concat(numbered)
        .unique(table.key, keep="last")
        .sort(table.key)
        .with_columns(
            *(expression.alias(name) for name, expression in table.derived.items()),
            pl.lit(now, pl.Datetime("us")).alias(COMMITTED_AT),
        )
    )


def _stage(cursor: Cursor, table: Table, rows: pl.DataFrame) -> None:
    cursor.execute(
        f"CREATE TEMP TABLE staging (LIKE {identifier(table.name)} INCLUDING GENERATED"
        f" INCLUDING DEFAULTS, {_BATCH} integer) ON COMMIT DROP"
    )
    arrow = rows.select(*table.columns, _BATCH).to_arrow(compat_level=pl.CompatLevel.oldest())
    cursor.adbc_ingest("staging", arrow, mode="append", temporary=True)


def merge_statement(table: Table) -> str:
    """Return the statement that merges the staged rows and counts them: batch, inserted, changed.

    `news` holds only the rows whose values are not stored yet.
    """
    key = " AND ".join(f"t.{identifier(c)} = s.{identifier(c)}" for c in table.conflict)
    first = identifier(table.conflict[0])
    values, stored = identifiers(table.differing, "s"), identifiers(table.differing, "t")
    version = identifier(table.version)
    outdated = f"s.{version} < t.{version}" if table.rule is Rule.LAST_WINS else "false"
    return f"""
        WITH news AS MATERIALIZED (
            SELECT s.*, t.{first} IS NOT NULL AS known
            FROM staging AS s LEFT JOIN {identifier(table.name)} AS t ON {key}
            WHERE t.{first} IS NULL
               OR ROW({values}) IS DISTINCT FROM ROW({stored}) AND NOT {outdated}
        ), merged AS ({_insert(table)})
        SELECT {_BATCH}, count(*) FILTER (WHERE NOT known) AS inserted,
               count(*) FILTER (WHERE known) AS changed
        FROM news GROUP BY {_BATCH}"""  # noqa: S608 - every name is quoted


def _insert(table: Table) -> str:
    name, columns = identifier(table.name), identifiers(table.columns)
    order, key = identifiers(table.conflict), identifiers([*table.conflict, *_partition_key(table)])
    insert = f"""
        INSERT INTO {name} AS t ({columns}) SELECT {columns} FROM news ORDER BY {order}
        ON CONFLICT ({key})"""  # noqa: S608 - every name is quoted
    if table.rule is Rule.FIRST_STANDS:
        return f"{insert} DO NOTHING"
    version = identifier(table.version)
    updates = [f"{identifier(c)} = excluded.{identifier(c)}" for c in table.updated]
    if table.counter:
        updates.append(f"{identifier(table.counter)} = t.{identifier(table.counter)} + 1")
    return f"""{insert} DO UPDATE SET {", ".join(updates)}
        WHERE ROW({identifiers(table.differing, "t")})
              IS DISTINCT FROM ROW({identifiers(table.differing, "excluded")})
          AND excluded.{version} >= t.{version}"""


def _partition_key(table: Table) -> list[str]:
    """Return the derived columns that Postgres wants in the key of a partitioned table."""
    return list(table.derived) if table.piece is not None else []


def _ask(cursor: Cursor, statement: str) -> pl.DataFrame:
    cursor.execute(statement)
    frame = pl.from_arrow(cursor.fetch_arrow_table())
    assert isinstance(frame, pl.DataFrame)  # noqa: S101 - for the type checker
    return frame
