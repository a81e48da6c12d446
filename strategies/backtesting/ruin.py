"""The end of a backtest that loses its capital: the position is closed, and nothing follows.

Without this a strategy would trade on with money that it owes: returns on an equity below zero
change their sign, and losses become a fine Sharpe ratio.
"""

from __future__ import annotations

import polars as pl

from strategies.backtesting.positions import each_symbol, with_results
from strategies.backtesting.rules import BacktestRules, first_capital


def until_ruin(positions: pl.DataFrame, rules: BacktestRules) -> pl.DataFrame:
    """Return the positions of each symbol up to the bar at whose end its capital is lost.

    `positions` begin with the session from which the capital counts. At that bar's close the
    position is left at the usual costs; the column `ruined` marks the bar. What was lost beyond the
    capital (a bar is the finest step) stays in gross and cost.
    """
    parts = [_until_ruin(part, rules) for part in each_symbol(positions)]
    return pl.concat(parts) if parts else positions


def _until_ruin(positions: pl.DataFrame, rules: BacktestRules) -> pl.DataFrame:
    earned = (pl.col("gross") - pl.col("cost")).cum_sum()
    lost = positions.select(first_capital(rules) + earned <= 0).to_series()
    first = lost.arg_max()
    if first is None or not lost[first]:
        return positions
    ruined = pl.int_range(pl.len()) == first
    ended = positions.head(first + 1).with_columns(ruined=ruined, last=pl.col("last") | ruined)
    return with_results(ended, rules)
