"""A connection that became read-only is dropped, and the batches are merged by another one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from engine.clock import ScaledClock
from engine.errors import StoreError, StoreUnreachable
from engine.store import MergeCounts, Store, Writer
from engine.store.connection import Connection
from tests.databases import command
from tests.engine.store.data import futures_bars

INSERT = "INSERT INTO simulated_market (market) VALUES ('seed 1')"


@contextmanager
def read_only(url: str) -> Iterator[None]:
    """Have every new connection be one that only reads, as a standby's are, while the block runs.

    What was connected before is ended, as in a failover.
    """
    name = url.rpartition("/")[2].partition("?")[0]
    elsewhere = url.replace(f"/{name}?", "/krt?")
    command(elsewhere, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    with closing(Connection(elsewhere, "test")) as maintenance:
        maintenance.query(
            f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'"
        )
    try:
        yield
    finally:
        command(elsewhere, f"ALTER DATABASE {name} RESET default_transaction_read_only")


def backend(connection: Connection) -> int:
    with connection.transaction() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetch_arrow_table()[0][0].as_py())


def test_a_connection_that_cannot_write_is_not_kept(database_url: str) -> None:
    with closing(Connection(database_url, "test")) as connection:
        with read_only(database_url):
            first = backend(connection)
            with pytest.raises(StoreUnreachable, match="read-only"):
                connection.query(INSERT, read_only=False)
            second = backend(connection)
            assert second != first
            with pytest.raises(StoreUnreachable, match="read-only"):
                connection.execute_alone(INSERT)
            assert backend(connection) != second
        with pytest.raises(StoreUnreachable, match="read-only"):
            connection.query(INSERT, read_only=False)  # still the connection of before …
        connection.query(INSERT, read_only=False)  # … and this is another


def test_a_transaction_that_was_meant_to_read_keeps_its_connection(database_url: str) -> None:
    with closing(Connection(database_url, "test")) as connection:
        before = backend(connection)
        with (
            pytest.raises(StoreError, match="read-only"),
            connection.transaction(read_only=True) as c,
        ):
            c.execute(INSERT)
        assert backend(connection) == before


async def test_batches_of_a_standby_are_spooled_and_merged_by_another_connection(
    database_url: str, store: Store, tmp_path: Path
) -> None:
    clock = ScaledClock(datetime(2025, 9, 1, 9, 0), speed=50)
    writer = Writer(database_url, clock, tmp_path)
    assert (await writer.put("futures_1m", futures_bars([1.0]))).inserted == 1
    with read_only(database_url):
        for close in (2.0, 3.0):
            counts = await writer.put("futures_1m", futures_bars([close]))
            assert counts == MergeCounts(spooled=1)
        with pytest.raises(StoreUnreachable, match="read-only"):
            await writer.drain()
    await writer.drain()
    assert writer.spooled == (0, 0)
    await writer.close()
    assert (await store.query("SELECT close FROM futures_1m"))["close"].to_pylist() == [3.0]
