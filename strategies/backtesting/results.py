"""Trades, daily results and the equity curve of a backtest. Amounts are KRW."""

from __future__ import annotations

import polars as pl

from strategies.backtesting.rules import Rules
from strategies.base import ENGINE


def trades(positions: pl.DataFrame, rules: Rules) -> pl.DataFrame:
    """Return one row a trade, ascending by symbol and time.

    Columns: symbol, session, direction (+1, -1), entered (stamp of the bar at whose open), entry
    (price), left (stamp of the bar at whose open, or close if `why` is `close`), exit, why
    (`reversal`, `inside` or `close`), bars (held for), gross, cost, net.
    """
    ticks = rules.commission_ticks + rules.slippage_ticks
    krw = pl.col("multiplier") * rules.contracts
    return (
        positions.lazy()
        .with_columns(_at_exit("open", "close", "exit"), _at_exit("timestamp", "timestamp", "left"))
        .with_columns(_at_exit("tick_open", "tick_close", "exit_tick"), _why())
        .filter(pl.col("position") != 0)
        .group_by("trade", maintain_order=True)
        .agg(
            pl.first("symbol", "session"),
            pl.first("position").alias("direction"),
            pl.first("timestamp").alias("entered"),
            pl.first("open").alias("entry"),
            pl.last("left", "exit", "why"),
            pl.len().cast(pl.Int64).alias("bars"),
            (pl.first("position") * (pl.last("exit") - pl.first("open")) * krw.first()).alias(
                "gross"
            ),
            ((pl.first("tick_open") + pl.last("exit_tick")) * ticks * krw.first()).alias("cost"),
        )
        .with_columns((pl.col("gross") - pl.col("cost")).alias("net"))
        .drop("trade")
        .collect(engine=ENGINE)
    )


def _at_exit(next_bar: str, at_close: str, name: str) -> pl.Expr:
    last = pl.col("last")
    return pl.when(last).then(at_close).otherwise(pl.col(next_bar).shift(-1)).alias(name)


def _why() -> pl.Expr:
    against = -pl.col("position")
    return (
        pl.when("last")
        .then(pl.lit("close"))
        .when(pl.col("position").shift(-1) == against)
        .then(pl.lit("reversal"))
        .when(pl.col("wanted").shift(-1) == against)
        .then(pl.lit("opposite"))  # too late to enter
        .otherwise(pl.lit("inside"))
        .alias("why")
    )


def daily(positions: pl.DataFrame, rules: Rules) -> pl.DataFrame:
    """Return one row a symbol and session, from the first session in which it could trade on.

    Columns: symbol, session, gross, cost, net, trades (begun), value (traded), exposure (share of
    the bars with a position), capital (at the beginning), equity (at the end of the session),
    return (net by the equity before).
    """
    krw = pl.col("multiplier") * rules.contracts
    capital = pl.lit(rules.capital, pl.Float64) if rules.capital else pl.first("open") * krw.first()
    began = (pl.col("position") != pl.col("before")) & (pl.col("position") != 0)
    return (
        positions.lazy()
        .filter(pl.col("tradable").cum_max().over("symbol").max().over("symbol", "session"))
        .group_by("symbol", "session", maintain_order=True)
        .agg(
            pl.sum("gross", "cost"),
            began.sum().cast(pl.Int64).alias("trades"),
            pl.sum("value"),
            (pl.col("position") != 0).mean().alias("exposure"),
            capital.alias("capital"),
        )
        .with_columns(
            (pl.col("gross") - pl.col("cost")).alias("net"),
            pl.col("capital").first().over("symbol"),
        )
        .with_columns((pl.col("capital") + pl.col("net").cum_sum().over("symbol")).alias("equity"))
        .with_columns((pl.col("net") / (pl.col("equity") - pl.col("net"))).alias("return"))
        .collect(engine=ENGINE)
    )


def equity(positions: pl.DataFrame, daily: pl.DataFrame) -> pl.DataFrame:
    """Return the equity at the end of each bar: timestamp, symbol, position, equity."""
    days = daily.select("symbol", "session", "capital")
    net = (pl.col("gross") - pl.col("cost")).cum_sum().over("symbol")
    return positions.join(days, on=["symbol", "session"], maintain_order="left").select(
        "timestamp", "symbol", "position", (pl.col("capital") + net).alias("equity")
    )
