"""A backtest in one call."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from engine.errors import InputError
from strategies.backtesting import figures, results
from strategies.backtesting.positions import positions
from strategies.backtesting.rules import Rules
from strategies.base import Params, Strategy


@dataclass(frozen=True)
class Backtest:
    """What a backtest found; the columns are told where the frames are made."""

    trades: pl.DataFrame  # results.trades
    daily: pl.DataFrame  # results.daily
    equity: pl.DataFrame  # results.equity
    figures: pl.DataFrame  # figures.figures


def backtest(
    bars: pl.LazyFrame,
    strategy: Strategy[Any],
    params: Params,
    rules: Rules,
    *,
    start: date | None = None,
) -> Backtest:
    """Trade the strategy on bars (as `Strategy.evaluate` takes them), each symbol on its own.

    Sessions before `start` are warm-up only. Raises InputError where no session is left in which
    the strategy could have traded, and for symbols that are no codes.
    """
    held = positions(bars, strategy, params, rules)
    if start:
        held = held.filter(pl.col("session") >= start)
    of_days = results.daily(held, rules)
    if of_days.is_empty():
        raise InputError(
            f"{strategy.name} had no session in which it could trade; it needs "
            f"{strategy.warm_up_sessions(params)} sessions to warm up on"
        )
    held = held.join(of_days, on=["symbol", "session"], how="semi", maintain_order="left")
    of_trades = results.trades(held, rules)
    return Backtest(
        trades=of_trades,
        daily=of_days,
        equity=results.equity(held, of_days),
        figures=figures.figures(of_days, of_trades),
    )
