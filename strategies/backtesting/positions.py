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


def market(bars: pl.LazyFrame) -> pl.DataFrame:
    """Return the bars in order with what trading on them needs, whatever the strategy.

    Columns: those of `in_order`, first and last (of the session), multiplier, tick_open,
    tick_close. Raises InputError for an unknown symbol.
    """
    ordered = (
        in_order(bars)
        .with_columns(pl.col("session_number").set_sorted())  # found by slices, not by a search
        .collect(engine=ENGINE)
    )
    symbols = ordered["symbol"].unique().sort().to_list()
    return _with_ends(
        ordered.join(terms(symbols), on="symbol", maintain_order="left")
    ).with_columns(
        tick_at("open", symbols).alias("tick_open"), tick_at("close", symbols).alias("tick_close")
    )


def positions_by_signals(
    bars: pl.LazyFrame,
    signals: pl.LazyFrame,
    params: Params,
    rules: BacktestRules,
    *,
    running: Collection[str] = (),
) -> pl.DataFrame:
    """Return `positions_on` the market of the bars."""
    return positions_on(market(bars), signals, params, rules, running=running)


def positions_on(
    market: pl.DataFrame,
    signals: pl.LazyFrame,
    params: Params,
    rules: BacktestRules,
    *,
    running: Collection[str] = (),
) -> pl.DataFrame:
    """Return one row a bar with the position over it and what that earned.

    `market` is that of the bars, `signals` the strategy's rows for them; bars without one are left
    out. `running` are the symbols whose newest session is not over: its newest bar is not its last,
    so nothing is closed there.

    Columns: timestamp, symbol, session, session_number (one count for all symbols), open, close,
    tradable (the strategy has a band), position (-1, 0, +1 while the bar lasts), before (while the
    bar before lasted), decided (from the next bar on), last (of the session), multiplier,
    tick_open, tick_close; in KRW gross, cost, value (traded); trade (a number that is the same for
    the bars of a trade); ruined (false; see `ruin`).
    """
    wanted = signals.select("timestamp", "symbol", "trade_signal", "ub", "lb")
    return (
        _beside(market, wanted.collect(engine=ENGINE))
        .lazy()
        .with_columns(_decided(params, rules).alias("target"))
        .with_columns(pl.col("target").forward_fill())
        .with_columns(_last(running), _previous("target").alias("wanted"))
        .with_columns(_without_late_entry().alias("position"))
        .with_columns(
            _previous("position").alias("before"),
            _trade().alias("trade"),
            pl.col("ub").is_not_null().alias("tradable"),
            pl.col("target").alias("decided"),
        )
        .with_columns(_gross(rules), _cost(rules), _value(rules), ruined=pl.lit(value=False))
        .select(
            "timestamp",
            "symbol",
            "session",
            "session_number",
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


def _beside(market: pl.DataFrame, signals: pl.DataFrame) -> pl.DataFrame:
    """Add the signals to the rows of the market: without a search where there is one for each."""
    keys = ["timestamp", "symbol"]
    if signals.height == market.height and all(signals[k].equals(market[k]) for k in keys):
        return market.hstack(signals.drop(keys))
    kept = market.join(signals, on=keys, maintain_order="left")
    # What a bar that is left out moved belongs to the one after it; nothing is held into a session.
    return _with_ends(kept.with_columns(previous_close=pl.col("close").shift(1)))


def _with_ends(bars: pl.DataFrame) -> pl.DataFrame:
    """Add which bars are the first and the last of their session, and session_start."""
    number, row = pl.col("session_number"), pl.int_range(pl.len())
    return bars.with_columns(
        number.ne_missing(number.shift(1)).alias("first"),
        number.ne_missing(number.shift(-1)).alias("last"),
    ).with_columns(pl.when("first").then(row).forward_fill().alias("session_start"))


def each_symbol(positions: pl.DataFrame) -> list[pl.DataFrame]:
    """Return the rows of each symbol; nothing is copied."""
    counts = positions["symbol"].rle().struct.field("len").to_list()
    return [positions.slice(sum(counts[:n]), count) for n, count in enumerate(counts)]


def with_results(positions: pl.DataFrame, rules: BacktestRules) -> pl.DataFrame:
    """Return the positions with cost and value computed again: their last bars have changed."""
    return positions.with_columns(_cost(rules), _value(rules))


def _decided(params: Params, rules: BacktestRules) -> pl.Expr:
    """Return the decision; 0 at a session's first bar without a decision: it begins flat."""
    decision = _decision(params, rules)
    return pl.when(pl.col("first") & decision.is_null()).then(0).otherwise(decision)


def _decision(params: Params, rules: BacktestRules) -> pl.Expr:
    """Return the position that is wanted from the next bar on; null if nothing is decided."""
    signal = pl.when(pl.col("trade_signal") != 0).then("trade_signal")
    if rules.exit == "opposite":
        return signal
    inside = pl.col("close").is_between("lb", "ub") & is_observation(params)
    return pl.coalesce(signal, pl.when(inside).then(pl.lit(0, pl.Int64)))


def _previous(column: str) -> pl.Expr:
    """Return the column at the previous bar of the session; 0 at its first bar."""
    before = pl.col(column).fill_null(0).shift(1, fill_value=0)
    return pl.when("first").then(0).otherwise(before)


def _trade() -> pl.Expr:
    """Return a number that counts up where a position or a session begins."""
    begins = pl.col("first") | (pl.col("position") != pl.col("position").shift(1))
    return begins.cum_sum().set_sorted()


def _last(running: Collection[str]) -> pl.Expr:
    if not running:
        return pl.col("last")
    newest = pl.col("symbol").ne_missing(pl.col("symbol").shift(-1))
    return pl.col("last") & ~(newest & pl.col("symbol").is_in(list(running)))


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
