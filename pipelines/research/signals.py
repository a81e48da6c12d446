"""The signals of any strategy on any frame of bars."""

from __future__ import annotations

import polars as pl

from strategies.base import Params
from strategies.registry import DEFAULT_STRATEGY, strategy_named


def strategy_signals(
    bars: pl.LazyFrame, strategy: str = DEFAULT_STRATEGY, params: Params | None = None
) -> pl.LazyFrame:
    """Return a strategy's signal for each bar: the columns of its table without created_at.

    Needs timestamp, symbol, open, high, low, close, volume. Without `params` they are the defaults,
    as in the live day. Raises InputError for an unknown strategy.
    """
    chosen = strategy_named(strategy)
    return chosen.evaluate(bars, params or chosen.params())


def dolpha1_signals(bars: pl.LazyFrame, params: Params | None = None) -> pl.LazyFrame:
    """Return dolpha1's signal for each bar; see `strategy_signals`."""
    return strategy_signals(bars, "dolpha1", params)
