"""`just backup`: the database as files, whole or not at all, proven by restoring it."""

from __future__ import annotations

import json as json_library
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.filesize import decimal

from engine.clock import WallClock
from engine.kis.holidays import DAYS_FILE
from engine.store.backup.making import BackupSource, new_backup
from engine.store.backup.manifest import backup_name, prune
from engine.store.backup.verifying import require_room, verify
from pipelines.commands.options import DatabaseOption, require_folder
from pipelines.console import PlainConsole
from pipelines.databases import open_database

Count = Annotated[int | None, Parameter(validator=Number(gte=1))]


def backup(
    *,
    to: Path,
    keep: Count = None,
    unverified: bool = False,
    json: bool = False,
    database: DatabaseOption = None,
) -> int:
    """Write the database into a new folder below DIR, as of one moment; a collector may go on.

    The backup is restored into an embedded server of its own and compared before it gets its name.

    Parameters
    ----------
    to
        the folder of all backups; each has a folder of its own in it
    keep
        remove all but so many of the newest backups, once the new one is whole
    unverified
        do not restore it to prove it: quicker, and without a second copy of the data on this disk
    json
        print one JSON object about the backup, for machines
    """
    require_folder("--to", to)
    console = PlainConsole(stderr=True)
    with open_database(database) as opened:
        data_folder = opened.settings.data_folder.expanduser()
        if not unverified:
            require_room(opened.url, data_folder)
        source = BackupSource(opened.url, opened.kind, opened.folder, (f"kis/{DAYS_FILE}",))
        with new_backup(source, to, WallClock(), console.print) as (folder, manifest):
            if not unverified:
                console.print("🔄 restoring it into a server of its own, to compare")
                verify(folder, manifest, data_folder)
    removed = prune(to, manifest.kind, keep) if keep else []
    path = to / backup_name(manifest.kind, manifest.made_at)
    size = sum(file.bytes for file in manifest.all_files)
    about = {
        "path": str(path),
        "rows": manifest.rows,
        "bytes": size,
        "spooled": sum(file.path.startswith("spool/") for file in manifest.files),
        "verified": not unverified,
        "removed": [str(old) for old in removed],
    }
    if json:
        sys.stdout.write(json_library.dumps(about) + "\n")
        return 0
    proof = "not verified" if unverified else "restored and compared"
    PlainConsole().print(f"✅ {path}: {manifest.rows:,} rows, {decimal(size)}, {proof}")
    if about["spooled"]:
        console.print(f"⚠️ with {about['spooled']} batches that wait for the database: `just spool`")
    for old in removed:
        console.print(f"🔄 removed {old}")
    return 0
