"""Whole days through the command line, each on a server of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from engine.store import embedded_server
from engine.store.connection import Connection
from tests.databases import LONG
from tests.paths import SERVERS_FOLDER


def started_at(start: str) -> tuple[str, ...]:
    """Return the options of a collector that is started then; of a whole day in the long tests.

    What KIS has of the day before it is fetched at the start.
    """
    return () if LONG else ("--start", start)


@dataclass(frozen=True)
class Desk:
    """A place to run `krt` in: no settings, no credentials, a data folder of its own."""

    folder: Path
    environment: dict[str, str]

    def krt(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "pipelines.commands.main", *arguments],
            cwd=self.folder,
            env=self.environment | environment,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
            timeout=1800,
        )

    def live(self, *arguments: str, **environment: str) -> dict[str, Any]:
        """Run a simulated day as fast as it goes; return its summary."""
        done = self.krt("live", "--speed", "max", "--json", *arguments, **environment)
        assert done.returncode == 0, done.stderr[-2000:]
        assert "leaked" not in done.stderr, "a library complains at the exit"
        summary: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return summary

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Have the server stay up from command to command: each start takes a second."""
        with embedded_server(self.folder / "simulation"):
            yield

    @contextmanager
    def database(self) -> Iterator[Connection]:
        """Open the database that the simulated days were written to."""
        with embedded_server(self.folder / "simulation") as url:
            connection = Connection(url, "test")
            yield connection
            connection.close()

    def ask(self, sql: str) -> pl.DataFrame:
        """Query that database."""
        with self.database() as connection, connection.transaction(read_only=True) as cursor:
            cursor.execute(sql)
            return pl.DataFrame(pl.from_arrow(cursor.fetch_arrow_table()))


@contextmanager
def new_desk() -> Iterator[Desk]:
    """Set a desk up in a folder that the server's account may enter, also under root."""
    folder = Path(tempfile.mkdtemp(prefix="krt-desk-", dir=SERVERS_FOLDER))
    folder.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if "KRT_" not in name}
    environment |= {"KRT_DATA_FOLDER": str(folder), "PYTHONIOENCODING": "utf-8"}
    try:
        yield Desk(folder, environment)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    """One desk for the tests of a module."""
    with new_desk() as one:
        yield one
