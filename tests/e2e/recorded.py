"""The bars of recorded files, in the columns that we store."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import polars as pl

from engine import columns
from strategies.registry import STRATEGIES

BARS = list(columns.BARS)


def recorded(file: Path, day: date, auction: str) -> pl.DataFrame:
    """Return a file's bars of a day, stamped as we store them; `auction` keeps its label."""
    label = pl.col("timestamp")
    kept = label.dt.strftime("%H:%M") == auction
    return (
        pl.read_parquet(file)
        .filter(label.dt.date() == day)
        .with_columns(timestamp=pl.when(kept).then(label).otherwise(label.dt.offset_by("1m")))
        .select(BARS)
        .sort("symbol", "timestamp")
    )


def assert_signals_equal_batch(ask: Callable[[str], pl.DataFrame], day: date) -> None:
    """The stored signals of a day are those of each strategy over all stored bars."""
    bars = ask(f"SELECT {', '.join(BARS)} FROM futures_101")
    for strategy in STRATEGIES.values():
        stored = ask(f"SELECT * FROM {strategy.table}").sort("timestamp")
        rows = strategy.evaluate(bars.lazy(), strategy.params()).collect()
        computed = rows.filter(pl.col("timestamp").dt.date() == day).sort("timestamp")
        assert stored.select(computed.columns).equals(computed)
