"""Which database a job works on: yours if you named one, else the embedded one.

Simulated and real data never share a database. The embedded server has a folder for each; a server
of your own remembers which of the two it holds, from the first job that collected into it.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import TypeVar

from engine.clock import Clock, WallClock
from engine.errors import InputError, StoreError, StoreLoginRefused, StoreUnreachable
from engine.kis.holidays import DAYS_FILE, load_kis_days
from engine.kis.odd_nights import NIGHTS_FILE, load_odd_nights
from engine.settings import DataKind, Settings, load_settings
from engine.store import Store, book_files, embedded_server, migrate
from engine.store.archive import FOLDER as ARCHIVE_FOLDER
from engine.store.archive import BarArchive
from engine.store.connection import Connection, fetch_frame
from engine.store.embedded.server import recreate_database
from engine.store.spool import Spool
from engine.store.trade_files import FOLDER as TRADES_FOLDER
from engine.store.trade_files import TradeFiles, remove_files
from pipelines.collector_lock import hold_collector_lock
from pipelines.read_only import reader_url

Result = TypeVar("Result")

SCHEMAS = "schemas"  # the folder of what schemas were before they were migrated

_MIXED: dict[DataKind, str] = {
    "simulation": "your database holds real data and this is a simulation (there is no app_key):"
    " set KRT_APP_KEY and KRT_APP_SECRET, or name no database and the embedded one is used",
    "live": "your database holds simulated data: name another one for what KIS says",
}


@dataclass(frozen=True)
class Database:
    """An open database: its address, which data it holds, and the settings that led to it."""

    url: str
    kind: DataKind
    settings: Settings
    # Brings it up to date and checks what it holds, where it was away when it was opened.
    prepare: Callable[[], None] | None = None

    @property
    def folder(self) -> Path:
        """The folder of everything that belongs to this kind of data."""
        return self.settings.folder(self.kind)

    @property
    def archive(self) -> BarArchive:
        """Where old months of stock bars are, and when they are old."""
        return BarArchive(self.folder / ARCHIVE_FOLDER, self.settings.archive)

    @property
    def trade_files(self) -> TradeFiles:
        """Where old trades are, and when they are old."""
        return TradeFiles(self.folder / TRADES_FOLDER, self.settings.keep_trades_days)


@contextmanager
def open_database(
    asked: DataKind | None = None,
    *,
    settings: Settings | None = None,
    fresh: bool = False,
    collects: bool = False,
    patient: bool = False,
) -> Iterator[Database]:
    """Yield the migrated database that is meant; an embedded server runs while the block does.

    Settings are read unless they are given; `data_kind` says how `asked` is understood. `fresh`
    empties the database first; `collects` is for jobs that bring data in. Raises InputError if a
    server of your own, real data or what another collector uses is to be emptied, or your own
    server is to be collected into and holds the other kind of data, and StoreUnreachable if your
    server does not answer; who is `patient` gets a database then that has yet to be prepared.
    """
    settings = settings or load_settings()
    kind = data_kind(settings, asked, collects=collects)
    folder, url = settings.folder(kind), settings.database.url
    if fresh and url is not None:
        raise InputError("--fresh empties the embedded database only; this is your own server")
    if fresh and kind == "live":
        raise InputError(
            "--fresh empties simulations only, and these are real data; if you mean it, delete"
            f" {folder} yourself"
        )
    if kind == "live":
        load_kis_holidays(settings)
    if url is not None:
        prepare = partial(_prepare, url, kind, folder / SCHEMAS, collects=collects)
        yield Database(url, kind, settings, None if _is_prepared(prepare, patient) else prepare)
        return
    with embedded_server(folder) as embedded:
        if fresh:
            with hold_collector_lock(folder / "spool"):  # nothing is taken from one that runs
                recreate_database(embedded)
                _empty_spool(folder / "spool")
                remove_files(folder / TRADES_FOLDER)
                book_files.remove_all(folder / book_files.FOLDER)
                shutil.rmtree(folder / ARCHIVE_FOLDER, ignore_errors=True)
        migrate(embedded, keep=folder / SCHEMAS)
        yield Database(embedded, kind, settings)


def _prepare(url: str, kind: DataKind, schemas: Path, *, collects: bool) -> None:
    migrate(url, keep=schemas)
    if collects:
        record_data_kind(url, kind)


def _is_prepared(prepare: Callable[[], None], patient: bool) -> bool:
    """Prepare your own server; False if it is away, which only the patient put up with."""
    try:
        prepare()
    except StoreLoginRefused:  # no patience heals that
        raise
    except StoreUnreachable:
        if not patient:
            raise
        return False
    return True


@contextmanager
def open_reader(
    asked: DataKind | None = None, *, settings: Settings | None = None
) -> Iterator[Database]:
    """Yield the database that is meant, with the reader's rights: for whatever only looks.

    Its schema is brought up to date first, with your user's. Raises what `open_database` raises.
    """
    with open_database(asked, settings=settings) as database:
        embedded = database.settings.database.url is None
        yield replace(database, url=reader_url(database.url, embedded=embedded))


def run_with_store(
    url: str,
    job: Callable[[Store], Awaitable[Result]],
    *,
    component: str,
    clock: Clock | None = None,
) -> Result:
    """Run an asynchronous job on the database, from a command that is not asynchronous."""

    async def run() -> Result:
        store = Store(url, clock or WallClock(), component=component)
        try:
            return await job(store)
        finally:
            await store.close()

    return asyncio.run(run())


def data_kind(
    settings: Settings, asked: DataKind | None = None, *, collects: bool = False
) -> DataKind:
    """Return which data is meant: what your own server holds, else what is asked for or a key.

    Real data may be looked at without a key. A job that collects brings one kind, whatever the
    server holds, and `open_database` refuses the other. Raises StoreUnreachable.
    """
    recorded = None
    if settings.database.url is not None and not collects:
        recorded = _recorded_kind(settings.database.url)
    return recorded or asked or ("live" if settings.has_credentials else "simulation")


def _recorded_kind(url: str) -> DataKind | None:
    """Return which data the database holds; None if nothing has been collected into it."""
    connection = Connection(url, "look")
    try:
        with connection.transaction(read_only=True) as cursor:
            recorded = fetch_frame(cursor, "SELECT kind FROM data_origin")["kind"].to_list()
    except StoreUnreachable:
        raise
    except StoreError:  # it is not migrated yet
        return None
    finally:
        connection.close()
    return recorded[0] if recorded else None


def load_kis_holidays(settings: Settings, *, doubted: date | None = None) -> None:
    """Have the calendar know the trading days that KIS told the collector of real data.

    That the `doubted` day is closed is not believed, unless that is certain; nor that it has no
    night, where nights are collected.
    """
    folder = settings.folder("live") / "kis"
    load_kis_days(folder / DAYS_FILE, doubted=doubted)
    load_odd_nights(folder / NIGHTS_FILE, doubted=doubted if settings.night else None)


def record_data_kind(url: str, kind: DataKind) -> None:
    """Record which data your own server holds. Raises InputError if it holds the other.

    A collector that has lost its key would otherwise simulate into the system of record.
    """
    connection = Connection(url, "claim")
    try:
        with connection.transaction() as cursor:
            known = "SELECT kind FROM data_origin"
            recorded = fetch_frame(cursor, known)["kind"].to_list()
            if not recorded:  # another collector may say so at this moment: the first decides
                claim = "INSERT INTO data_origin (kind) VALUES ($1) ON CONFLICT DO NOTHING"
                cursor.execute(claim, (kind,))
                recorded = fetch_frame(cursor, known)["kind"].to_list()
    finally:
        connection.close()
    if recorded != [kind]:
        raise InputError(_MIXED[kind])


def _empty_spool(folder: Path) -> None:
    """Remove the batches that wait for the database: what was in it would come back."""
    spool = Spool(folder)
    for entry in spool.entries():
        spool.remove(entry)
