"""Which options a chain needs besides the board, and which future they are hedged with."""

from __future__ import annotations

import math
from datetime import date, datetime

import polars as pl

from engine.features.black76 import RATE
from engine.features.chain import strikes_above_atm
from engine.few_rows import collect_few
from engine.market.codes import contract_code
from engine.market.expiries import last_day, maturities
from engine.market.products import option_series


def hedging_future(series: str, maturity: str) -> tuple[str, date]:
    """Return the code and last day of the first future that expires with an option or after it."""
    found = option_series(series)
    last = last_day(found.name, maturity)
    months = maturities(found.future.months, beyond=True)
    expiry, month = next((pair for pair in months if pair[0] >= last), months[-1])
    return contract_code(found.future, month), expiry


def carried(price: float, delivery: date, expiry: date) -> float:
    """Return a price for delivery on one day (for the index: today) as one for delivery at expiry.

    The price of the quarterly future is two to three strikes off ATM of another month's options;
    carried to their expiry it is not. Whole days suffice: it only decides what is asked for.
    """
    return price * math.exp(RATE * (expiry - delivery).days / 365)


def with_distance(listed: pl.DataFrame, forward: float) -> pl.DataFrame:
    """Add `distance` to listed options (symbol, strike): how many strikes they are from ATM.

    ATM is the same as in the matrices: see `strikes_above_atm`.
    """
    plan = listed.lazy().with_columns(forward=pl.lit(forward))
    distance = strikes_above_atm().abs().alias("distance")
    return collect_few(plan.select(*listed.columns, distance))


def most_in_need(
    wanted: pl.DataFrame, quoted: pl.DataFrame, now: datetime, count: int
) -> list[str]:
    """Return the symbols to quote now: the older its quote and the nearer ATM, the sooner."""
    age = (pl.lit(now) - pl.col("quoted_at")).dt.total_seconds().fill_null(10**9)
    plan = (
        wanted.lazy()
        .join(quoted[["symbol", "quoted_at"]].lazy(), on="symbol", how="left")
        .sort(age / (1 + pl.col("distance")), "symbol", descending=[True, False])
        .head(count)
    )
    return collect_few(plan)["symbol"].to_list()
