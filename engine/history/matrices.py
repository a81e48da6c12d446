"""Option matrices in other shapes, and bars joined with the chain's summary."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from engine.market.products import option_series
from engine.market.symbols import chains_of
from engine.schemas import level_columns

KEY = ("timestamp", "underlying_symbol", "metric_type")


def long_matrix(matrices: pl.LazyFrame) -> pl.LazyFrame:
    """Return one row a cell: KEY, option_type, step, level, value.

    `option_type` is C or P; `level` is the column's name without its side (itm10 … atm … otm10);
    `step` counts listed strikes from ATM upwards, so that a call's otm3 and a put's itm3, which
    have the same strike, are both 3. Values keep their units; cells without a value are null.
    """
    levels = _levels()
    return (
        matrices.select(*KEY, *levels["column"].to_list())
        .unpivot(index=list(KEY), variable_name="column", value_name="value")
        .join(levels.lazy(), on="column", maintain_order="left")
        .select(*KEY, "option_type", "step", "level", "value")
        .sort(*KEY, "option_type", "step")
    )


def wide_matrix(cells: pl.LazyFrame) -> pl.LazyFrame:
    """Return the matrix again from what `long_matrix` returned: KEY and the 42 value columns."""
    levels = _levels()
    return (
        cells.join(levels.lazy(), on=["option_type", "level"])
        .pivot(
            on="column",
            on_columns=levels["column"],
            index=list(KEY),
            values="value",
            aggregate_function="first",
        )
        .sort(*KEY)
    )


def by_metric(matrices: pl.LazyFrame, metrics: list[str]) -> pl.LazyFrame:
    """Return one row a cell, with the metrics as columns: iv beside delta beside price."""
    index = ["timestamp", "underlying_symbol", "option_type", "step", "level"]
    return (
        long_matrix(matrices.filter(pl.col("metric_type").is_in(metrics)))
        .pivot(
            on="metric_type",
            on_columns=metrics,
            index=index,
            values="value",
            aggregate_function="first",
        )
        .sort(*index[:4])
    )


def with_summary(
    bars: pl.LazyFrame, summaries: pl.LazyFrame, series: str = "KOSPI200"
) -> pl.LazyFrame:
    """Return the bars with the chain's summary of the minute before; null without one.

    Of the maturities of a series, the nearest one with a summary at that minute is taken. A bar
    stamped 09:00 ends at 09:00:00. The snapshot of minute 09:00 is taken within the minute after
    that, the one of 08:59 was known by then: so that one is joined, and nothing of the future is.
    Left out are the times at which the summary was stored, and columns that the bars have already.

    Raises InputError for an unknown series.
    """
    taken = ["timestamp", "fetched_at", "committed_at", *bars.collect_schema().names()]
    wanted = [name for name in summaries.collect_schema().names() if name not in taken]
    nearest = (
        summaries.filter(chains_of(option_series(series), pl.col("underlying_symbol")))
        .sort("timestamp", "days_to_expiry", nulls_last=True)
        .unique("timestamp", keep="first", maintain_order=True)
        .select(pl.col("timestamp") + timedelta(minutes=1), *wanted)
    )
    return bars.join(nearest, on="timestamp", how="left", maintain_order="left")


def _levels() -> pl.DataFrame:
    """Return column, option_type, level, step of the value columns, in their order."""
    number = pl.col("level").str.extract(r"(\d+)$").cast(pl.Int64).fill_null(0)
    is_below = pl.col("level").str.starts_with("itm") == (pl.col("option_type") == "C")
    return (
        pl.DataFrame({"column": level_columns()})
        .with_columns(
            pl.col("column").str.slice(0, 1).str.to_uppercase().alias("option_type"),
            pl.col("column").str.slice(2).alias("level"),
        )
        .with_columns(pl.when(is_below).then(-number).otherwise(number).alias("step"))
    )
