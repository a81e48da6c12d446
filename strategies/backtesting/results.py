"""Trades, daily results and the equity curve of a backtest. Amounts are KRW."""

from __future__ import annotations

import polars as pl

from strategies.backtesting.positions import each_symbol
from strategies.backtesting.rules import BacktestRules, first_capital
from strategies.base import ENGINE


def trades(positions: pl.DataFrame, rules: BacktestRules) -> pl.DataFrame:
    """Return one row a trade, ascending by symbol and time.

    Columns: symbol, session, direction (+1, -1), entered (stamp of the bar at whose open), entry
    (price), left (stamp of the bar at whose open, or close if `why` is `close` or `ruined`), exit,
    why (`reversal`, `inside`, `close`, `opposite`, `ruined` or `open`), bars (held for), gross,
    cost, net. A position of a running session that is not left yet is `open`: left is null, exit
    the last close, and leaving has not cost anything. `positions` must then be of one symbol.
    """
    ticks = rules.commission_ticks + rules.slippage_ticks
    krw = pl.col("multiplier") * rules.contracts
    trade = pl.col("trade")
    # The bar after a trade's last one is the first of another: these two are enough of each.
    edge = trade.ne_missing(trade.shift(1)) | trade.ne_missing(trade.shift(-1))
    return (
        positions.lazy()
        .with_columns(pl.int_range(pl.len()).alias("row"))
        .filter(edge)
        .with_columns(_at_exit("open", "close", "exit"), _at_exit("timestamp", "timestamp", "left"))
        .with_columns(_at_exit("tick_open", "tick_close", "exit_tick"), _why())
        .with_columns(pl.col("exit").fill_null(pl.col("close")), pl.col("exit_tick").fill_null(0.0))
        .filter(pl.col("position") != 0)
        .group_by("trade", maintain_order=True)
        .agg(
            pl.first("symbol", "session"),
            pl.first("position").alias("direction"),
            pl.first("timestamp").alias("entered"),
            pl.first("open").alias("entry"),
            pl.last("left", "exit", "why"),
            (pl.last("row") - pl.first("row") + 1).alias("bars"),
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
        pl.when("ruined")
        .then(pl.lit("ruined"))
        .when("last")
        .then(pl.lit("close"))
        .when(pl.col("position").shift(-1).is_null())
        .then(pl.lit("open"))
        .when(pl.col("position").shift(-1) == against)
        .then(pl.lit("reversal"))
        .when(pl.col("wanted").shift(-1) == against)
        .then(pl.lit("opposite"))  # too late to enter
        .otherwise(pl.lit("inside"))
        .alias("why")
    )


def tradable_sessions(positions: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of each symbol from the first session on in which it could trade."""
    parts = []
    for part in each_symbol(positions):
        first = part["tradable"].arg_max() or 0
        if part["tradable"][first]:
            parts.append(part.slice(part["session"].search_sorted(part["session"][first])))
    return pl.concat(parts) if parts else positions.clear()


def daily(positions: pl.DataFrame, rules: BacktestRules) -> pl.DataFrame:
    """Return one row a symbol and session of positions that end where the capital is lost.

    Columns: symbol, session, gross, cost, net, trades (begun), value (traded), exposure (share of
    the bars with a position), capital (at the beginning), equity (at the end of the session; 0 of
    the one that ruined), return (net by the equity before; -1 if ruined).
    """
    began = (pl.col("position") != pl.col("before")) & (pl.col("position") != 0)
    equity = pl.col("capital") + pl.col("net").cum_sum().over("symbol")
    earned = pl.col("net") / (pl.col("equity") - pl.col("net"))
    return (
        positions.lazy()
        .group_by("session_number", maintain_order=True)
        .agg(
            pl.first("symbol", "session"),
            pl.sum("gross", "cost"),
            began.sum().cast(pl.Int64).alias("trades"),
            pl.sum("value"),
            (pl.col("position") != 0).mean().alias("exposure"),
            first_capital(rules).alias("capital"),
            pl.any("ruined"),
        )
        .with_columns(
            (pl.col("gross") - pl.col("cost")).alias("net"),
            pl.col("capital").first().over("symbol"),
        )
        .with_columns(equity.alias("equity"))
        .with_columns(pl.when("ruined").then(-1.0).otherwise(earned).alias("return"))
        .with_columns(pl.when("ruined").then(0.0).otherwise("equity").alias("equity"))
        .drop("session_number", "ruined")
        .collect(engine=ENGINE)
    )


def equity(positions: pl.DataFrame, daily: pl.DataFrame) -> pl.DataFrame:
    """Return the equity at the end of each bar: timestamp, symbol, position, equity (0: ruined)."""
    days = daily.select("symbol", "session", "capital")
    net = (pl.col("gross") - pl.col("cost")).cum_sum().over("symbol")
    equity = pl.when("ruined").then(0.0).otherwise(pl.col("capital") + net)
    return positions.join(days, on=["symbol", "session"], maintain_order="left").select(
        "timestamp", "symbol", "position", equity.alias("equity")
    )
