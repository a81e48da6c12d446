"""What the page shows, read from the database in one short read-only transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import polars as pl

from engine.clock import Clock
from engine.columns import BARS, TIME
from engine.history.delays import live_delays
from engine.history.matrices import long_matrix
from engine.market.symbols import Stock, parse
from engine.store.connection import Connection, Cursor, fetch_frame
from engine.store.identifiers import identifier, identifiers, literal
from pipelines.evaluation.standing import (
    Ask,
    read_positions,
    read_signals,
    strategies_with_signals,
)
from pipelines.feed import Feed
from pipelines.reports.environment import STALE_AFTER
from pipelines.reports.sql_text import sql_text
from pipelines.reports.standing import (
    Standing,
    begin_of_today,
    present_moment,
    read_standing,
)
from strategies.backtesting.rules import BacktestRules
from strategies.backtesting.standing import standing_positions
from strategies.base import Strategy
from strategies.registry import DEFAULT_STRATEGY, STRATEGIES
from strategies.turns import turns

_BARS_TODAY = pl.Schema(
    [
        ("symbol", pl.String()),
        ("timestamp", TIME),
        ("close", pl.Float64()),
        ("fetched_at", TIME),
        ("committed_at", TIME),
        ("since", TIME),
    ]
)


@dataclass(frozen=True)
class Board:
    """Everything at one moment, KST: that of the clock, or of the simulation. Nothing is later."""

    standing: Standing
    components: pl.DataFrame  # SYSTEM_STATUS
    symbols: pl.DataFrame  # of `_symbols`
    counts: dict[str, int]  # rejected, corrected
    positions: Mapping[str, pl.DataFrame]  # STANDING, by strategy
    last_turns: Mapping[str, pl.DataFrame]  # of trade_signals.sql, newest first, by strategy
    symbol: str | None  # whose chart is shown
    chart_bars: pl.DataFrame
    chart_signals: Mapping[str, pl.DataFrame]  # by strategy; one at least
    summary: dict[str, Any] | None  # of the nearest option chain
    cells: pl.DataFrame  # of its last matrix, long

    @property
    def now(self) -> datetime:
        """The moment of the board."""
        return self.standing.now


LAST_TURNS = 8
QUESTION_TIMEOUT = "10s"  # the page asks again in seconds: a question must not pile up


def read_board(
    connection: Connection,
    clock: Clock,
    *,
    simulated: bool,
    feed: Feed | None = None,
    stale_after: float = STALE_AFTER,
) -> Board:
    """Read the board. Raises StoreUnreachable while the database is away."""
    with connection.transaction(read_only=True) as cursor:
        cursor.execute(f"SET LOCAL statement_timeout = '{QUESTION_TIMEOUT}'")
        ask = partial(fetch_frame, cursor)
        now = present_moment(ask, clock, simulated=simulated)
        standing = read_standing(
            ask, now, simulated=simulated, feed=feed, sessions=1, stale_after=stale_after
        )
        today = _today(now)
        bars = ask(sql_text("dashboard", "bars_today.sql", **today)).cast(_BARS_TODAY)
        symbol = _chart_symbol(cursor, bars["symbol"].unique().sort())
        summaries = ask(sql_text("dashboard", "last_summaries.sql", **today))
        counts = ask(sql_text("dashboard", "counts_today.sql", **today))
        found = strategies_with_signals(ask)
        tables = {strategy.name: strategy.table for strategy in found}
        summary = next(
            summaries.sort("days_to_expiry", nulls_last=True).iter_rows(named=True), None
        )
        return Board(
            standing,
            ask(sql_text("status", "1_heartbeats.sql")),
            _symbols(standing, bars),
            next(counts.iter_rows(named=True)),
            {strategy.name: _standing(ask, strategy, now) for strategy in found},
            _last_turns(cursor, tables, today),
            symbol,
            _bars(cursor, symbol, today),
            _chart_signals(cursor, tables, symbol, today),
            summary,
            _cells(cursor, summary),
        )


def _today(now: datetime) -> dict[str, str]:
    """Return the day so far: what is later (a day that is played again) is not shown."""
    return {"begin": literal(begin_of_today(now)), "now": literal(now)}


def _symbols(standing: Standing, bars: pl.DataFrame) -> pl.DataFrame:
    """Return what is collected today: FIGURES, timestamp, close, delay, usual_delay.

    `timestamp` and `close` are of the last bar (of a chain: the last snapshot, no close), `delay`
    is that bar's in seconds if it was collected live, `usual_delay` the median of all that were.
    """
    delays = live_delays(bars)
    usual = delays.group_by("symbol").agg(usual_delay=pl.col("delay").median())
    is_stored = pl.col("state") == "stored"
    newest = (
        standing.minutes.filter(is_stored).group_by("symbol").agg(timestamp=pl.col("stamp").max())
    )
    return (
        standing.today.join(newest, on="symbol", how="left")
        .join(bars.select("symbol", "timestamp", "close"), on=["symbol", "timestamp"], how="left")
        .join(delays, on=["symbol", "timestamp"], how="left")
        .join(usual, on="symbol", how="left")
        .sort("symbol")
    )


def _standing(ask: Ask, strategy: Strategy[Any], now: datetime) -> pl.DataFrame:
    """Return STANDING: what a strategy holds and has earned today by the backtest's usual rules."""
    rules = BacktestRules()
    signals = read_signals(ask, strategy, now.date(), now)
    return standing_positions(read_positions(ask, signals, strategy, now, rules), rules)


