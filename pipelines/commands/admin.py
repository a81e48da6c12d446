"""Caring for database and calendar: `krt db`, `migrate`, `db-roles`, `export`, `calendar`."""

from __future__ import annotations

import asyncio
import datetime as dt
import sys
import threading
from pathlib import Path

import polars as pl
from rich.console import Console

from engine.clock import WallClock, today
from engine.configuration import load
from engine.errors import InputError
from engine.log import HIDDEN
from engine.market import sessions
from engine.store import Store
from engine.store import migrate as apply_migrations
from engine.store.export import export as write_parquet
from engine.store.metadata import roles_sql
from engine.store.pooler import behind_transaction_pooler
from pipelines.commands.look import Format, Which, write
from pipelines.commands.options import must_be_folder
from pipelines.databases import believe_kis_days, kind_of
from pipelines.databases import database as open_database
from pipelines.history.session_status import validated_sessions


def db(*, database: Which = None) -> int:
    """Open the embedded server and print its address; it runs until Ctrl+C."""
    configuration, yours = load()
    kind = kind_of(configuration, yours, database)
    with open_database(configuration, yours, kind) as url:
        for password in yours.secrets():  # who set it up knows it; others may look on
            url = url.replace(password, HIDDEN)  # noqa: PLW2901
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        Console(stderr=True).print("⏱️ open until Ctrl+C: psql, DBeaver or Polars may use it")
        over = threading.Event()
        while not over.wait(1.0):  # Windows hears Ctrl+C only between waits
            pass
    return 0


def migrate() -> int:
    """Bring a server of yours (db_config.json, KRT_DATABASE_URL) to the newest schema."""
    _, yours = load()
    if yours.postgres_url is None:
        raise InputError("migrate is for a server of yours; the embedded one does it by itself")
    url = yours.postgres_url.get_secret_value()
    apply_migrations(url)
    pooled = behind_transaction_pooler(url)
    Console().print("✅ the schema is the newest" + (", behind a transaction pooler" * pooled))
    return 0


def db_roles() -> int:
    """Write the SQL for a reader and a writer with least privileges to standard output."""
    sys.stdout.write(roles_sql())
    return 0


def export(*, to: Path, database: Which = None) -> int:
    """Write the sealed sessions (closed and validated) as Parquet, again only where they changed.

    Parameters
    ----------
    to
        the folder; below it one file for each table, product and month
    """
    must_be_folder("--to", to)
    configuration, yours = load()
    with open_database(configuration, yours, kind_of(configuration, yours, database)) as url:
        parts = write_parquet(url, to, asyncio.run(_sealed(url)))
    if parts.is_empty():
        Console(stderr=True).print("⚠️ nothing is sealed yet: run `krt validate` first")
    write(parts, "table", f"Parquet below {to}")
    return 0


async def _sealed(url: str) -> pl.DataFrame:
    store = Store(url, WallClock(), component="export")
    try:
        return await validated_sessions(store)
    finally:
        await store.close()


def calendar(year: int | None = None, *, format: Format = "table") -> int:  # noqa: A002
    """Show the day sessions of a year: hours, closed days, what is not ordinary about a day.

    Nights are not collected; an evening on which none begins has a note.

    Parameters
    ----------
    year
        this year by default
    format
        table, json (a list of objects) or csv
    """
    year = today(WallClock()).year if year is None else year
    believe_kis_days(load()[0])
    if not dt.MINYEAR <= year <= dt.MAXYEAR:
        raise InputError(f"{year} is no year")
    write(sessions.calendar_year(year), format, f"KRX {year}")
    return 0
