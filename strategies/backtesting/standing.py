"""What a strategy holds now and what the day has earned: a backtest up to this minute."""

from __future__ import annotations

import polars as pl

from strategies.backtesting.results import trades
from strategies.backtesting.rules import BacktestRules

STANDING = pl.Schema(
    [
        ("symbol", pl.String()),
        ("timestamp", pl.Datetime("us")),  # stamp of the newest bar
        ("close", pl.Float64()),  # of that bar
        ("position", pl.Int64()),  # contracts or shares: above 0 long, below 0 short
        ("next_position", pl.Int64()),  # from the open of the next bar on
        ("entered", pl.Datetime("us")),  # stamp of the bar at whose open; null without a position
        ("entry", pl.Float64()),  # the price there
        ("trades", pl.Int64()),  # begun in the session
        ("net", pl.Float64()),  # KRW so far, after costs; an open position at the close
    ]
)


def standing_positions(positions: pl.DataFrame, rules: BacktestRules) -> pl.DataFrame:
    """Return STANDING of one session's `positions_by_signals`, by symbol.

    What is earned equals the backtest of the same bars and signals, at every minute; at the last
    one of the session the position is closed.
    """
    begun = (pl.col("position") != pl.col("before")) & (pl.col("position") != 0)
    closed = pl.col("last").last()
    held = pl.when(closed).then(0).otherwise(pl.col("position").last())
    decided = pl.when(closed).then(0).otherwise(pl.col("decided").last())
    in_trade = pl.col("trade") == pl.col("trade").last()
    return (
        positions.group_by("symbol", maintain_order=True)
        .agg(
            pl.col("timestamp", "close").last(),
            (held * rules.contracts).alias("position"),
            (decided * rules.contracts).alias("next_position"),
            pl.when(held != 0).then(pl.col("timestamp").filter(in_trade).first()).alias("entered"),
            pl.when(held != 0).then(pl.col("open").filter(in_trade).first()).alias("entry"),
            begun.sum().alias("trades"),
            (pl.col("gross") - pl.col("cost")).sum().alias("net"),
        )
        .select(pl.col(name).cast(kind) for name, kind in STANDING.items())
    )


def trades_so_far(positions: pl.DataFrame, rules: BacktestRules) -> pl.DataFrame:
    """Return `results.trades` of a session that may still run, the open one of each symbol too."""
    parts = positions.partition_by("symbol", maintain_order=True)
    return pl.concat([trades(part, rules) for part in (parts or [positions])])
