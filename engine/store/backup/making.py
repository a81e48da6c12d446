"""Make a backup: every table as it is at one moment, while everything goes on.

One transaction sees one snapshot, so no table is newer than another. It reads; no merge waits for
it. A change of the schema would, so none is made meanwhile.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from rich.filesize import decimal

from engine.clock import Clock
from engine.errors import StoreError
from engine.files import atomic_writer, sync_folder
from engine.settings import DataKind
from engine.store.archive import FOLDER as ARCHIVE
from engine.store.backup.catalogue import (
    NOT_KEPT,
    PLAIN_TYPES,
    StoredTable,
    applied_migrations,
    is_ours,
    rows_and_checksum,
    stored_tables,
    table_columns,
)
from engine.store.backup.manifest import (
    FORM,
    ColumnOfTable,
    KeptFile,
    KeptTable,
    Manifest,
    backup_name,
    describe_file,
    remove_leftovers,
    unfinished_path,
    write_manifest,
)
from engine.store.backup.sharing import EarlierBackup, last_backup
from engine.store.book_files import FOLDER as BOOK
from engine.store.connection import Connection, Cursor, fetch_frame
from engine.store.identifiers import identifier, identifiers, literal
from engine.store.spool import ASIDE, Spool
from engine.store.trade_files import FOLDER as TRADES
from engine.text import counted

Tell = Callable[[str], None]

_ROLES = ("krt_reader", "krt_writer")
# A part of the book is in its day's file before it goes: so parts are copied first.
_FILES = (
    f"{TRADES}/trades_*.parquet",
    f"{ARCHIVE}/*/*/*/*.parquet",
    f"{BOOK}/*/*.parquet",
    f"{BOOK}/book_*.parquet",
)
_ABOUT = f"""
    SELECT current_setting('server_version') AS server,
           ARRAY(SELECT rolname::text FROM pg_roles
                 WHERE rolname IN ({", ".join(map(literal, _ROLES))}) ORDER BY rolname) AS roles"""


@dataclass(frozen=True)
class BackupSource:
    """What is backed up: a database, which data it holds, and the folder of the rest."""

    url: str
    kind: DataKind
    folder: Path  # with the spool and the files of old trades and of the book
    beside: tuple[str, ...] = ()  # more files of it, by their paths in it


@contextmanager
def new_backup(
    source: BackupSource, to: Path, clock: Clock, tell: Tell
) -> Iterator[tuple[Path, Manifest]]:
    """Yield a backup that is made but not in its place; it gets there when the block ends well.

    A failure, or a process that is killed, leaves nothing that could be taken for a backup. Raises
    StoreError, and OSError if the disk is full.
    """
    to.mkdir(parents=True, exist_ok=True)
    remove_leftovers(to)
    made_at = clock.now()
    name = backup_name(source.kind, made_at)
    making = unfinished_path(to, name)
    try:
        making.mkdir()
        manifest = _write(source, making, made_at, tell)
        yield making, manifest
        sync_folder(making)
        making.rename(to / name)
        sync_folder(to)
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)
        raise


def _write(source: BackupSource, folder: Path, made_at: datetime, tell: Tell) -> Manifest:
    # Before the snapshot: a batch that is merged in between is then in both, which does no harm.
    files = _copy_rest(source, folder)
    earlier = last_backup(folder.parent, source.kind)
    with (
        closing(Connection(source.url, "backup")) as connection,
        connection.transaction(snapshot=True) as cursor,
    ):
        fetch_frame(cursor, "SELECT set_config('statement_timeout', '0', true)")
        tables = _lock(cursor, tell)
        # After the snapshot: a session that leaves the database from now on is in it.
        for inside in _FILES:
            files += _copy_files(source, folder, earlier, inside)
        about = fetch_frame(cursor, _ABOUT)
        kept = [_write_table(cursor, table, folder, earlier, tell) for table in tables]
        manifest = Manifest(
            form=FORM,
            kind=source.kind,
            made_at=made_at,
            program=metadata.version("korea-realtime-trading"),
            server=about["server"].item(),
            migrations=applied_migrations(cursor),
            roles=tuple(about["roles"].explode(empty_as_null=False)),
            tables=tuple(kept),
            files=files,
        )
    write_manifest(folder, manifest)
    return manifest


def _lock(cursor: Cursor, tell: Tell) -> list[StoredTable]:
    """Return the tables to keep, which nobody drops or changes until the end of the transaction."""
    tables = [table for table in stored_tables(cursor) if table.name not in NOT_KEPT]
    for other in (table for table in tables if not is_ours(table)):
        tell(f"⚠️ {other.name!r} is not one of our tables: it is not in the backup")
    ours = [table for table in tables if is_ours(table)]
    if not ours:
        raise StoreError("the database has no tables yet: there is nothing to back up")
    names = identifiers(table.name for table in ours)
    cursor.execute(f"LOCK TABLE {names} IN ACCESS SHARE MODE")
    cursor.fetch_arrow_table()  # a statement runs only when its result is fetched
    return [table for table in ours if not table.partitioned]


def _write_table(
    cursor: Cursor, table: StoredTable, folder: Path, earlier: EarlierBackup, tell: Tell
) -> KeptTable:
    columns = table_columns(cursor, table.name)
    rows, checksum = rows_and_checksum(cursor, table.name, columns)
    kept = KeptTable(
        name=table.name,
        parent=table.parent,
        bound=table.bound,
        columns=columns,
        rows=rows,
        checksum=checksum,
    )
    if not rows:
        return kept
    shared = earlier.link_table(kept, folder)
    path = Path("tables", f"{table.name}.parquet")
    if shared is None:
        (folder / path.parent).mkdir(exist_ok=True)
        _write_rows(cursor, table.name, columns, folder / path)
    file = shared or describe_file(folder, path.as_posix())
    as_before = ", as in the backup before" if shared else ""
    tell(f"🔄 {table.name}: {counted(rows, 'row')}, {decimal(file.bytes)}{as_before}")
    return kept.model_copy(update={"file": file})


def _write_rows(cursor: Cursor, table: str, columns: tuple[ColumnOfTable, ...], path: Path) -> None:
    selected = ", ".join(_as_kept(column) for column in columns if not column.generated)
    cursor.execute(f"SELECT {selected} FROM {identifier(table)}")
    with cursor.fetch_record_batch() as reader, atomic_writer(path) as file:
        plain = pa.schema([pa.field(field.name, field.type) for field in reader.schema])
        with pq.ParquetWriter(file, plain, compression="zstd") as writer:
            for batch in reader:
                writer.write_batch(batch.cast(plain))


def _as_kept(column: ColumnOfTable) -> str:
    name = identifier(column.name)
    return name if column.type in PLAIN_TYPES else f"{name}::text AS {name}"


def _copy_rest(source: BackupSource, folder: Path) -> tuple[KeptFile, ...]:
    """Copy the batches that wait for the database or were set aside, and the files beside them."""
    spool = source.folder / "spool"
    found = [path for name in source.beside if (path := source.folder / name).is_file()]
    if spool.is_dir():
        batches = Spool(spool)
        entries = [*batches.entries(), *(e for why in ASIDE for e in batches.aside(why))]
        found += [entry.path for entry in entries]
    kept = []
    for path in found:
        inside = path.relative_to(source.folder)
        target = folder / inside
        target.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # merged meanwhile: the snapshot has it
            _copy(path, target)
            kept.append(describe_file(folder, inside.as_posix()))
    return tuple(kept)


def _copy_files(
    source: BackupSource, folder: Path, earlier: EarlierBackup, pattern: str
) -> tuple[KeptFile, ...]:
    """Copy the files of a pattern: old trades and the book, one a session, of some megabytes."""
    kept = []
    for path in sorted(source.folder.glob(pattern)):
        inside = path.relative_to(source.folder).as_posix()
        shared = earlier.link_file(path, inside, folder)
        if shared is None:
            (folder / inside).parent.mkdir(parents=True, exist_ok=True)
            try:
                _copy(path, folder / inside)
            except FileNotFoundError:  # a part of the book, which its day's file has now
                continue
        kept.append(shared or describe_file(folder, inside))
    return tuple(kept)


def _copy(path: Path, target: Path) -> None:
    shutil.copy2(path, target)  # with its time, by which the next backup knows it
    descriptor = os.open(target, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
