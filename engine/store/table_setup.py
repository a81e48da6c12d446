"""Before rows are merged: does the table have our columns, and does it have the partitions?"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from engine.schemas import POSTGRES_TYPES
from engine.store.connection import Cursor, fetch_frame
from engine.store.identifiers import literal
from engine.store.tables import SIGNAL_TABLE_COLUMNS, Table


def make_partitions(cursor: Cursor, table: Table, partitions: Iterable[str]) -> None:
    """Make the partitions unless they exist; safe while other processes do the same."""
    for partition in partitions:
        fetch_frame(
            cursor, f"SELECT make_partition({literal(table.name)}, {literal(partition)})::text"
        )


def check_table(cursor: Cursor, table: Table) -> None:
    """Compare the database's table with the stream; a strategy's is made if it is missing.

    Raises SchemaMismatch if its columns are not the stream's.
    """
    if table.holds_signals:
        _make_signal_table(cursor, table)
    table.check_columns(stored_columns(cursor, table.name))


def months_ahead(table: Table, today: date, months: int = 3) -> list[str]:
    """Return the monthly partitions from today's on, to be made before they are needed."""
    first = 12 * today.year + today.month - 1
    by_month = table.partitioned_by == "timestamp"
    return [f"{n // 12}{n % 12 + 1:02}" for n in range(first, first + months + 1) if by_month]


def stored_columns(cursor: Cursor, table: str) -> dict[str, str]:
    """Return the columns of the database's table, and their types."""
    frame = fetch_frame(
        cursor,
        "SELECT attname::text AS name, format_type(atttypid, atttypmod) AS type FROM pg_attribute"
        f" WHERE attrelid = to_regclass({literal('public.' + table)}) AND attnum > 0"
        " AND NOT attisdropped ORDER BY attnum",
    )
    return dict(frame.iter_rows())


def _make_signal_table(cursor: Cursor, table: Table) -> None:
    features = [
        (field.name, POSTGRES_TYPES[field.type])
        for field in table.schema
        if field.name not in SIGNAL_TABLE_COLUMNS
    ]
    names = "ARRAY[" + ", ".join(literal(name) for name, _ in features) + "]::text[]"
    types = "ARRAY[" + ", ".join(literal(kind) for _, kind in features) + "]::text[]"
    fetch_frame(cursor, f"SELECT make_signal_table({literal(table.name)}, {names}, {types})::text")
