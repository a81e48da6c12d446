"""What a strategy needs of the database: its table, and the symbols that its view shows."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl
import pyarrow as pa

from engine import schemas
from engine.errors import InputError
from engine.store.merge import MergeCounts
from engine.store.store import Store
from engine.store.tables import signal_table


async def ensure_signal_table(store: Store, name: str, schema: pa.Schema) -> None:
    """Make the strategy's table unless it exists. Storing a first signal does the same.

    `name` ends in `_signal`. Columns: timestamp, symbol, close, monitor_signal, trade_signal,
    reason, the strategy's own features, created_at. Raises InputError if one of those is missing
    or the name is another, SchemaMismatch if the table exists with other columns.
    """
    if not name.endswith("_signal"):
        raise InputError(f"the table of a strategy's signals is called …_signal, not {name!r}")
    await store.provide(signal_table(name, schema))


async def remember_symbols(store: Store, strategy: str, symbols: Iterable[str]) -> MergeCounts:
    """Note that the strategy runs on the symbols; the view `dolpha1` shows the bars of its own."""
    rows = pl.DataFrame({"symbol": list(symbols)}, schema={"symbol": pl.String}).select(
        pl.lit(strategy).alias("strategy"), "symbol", pl.lit(store.now()).alias("since")
    )
    arrow = rows.to_arrow().cast(schemas.STRATEGY_SYMBOLS).combine_chunks()
    return await store.merge("strategy_symbols", arrow.to_batches()[0])
