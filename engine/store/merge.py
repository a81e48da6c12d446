"""The merge: a batch becomes part of a table in one transaction, whatever came before.

There are two paths. A sample of the batch's keys decides which is tried first:

- direct: if none of them is stored, the rows are copied into the table. If one is stored after all,
  Postgres refuses, the transaction is rolled back and the other path is taken;
- staging: a temporary table (by COPY) → the rows whose values are not stored yet → INSERT … ON
  CONFLICT. Comparing first is three times as fast as resolving a conflict for every row.

Merges of one table wait for each other (its row of `merge_locks` is locked: an advisory lock could
be held by a reader), so that counts are exact and two writers cannot deadlock; ON CONFLICT still
guards against other programs.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

import adbc_driver_manager
import numpy as np
import polars as pl
import pyarrow as pa

from engine.errors import StoreError
from engine.schemas import FILE, REST
from engine.store.connection import Connection, Cursor, fetch_frame, fetch_values
from engine.store.corrections import log_corrections
from engine.store.identifiers import identifier, identifiers, literal, literals
from engine.store.tables import COMMITTED_AT, CONFIRMED_AT, SOURCE, Table

_BATCH = "batch_number"
_SAMPLE = 64
_FEW = 500  # rows, of which nothing of Polars is as quick as Python
_UNIQUE_VIOLATION = "23505"


@dataclass(frozen=True)
class MergeCounts:
    """What became of the rows of a batch.

    `changed` rows were stored with other values, which were overwritten (those of signals are kept
    as corrections). `unchanged` rows were stored already, outdated, or twice in the batch.
    `spooled` rows are safe on disk, to be merged later.
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


def complete_rows(table: Table, batches: Sequence[pa.RecordBatch], now: datetime) -> pl.DataFrame:
    """Return the rows of all batches with every column of the table, one a key, in key order.

    Of rows with one key the newest value stays (of one moment the one that came last), in the row
    that had it first: a bar that is read again unchanged does not become newer. What the feed gave
    comes after what a file has, and what REST gave after both. `batch_number` says which batch a
    row is from. Raises SchemaMismatch.
    """
    numbers = np.repeat(np.arange(len(batches), dtype=np.int32), [b.num_rows for b in batches])
    rows = _all_rows(table, batches)
    moments = {COMMITTED_AT: now, **({CONFIRMED_AT: None} if table.two_sources else {})}
    added = (
        pl.Series(name, np.full(rows.height, moment, "datetime64[us]"))
        for name, moment in moments.items()
    )
    rows = rows.hstack([pl.Series(_BATCH, numbers), *added])
    if table.derived:
        rows = rows.with_columns_seq(**table.derived)
    if rows.height <= _FEW and _is_in_key_order(table, rows):  # a minute's, nearly always
        return rows
    rows = rows.sort(table.key, maintain_order=True)
    if rows.select(_differs(table.key, shift=1).all()).item():  # else polls overlap
        return rows
    rank = pl.col(SOURCE).replace_strict({FILE: 0, REST: 2}, default=1, return_dtype=pl.Int8)
    ranks = [rank] if table.two_sources else []
    rows = rows.sort([*table.key, *ranks, table.version], maintain_order=True)
    if table.filled:
        rows = rows.with_columns(pl.col(table.filled).forward_fill().over(table.key))
    if table.two_sources:
        rows = rows.with_columns(_confirmation(table).alias(CONFIRMED_AT))
    return latest_rows(table, rows)


def _all_rows(table: Table, batches: Sequence[pa.RecordBatch]) -> pl.DataFrame:
    """Return the rows of all batches; most are of one schema and become a frame together."""
    groups = itertools.groupby(batches, key=lambda batch: batch.schema)
    frames = [table.rows(pa.concat_batches(list(group))) for _, group in groups]
    return frames[0] if len(frames) == 1 else pl.concat(frames)


def _is_in_key_order(table: Table, rows: pl.DataFrame) -> bool:
    """Say whether each row's key is greater than the one before; of few rows quickly."""
    keys = list(zip(*(rows[name].to_list() for name in table.key), strict=True))
    has_nulls = any(None in key for key in keys)
    return not has_nulls and all(key < later for key, later in itertools.pairwise(keys))


