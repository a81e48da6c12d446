"""Signals as they are stored, against signals computed again: where they differ."""

from __future__ import annotations

import polars as pl

KEY = ("timestamp", "symbol")
SAID = ("monitor_signal", "trade_signal", "reason")


def differences(computed: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    """Return one row for each (timestamp, symbol) at which the two disagree in any bit.

    Both have the strategy's columns without created_at. Columns: timestamp, symbol, state, columns
    (in which they differ), and of both sides monitor_signal, trade_signal, reason (`_given`,
    `_computed`). States: `missing`, not stored; `unexpected`, stored, but there is no bar;
    `differs`.
    """
    values = [name for name in computed.columns if name not in KEY]
    both = computed.join(
        stored.select(computed.columns), on=KEY, how="full", suffix="_given", coalesce=True
    )
    unequal = [
        pl.when(pl.col(name).ne_missing(pl.col(f"{name}_given"))).then(pl.lit(name))
        for name in values
    ]
    return (
        both.with_columns(pl.concat_list(unequal).list.drop_nulls().alias("columns"))
        .filter(pl.col("columns").list.len() > 0)
        .with_columns(_state())
        .select(
            *KEY,
            "state",
            "columns",
            *(f"{name}_given" for name in SAID),
            *(pl.col(name).alias(f"{name}_computed") for name in SAID),
        )
        .sort("symbol", "timestamp")
    )


def _state() -> pl.Expr:
    return (
        pl.when(pl.col("close_given").is_null())
        .then(pl.lit("missing"))
        .when(pl.col("close").is_null())
        .then(pl.lit("unexpected"))
        .otherwise(pl.lit("differs"))
        .alias("state")
    )
