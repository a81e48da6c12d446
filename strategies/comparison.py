"""Where stored signals differ from signals computed again."""

from __future__ import annotations

import polars as pl

KEY = ("timestamp", "symbol")
_SHOWN = ("monitor_signal", "trade_signal", "reason")


def differences(computed: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    """Return one row for each (timestamp, symbol) at which the two differ in any bit.

    Both have the strategy's columns without created_at. Columns: timestamp, symbol, state, columns
    (those that differ), and monitor_signal, trade_signal, reason of both sides (`_given` as stored,
    `_computed`). States: `missing`, not stored; `unexpected`, stored without a bar; `differs`.
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
            *(f"{name}_given" for name in _SHOWN),
            *(pl.col(name).alias(f"{name}_computed") for name in _SHOWN),
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
