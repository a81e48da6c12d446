"""A backtest in one call."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from engine.errors import InputError
from strategies.backtesting import figures, results
from strategies.backtesting.positions import positions, positions_on
from strategies.backtesting.ruin import until_ruin
from strategies.backtesting.rules import BacktestRules
from strategies.base import Params, Strategy


@dataclass(frozen=True)
class Backtest:
    """The frames of a backtest; the functions that make them explain their columns."""

    trades: pl.DataFrame  # results.trades
    daily: pl.DataFrame  # results.daily
    equity: pl.DataFrame  # results.equity
    figures: pl.DataFrame  # figures.figures


def backtest(
    bars: pl.LazyFrame,
    strategy: Strategy[Any],
    params: Params,
    rules: BacktestRules,
    *,
    start: date | None = None,
) -> Backtest:
    """Trade the strategy on bars (as `Strategy.evaluate` takes them), each symbol on its own.

    Sessions before `start` are warm-up only. A symbol whose capital is lost is not traded on.
    Raises InputError if no session is left in which the strategy could have traded, and for an
    unknown symbol.
    """
    held = _until_the_end(positions(bars, strategy, params, rules), strategy, params, rules, start)
    daily = results.daily(held, rules)
    trades = results.trades(held, rules)
    return Backtest(
        trades=trades,
        daily=daily,
        equity=results.equity(held, daily),
        figures=figures.figures(daily, trades),
    )


def backtest_figures(
    market: pl.DataFrame,
    signals: pl.LazyFrame,
    strategy: Strategy[Any],
    params: Params,
    rules: BacktestRules,
    *,
    start: date | None = None,
) -> pl.DataFrame:
    """Return the figures of `backtest`, of bars whose `positions.market` is there already.

    `signals` are what the strategy gives for the same bars. Raises InputError as `backtest` does.
    """
    traded = positions_on(market, signals, params, rules)
    held = _until_the_end(traded, strategy, params, rules, start)
    return figures.figures(results.daily(held, rules), results.trades(held, rules))


def _until_the_end(
    bar_positions: pl.DataFrame,
    strategy: Strategy[Any],
    params: Params,
    rules: BacktestRules,
    start: date | None,
) -> pl.DataFrame:
    """Return the positions that count: from the first session to trade in, until ruin."""
    if start:
        bar_positions = bar_positions.filter(pl.col("session") >= start)
    bar_positions = results.tradable_sessions(bar_positions)
    if bar_positions.is_empty():
        raise InputError(
            f"{strategy.name} had no session in which it could trade; it needs "
            f"{strategy.warm_up_sessions(params)} sessions to warm up on"
        )
    return until_ruin(bar_positions, rules)
