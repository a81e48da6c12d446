"""`just restore`: a backup into an empty database."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from engine.errors import InputError
from engine.settings import load_settings
from engine.store import embedded_server, migrate
from engine.store.archive import FOLDER as ARCHIVE
from engine.store.archive import rehome
from engine.store.backup.manifest import check_files, read_manifest
from engine.store.backup.restoring import restore_database, restore_files, tables_with_rows
from engine.store.embedded.server import recreate_database
from pipelines.console import PlainConsole


def restore(backup: Annotated[Path, Parameter(name="FROM")], /) -> int:
    """Restore a backup into the database that the settings name, which must be empty.

    Everything comes in one transaction and is compared with the backup before it is committed.

    Parameters
    ----------
    backup
        the folder of one backup, such as DIR/krt-live-20261127-154500
    """
    console = PlainConsole(stderr=True)
    manifest = read_manifest(backup)
    check_files(backup, manifest)
    settings = load_settings()
    folder, own = settings.folder(manifest.kind), settings.database.url
    with nullcontext(own) if own else embedded_server(folder) as url:
        if full := tables_with_rows(url):
            place = "your database" if own else f"the database in {folder}"
            raise InputError(
                f"{place} is not empty ({', '.join(full[:3])} …): move it away, or name another one"
            )
        if not own:
            recreate_database(url)  # it may have a newer schema than the backup
        files = restore_files(backup, folder, manifest)
        restore_database(url, backup, manifest, console.print)
        migrate(url)
        rehome(url, folder / ARCHIVE)
    PlainConsole().print(f"✅ {manifest.rows:,} rows of {manifest.kind} data are back, compared")
    if files:
        console.print(f"🔄 {files} files beside the database are back in {folder}")
    console.print(
        "🔄 next: `just validate` names what is missing since, `just backfill` fetches it"
    )
    return 0
