"""Each bar's session as columns, for expressions that must know when the market opened."""

from __future__ import annotations

from functools import cache

import polars as pl

from engine.market import instruments
from engine.market.products import BY_PREFIX
from engine.market.sessions import Market, Session, session, session_dates
from engine.market.trading_days import depends_on_days, rules

_HOURS = ("opens", "continuous_end", "auction", "last_stamp")


def with_session_hours(bars: pl.LazyFrame) -> pl.LazyFrame:
    """Return the bars that lie in a daytime session, with what is known of it.

    Needs `symbol` and `timestamp` (KST, end of the minute). Adds `session` (date) and the moments
    `opens`, `continuous_end`, `auction` (null where there is none: a contract's last day) and
    `last_stamp`. Late openings, CSAT days and last trading days have their own hours. Bars outside
    their session, and of days or codes that the calendar does not know, are left out.
    """
    return (
        bars.with_columns(
            pl.col("timestamp").dt.date().alias("session"),
            pl.when(is_derivative())
            .then(pl.lit("derivatives"))
            .otherwise(pl.lit("stocks"))
            .alias("market"),
        )
        .join(_last_days().lazy(), on=["symbol", "session"], how="left", maintain_order="left")
        .with_columns(pl.col("expiring").fill_null(value=False))
        .join(
            _hours().lazy(),
            on=["session", "market", "expiring"],
            how="inner",
            maintain_order="left",
        )
        .filter(pl.col("timestamp") > pl.col("opens"), pl.col("timestamp") <= pl.col("last_stamp"))
        .drop("market", "expiring")
    )


def is_derivative() -> pl.Expr:
    """Say of each `symbol` whether it is a derivative's, as `instruments.is_derivative` does."""
    symbol = pl.col("symbol")
    known = symbol.str.slice(0, 3).is_in(sorted(BY_PREFIX))
    return known & (symbol.str.ends_with("_FRONT") | symbol.str.slice(0, 4).str.contains("[A-Z]"))


@depends_on_days
@cache
def _hours() -> pl.DataFrame:
    first, last = rules()["first_day"], rules()["last_day"]
    kinds = [(Market.STOCKS, False), (Market.DERIVATIVES, False), (Market.DERIVATIVES, True)]
    found = [
        (of, expiring)
        for market, expiring in kinds
        for day in session_dates(market, first, last)
        if (of := session(market, day, expiring=expiring))
    ]
    columns = ["session", "market", "expiring", *_HOURS]
    types = {"auction": pl.Datetime("us")}
    rows = [_row(of, expiring) for of, expiring in found]
    return pl.DataFrame(rows, schema=columns, schema_overrides=types, orient="row")


def _row(of: Session, expiring: bool) -> tuple[object, ...]:
    return (of.date, of.market.value, expiring, *(getattr(of, name) for name in _HOURS))


@depends_on_days
@cache
def _last_days() -> pl.DataFrame:
    """Return symbol, session, expiring (true) of the last day of every futures contract known.

    A front name (A01_FRONT) expires with each of its contracts.
    """
    fronts = pl.concat(fronts_of(prefix) for prefix in future_prefixes())
    named = fronts.with_columns(symbol=pl.col("product") + "_FRONT")
    return pl.concat([fronts, named]).select(
        "symbol", pl.col("last_day").alias("session"), pl.lit(value=True).alias("expiring")
    )


def future_prefixes() -> list[str]:
    """Return the prefixes of the futures products, in the codes of 2026 on."""
    return [product.prefix for product in instruments.PRODUCTS if product.kind == "future"]


@depends_on_days
@cache
def fronts_of(prefix: str) -> pl.DataFrame:
    """Return product, symbol, first_day, last_day of every contract's time in front."""
    known = instruments.front_months(prefix, rules()["first_day"], rules()["last_day"])
    columns = ["symbol", "first_day", "last_day"]
    return known.select(pl.lit(prefix).alias("product"), *columns)
