"""From signals to positions, bar by bar.

A signal is known when its bar is over, so it is filled at the next bar's open: long on +1, short on
-1, whatever the position was. `exit="inside"` also closes it if the close is back inside the bands
at an observation. Each session ends flat, at the close of its last bar; no position is opened at
that bar. Between these decisions a position does not change, so it is the last decision carried
forward: no loop over the bars.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import polars as pl

from engine.features.bars import in_order
from strategies.backtesting.rules import BacktestRules, terms, tick_at
from strategies.base import ENGINE, Params, Strategy, is_observation


def positions(
    bars: pl.LazyFrame, strategy: Strategy[Any], params: Params, rules: BacktestRules
) -> pl.DataFrame:
    """Return `positions_by_signals` of the signals that the strategy gives for the bars."""
    return positions_by_signals(bars, strategy.evaluate(bars, params), params, rules)


def positions_by_signals(
    bars: pl.LazyFrame,
    signals: pl.LazyFrame,
    params: Params,
    rules: BacktestRules,
    *,
    running: Collection[str] = (),
) -> pl.DataFrame:
    """Return one row a bar with the position over it and what that earned.

    `running` are the symbols whose newest session is not over: its newest bar is not its last, so
    nothing is closed there.

    Columns: timestamp, symbol, session, open, close, tradable (the strategy has a band), position
    (-1, 0, +1 while the bar lasts), before (while the bar before lasted), decided (from the next
    bar on; null before the first decision), last (of the session), multiplier, tick_open,
    tick_close; in KRW gross, cost, value (traded); trade (a number that is the same for the bars of
    a trade); ruined (false; see `ruin`). Raises InputError for an unknown symbol.
    """
    signals = signals.select("timestamp", "symbol", "trade_signal", "ub", "lb")
    ordered = in_order(bars).collect(engine=ENGINE)
    symbols = ordered["symbol"].unique().sort().to_list()
    return (
        ordered.lazy()
        .join(signals, on=["timestamp", "symbol"], maintain_order="left")
        .with_columns(_decision(params, rules).alias("target"))
        .with_columns(pl.col("target").forward_fill().over("session_number"))
        .with_columns(_last(running).alias("last"), _previous("target").alias("wanted"))
        .with_columns(_without_late_entry().alias("position"))
        .with_columns(
            _previous("position").alias("before"),
            pl.struct("session_number", "position").rle_id().alias("trade"),
            pl.col("ub").is_not_null().alias("tradable"),
            pl.col("target").alias("decided"),
            tick_at("open", symbols).alias("tick_open"),
            tick_at("close", symbols).alias("tick_close"),
        )
        .join(terms(symbols).lazy(), on="symbol", maintain_order="left")
        .with_columns(_gross(rules), _cost(rules), _value(rules), ruined=pl.lit(value=False))
        .select(
            "timestamp",
            "symbol",
            "session",
            "open",
            "close",
            "tradable",
            "wanted",
            "position",
            "before",
            "decided",
            "last",
            "multiplier",
            "tick_open",
            "tick_close",
            "gross",
            "cost",
            "value",
            "trade",
            "ruined",
        )
        .collect(engine=ENGINE)
    )


def with_results(positions: pl.DataFrame, rules: BacktestRules) -> pl.DataFrame:
    """Return the positions with cost and value computed again: their last bars have changed."""
    return positions.with_columns(_cost(rules), _value(rules))


def _decision(params: Params, rules: BacktestRules) -> pl.Expr:
    """Return the position that is wanted from the next bar on; null if nothing is decided."""
    signal = pl.when(pl.col("trade_signal") != 0).then("trade_signal")
    if rules.exit == "opposite":
        return signal
    inside = pl.col("close").is_between("lb", "ub") & is_observation(params)
    return pl.coalesce(signal, pl.when(inside).then(pl.lit(0, pl.Int64)))


def _previous(column: str) -> pl.Expr:
    """Return the column at the previous bar of the session; 0 at its first bar."""
    return pl.col(column).fill_null(0).shift(1, fill_value=0).over("session_number")


def _last(running: Collection[str]) -> pl.Expr:
    over = pl.col("session_number").ne_missing(pl.col("session_number").shift(-1))
    if not running:
        return over
    newest = pl.col("symbol").ne_missing(pl.col("symbol").shift(-1))
    return over & ~(newest & pl.col("symbol").is_in(list(running)))


def _without_late_entry() -> pl.Expr:
    """Return the position, but none opened at a session's last bar, where it would end at once."""
    changed = pl.col("wanted") != pl.col("wanted").shift(1, fill_value=0)
    return pl.when(pl.col("last") & changed).then(0).otherwise("wanted")


def _contracts_traded() -> pl.Expr:
    return (pl.col("position") - pl.col("before")).abs()


def _contracts_closed() -> pl.Expr:
    return pl.when(pl.col("last")).then(pl.col("position").abs()).otherwise(0)


def _krw(rules: BacktestRules) -> pl.Expr:
    return pl.col("multiplier") * rules.contracts


def _gross(rules: BacktestRules) -> pl.Expr:
    """Return what the bar earned: until its open with the position before, then with its own."""
    to_open = pl.col("before") * (pl.col("open") - pl.col("previous_close")).fill_null(0)
    within = pl.col("position") * (pl.col("close") - pl.col("open"))
    return ((to_open + within) * _krw(rules)).alias("gross")


def _cost(rules: BacktestRules) -> pl.Expr:
    ticks = rules.commission_ticks + rules.slippage_ticks
    points = _contracts_traded() * pl.col("tick_open") + _contracts_closed() * pl.col("tick_close")
    return (points * ticks * _krw(rules)).alias("cost")


def _value(rules: BacktestRules) -> pl.Expr:
    points = _contracts_traded() * pl.col("open") + _contracts_closed() * pl.col("close")
    return (points * _krw(rules)).alias("value")
