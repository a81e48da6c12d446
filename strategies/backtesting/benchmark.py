"""What a backtest is compared with: buying at the first open and holding to the end."""

from __future__ import annotations

from datetime import date

import polars as pl

from engine.market.nights import session_of
from engine.market.symbols import FrontMonth, parse
from strategies.backtesting.rules import BacktestRules, terms
from strategies.base import ENGINE


def buy_and_hold(bars: pl.DataFrame, daily: pl.DataFrame, rules: BacktestRules) -> pl.DataFrame:
    """Return one row a bar of the sessions of `results.daily`: symbol, timestamp, hold.

    `hold` is the equity (KRW) of somebody who buys as many contracts as the rules say at the first
    open and keeps them, without costs. In the series of a front month the contract changes
    overnight: the difference between the two contracts is not a gain, so it does not count.
    """
    symbols = daily["symbol"].unique().sort().to_list()
    days = daily.select("symbol", "session", "capital")
    before = pl.col("close").shift(1).over("symbol")
    begins = pl.col("session").ne_missing(pl.col("session").shift(1).over("symbol"))
    moved = pl.col("close") - pl.when(begins & pl.col("rolled")).then("open").otherwise(before)
    gain = moved.fill_null(pl.col("close") - pl.col("open")) * pl.col("multiplier")
    return (
        bars.lazy()
        .with_columns(session=session_of(pl.col("symbol"), pl.col("timestamp")))
        .join(days.lazy(), on=["symbol", "session"])
        .join(terms(symbols).lazy(), on="symbol")
        .join(_rolls(daily).lazy(), on=["symbol", "session"], how="left")
        .with_columns(pl.col("rolled").fill_null(value=False))
        .sort("symbol", "timestamp")
        .with_columns(gain=gain * rules.contracts)
        .select(
            "symbol",
            "timestamp",
            hold=pl.col("capital") + pl.col("gain").cum_sum().over("symbol"),
        )
        .collect(engine=ENGINE)
    )


def _rolls(daily: pl.DataFrame) -> pl.DataFrame:
    """Return symbol and session in which a front month's series goes on with another contract.

    That is the first session with bars since the roll, which need not be the first day in front.
    """
    parts = [
        daily.filter(pl.col("symbol") == symbol.code)
        .select("symbol", "session")
        .sort("session")
        .join_asof(
            symbol.contracts(*_span(daily, symbol.code)).select("first_day"),
            left_on="session",
            right_on="first_day",
        )
        .filter(pl.col("first_day") != pl.col("first_day").shift())
        .select("symbol", "session", rolled=True)
        for symbol in map(parse, daily["symbol"].unique().sort())
        if isinstance(symbol, FrontMonth)
    ]
    empty = pl.DataFrame(
        schema={"symbol": pl.String(), "session": pl.Date(), "rolled": pl.Boolean()}
    )
    return pl.concat([empty, *parts])


def _span(daily: pl.DataFrame, symbol: str) -> tuple[date, date]:
    days = daily.filter(pl.col("symbol") == symbol)["session"]
    return days[0], days[-1]
