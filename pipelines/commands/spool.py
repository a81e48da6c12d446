"""`just spool`: batches that wait on disk, and those that were set aside."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import polars as pl

from engine.clock import WallClock
from engine.log import setup_logging
from engine.settings import load_settings
from engine.store import Writer
from engine.store.spool import ASIDE, Entry, Spool
from pipelines.commands.options import DatabaseOption, Format
from pipelines.databases import data_kind, open_database
from pipelines.reports.terminal import print_frame

_SCHEMA = {"state": pl.String, "table": pl.String, "batches": pl.Int64, "bytes": pl.Int64}


def spool(*, retry: bool = False, format: Format = "table", database: DatabaseOption = None) -> int:  # noqa: A002
    """Show the batches that wait on disk or were set aside; ends with 1 if there are any.

    Parameters
    ----------
    retry
        try to store all of them again, those that were refused or damaged too
    format
        table, json (a list of objects) or csv
    database
        live or simulation; by default live where there are credentials; a server of your own
        remembers which of the two it holds
    """
    settings = load_settings()
    if retry:
        setup_logging(secrets=settings.secrets(), level=settings.log_level)
        with open_database(database, settings=settings) as opened:
            folder = opened.folder / "spool"
            asyncio.run(_retry(opened.url, folder))
    else:
        folder = settings.folder(data_kind(settings, database)) / "spool"
    found = _batches(folder)
    print_frame(found, format, f"Batches in {folder}")
    return 0 if found.is_empty() else 1


async def _retry(url: str, folder: Path) -> None:
    writer = Writer(url, WallClock(), folder, component="spool")
    await WallClock().thread(Spool(folder).bring_back)
    await writer.close()  # merges what waits, and says what cannot be


def _batches(folder: Path) -> pl.DataFrame:
    """Return how much waits and how much was set aside, by table."""
    if not folder.exists():
        return pl.DataFrame(schema=_SCHEMA)
    spooled = Spool(folder)
    states = {"waiting": spooled.entries()} | {why: spooled.aside(why) for why in ASIDE}
    rows = [row for state, entries in states.items() for row in _rows(state, entries)]
    frame = pl.DataFrame(rows, _SCHEMA, orient="row")
    totals = pl.len().cast(pl.Int64).alias("batches"), pl.col("bytes").sum()
    return frame.group_by("state", "table", maintain_order=True).agg(*totals)


def _rows(state: str, entries: Iterable[Entry]) -> list[tuple[str, str, int, int]]:
    rows = []
    for entry in entries:
        with suppress(FileNotFoundError):  # merged meanwhile
            rows.append((state, entry.table, 1, entry.path.stat().st_size))
    return rows
