"""Fresh databases for tests and benchmarks, and whether long tests run."""

from __future__ import annotations

import os
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from types import SimpleNamespace
from typing import Any

import adbc_driver_manager
import adbc_driver_postgresql
import pytest

from engine.store import driver, migrate
from engine.store.connection import Connection, connection_url
from engine.store.embedded.programs import find_programs

LONG = "KRT_LONG_TESTS" in os.environ  # randomised tests then run for minutes
_COPY = "test_"  # how the names of the databases begin that are copies of the template


def long(parameter: object) -> Any:
    """Return a parameter of a test that is tried in the long tests alone."""
    return pytest.param(parameter, marks=pytest.mark.long)


def examples(most: int) -> int:
    """Return how many random examples a slow test tries: all in the long tests, else a third."""
    return most if LONG else max(4, most // 3)


@contextmanager
def fresh_database(server_url: str) -> Iterator[str]:
    """Make a database from the template that the URL names; drop it at the end."""
    name = f"{_COPY}{uuid.uuid4().hex[:12]}"
    maintenance = _maintenance(_with_name(server_url, "krt"))
    _copy(maintenance, _name(server_url), name)
    yield _with_name(server_url, name)
    maintenance.execute_alone(f"DROP DATABASE {name} WITH (FORCE)")


def new_template(server_url: str) -> str:
    """Make a database with the newest schema, of which copies are made; return its URL.

    Each worker has one of its own: nothing can be copied while somebody is connected to it.
    """
    migrated = _made_once(server_url, "template1", "migrated", migrate)
    name = f"template_{uuid.uuid4().hex[:12]}"
    maintenance = _maintenance(server_url)
    with _alone(maintenance):
        _copy(maintenance, "migrated", name)
    return _with_name(migrated, name)


def filled_once(template_url: str, what: str, fill: Callable[[str], None]) -> str:
    """Return the URL of a copy of the template that is filled once for all workers of a run."""
    return _made_once(template_url, _name(template_url), f"{_COPY}{what}", fill)


def _made_once(url: str, template: str, name: str, complete: Callable[[str], None]) -> str:
    """Have the first worker that asks make a database; the others wait until it is complete."""
    maintenance = _maintenance(_with_name(url, "krt"))
    with _alone(maintenance):
        if maintenance.query(f"SELECT 1 FROM pg_database WHERE datname = '{name}'").num_rows == 0:
            unfinished = f"{_COPY}{uuid.uuid4().hex[:12]}"
            _copy(maintenance, template, unfinished)
            complete(_with_name(url, unfinished))
            maintenance.execute_alone(f"ALTER DATABASE {unfinished} RENAME TO {name}")
    return _with_name(url, name)


@contextmanager
def _alone(maintenance: Connection) -> Iterator[None]:
    """Have the workers of a run do something one after another."""
    maintenance.execute_alone("SELECT pg_advisory_lock(1) IS NULL")
    try:
        yield
    finally:
        maintenance.execute_alone("SELECT pg_advisory_unlock(1)")


def _copy(maintenance: Connection, template: str, name: str) -> None:
    maintenance.execute_alone(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")


def _name(url: str) -> str:
    """Return the name of the database in the URL of one of the tests' server."""
    return url.rpartition("/")[2].partition("?")[0]


def _with_name(url: str, name: str) -> str:
    return url.replace(f"/{_name(url)}?", f"/{name}?")


@contextmanager
def types_read_once(template_url: str) -> Iterator[None]:
    """Let connections to copies of the template go without reading their types again.

    The driver reads them when it meets an address, which takes as long as a short test: here each
    test has a database of its own, and each component an address. The copies have the template's
    types. A database in which a test makes types of its own is met as ever once it needs them.
    """
    types = adbc_driver_postgresql.connect(connection_url(template_url, "template"))
    kept = SimpleNamespace(close=lambda: None)  # closed here, and not by the last connection
    on_their_own: set[str] = set()
    one_at_a_time = threading.Lock()

    def open_connection(url: str) -> Any:
        if f"/{_COPY}" not in url or url in on_their_own:
            return driver.open_connection(url)
        with one_at_a_time:
            types.set_options(uri=url)
            opened = adbc_driver_manager.AdbcConnection(types)
        return adbc_driver_manager.dbapi.Connection(kept, opened, autocommit=True)  # type: ignore[arg-type]

    def forget_types(url: str) -> None:
        on_their_own.add(url)
        driver.forget_types(url)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("engine.store.connection.open_connection", open_connection)
        patch.setattr("engine.store.connection.forget_types", forget_types)
        yield
    with suppress(RuntimeError):  # a test has left a connection open
        types.close()


@cache
def _maintenance(url: str) -> Connection:
    """Return a connection that is kept: to open one takes as long as to copy a database."""
    return Connection(url, "test")


def command(url: str, statement: str) -> None:
    """Run a statement that must not be part of a transaction."""
    connection = Connection(url, "test")
    connection.execute_alone(statement)
    connection.close()


def run_script(url: str, script: str) -> None:
    """Run a script of several statements as the URL's user."""
    psql = find_programs().folder / "bin" / "psql"
    subprocess.run(
        [psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", url], input=script, text=True, check=True
    )
