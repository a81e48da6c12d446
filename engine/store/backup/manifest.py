"""The manifest of a backup: what is in it, and how it is proven that it still is."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from uuid import uuid4

import psutil
from pydantic import BaseModel, ConfigDict, ValidationError

from engine.errors import InputError
from engine.files import write_atomically
from engine.settings import DataKind

MANIFEST = "manifest.json"
FORM = 1  # of backups; a later program reads earlier forms

_NAME = re.compile(r"krt-(live|simulation)-[0-9]{8}-[0-9]{6}", re.ASCII)
_UNFINISHED = re.compile(r"\.krt-[\w-]+\.[0-9a-f]{8}\.(?:making|removing)-([0-9]{1,9})", re.ASCII)
_BESIDE = re.compile(
    r"(?:spool|spool/refused|spool/damaged|kis|trades|book|book/[0-9]{8}"
    r"|archive/\w+/product=\w+/month=[0-9-]{7})/[\w-][\w.-]*",
    re.ASCII,
)
_READ_AT_ONCE = 1 << 20  # bytes


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ColumnOfTable(_Record):
    """A column, with its type as Postgres writes it."""

    name: str
    type: str
    generated: bool = False  # Postgres computes it from the others
    identity: bool = False  # a sequence counts it up


class KeptFile(_Record):
    """A file of the backup: its path in it, its size and the hash of its bytes."""

    path: str
    bytes: int
    sha256: str


class KeptTable(_Record):
    """A table or partition. `checksum` is of its rows, whatever their order."""

    name: str
    parent: str | None = None
    bound: str | None = None  # of a partition, as Postgres writes it
    columns: tuple[ColumnOfTable, ...]
    rows: int
    checksum: str
    file: KeptFile | None = None  # None if there are no rows


class Manifest(_Record):
    """All that is known of a backup. `made_at` is KST without zone."""

    form: int
    kind: DataKind
    made_at: datetime
    program: str
    server: str
    migrations: tuple[str, ...]
    roles: tuple[str, ...]
    tables: tuple[KeptTable, ...]
    files: tuple[KeptFile, ...]  # beside the tables: the spool, KIS's trading days

    @property
    def rows(self) -> int:
        """How many rows there are in all tables."""
        return sum(table.rows for table in self.tables)

    @property
    def all_files(self) -> list[KeptFile]:
        """Every file but the manifest itself."""
        return [*(table.file for table in self.tables if table.file), *self.files]


def backup_name(kind: DataKind, made_at: datetime) -> str:
    """Return the name of a backup's folder."""
    return f"krt-{kind}-{made_at:%Y%m%d-%H%M%S}"


def describe_file(folder: Path, path: str) -> KeptFile:
    """Return what the manifest says of a file in the folder. Raises OSError."""
    file = folder / path
    digest = hashlib.sha256()
    with file.open("rb") as source:
        while chunk := source.read(_READ_AT_ONCE):
            digest.update(chunk)
    return KeptFile(path=path, bytes=file.stat().st_size, sha256=digest.hexdigest())


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest; the last file of a backup. Raises OSError."""
    write_atomically(folder / MANIFEST, manifest.model_dump_json(indent=1).encode())


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a whole backup. Raises InputError without one."""
    file = folder / MANIFEST
    if not file.is_file() or _UNFINISHED.fullmatch(folder.resolve().name):
        newest = newest_backup(folder)
        hint = f": name {newest}" if newest else ""
        raise InputError(f"{folder} is not a backup{hint}")
    try:
        manifest = Manifest.model_validate_json(file.read_bytes())
    except (OSError, ValidationError) as error:
        what = error.strerror if isinstance(error, OSError) else "it is not what was written"
        raise InputError(f"{file} cannot be read: {what}") from None
    if manifest.form > FORM:
        raise InputError(f"{folder} was made by a newer version: {manifest.program}; update first")
    return manifest


def check_files(folder: Path, manifest: Manifest) -> None:
    """Compare all files with the manifest. Raises InputError if one is missing or was changed."""
    for kept in manifest.files:
        if not _BESIDE.fullmatch(kept.path):
            raise InputError(f"{folder}: {kept.path!r} is not a file of a backup")
    for kept in manifest.all_files:
        try:
            found = describe_file(folder, kept.path)
        except OSError as error:
            raise InputError(f"{folder}: {kept.path}: {error.strerror or error}") from None
        if found != kept:
            raise InputError(f"{folder}: {kept.path} is not what was written: use another backup")


def backups(folder: Path, kind: DataKind | None = None) -> list[Path]:
    """Return the whole backups in a folder, of one kind of data or of both, the oldest first."""
    named = [(path, _NAME.fullmatch(path.name)) for path in folder.glob("krt-*")]
    whole = [
        path
        for path, name in named
        if name and kind in (None, name[1]) and (path / MANIFEST).is_file()
    ]
    return sorted(whole, key=lambda path: path.name.rpartition("-")[0][-8:] + path.name[-6:])


def newest_backup(folder: Path) -> Path | None:
    """Return the newest whole backup in a folder; None if it has none."""
    return next(reversed(backups(folder)), None)


def unfinished_path(folder: Path, name: str, doing: str = "making") -> Path:
    """Return where a backup is made or removed: nothing of such a name is taken for a whole one."""
    return folder / f".{name}.{uuid4().hex[:8]}.{doing}-{os.getpid()}"


def prune(folder: Path, kind: DataKind, keep: int) -> list[Path]:
    """Remove all but the newest backups of this kind of data; return what was removed.

    Raises OSError.
    """
    old = backups(folder, kind)[:-keep]
    for path in old:
        removing = unfinished_path(folder, path.name, "removing")
        path.rename(removing)  # from here on it claims nothing
        shutil.rmtree(removing)
    return old


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes had begun to make or to remove."""
    for path in _leftovers(folder):
        shutil.rmtree(path, ignore_errors=True)


def _leftovers(folder: Path) -> Iterator[Path]:
    for path in folder.glob(".krt-*"):
        name = _UNFINISHED.fullmatch(path.name)
        if name and not psutil.pid_exists(int(name[1])):
            yield path