def latest_rows(table: Table, rows: pl.DataFrame) -> pl.DataFrame:
    """Return one row a key, of rows that are in the order of the key and came in this order."""
    changes = rows.filter(_differs([*table.key, *table.value_columns], shift=1))
    return changes.filter(_differs(table.key, shift=-1))


def _confirmation(table: Table) -> pl.Expr:
    """Return when REST gave the values of another row, in rows in key order, those of REST last.

    Right where the row stays: then no row of REST has other values.
    """
    by_rest = pl.col(table.version).filter(pl.col(SOURCE) == REST).first().over(table.key)
    return pl.when(pl.col(SOURCE) != REST).then(by_rest)


def _differs(columns: Sequence[str], shift: int) -> pl.Expr:
    """Return whether a row differs from the one before (1) or after (-1) in any of the columns."""
    at_the_edge = pl.int_range(pl.len()) == (0 if shift > 0 else pl.len() - 1)
    changes = (pl.col(name).ne_missing(pl.col(name).shift(shift)) for name in columns)
    return pl.any_horizontal(at_the_edge, *changes)


def merge_tables(
    connection: Connection, parts: Sequence[tuple[Table, pl.DataFrame]], *, lock_timeout: str = ""
) -> list[pl.DataFrame]:
    """Merge complete rows of different tables in one transaction; committed on return.

    Returns for each table batch_number, inserted, changed: a row at least for each batch that
    changed it. With a `lock_timeout` it gives up so soon where another transaction holds a table.
    """
    ordered = sorted(parts, key=lambda part: part[0].name)  # so that no two merges deadlock
    direct = {table.name for table, _ in parts}
    while True:
        try:
            merged = _merge(connection, ordered, direct, lock_timeout)
        except _StoredAlready as found:
            direct.discard(found.table)
        else:
            return [merged[table.name] for table, _ in parts]


class _StoredAlready(StoreError):
    """A row that was inserted as a new one is stored already; the transaction is rolled back."""

    def __init__(self, table: str) -> None:
        super().__init__(table)
        self.table = table


def _merge(
    connection: Connection,
    parts: Sequence[tuple[Table, pl.DataFrame]],
    direct: Collection[str],
    lock_timeout: str,
) -> dict[str, pl.DataFrame]:
    """Merge by table; into those of `direct` rows are copied if none of a sample is stored."""
    bounds = {table.name: _bounds(table, rows) for table, rows in parts}
    # In a statement of their own: who waits for one must not hold a table that its holder drops.
    locks = [f"{lock_of(table)} AS {table.name}" for table, _ in parts]
    merged = {}
    with connection.transaction_selecting(*locks, lock_timeout=lock_timeout) as (cursor, locked):
        for table, _ in parts:
            if locked[table.name] is None:  # the first merge of this table
                name = literal(table.name)
                cursor.execute(f"INSERT INTO merge_locks VALUES ({name}) ON CONFLICT DO NOTHING")
                fetch_frame(cursor, f"SELECT {lock_of(table)} AS locked")
        guesses = (
            f"{_any_stored(table, rows, bounds[table.name])} AS {table.name}"
            for table, rows in parts
        )
        stored = fetch_values(cursor, *guesses)
        for table, rows in parts:
            if table.name in direct and not stored[table.name]:
                _insert_directly(cursor, table, rows)
                inserted = np.bincount(rows[_BATCH].to_numpy())
                merged[table.name] = pl.DataFrame(
                    {_BATCH: range(len(inserted)), "inserted": inserted, "changed": 0}
                )
            else:
                merged[table.name] = _merge_staged(cursor, table, rows, bounds[table.name])
                if len(parts) > 1:
                    cursor.execute("DROP TABLE pg_temp.staging")
    return merged


def lock_of(table: Table) -> str:
    """Return the SQL expression that locks the table's row until the transaction ends."""
    name = literal(table.name)
    return f"(SELECT true FROM public.merge_locks WHERE name = {name} FOR NO KEY UPDATE)"


