"""Each bar's session as columns, for expressions that need the hours of the market."""

from __future__ import annotations

from functools import cache

import polars as pl

from engine.columns import SESSION, TIME
from engine.market.codes import is_derivative
from engine.market.hours import Market, Session, session
from engine.market.products import PRODUCTS
from engine.market.sessions import session_dates
from engine.market.symbols import FrontMonth, parse
from engine.market.trading_days import depends_on_days, rules
from engine.market.venues import VENUES, market_of_stock

_HOURS = ("opens", "continuous_end", "auction", "last_stamp")


def with_session_hours(bars: pl.LazyFrame) -> pl.LazyFrame:
    """Return the bars that lie in a daytime session, with its date and its hours.

    Needs `symbol` and `timestamp` (KST, end of the minute). Adds `session` (date) and the moments
    `opens`, `continuous_end`, `auction` (null on a contract's last day, which has no auction) and
    `last_stamp`. Late openings, CSAT days and last trading days have their own hours. Bars outside
    their session, and of days or codes that the calendar does not know, are left out.
    """
    market = pl.when(is_derivative(pl.col("symbol"))).then(pl.lit(Market.DERIVATIVES.value))
    return (
        bars.with_columns(
            pl.col("timestamp").dt.date().alias("session"),
            market.otherwise(market_of_stock(pl.col("symbol"))).alias("market"),
        )
        .join(_last_days().lazy(), on=SESSION, how="left", maintain_order="left")
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


@depends_on_days
@cache
def _hours() -> pl.DataFrame:
    """Return session, market, expiring and the hours of every session that the calendar knows."""
    of_stocks = [Market.STOCKS, *(venue.market for venue in VENUES.values())]
    kinds = [(market, False) for market in (*of_stocks, Market.DERIVATIVES)]
    kinds.append((Market.DERIVATIVES, True))
    rows = [
        _row(found, expiring)
        for market, expiring in kinds
        for day in session_dates(market, rules()["first_day"], rules()["last_day"])
        if (found := session(market, day, expiring=expiring))
    ]
    columns = ["session", "market", "expiring", *_HOURS]
    return pl.DataFrame(rows, schema=columns, schema_overrides={"auction": TIME}, orient="row")


def _row(found: Session, expiring: bool) -> tuple[object, ...]:
    return (found.date, found.market.value, expiring, *(getattr(found, name) for name in _HOURS))


@depends_on_days
@cache
def trading_days_of_nights() -> pl.DataFrame:
    """Return session and trading_day of every night but the calendar's last: its day is unknown."""
    dates = session_dates(Market.NIGHT, rules()["first_day"], rules()["last_day"])
    nights = [found for day in dates[:-1] if (found := session(Market.NIGHT, day))]
    rows = [(night.date, night.trading_day) for night in nights]
    return pl.DataFrame(rows, {"session": pl.Date(), "trading_day": pl.Date()}, orient="row")


@depends_on_days
@cache
def _last_days() -> pl.DataFrame:
    """Return symbol, session, expiring (true) of the last day of every futures contract known.

    A front month (A01_FRONT) expires with each of its contracts.
    """
    parts = []
    for front in future_front_months():
        contracts = front_contracts(front)
        parts += [contracts, contracts.with_columns(symbol=pl.lit(front.code))]
    return pl.concat(parts).select(
        "symbol", pl.col("last_day").alias("session"), pl.lit(value=True).alias("expiring")
    )


def future_front_months() -> list[FrontMonth]:
    """Return the front month of every futures product."""
    found = (parse(product.prefix) for product in PRODUCTS if product.kind == "future")
    return [symbol for symbol in found if isinstance(symbol, FrontMonth)]


@depends_on_days
@cache
def front_contracts(front: FrontMonth) -> pl.DataFrame:
    """Return symbol, first_day, last_day of every contract's time as the front month."""
    known = front.contracts(rules()["first_day"], rules()["last_day"])
    return known.select("symbol", "first_day", "last_day")
