"""One series out of many contracts: the front month's bars, as they were or back-adjusted."""

from __future__ import annotations

import polars as pl

from engine.errors import InputError
from engine.history.session_columns import fronts_of, future_prefixes

_PRICES = ("open", "high", "low", "close")


def front_series(
    bars: pl.LazyFrame, product: str = "A01", *, adjusted: bool = False
) -> pl.LazyFrame:
    """Return the bars of the contract that was in front on each day, ascending in time.

    Needs timestamp (KST), symbol, open, high, low, close, volume. A contract is in front up to and
    including its last trading day. Adds `adjustment` (index points), see `rolls`; `adjusted` adds
    it to the four prices, so that returns across a roll are those of a holder who rolled. It is
    what the view `futures_front` says in SQL.

    Raises InputError for a product that is no future.
    """
    span = rolls(bars, product).select("symbol", "first_day", "last_day", "adjustment")
    day = pl.col("timestamp").dt.date()
    prices = [pl.col(price) + pl.col("adjustment") for price in _PRICES] if adjusted else []
    return (
        _of_product(bars, product)
        .join(span, on="symbol")
        .filter(day >= pl.col("first_day"), day <= pl.col("last_day"))
        .with_columns(prices)
        .drop("first_day", "last_day")
        .sort("timestamp")
    )


def rolls(bars: pl.LazyFrame, product: str = "A01") -> pl.LazyFrame:
    """Return symbol, first_day, last_day, next_symbol, difference, adjustment of each front month.

    Of those that have bars in their time in front, oldest first. `difference` (index points) is
    what the next contract cost more at the last minute that both have on the old one's last day.
    `adjustment` is the sum of that and of all later differences: 0 for the newest contract, null
    where a difference is not known, since no number is better than a wrong one.
    """
    of_product = _of_product(bars, product)
    kept = _stored(of_product, product)
    known = _differences(of_product, kept)
    later = pl.col("difference").cum_sum(reverse=True).fill_null(0.0)
    unknown = pl.col("difference").is_null() & pl.col("next_symbol").is_not_null()
    return kept.join(known, on="symbol", how="left", maintain_order="left").with_columns(
        pl.when(~unknown.cum_max(reverse=True)).then(later).alias("adjustment")
    )


def _of_product(bars: pl.LazyFrame, product: str) -> pl.LazyFrame:
    if product not in future_prefixes():
        raise InputError(f"{product!r} is no futures product: {', '.join(future_prefixes())}")
    return bars.filter(pl.col("symbol").is_in(fronts_of(product)["symbol"].to_list()))


def _stored(bars: pl.LazyFrame, product: str) -> pl.LazyFrame:
    """Return the contracts with a bar in their time in front, and who followed."""
    day = pl.col("timestamp").dt.date()
    fronts = fronts_of(product).lazy().drop("product")
    present = (
        bars.select("symbol", day.alias("day"))
        .unique()
        .join(fronts, on="symbol")
        .filter(pl.col("day") >= pl.col("first_day"), pl.col("day") <= pl.col("last_day"))
    )
    return (
        fronts.join(present, on="symbol", how="semi")
        .sort("last_day")
        .with_columns(next_symbol=pl.col("symbol").shift(-1))
    )


def _differences(bars: pl.LazyFrame, kept: pl.LazyFrame) -> pl.LazyFrame:
    last_days = (
        bars.select("timestamp", "symbol", "close")
        .join(kept.select("symbol", "last_day", "next_symbol"), on="symbol")
        .filter(pl.col("timestamp").dt.date() == pl.col("last_day"))
    )
    fresh = bars.select("timestamp", next_symbol="symbol", fresh="close")
    return (
        last_days.join(fresh, on=["timestamp", "next_symbol"])
        .sort("timestamp")
        .group_by("symbol")
        .agg((pl.col("fresh") - pl.col("close")).last().alias("difference"))
    )