def _merge_staged(cursor: Cursor, table: Table, rows: pl.DataFrame, bounds: str) -> pl.DataFrame:
    cursor.execute(
        f"CREATE TEMP TABLE staging (LIKE {identifier(table.name)} INCLUDING GENERATED"
        f" INCLUDING DEFAULTS, {_BATCH} integer) ON COMMIT DROP"
    )
    _copy(cursor, "staging", rows[[*_written(table, rows), _BATCH]], temporary=True)
    if table.filled:
        for statement in _fill_statements(table, bounds):
            cursor.execute(statement)
    counts = fetch_frame(cursor, merge_statement(table, bounds))
    if counts["confirmed"].sum():
        cursor.execute(_confirm_statement(table, bounds))
    if counts["changed"].sum():
        log_corrections(cursor, table, rows[COMMITTED_AT][0])
    return counts.drop("confirmed")


def _fill_statements(table: Table, bounds: str) -> list[str]:
    """Return the statements by which staged and stored rows tell each other what they know.

    So it does not matter which of two sources comes first.
    """
    columns = [identifier(name) for name in table.filled]
    same = f"{_same_key(table)} AND {bounds}"
    staged = ", ".join(f"{name} = coalesce(s.{name}, t.{name})" for name in columns)
    stored = ", ".join(f"{name} = coalesce(t.{name}, s.{name})" for name in columns)
    lacks = " OR ".join(f"(t.{name} IS NULL AND s.{name} IS NOT NULL)" for name in columns)
    name = identifier(table.name)
    return [
        f"UPDATE staging AS s SET {staged} FROM {name} AS t WHERE {same}",
        f"UPDATE {name} AS t SET {stored}, {COMMITTED_AT} = s.{COMMITTED_AT}"
        f" FROM staging AS s WHERE {same} AND ({lacks})"
        f" AND NOT {_is_later(table, 's', 't')}",
    ]


