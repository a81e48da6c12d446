"""The strategy's features and signals on any frame of bars."""

from __future__ import annotations

import polars as pl

from strategies.dolpha1.features import features
from strategies.dolpha1.params import Dolpha1Params
from strategies.dolpha1.strategy import Dolpha1


def dolpha1_features(bars: pl.LazyFrame, params: Dolpha1Params | None = None) -> pl.LazyFrame:
    """Return the bars with dolpha1's features: bands, VWAP, ATR and what they are made of.

    Needs timestamp, symbol, open, high, low, close, volume. The single expressions are in
    `bar_features` (vwap, true_range …) and `strategies.dolpha1.features` (upper_band …).
    """
    return features(bars, params or Dolpha1Params())


def dolpha1_signals(bars: pl.LazyFrame, params: Dolpha1Params | None = None) -> pl.LazyFrame:
    """Return dolpha1's signal for each bar, as `dolpha1_signal` holds it but for created_at."""
    return Dolpha1().evaluate(bars, params or Dolpha1Params())
