"""Option matrices long and wide, and bars beside what a trader reads off the chain."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from engine.schemas import level_columns

KEY = ("timestamp", "underlying_symbol", "metric_type")


def long_matrix(matrices: pl.LazyFrame) -> pl.LazyFrame:
    """Return one row a cell: KEY, option_type, step, level, value.

    `option_type` is C or P; `level` the column's name without its side (itm10 … atm … otm10);
    `step` counts listed strikes from ATM upwards, so calls otm3 and puts itm3, which share a
    strike, are both 3. Values keep their units; cells without a value are kept as null.
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
    """Return the matrix that `long_matrix` took apart: KEY and the 42 value columns."""
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
    """Return one row a cell of the board, its metrics as columns: iv beside delta beside price."""
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
    """Return the bars with the chain's summary of the minute before; null where there is none.

    Of a series' maturities the nearest one with a summary at that minute counts. A bar stamped
    09:00 ends at 09:00:00; the snapshot of minute 09:00 is taken after that, within a minute, and
    that of 08:59 was known by then: it is joined, and nothing of the future is. The summary's times
    of storing are left out, and so is what the bars have a column for already.
    """
    taken = bars.collect_schema().names()
    own = ["timestamp", "fetched_at", "committed_at"]
    wanted = [n for n in summaries.collect_schema().names() if n not in (*own, *taken)]
    nearest = (
        summaries.filter(pl.col("underlying_symbol").str.contains(rf"^\d{{6}}_{series}$"))
        .sort("timestamp", "days_to_expiry", nulls_last=True)
        .unique("timestamp", keep="first", maintain_order=True)
        .select(pl.col("timestamp") + timedelta(minutes=1), *wanted)
    )
    return bars.join(nearest, on="timestamp", how="left", maintain_order="left")


def _levels() -> pl.DataFrame:
    """Return column, option_type, level, step of the value columns, in their order."""
    number = pl.col("level").str.extract(r"(\d+)$").cast(pl.Int64).fill_null(0)
    below = (pl.col("level").str.starts_with("itm")) == (pl.col("option_type") == "C")
    return (
        pl.DataFrame({"column": level_columns()})
        .with_columns(
            pl.col("column").str.slice(0, 1).str.to_uppercase().alias("option_type"),
            pl.col("column").str.slice(2).alias("level"),
        )
        .with_columns(pl.when(below).then(-number).otherwise(number).alias("step"))
    )
