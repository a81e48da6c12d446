"""What is in a database: its tables, their columns, rows and checksums; all of one snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.errors import InputError
from engine.store.backup.manifest import ColumnOfTable
from engine.store.connection import Cursor, fetch_frame
from engine.store.identifiers import identifier, literal

# The first lists migrations, which the manifest names; the rows of the second mean nothing.
NOT_KEPT = ("schema_migrations", "merge_locks")

# What Postgres and Arrow write in the same bits. All other types travel as text.
PLAIN_TYPES = (
    "bigint",
    "boolean",
    "date",
    "double precision",
    "integer",
    "real",
    "smallint",
    "text",
    "timestamp without time zone",
)
_TABLES = """
    SELECT relname::text AS name, relkind::text AS kind,
           (SELECT inhparent::regclass::text FROM pg_inherits WHERE inhrelid = pg_class.oid)
               AS parent,
           pg_get_expr(relpartbound, oid) AS bound
    FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
    ORDER BY relname"""


@dataclass(frozen=True)
class StoredTable:
    """A table of the database; a partitioned one has rows only in its partitions."""

    name: str
    partitioned: bool
    parent: str | None
    bound: str | None


def stored_tables(cursor: Cursor) -> list[StoredTable]:
    """Return the tables and partitions in `public`, those of others too."""
    rows = fetch_frame(cursor, _TABLES).iter_rows()
    return [StoredTable(name, kind == "p", parent, bound) for name, kind, parent, bound in rows]


def is_ours(table: StoredTable) -> bool:
    """Return whether a table is spelt as ours are; nobody else's is touched."""
    try:
        identifier(table.name)
    except InputError:
        return False
    return True


def table_columns(cursor: Cursor, table: str) -> tuple[ColumnOfTable, ...]:
    """Return the columns of a table, in its order."""
    frame = fetch_frame(
        cursor,
        "SELECT attname::text AS name, format_type(atttypid, atttypmod) AS type,"
        " attgenerated <> '' AS generated, attidentity <> '' AS identity FROM pg_attribute"
        f" WHERE attrelid = {literal('public.' + identifier(table))}::regclass AND attnum > 0"
        " AND NOT attisdropped ORDER BY attnum",
    )
    return tuple(ColumnOfTable(**row) for row in frame.iter_rows(named=True))


def rows_and_checksum(
    cursor: Cursor, table: str, columns: Sequence[ColumnOfTable]
) -> tuple[int, str]:
    """Return how many rows a table has, and a checksum of them, whatever their order.

    Two tables of the same rows have the same checksum, on any server: doubles are written so that
    they can be read back to the last bit, times by `datestyle`, which every transaction of ours
    sets.
    """
    names = ", ".join(sorted(identifier(column.name) for column in columns))
    fetch_frame(cursor, "SELECT set_config('extra_float_digits', '1', true)")
    found = fetch_frame(
        cursor,
        "SELECT count(*) AS rows, coalesce(sum(('x' || left(md5(ROW("
        f"{names})::text), 16))::bit(64)::bigint), 0)::text AS checksum FROM {identifier(table)}",
    )
    rows, checksum = found.row(0)
    return int(rows), str(checksum)


def applied_migrations(cursor: Cursor) -> tuple[str, ...]:
    """Return the versions of the database's migrations; none if it was never migrated."""
    known = fetch_frame(cursor, "SELECT to_regclass('public.schema_migrations')::text AS name")
    if known.item() is None:
        return ()
    query = "SELECT version::text FROM schema_migrations ORDER BY version"
    return tuple(fetch_frame(cursor, query)["version"])
