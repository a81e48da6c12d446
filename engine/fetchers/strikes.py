"""Which options a chain needs besides the board, and which future they are hedged with."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from engine.market.expiries import last_day, maturities
from engine.market.instruments import contract_code, option_series


def hedging_future(series: str, maturity: str) -> str:
    """Return the future nearest to an option's maturity: the first to expire with or after it."""
    of = option_series(series)
    last = last_day(of.name, maturity)
    months = maturities(of.future.months, beyond=True)
    month = next((m for ends, m in months if ends >= last), months[-1][1])
    return contract_code(of.future.prefix, month)


def near_market(listed: pl.DataFrame, price: float, reach: int) -> pl.DataFrame:
    """Return symbol, strike and distance (in strikes) of the options up to `reach` away."""
    grid = (
        listed.select(pl.col("strike").unique().sort())
        .with_row_index("place")
        .with_columns(pl.col("place").cast(pl.Int64))
    )
    atm = (pl.col("strike") - price).abs().arg_min().cast(pl.Int64)
    near = grid.with_columns((pl.col("place") - atm).abs().alias("distance"))
    return listed.join(near.filter(pl.col("distance") <= reach), on="strike").drop("place")


def most_in_need(wanted: pl.DataFrame, known: pl.DataFrame, now: datetime, count: int) -> list[str]:
    """Return the symbols to quote now: old quotes first, and those near the market."""
    age = (pl.lit(now) - pl.col("quoted_at")).dt.total_seconds().fill_null(10**9)
    return (
        wanted.join(known.select("symbol", "quoted_at"), on="symbol", how="left")
        .sort(age / (1 + pl.col("distance")), "symbol", descending=[True, False])
        .head(count)["symbol"]
        .to_list()
    )
