"""Signals as they were given, against signals computed again: where they differ, and why."""

from __future__ import annotations

import polars as pl

KEY = ("timestamp", "symbol")
SAID = ("monitor_signal", "trade_signal", "reason")
STATES = ("differs", "missing", "unexpected", "corrected")


def differences(
    computed: pl.DataFrame, stored: pl.DataFrame, corrections: pl.DataFrame
) -> pl.DataFrame:
    """Return one row for each (timestamp, symbol) at which the two disagree in any bit.

    All three have the strategy's columns without created_at; `corrections` are rows recorded later
    than the ones given, any number for a key. Columns: timestamp, symbol, state, columns (in which
    they differ), and of both sides monitor_signal, trade_signal, reason (`_given`, `_computed`).
    States: `corrected`, what was given was right for the bars known then, and the row as it should
    be now is recorded; `missing`, not stored; `unexpected`, stored, but there is no bar; `differs`.
    """
    values = [name for name in computed.columns if name not in KEY]
    both = computed.join(
        stored.select(computed.columns), on=KEY, how="full", suffix="_given", coalesce=True
    )
    known = corrections.select(computed.columns).unique()
    is_recorded = computed.join(known, on=computed.columns, how="semi", nulls_equal=True)
    recorded = is_recorded.select(*KEY, pl.lit(value=True).alias("recorded"))
    unequal = [
        pl.when(pl.col(name).ne_missing(pl.col(f"{name}_given"))).then(pl.lit(name))
        for name in values
    ]
    return (
        both.with_columns(pl.concat_list(unequal).list.drop_nulls().alias("columns"))
        .filter(pl.col("columns").list.len() > 0)
        .join(recorded, on=KEY, how="left")
        .with_columns(_state())
        .select(
            *KEY, "state", "columns",
            *(f"{name}_given" for name in SAID),
            *(pl.col(name).alias(f"{name}_computed") for name in SAID),
        )
        .sort("symbol", "timestamp")
    )  # fmt: skip


def _state() -> pl.Expr:
    return (
        pl.when(pl.col("close_given").is_null()).then(pl.lit("missing"))
        .when(pl.col("close").is_null()).then(pl.lit("unexpected"))
        .when(pl.col("recorded")).then(pl.lit("corrected"))
        .otherwise(pl.lit("differs")).alias("state")
    )  # fmt: skip
