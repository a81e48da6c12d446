"""The signals of dolpha1: outside the band and on the right side of VWAP."""

from __future__ import annotations

import polars as pl

from strategies.dolpha1.params import ENOUGH_BARS, Dolpha1Params


def reason(params: Dolpha1Params) -> pl.Expr:
    """Return why the signal is what it is. A comparison with an unknown value is not true."""
    close, vwap = pl.col("close"), pl.col("vwap")
    above = (close > pl.col("ub")) & ((close > vwap) if params.use_vwap else True)
    below = (close < pl.col("lb")) & ((close < vwap) if params.use_vwap else True)
    return (
        pl.when(pl.col("bar_number") < ENOUGH_BARS)
        .then(pl.lit("insufficient_data"))
        .when(pl.col("ub").is_null())
        .then(pl.format("insufficient_data_days_{}", "sessions_at_hand"))
        .when(above)
        .then(pl.lit("band_cross_up"))
        .when(below)
        .then(pl.lit("band_cross_down"))
        .otherwise(pl.lit("none"))
    )


def monitor_signal() -> pl.Expr:
    """Return +1 above the band, -1 below it, else 0."""
    up, down = pl.col("reason") == "band_cross_up", pl.col("reason") == "band_cross_down"
    return up.cast(pl.Int64) - down.cast(pl.Int64)
