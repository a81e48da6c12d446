"""Which symbols a strategy runs on: the view `dolpha1` shows the bars of its own."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from engine import schemas
from engine.store.merge import MergeCounts
from engine.store.store import Store


async def remember_symbols(store: Store, strategy: str, symbols: Iterable[str]) -> MergeCounts:
    """Note that the strategy runs on the symbols."""
    rows = pl.DataFrame({"symbol": list(symbols)}, schema={"symbol": pl.String}).select(
        pl.lit(strategy).alias("strategy"), "symbol", pl.lit(store.now()).alias("since")
    )
    arrow = rows.to_arrow().cast(schemas.STRATEGY_SYMBOLS).combine_chunks()
    return await store.merge("strategy_symbols", arrow.to_batches()[0])
