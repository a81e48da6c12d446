"""A store is closed in seconds, whatever its statement waits for."""

from __future__ import annotations

import asyncio
from contextlib import closing
from datetime import datetime

from engine.clock import ScaledClock
from engine.store import Store
from engine.store.connection import Connection


async def test_l1_a_statement_that_waits_for_a_lock_is_ended_with_its_store(
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