def _last_turns(
    cursor: Cursor, tables: Mapping[str, str], today: dict[str, str]
) -> dict[str, pl.DataFrame]:
    """Return the last turns of every strategy, newest first; without any, an empty frame."""
    return {
        name: turns(
            fetch_frame(
                cursor,
                sql_text("dashboard", "trade_signals.sql", table=identifier(tables[name]), **today),
            )
        )
        .sort("timestamp", "symbol", descending=[True, False])
        .head(LAST_TURNS)
        if name in tables
        else pl.DataFrame()
        for name in STRATEGIES
    }


def _chart_symbol(cursor: Cursor, symbols: pl.Series) -> str | None:
    """Return the symbol with bars today that a strategy ran on last, else any other."""
    query = "SELECT symbol FROM strategy_symbols ORDER BY since DESC, symbol"
    watched = [s for s in fetch_frame(cursor, query)["symbol"] if s in set(symbols)]
    futures = [s for s in symbols if not isinstance(parse(s), Stock)]
    return next(iter([*watched, *futures, *symbols]), None)


def _bars(cursor: Cursor, symbol: str | None, today: dict[str, str]) -> pl.DataFrame:
    if symbol is None:
        return BARS.to_frame()
    return _rows_of(cursor, identifiers(list(BARS)), parse(symbol).table, symbol, today)


def _chart_signals(
    cursor: Cursor, tables: Mapping[str, str], symbol: str | None, today: dict[str, str]
) -> dict[str, pl.DataFrame]:
    """Return the signals of each strategy that has some for the symbol today.

    If none has, those of the default strategy: no rows, but its columns.
    """
    signals = {}
    for name, table in tables.items() if symbol is not None else ():
        rows = _rows_of(cursor, "*", identifier(table), str(symbol), today)
        if rows.height:
            signals[name] = rows
    nothing = pl.Schema(STRATEGIES[DEFAULT_STRATEGY].schema).to_frame()
    return signals or {DEFAULT_STRATEGY: nothing}


def _rows_of(
    cursor: Cursor, columns: str, table: str, symbol: str, today: dict[str, str]
) -> pl.DataFrame:
    return fetch_frame(
        cursor,
        f"SELECT {columns} FROM {table} WHERE symbol = {literal(symbol)}"  # noqa: S608 - quoted
        f" AND timestamp >= {today['begin']} AND timestamp <= {today['now']} ORDER BY timestamp",
    )


def _cells(cursor: Cursor, summary: dict[str, Any] | None) -> pl.DataFrame:
    """Return the implied volatilities of the summary's snapshot, KIS's (iv) and ours (model_iv)."""
    snapshot = summary or {"underlying_symbol": None, "timestamp": None}
    query = (
        "SELECT * FROM option_matrices WHERE metric_type IN ('iv', 'model_iv')"  # noqa: S608
        f" AND underlying_symbol = {literal(snapshot['underlying_symbol'])}"
        f" AND timestamp = {literal(snapshot['timestamp'])}"
    )
    return long_matrix(fetch_frame(cursor, query).lazy()).collect()
