"""Bars of a random walk on the real calendar, for tests of commands; no real prices."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl

from tests.stamps import stamps_between


def random_bars(
    symbol: str, start: date, end: date, *, minutes: int, seed: int = 1
) -> pl.DataFrame:
    """Return bars of the first minutes of each session, and of its auction; times are stamps."""
    rng = np.random.default_rng(seed)
    index_in_session = pl.int_range(pl.len()).over("session")
    is_last = pl.col("stamp") == pl.col("stamp").max().over("session")
    stamps = stamps_between([symbol], start, end).filter((index_in_session < minutes) | is_last)
    close = np.round(400 * np.exp(np.cumsum(rng.normal(0, 0.002, stamps.height))) / 0.05) * 0.05
    opens = np.concatenate([[400.0], close[:-1]])
    return stamps.select(pl.col("stamp").alias("timestamp"), "symbol").with_columns(
        pl.Series("open", opens),
        pl.Series("high", np.maximum(opens, close) + 0.1),
        pl.Series("low", np.minimum(opens, close) - 0.1),
        pl.Series("close", close),
        pl.Series("volume", rng.integers(0, 500, stamps.height)),
    )


def with_kis_labels(bars: pl.DataFrame) -> pl.DataFrame:
    """Return the bars with KIS's labels: a minute before the stamp, but that of the auction."""
    auction = pl.col("timestamp").dt.time() == pl.time(15, 45)
    label = pl.when(auction).then("timestamp").otherwise(pl.col("timestamp").dt.offset_by("-1m"))
    return bars.with_columns(label.alias("timestamp"))
