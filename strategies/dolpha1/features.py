"""The features of dolpha1: how far the price is from the open, and how far it usually is then.

After the noise area of Zarattini, Aziz and Barbon, "Beat the Market: An Effective Intraday Momentum
Strategy for S&P500 ETF (SPY)" (2024), with a VWAP filter.
"""

from __future__ import annotations

from functools import cache

import polars as pl

from engine.features import bars as bar
from strategies.dolpha1.params import Dolpha1Params, sessions_needed
from strategies.minutes_from_open import min_from_open


def features(bars: pl.LazyFrame, params: Dolpha1Params | None = None) -> pl.LazyFrame:
    """Return the bars in order with min_from_open, move_open, sigma_open, ub, lb, vwap and atr.

    move_open and sigma_open are fractions of the session's open; the others index points. All are
    null as long as they are not known. Needs timestamp, symbol, open, high, low, close, volume.
    Without `params` they are the defaults.
    """
    params = params or Dolpha1Params()
    return with_bands(without_bands(bars, params), params)


def without_bands(bars: pl.LazyFrame, params: Dolpha1Params) -> pl.LazyFrame:
    """Return `features` without ub and lb: all that is the same for any band_multiplier.

    `highest` and `lowest` are of the session's open and the close before it: what the bands are
    drawn around.
    """
    moves = (
        bar.in_order(bars)
        .with_columns(
            min_from_open().alias("min_from_open"),
            bar.session_open().alias("session_open"),
            bar.previous_session_close().alias("previous_session_close"),
            bar.vwap().alias("vwap"),
            bar.true_range().alias("true_range"),
        )
        .with_columns(
            move_open().alias("move_open"),
            bar.mean_of_bars("true_range", params.atr_period).alias("atr"),
        )
    )
    return with_sigma_open(moves, params).with_columns(
        highest().alias("highest"), lowest().alias("lowest")
    )


def with_bands(features: pl.LazyFrame, params: Dolpha1Params) -> pl.LazyFrame:
    """Add ub and lb."""
    return features.with_columns(upper_band(params).alias("ub"), lower_band(params).alias("lb"))


@cache
def move_open() -> pl.Expr:
    """Return |close / open of the session - 1|."""
    return (bar.quotient(pl.col("close"), pl.col("session_open")) - 1).abs()


def with_sigma_open(moves: pl.LazyFrame, params: Dolpha1Params) -> pl.LazyFrame:
    """Add sigma_open: the mean move at this minute over earlier sessions, never the bar's own.

    With too few of them, the session's last value is used. It is never filled backwards: that would
    tell the morning what only the afternoon knows.
    """
    return bar.with_mean_of_earlier(
        moves,
        "sigma_open",
        "move_open",
        "min_from_open",
        count=params.rolling_move,
        at_least=sessions_needed(params),
    ).with_columns(bar.filled_in_session("sigma_open"))


@cache
def upper_band(params: Dolpha1Params) -> pl.Expr:
    """Return max(open, previous close) · (1 + band_multiplier · sigma_open)."""
    return pl.col("highest") * (1 + params.band_multiplier * pl.col("sigma_open"))


@cache
def lower_band(params: Dolpha1Params) -> pl.Expr:
    """Return min(open, previous close) · (1 - band_multiplier · sigma_open)."""
    return pl.col("lowest") * (1 - params.band_multiplier * pl.col("sigma_open"))


@cache
def highest() -> pl.Expr:
    """Return max(open, previous close) of the session; null without a session before."""
    return _known(pl.max_horizontal("session_open", "previous_session_close"))


@cache
def lowest() -> pl.Expr:
    """Return min(open, previous close) of the session; null without a session before."""
    return _known(pl.min_horizontal("session_open", "previous_session_close"))


def _known(price: pl.Expr) -> pl.Expr:
    """Return the price if there was a session before; max and min ignore a null, so ask for it."""
    return pl.when(pl.col("previous_session_close").is_not_null()).then(price)
