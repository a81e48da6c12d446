"""Which database a job works on: yours if you named one, else the embedded one.

Simulated and real data never share an embedded server: each has a folder of its own. A server of
yours is taken for whatever runs; keep simulations away from it (docs/operations.md).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from engine.configuration import Configuration, DatabaseConfiguration
from engine.errors import InputError
from engine.store import embedded_server, migrate
from engine.store.connection import Connection
from engine.store.database import DATABASE

log = logging.getLogger(__name__)

Kind = Literal["live", "simulation"]


def folder(configuration: Configuration, kind: Kind) -> Path:
    """Return where everything that belongs to real or to simulated data is kept."""
    return configuration.data_folder.expanduser() / kind


def kind_of(configuration: Configuration, asked: Kind | None) -> Kind:
    """Return which data is meant: what was asked for, else real data where there is a key."""
    return asked or ("live" if configuration.has_credentials else "simulation")


@contextmanager
def database(
    configuration: Configuration,
    yours: DatabaseConfiguration,
    kind: Kind,
    *,
    fresh: bool = False,
) -> Iterator[str]:
    """Yield the URL of a migrated database; an embedded server runs while the block does.

    `fresh` empties it first. Raises InputError if that is asked of a server of yours, and
    StoreUnreachable if your server does not answer.
    """
    if yours.postgres_url is not None:
        if fresh:
            raise InputError(
                "--fresh empties the embedded database only; this is a server of yours"
            )
        url = yours.postgres_url.get_secret_value()
        migrate(url)
        yield url
        return
    with embedded_server(folder(configuration, kind)) as url:
        if fresh:
            _empty(url)
        migrate(url)
        yield url


def _empty(url: str) -> None:
    """Drop the database and make it anew. Raises StoreError while somebody else uses it."""
    maintenance = Connection(url.replace(f"/{DATABASE}?", "/postgres?"), "fresh")
    try:
        maintenance.alone(f"DROP DATABASE {DATABASE}")
        maintenance.alone(f"CREATE DATABASE {DATABASE}")
    finally:
        maintenance.close()
