"""The merge: what is in a table after batches came in."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
import pyarrow as pa
import pytest

from engine import schemas
from engine.errors import SchemaMismatch
from engine.store import MergeCounts, Store

OPEN = datetime(2025, 9, 1, 8, 46)
FETCHED = datetime(2025, 9, 1, 9, 0)


def bars(closes: list[float], *, symbol: str = "101W09", fetched: datetime = FETCHED) -> pa.Table:
    frame = pl.DataFrame({"close": closes}, schema={"close": pl.Float64}).with_columns(
        timestamp=pl.lit(OPEN) + pl.int_range(pl.len()) * timedelta(minutes=1),
        symbol=pl.lit(symbol),
        open=pl.col("close"),
        high=pl.col("close") + 1,
        low=pl.col("close") - 1,
        volume=pl.lit(7, pl.Int64),
        fetched_at=pl.lit(fetched),
    )
    return (
        frame.select(schemas.FUTURES_BARS.names)
        .to_arrow()
        .cast(schemas.FUTURES_BARS)
        .combine_chunks()
        .to_batches()[0]
    )


async def test_counts_what_is_new_changed_and_known(store: Store) -> None:
    assert await store.merge("futures_1m", bars([1.0, 2.0, 3.0])) == MergeCounts(inserted=3)
    later = FETCHED + timedelta(minutes=1)
    counts = await store.merge("futures_1m", bars([1.0, 2.5, 3.0, 4.0], fetched=later))
    assert counts == MergeCounts(inserted=1, changed=1, unchanged=2)
    stored = await store.query("SELECT close FROM futures_101 ORDER BY timestamp")
    assert stored["close"].to_pylist() == [1.0, 2.5, 3.0, 4.0]


async def test_refuses_a_batch_of_other_types(store: Store) -> None:
    batch = bars([1.0])
    wrong = batch.set_column(2, "open", pa.array([1], pa.int64()))
    with pytest.raises(SchemaMismatch, match="open is int64, not double"):
        await store.merge("futures_1m", wrong)
