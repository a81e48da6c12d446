"""One series out of many contracts: the front month's bars, as they were or back-adjusted."""

from __future__ import annotations

import polars as pl

from engine.columns import PRICES
from engine.errors import InputError
from engine.history.session_columns import (
    front_contracts,
    future_front_months,
    trading_days_of_nights,
)
from engine.market.nights import contract_of, is_night, session_of
from engine.market.symbols import FrontMonth, parse


def front_series(
    bars: pl.LazyFrame, product: str = "A01", *, adjusted: bool = False, night: bool = False
) -> pl.LazyFrame:
    """Return the bars of the contract that was the front month on each day, ascending in time.

    With `night` also those of the nights among the bars (futures_night_1m): a night belongs to the
    front month of the trading day that follows it. Their symbol says that they are of a night
    (A01612_NIGHT). Without it nights are left out, whatever the bars hold.

    Needs timestamp (KST), symbol, open, high, low, close, volume. A contract is the front month up
    to and including its last trading day. Adds `adjustment` (index points), see `rolls`; `adjusted`
    adds it to the four prices, so that returns across a roll are those of a holder who rolled. The
    views `futures_front` and, with nights, `futures_front_nights` give the same in SQL.

    Raises InputError if the product is not a future.
    """
    front = _front_month(product)
    span = rolls(bars, product).select("symbol", "first_day", "last_day", "adjustment")
    prices = [pl.col(price) + pl.col("adjustment") for price in PRICES] if adjusted else []
    of_days = _bars_of_contracts(bars, front).with_columns(
        contract=pl.col("symbol"), trading_day=pl.col("timestamp").dt.date()
    )
    both = pl.concat([of_days, _bars_of_nights(bars)]) if night else of_days
    return (
        both.join(span.rename({"symbol": "contract"}), on="contract")
        .filter(pl.col("trading_day").is_between("first_day", "last_day"))
        .with_columns(prices)
        .drop("first_day", "last_day", "contract", "trading_day")
        .sort("timestamp")
    )


def _bars_of_nights(bars: pl.LazyFrame) -> pl.LazyFrame:
    """Return the bars of nights with the contract and the trading day that they belong to."""
    symbol = pl.col("symbol")
    return (
        bars.filter(is_night(symbol))
        .with_columns(contract=contract_of(symbol), session=session_of(symbol, pl.col("timestamp")))
        .join(trading_days_of_nights().lazy(), on="session")
        .drop("session")
    )


def rolls(bars: pl.LazyFrame, product: str = "A01") -> pl.LazyFrame:
    """Return symbol, first_day, last_day, next_symbol, difference, adjustment of each front month.

    Only contracts with bars in their time as the front month are returned, oldest first.
    `difference` (index points) is how much more the next contract cost at the last minute that both
    have on the old one's last day. `adjustment` is the sum of that and of all later differences: 0
    for the newest contract, null where one of them is unknown, since no number is better than a
    wrong one.

    Raises InputError if the product is not a future.
    """
    front = _front_month(product)
    of_contracts = _bars_of_contracts(bars, front)
    stored = _stored_contracts(of_contracts, front)
    differences = _differences(of_contracts, stored)
    later = pl.col("difference").cum_sum(reverse=True).fill_null(0.0)
    unknown = pl.col("difference").is_null() & pl.col("next_symbol").is_not_null()
    return stored.join(differences, on="symbol", how="left", maintain_order="left").with_columns(
        pl.when(~unknown.cum_max(reverse=True)).then(later).alias("adjustment")
    )


def _front_month(product: str) -> FrontMonth:
    front = parse(product)
    if not isinstance(front, FrontMonth):
        known = ", ".join(known.product.prefix for known in future_front_months())
        raise InputError(f"{product!r} is not a futures product: {known}")
    return front


def _bars_of_contracts(bars: pl.LazyFrame, front: FrontMonth) -> pl.LazyFrame:
    return bars.filter(pl.col("symbol").is_in(front_contracts(front)["symbol"].to_list()))


def _stored_contracts(bars: pl.LazyFrame, front: FrontMonth) -> pl.LazyFrame:
    """Return the contracts with a bar in their time as the front month, and the next of them."""
    day = pl.col("timestamp").dt.date()
    contracts = front_contracts(front).lazy()
    stored = (
        bars.select("symbol", day.alias("day"))
        .unique()
        .join(contracts, on="symbol")
        .filter(pl.col("day") >= pl.col("first_day"), pl.col("day") <= pl.col("last_day"))
    )
    return (
        contracts.join(stored, on="symbol", how="semi")
        .sort("last_day")
        .with_columns(next_symbol=pl.col("symbol").shift(-1))
    )


def _differences(bars: pl.LazyFrame, contracts: pl.LazyFrame) -> pl.LazyFrame:
    """Return symbol and difference of the contracts whose next one has a bar at the same minute."""
    last_days = (
        bars.select("timestamp", "symbol", "close")
        .join(contracts.select("symbol", "last_day", "next_symbol"), on="symbol")
        .filter(pl.col("timestamp").dt.date() == pl.col("last_day"))
    )
    next_closes = bars.select("timestamp", next_symbol="symbol", next_close="close")
    return (
        last_days.join(next_closes, on=["timestamp", "next_symbol"])
        .sort("timestamp")
        .group_by("symbol")
        .agg((pl.col("next_close") - pl.col("close")).last().alias("difference"))
    )
