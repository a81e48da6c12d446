"""Prove a backup: restore it into an embedded server of its own, which is removed afterwards."""

from __future__ import annotations

import shutil
from pathlib import Path

import filelock

from engine.errors import InputError
from engine.files import DATA_FOLDER_MODE, make_folder
from engine.store.backup.manifest import Manifest, check_files
from engine.store.backup.restoring import restore_database
from engine.store.connection import Connection
from engine.store.embedded.server import embedded_server, recreate_database

_NAME = "verification"
_ROOM = 1.5  # times the size of the database: its copy, and the log of making it


def require_room(url: str, data_folder: Path) -> None:
    """Refuse to begin what would fill the disk that the collector writes to. Raises InputError."""
    connection = Connection(url, "backup")
    try:
        with connection.transaction(read_only=True) as cursor:
            cursor.execute("SELECT pg_database_size(current_database())")
            size = cursor.fetch_arrow_table().column(0)[0].as_py()
    finally:
        connection.close()
    make_folder(data_folder, DATA_FOLDER_MODE)
    free = shutil.disk_usage(data_folder).free
    if free < size * _ROOM:
        raise InputError(
            f"to verify the backup, {size * _ROOM / 1e9:.1f} GB are needed in {data_folder}, and"
            f" {free / 1e9:.1f} GB are free: free some, or make it with --unverified"
        )


def verify(folder: Path, manifest: Manifest, data_folder: Path) -> None:
    """Restore the backup into a server of its own below the data folder, and compare everything.

    Raises StoreError if anything came back otherwise, InputError if a file is not what was written
    or another backup is being verified.
    """
    check_files(folder, manifest)
    make_folder(data_folder, DATA_FOLDER_MODE)
    lock = filelock.FileLock(data_folder / f"{_NAME}.lock", timeout=0, mode=0o600)
    try:
        with (
            lock,
            embedded_server(data_folder / _NAME, durable=False, temporary=True) as url,
        ):
            recreate_database(url)  # what a killed verification left
            restore_database(url, folder, manifest, lambda _: None)
    except filelock.Timeout:
        raise InputError("another backup is being verified: wait for it, or --unverified") from None
