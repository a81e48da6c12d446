"""Which options a chain needs besides the board, and which future they are hedged with."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from engine.features.chain import strikes_above_atm
from engine.market.codes import contract_code
from engine.market.expiries import last_day, maturities
from engine.market.products import option_series


def hedging_future(series: str, maturity: str) -> str:
    """Return the future nearest to an option's maturity: the first to expire with or after it."""
    found = option_series(series)
    last = last_day(found.name, maturity)
    months = maturities(found.future.months, beyond=True)
    month = next((name for expiry, name in months if expiry >= last), months[-1][1])
    return contract_code(found.future, month)


def near_market(listed: pl.DataFrame, price: float, reach: int) -> pl.DataFrame:
    """Return symbol, strike and distance of options up to `reach` listed strikes from ATM.

    `distance` counts listed strikes. ATM is that of the matrices: see `strikes_above_atm`.
    """
    distance = strikes_above_atm().abs().alias("distance")
    return (
        listed.with_columns(pl.lit(price).alias("underlying_price"))
        .with_columns(distance)
        .filter(pl.col("distance") <= reach)
        .drop("underlying_price")
    )


def most_in_need(
    wanted: pl.DataFrame, quoted: pl.DataFrame, now: datetime, count: int
) -> list[str]:
    """Return the symbols to quote now: those with the oldest quotes, and those near the market."""
    age = (pl.lit(now) - pl.col("quoted_at")).dt.total_seconds().fill_null(10**9)
    return (
        wanted.join(quoted.select("symbol", "quoted_at"), on="symbol", how="left")
        .sort(age / (1 + pl.col("distance")), "symbol", descending=[True, False])
        .head(count)["symbol"]
        .to_list()
    )
