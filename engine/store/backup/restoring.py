"""Restore a backup into an empty database: its schema of then, its rows, and the proof.

The schema is made by the same migrations that made it first. All rows come in one transaction,
which is committed only if every table has the rows and the checksum that the manifest says: a
restore that was killed, or that found anything else, leaves no row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import InputError, StoreError
from engine.files import private_folder, write_atomically
from engine.store.backup.catalogue import (
    NOT_KEPT,
    PLAIN_TYPES,
    applied_migrations,
    is_ours,
    rows_and_checksum,
    stored_tables,
    table_columns,
)
from engine.store.backup.making import Tell
from engine.store.backup.manifest import KeptTable, Manifest
from engine.store.connection import Connection, Cursor, fetch_frame
from engine.store.identifiers import identifier, identifiers, literal
from engine.store.metadata import roles_sql
from engine.store.migrations import migrate_to
from engine.store.tables import SIGNAL_TABLE_COLUMNS
from engine.text import counted

_VALUE = r"'[\w .:+-]*'"
_BOUND = re.compile(rf"FOR VALUES (?:IN \({_VALUE}\)|FROM \({_VALUE}\) TO \({_VALUE}\))|DEFAULT")


def tables_with_rows(url: str) -> list[str]:
    """Return the tables of the database that have rows, those of others too."""
    with (
        closing(Connection(url, "restore")) as connection,
        connection.transaction(read_only=True) as cursor,
    ):
        tables = [t for t in stored_tables(cursor) if t.name not in NOT_KEPT and not t.partitioned]
        return [t.name for t in tables if not is_ours(t) or _has_rows(cursor, t.name)]


def restore_database(url: str, folder: Path, manifest: Manifest, tell: Tell) -> None:
    """Fill an empty database with a backup whose files have been checked.

    Raises InputError if the database has rows or the schema of another version, StoreError if what
    came in is not what the manifest says.
    """
    if full := tables_with_rows(url):
        raise InputError(
            f"the database is not empty ({', '.join(full[:3])} …): a backup is restored into an"
            " empty one"
        )
    with closing(Connection(url, "restore")) as connection:
        _require_schema(connection, manifest)
        migrate_to(url, manifest.migrations)
        with connection.transaction() as cursor:
            fetch_frame(cursor, "SELECT set_config('statement_timeout', '0', true)")
            tables = _make_tables(cursor, manifest, tell)
            for table in tables:
                _fill(cursor, table, folder, tell)
            for table in tables:
                _require_same(cursor, table)
            _run(cursor, "ANALYZE")
        if manifest.roles:
            _restore_roles(connection, manifest, tell)


def restore_files(source: Path, folder: Path, manifest: Manifest) -> int:
    """Put back the batches that waited for the database, and the files beside; return how many.

    A file that is there already stays as it is. Raises OSError.
    """
    restored = 0
    for kept in manifest.files:
        target = folder / kept.path
        if not target.exists():
            private_folder(target.parent)
            write_atomically(target, (source / kept.path).read_bytes(), private=True)
            restored += 1
    return restored


def _has_rows(cursor: Cursor, table: str) -> bool:
    query = f"SELECT EXISTS (SELECT FROM {identifier(table)}) AS found"
    return bool(fetch_frame(cursor, query).item())


def _require_schema(connection: Connection, manifest: Manifest) -> None:
    """Refuse a database with a schema that is not the one of the backup. Raises InputError."""
    with connection.transaction(read_only=True) as cursor:
        applied = applied_migrations(cursor)
    if not set(applied) <= set(manifest.migrations):
        raise InputError(
            "the database has the schema of a newer version than the backup: make a new one with"
            " CREATE DATABASE and restore into that; it is brought up to date afterwards"
        )


def _make_tables(cursor: Cursor, manifest: Manifest, tell: Tell) -> list[KeptTable]:
    """Make the partitions and the tables of strategies, which no migration makes.

    Returns the tables that can be filled: those that a user made are only named.
    """
    present = {table.name for table in stored_tables(cursor)}
    ours = []
    for table in manifest.tables:
        if table.name not in present:
            if table.parent is not None and table.parent in present:
                _make_partition(cursor, table)
            elif table.parent is None and table.name.endswith("_signal"):
                _make_signal_table(cursor, table)
            else:
                where = f": its rows are in {table.file.path}" if table.file else ""
                tell(f"⚠️ {table.name} is not one of our tables and is not restored{where}")
                continue
        ours.append(table)
    return ours


def _make_partition(cursor: Cursor, table: KeptTable) -> None:
    """Make a partition as `make_partition` of the migrations does, with the bounds it had."""
    parent, child = identifier(str(table.parent)), identifier(table.name)
    if not _BOUND.fullmatch(bound := str(table.bound)):
        raise InputError(f"the backup's partition {table.name} has bounds that cannot be read")
    _run(cursor, f"CREATE TABLE {child} (LIKE {parent} INCLUDING ALL)")
    _run(cursor, f"ALTER TABLE {parent} ATTACH PARTITION {child} {bound}")


def _make_signal_table(cursor: Cursor, table: KeptTable) -> None:
    own = [c for c in table.columns if c.name not in SIGNAL_TABLE_COLUMNS | {"committed_at"}]
    names = ", ".join(literal(column.name) for column in own)
    types = ", ".join(literal(column.type) for column in own)
    fetch_frame(
        cursor,
        f"SELECT make_signal_table({literal(table.name)}, ARRAY[{names}]::text[],"
        f" ARRAY[{types}]::text[])::text",
    )


def _fill(cursor: Cursor, table: KeptTable, folder: Path, tell: Tell) -> None:
    """Copy the rows of a table in. Its triggers, which announce what is new, do not run."""
    found = table_columns(cursor, table.name)
    if {c.name: c.type for c in found} != {c.name: c.type for c in table.columns}:
        raise StoreError(f"the table {table.name} does not have the columns of the backup")
    if table.file is None:
        return
    name = identifier(table.name)
    silent = table.parent is None  # partitions have the triggers of their parents, on changes alone
    if silent:
        _run(cursor, f"ALTER TABLE {name} DISABLE TRIGGER USER")
    with pq.ParquetFile(folder / table.file.path) as file:
        rows = pa.RecordBatchReader.from_batches(file.schema_arrow, _batches(file))
        if all(column.type in PLAIN_TYPES for column in found if not column.generated):
            cursor.adbc_ingest(table.name, rows, mode="append")
        else:
            _fill_by_text(cursor, table, rows)
    if silent:
        _run(cursor, f"ALTER TABLE {name} ENABLE TRIGGER USER")
    for column in (c for c in found if c.identity):
        of_table = literal(f"public.{name}")
        fetch_frame(
            cursor,
            f"SELECT setval(pg_get_serial_sequence({of_table}, {literal(column.name)}),"
            f" (SELECT max({identifier(column.name)}) FROM {name}))",
        )
    tell(f"🔄 {table.name}: {counted(table.rows, 'row')}")


def _batches(file: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
    yield from file.iter_batches(batch_size=1 << 16)


def _fill_by_text(cursor: Cursor, table: KeptTable, rows: pa.RecordBatchReader) -> None:
    """Copy rows in whose columns Arrow and Postgres do not write alike: by way of text."""
    own = [column for column in table.columns if not column.generated]
    held = (f"{identifier(c.name)} {_type_on_the_way(c.type)}" for c in own)
    _run(cursor, f"CREATE TEMP TABLE incoming ({', '.join(held)}) ON COMMIT DROP")
    cursor.adbc_ingest("incoming", rows, mode="append", temporary=True)
    values = ", ".join(
        identifier(c.name) if c.type in PLAIN_TYPES else f"{identifier(c.name)}::{c.type}"
        for c in own
    )
    name, names = identifier(table.name), identifiers(c.name for c in own)
    _run(
        cursor,
        f"INSERT INTO {name} ({names}) OVERRIDING SYSTEM VALUE SELECT {values} FROM incoming",
    )
    _run(cursor, "DROP TABLE incoming")


def _type_on_the_way(kind: str) -> str:
    return kind if kind in PLAIN_TYPES else "text"


def _require_same(cursor: Cursor, table: KeptTable) -> None:
    found = rows_and_checksum(cursor, table.name, table.columns)
    if found != (table.rows, table.checksum):
        raise StoreError(
            f"the table {table.name} came back with other rows than were backed up"
            f" ({found[0]:,} of {table.rows:,}): nothing was restored"
        )


def _restore_roles(connection: Connection, manifest: Manifest, tell: Tell) -> None:
    try:
        with connection.transaction() as cursor:
            _run(cursor, roles_sql())
    except StoreError as error:
        roles = " and ".join(manifest.roles)
        tell(f"⚠️ {roles} have no rights here yet ({error}): run `just db-roles` as the owner")


def _run(cursor: Cursor, statement: str) -> None:
    cursor.execute(statement)
    cursor.fetch_arrow_table()  # a statement runs only when its result is fetched
