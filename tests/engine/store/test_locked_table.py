"""A locked table: a statement gives up in time, and a store is closed in seconds."""

from __future__ import annotations

import asyncio
from contextlib import closing
from datetime import datetime

import pytest

from engine.clock import ScaledClock, WallClock
from engine.errors import StoreUnreachable
from engine.store import Store, connection
from engine.store.connection import Connection
from tests.engine.store.data import futures_bars


async def test_a_statement_that_waits_for_a_lock_is_ended_with_its_store(
    database_url: str,
) -> None:
    clock = ScaledClock(datetime(2025, 9, 1, 9, 0), speed=10)
    store = Store(database_url, clock)
    with closing(Connection(database_url, "test")) as other, other.transaction() as cursor:
        cursor.execute("LOCK TABLE gaps IN ACCESS EXCLUSIVE MODE")
        asking = asyncio.create_task(store.query("SELECT count(*) FROM gaps"))
        waits = "SELECT count(*) AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        with closing(Connection(database_url, "test")) as watcher:
            while watcher.query(waits)["n"][0].as_py() == 0:
                await clock.sleep(0.1)
        asking.cancel()
        async with asyncio.timeout(20):  # the statement itself would wait for a minute
            await store.close()
    assert asking.cancelled() or asking.done()


async def test_a_merge_into_a_locked_table_gives_up_in_time(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its very first question about the table keeps to the timeout too."""
    store = Store(database_url, WallClock())
    await store.merge("futures_1m", futures_bars([1.0]))
    with closing(Connection(database_url, "test")) as other, other.transaction() as cursor:
        cursor.execute("LOCK TABLE futures_1m IN ACCESS EXCLUSIVE MODE")
        monkeypatch.setattr(connection, "LOCK_TIMEOUT", "100ms")
        async with asyncio.timeout(20):
            with pytest.raises(StoreUnreachable, match="lock timeout"):
                await store.merge("futures_1m", futures_bars([2.0]))
    await store.close()
