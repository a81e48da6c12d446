"""The signals at which a strategy turns: one position is one turn, however often it is repeated."""

from __future__ import annotations

import polars as pl

from engine.market.nights import session_of


def turns(signals: pl.DataFrame) -> pl.DataFrame:
    """Return the trade signals that open or reverse a position, ascending by symbol and time.

    `signals` have symbol, timestamp and trade_signal. A trade signal that repeats the one before it
    in the same session changes nothing: positions are held until the opposite one.
    """
    given = signals.filter(pl.col("trade_signal") != 0).sort("symbol", "timestamp")
    before = (
        pl.col("trade_signal")
        .shift(1)
        .over("symbol", session_of(pl.col("symbol"), pl.col("timestamp")))
    )
    return given.filter(pl.col("trade_signal").ne_missing(before))
