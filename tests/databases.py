"""Fresh databases for tests and benchmarks, and whether long tests run."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from engine.store.connection import Connection
from engine.store.embedded.programs import find_programs

LONG = "KRT_LONG_TESTS" in os.environ  # randomised tests then run for minutes


@contextmanager
def fresh_database(server_url: str) -> Iterator[str]:
    """Make a database from the template that the URL names; drop it at the end."""
    template = server_url.rpartition("/")[2].partition("?")[0]
    name = f"test_{uuid.uuid4().hex[:12]}"
    maintenance = _maintenance(server_url.replace(f"/{template}?", "/krt?"))
    maintenance.execute_alone(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
    yield server_url.replace(f"/{template}?", f"/{name}?")
    maintenance.execute_alone(f"DROP DATABASE {name} WITH (FORCE)")


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
