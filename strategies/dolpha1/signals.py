"""The signals of dolpha1: outside the band and on the right side of VWAP."""

from __future__ import annotations

from functools import cache

import polars as pl

from strategies.dolpha1.params import ENOUGH_BARS, Dolpha1Params


@cache
def monitor_signal(params: Dolpha1Params) -> pl.Expr:
    """Return +1 above the bands, -1 below them, else 0; also 0 where a band or VWAP is null."""
    close, vwap = pl.col("close"), pl.col("vwap")
    above = (close > pl.col("ub")) & ((close > vwap) if params.use_vwap else True)
    below = (close < pl.col("lb")) & ((close < vwap) if params.use_vwap else True)
    known = (pl.col("bar_number") >= ENOUGH_BARS) & pl.col("ub").is_not_null()
    return (
        pl.when(known & above)
        .then(pl.lit(1, pl.Int64))
        .when(known & below)
        .then(pl.lit(-1, pl.Int64))
        .otherwise(pl.lit(0, pl.Int64))
    )


@cache
def reason() -> pl.Expr:
    """Return why the monitor_signal is what it is."""
    signal = pl.col("monitor_signal")
    return (
        pl.when(pl.col("bar_number") < ENOUGH_BARS)
        .then(pl.lit("insufficient_data"))
        .when(pl.col("ub").is_null())
        .then(pl.format("insufficient_data_days_{}", "sessions_at_hand"))
        .when(signal > 0)
        .then(pl.lit("band_cross_up"))
        .when(signal < 0)
        .then(pl.lit("band_cross_down"))
        .otherwise(pl.lit("none"))
    )
