"""Which database a job works on: yours if you named one, else the embedded one.

Simulated and real data never share a database. The embedded server has a folder for each; a server
of yours remembers which of the two it holds, from the first who collects into it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from engine.configuration import Configuration, DatabaseConfiguration
from engine.errors import InputError, StoreError, StoreUnreachable
from engine.kis.holidays import DAYS_FILE
from engine.market.trading_days import learn_closed_days
from engine.store import embedded_server, migrate
from engine.store.connection import Connection, fetch_frame
from engine.store.embedded.server import DATABASE
from engine.store.spool import Spool

log = logging.getLogger(__name__)

Kind = Literal["live", "simulation"]

_MIXED: dict[Kind, str] = {
    "simulation": "your database holds real data and this is a simulation (there is no app_key):"
    " set KRT_APP_KEY and KRT_APP_SECRET, or name no database and the embedded one is used",
    "live": "your database holds simulated data: name another one for what KIS says",
}


def folder(configuration: Configuration, kind: Kind) -> Path:
    """Return where everything that belongs to real or to simulated data is kept."""
    return configuration.data_folder.expanduser() / kind


def kind_of(
    configuration: Configuration,
    yours: DatabaseConfiguration,
    asked: Kind | None = None,
    *,
    collects: bool = False,
) -> Kind:
    """Return which data is meant: what a server of yours holds, else what was asked for or a key.

    Without a key real data may be looked at all the same. Who collects brings the one or the other,
    whatever is there, and `database` refuses him. Raises StoreUnreachable.
    """
    held = None
    if yours.postgres_url is not None and not collects:
        held = _held(yours.postgres_url.get_secret_value())
    return held or asked or ("live" if configuration.has_credentials else "simulation")


def _held(url: str) -> Kind | None:
    """Return which data the database says it holds; None if nobody has collected into it."""
    connection = Connection(url, "look")
    try:
        with connection.transaction(read_only=True) as cursor:
            held = fetch_frame(cursor, "SELECT kind FROM data_origin")["kind"].to_list()
    except StoreUnreachable:
        raise
    except StoreError:  # it is not migrated yet
        return None
    finally:
        connection.close()
    return held[0] if held else None


def believe_kis_days(configuration: Configuration) -> None:
    """Have the calendar know the trading days that KIS told the collector of real data."""
    learn_closed_days(folder(configuration, "live") / "kis" / DAYS_FILE)


@contextmanager
def database(
    configuration: Configuration,
    yours: DatabaseConfiguration,
    kind: Kind,
    *,
    fresh: bool = False,
    collects: bool = False,
) -> Iterator[str]:
    """Yield the URL of a migrated database; an embedded server runs while the block does.

    `fresh` empties it first; `collects` is for who brings data in. Raises InputError if a server
    of yours or real data is to be emptied, or a server of yours is to be collected into and holds
    the other kind of data, and StoreUnreachable if your server does not answer.
    """
    if fresh and yours.postgres_url is not None:
        raise InputError("--fresh empties the embedded database only; this is a server of yours")
    if fresh and kind == "live":
        raise InputError(
            "--fresh empties simulations only, and these are real data; if you mean it, delete"
            f" {folder(configuration, kind)} yourself"
        )
    if kind == "live":
        believe_kis_days(configuration)
    if yours.postgres_url is not None:
        url = yours.postgres_url.get_secret_value()
        migrate(url)
        if collects:
            claim(url, kind)
        yield url
        return
    with embedded_server(folder(configuration, kind)) as url:
        if fresh:
            _empty(url)
            _forget_spool(folder(configuration, kind) / "spool")
        migrate(url)
        yield url


def claim(url: str, kind: Kind) -> None:
    """Remember which data a server of yours holds. Raises InputError if it is the other.

    A collector that has lost its key would otherwise simulate into the system of record.
    """
    connection = Connection(url, "claim")
    try:
        with connection.transaction() as cursor:
            held = fetch_frame(cursor, "SELECT kind FROM data_origin")["kind"].to_list()
            if not held:
                cursor.execute("INSERT INTO data_origin (kind) VALUES ($1)", (kind,))
    finally:
        connection.close()
    if held and held != [kind]:
        raise InputError(_MIXED[kind])


def _empty(url: str) -> None:
    """Drop the database and make it anew. Raises StoreError while somebody else uses it."""
    maintenance = Connection(url.replace(f"/{DATABASE}?", "/postgres?"), "fresh")
    try:
        maintenance.execute_alone(f"DROP DATABASE {DATABASE}")
        maintenance.execute_alone(f"CREATE DATABASE {DATABASE}")
    finally:
        maintenance.close()


def _forget_spool(place: Path) -> None:
    """Remove the batches that wait for the database: what was in it would come back."""
    spool = Spool(place)
    for entry in spool.entries():
        spool.remove(entry)
