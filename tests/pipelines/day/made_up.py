"""Made-up bars on the real calendar, for tests of commands: nothing of them was ever traded."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl

from tests.stamps import stamps_between


def stored_bars_of(
    symbol: str, start: date, end: date, *, minutes: int, seed: int = 1
) -> pl.DataFrame:
    """The first minutes of each session, and its auction, as a random walk; stamps."""
    rng = np.random.default_rng(seed)
    owed = stamps_between([symbol], start, end).with_columns(
        index_in_session=pl.int_range(pl.len()).over("session"),
        last=pl.col("stamp") == pl.col("stamp").max().over("session"),
    )
    kept = owed.filter((pl.col("index_in_session") < minutes) | pl.col("last"))
    close = np.round(400 * np.exp(np.cumsum(rng.normal(0, 0.002, kept.height))) / 0.05) * 0.05
    opens = np.concatenate([[400.0], close[:-1]])
    return kept.select(pl.col("stamp").alias("timestamp"), "symbol").with_columns(
        pl.Series("open", opens),
        pl.Series("high", np.maximum(opens, close) + 0.1),
        pl.Series("low", np.minimum(opens, close) - 0.1),
        pl.Series("close", close),
        pl.Series("volume", rng.integers(0, 500, kept.height)),
    )


def as_kis_labels(bars: pl.DataFrame) -> pl.DataFrame:
    """Turn stamps into KIS's labels: a minute less, but for the auction."""
    auction = pl.col("timestamp").dt.time() == pl.time(15, 45)
    label = pl.when(auction).then("timestamp").otherwise(pl.col("timestamp").dt.offset_by("-1m"))
    return bars.with_columns(label.alias("timestamp"))
