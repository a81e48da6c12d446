"""Repairs of tables that have lost their key."""

from __future__ import annotations

import polars as pl

from engine.schemas import FEED
from engine.store import Store
from engine.store.table_repair import remove_duplicates, restore_primary_key
from engine.store.tables import TABLES
from tests.engine.store.data import FETCHED, MINUTE, OPEN, futures_bars

RUNS = pl.DataFrame({"symbol": ["101W09"], "first_stamp": [OPEN], "last_stamp": [OPEN]})


async def test_of_two_rows_with_one_key_that_of_rest_stays(store: Store) -> None:
    """The feed's came later, and KIS may not be able to give the bar again."""
    table = TABLES["futures_1m"]
    await store.merge("futures_1m", futures_bars([1.0]))
    await store.execute("ALTER TABLE futures_1m DROP CONSTRAINT futures_1m_pkey")
    await store.execute(
        "INSERT INTO futures_1m (timestamp, symbol, open, high, low, close, volume, fetched_at,"
        " committed_at, product, source) SELECT timestamp, symbol, open, high, low, 2.0, volume,"
        f" '{FETCHED + MINUTE}', committed_at, product, '{FEED}' FROM futures_1m"
    )
    assert await remove_duplicates(store, table, RUNS) == 1
    assert await restore_primary_key(store, table)
    found = await store.query("SELECT close FROM futures_1m")
    assert found["close"].to_pylist() == [1.0]
    removed = await store.query("SELECT close, reason FROM removed_bars")
    assert removed.to_pylist() == [{"close": 2.0, "reason": "a copy of another row"}]
