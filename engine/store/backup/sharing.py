"""What a backup has in common with the one before it is stored once: the files are links.

A year of sessions hardly ever changes, and a backup is made each day. Either of two backups may be
removed; the file is there as long as one of them is.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from engine.errors import InputError
from engine.settings import DataKind
from engine.store.backup.manifest import (
    KeptFile,
    KeptTable,
    backups,
    describe_file,
    read_manifest,
)

_MTIME = 2.0  # seconds by which some disks round the time of a file


@dataclass(frozen=True)
class EarlierBackup:
    """The last whole backup in the same folder; empty where the folder has no backup."""

    folder: Path
    tables: Mapping[str, KeptTable] = field(default_factory=dict)
    files: Mapping[str, KeptFile] = field(default_factory=dict)

    def link(self, kept: KeptFile, folder: Path) -> bool:
        """Link one of its files into another backup; False if it was damaged, or disks differ."""
        target = folder / kept.path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(self.folder / kept.path, target)
            if describe_file(folder, kept.path) == kept:
                return True
        except OSError:  # a disk without links, or on another disk
            pass
        with suppress(OSError):
            target.unlink(missing_ok=True)
        return False

    def link_table(self, table: KeptTable, folder: Path) -> KeptFile | None:
        """Link the file of a table that has the same rows as then; None if it has others."""
        before = self.tables.get(table.name)
        if before is None or before.file is None:
            return None
        same = before.columns == table.columns and before.rows == table.rows
        if not same or before.checksum != table.checksum:
            return None
        return before.file if self.link(before.file, folder) else None

    def link_file(self, path: Path, inside: str, folder: Path) -> KeptFile | None:
        """Link the file that `path` was copied to then, if that has not been written since."""
        known = self.files.get(inside)
        if known is None:
            return None
        try:
            before, now = (self.folder / inside).stat(), path.stat()
        except OSError:
            return None
        same = before.st_size == now.st_size and abs(before.st_mtime - now.st_mtime) < _MTIME
        return known if same and self.link(known, folder) else None


def last_backup(to: Path, kind: DataKind) -> EarlierBackup:
    """Return the last backup in a folder that can be read; an empty one if none can."""
    for folder in reversed(backups(to, kind)):
        with suppress(InputError):
            manifest = read_manifest(folder)
            tables = {table.name: table for table in manifest.tables}
            return EarlierBackup(folder, tables, {file.path: file for file in manifest.files})
    return EarlierBackup(to)
