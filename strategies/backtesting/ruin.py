"""The end of a backtest that loses its capital: the position is closed, and nothing follows.

Without this a strategy would trade on with money that it owes: returns on an equity below zero
change their sign, and losses become a fine Sharpe ratio.
"""

from __future__ import annotations

import polars as pl

from strategies.backtesting.positions import with_results
from strategies.backtesting.rules import BacktestRules, first_capital


def until_ruin(positions: pl.DataFrame, rules: BacktestRules) -> pl.DataFrame:
    """Return the positions of each symbol up to the bar at whose end its capital is lost.

    `positions` begin with the session from which the capital counts. At that bar's close the
    position is left at the usual costs; the column `ruined` marks the bar. What was lost beyond the
    capital (a bar is the finest step) stays in gross and cost.
    """
    earned = (pl.col("gross") - pl.col("cost")).cum_sum().over("symbol")
    lost = (first_capital(rules).over("symbol") + earned <= 0).cast(pl.Int64)
    bars_since = lost.cum_max().cum_sum().over("symbol")  # 1 at the bar, whatever came after it
    until = positions.with_columns(bars_since=bars_since).filter(pl.col("bars_since") <= 1)
    ruined = pl.col("bars_since") == 1
    ended = until.with_columns(ruined=ruined, last=pl.col("last") | ruined)
    return with_results(ended.drop("bars_since"), rules)