def _any_stored(table: Table, rows: pl.DataFrame, bounds: str) -> str:
    """Return the SQL condition that any of a sample of the rows is stored."""
    sample = rows[list(table.key)]
    if rows.height > _SAMPLE:
        sample = sample.gather_every(rows.height // _SAMPLE)
    values = ", ".join(f"({literals(row)})" for row in sample.iter_rows())
    keys = " AND ".join(f"t.{identifier(c)} = k.{identifier(c)}" for c in table.key)
    return (
        f"EXISTS (SELECT FROM (VALUES {values}) AS k ({identifiers(table.key)})"
        f" JOIN public.{identifier(table.name)} AS t ON {keys} WHERE {bounds})"
    )


def _insert_directly(cursor: Cursor, table: Table, rows: pl.DataFrame) -> None:
    """Copy the rows into the table. Raises _StoredAlready if one of them is stored."""
    try:
        _copy(cursor, table.name, rows[_written(table, rows)])
    except adbc_driver_manager.IntegrityError as error:
        if error.sqlstate == _UNIQUE_VIOLATION:
            raise _StoredAlready(table.name) from error
        raise


def _written(table: Table, rows: pl.DataFrame) -> list[str]:
    """Return the table's columns without those in which each row has what they hold by default.

    So a history from REST costs no more than before bars had two sources: texts are slow to copy.
    """
    by_default = set()
    if table.two_sources and rows[CONFIRMED_AT].null_count() == rows.height:
        by_default = {CONFIRMED_AT, SOURCE} if (rows[SOURCE] == REST).all() else {CONFIRMED_AT}
    return [name for name in table.columns if name not in by_default]


def _copy(cursor: Cursor, table: str, rows: pl.DataFrame, *, temporary: bool = False) -> None:
    arrow = rows.to_arrow(compat_level=pl.CompatLevel.oldest())
    cursor.adbc_ingest(table, arrow, mode="append", temporary=temporary)


def _bounds(table: Table, rows: pl.DataFrame) -> str:
    """Return a condition that is true of every stored row with a key of the batch.

    It keeps the planner from opening the partitions of other products and months.
    """
    bounds = []
    if "timestamp" in table.key:
        first: datetime = rows["timestamp"].min()  # type: ignore[assignment]
        last: datetime = rows["timestamp"].max()  # type: ignore[assignment]
        bounds.append(f"t.timestamp BETWEEN {literal(first)} AND {literal(last)}")
    if table.partitioned_by not in (None, "timestamp"):
        values = literals(rows[str(table.partitioned_by)].unique().drop_nulls().sort())
        bounds.append(f"t.{identifier(str(table.partitioned_by))} IN ({values})")
    return " AND ".join(bounds) or "true"


def merge_statement(table: Table, bounds: str = "true") -> str:
    """Return the statement that merges the staged rows and counts them by batch.

    `new_rows` holds only the rows whose values are not stored yet, and those of REST that have the
    values of a row of feed or file, which are counted as `confirmed` and not merged.
    """
    first = identifier(table.primary_key[0])
    differs = _values_differ(table, "s", "t")
    confirms = f"coalesce({_confirms(table)}, false)" if table.two_sources else "false"
    return f"""
        WITH new_rows AS MATERIALIZED (
            SELECT s.*, t.{first} IS NOT NULL AS known, {confirms} AS confirms
            FROM staging AS s
            LEFT JOIN {identifier(table.name)} AS t ON {_same_key(table)} AND {bounds}
            WHERE t.{first} IS NULL
               OR {differs} AND {_is_later(table, "s", "t")}
               OR {confirms}
        ), {_overwrite(table)}
        SELECT {_BATCH}, count(*) FILTER (WHERE NOT known) AS inserted,
               count(*) FILTER (WHERE known AND NOT confirms) AS changed,
               count(*) FILTER (WHERE confirms) AS confirmed
        FROM new_rows GROUP BY {_BATCH}"""


def _confirms(table: Table) -> str:
    """Return the condition that a staged row has what REST says, and what feed or file had said."""
    return (
        f"t.{SOURCE} <> {literal(REST)} AND t.{CONFIRMED_AT} IS NULL"
        f" AND (s.{SOURCE} = {literal(REST)} OR s.{CONFIRMED_AT} IS NOT NULL)"
        f" AND NOT {_values_differ(table, 's', 't')}"
    )


def _confirm_statement(table: Table, bounds: str) -> str:
    """Return the statement that marks the rows of feed and files whose values REST has given."""
    version = identifier(table.version)
    return f"""
        UPDATE {identifier(table.name)} AS t
        SET {CONFIRMED_AT} = coalesce(s.{CONFIRMED_AT}, s.{version})
        FROM staging AS s
        WHERE {_same_key(table)} AND {bounds} AND {_confirms(table)}"""


def _same_key(table: Table) -> str:
    return " AND ".join(f"t.{identifier(c)} = s.{identifier(c)}" for c in table.primary_key)


def _values_differ(table: Table, one: str, other: str) -> str:
    values = (identifiers(table.value_columns, name) for name in (one, other))
    return "(ROW({}) IS DISTINCT FROM ROW({}))".format(*values)


def _is_later(table: Table, one: str, other: str) -> str:
    """Return the condition that a row stands against another one with other values.

    Where there are several sources, REST stands against the feed, whichever was later, and so does
    what REST has confirmed; both stand against a file.
    """
    return f"ROW({precedence(table, one)}) >= ROW({precedence(table, other)})"


def precedence(table: Table, row: str) -> str:
    """Return the SQL expressions by which the rows of a key are ranked; the highest stands."""
    version = f"{row}.{identifier(table.version)}"
    if not table.two_sources:
        return version
    confirmed = f"{row}.{CONFIRMED_AT}"
    rank = (
        f"CASE WHEN {row}.{SOURCE} = {literal(REST)} OR {confirmed} IS NOT NULL THEN 2"
        f" WHEN {row}.{SOURCE} = {literal(FILE)} THEN 0 ELSE 1 END"
    )
    return f"{rank}, coalesce({confirmed}, {version})"


def _overwrite(table: Table) -> str:
    counter = table.counter
    updates = [f"{identifier(c)} = excluded.{identifier(c)}" for c in table.updated]
    updates += [f"{identifier(counter)} = t.{identifier(counter)} + 1"] if counter else []
    return f"""merged AS ({_insert(table)} DO UPDATE SET {", ".join(updates)}
        WHERE {_values_differ(table, "t", "excluded")}
          AND {_is_later(table, "excluded", "t")})"""


def _insert(table: Table) -> str:
    columns = identifiers(table.columns)
    key = identifiers(table.primary_key)
    return f"""
        INSERT INTO {identifier(table.name)} AS t ({columns})
        SELECT {columns} FROM new_rows WHERE NOT confirms ORDER BY {key} ON CONFLICT ({key})"""
