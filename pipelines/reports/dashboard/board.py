"""What the page shows, read from the database in one short read-only transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

import polars as pl

from engine.clock import Clock
from engine.columns import BARS
from engine.history.matrices import long_matrix
from engine.market.symbols import Stock, parse
from engine.store.connection import Connection, Cursor, fetch_frame
from engine.store.identifiers import identifier, identifiers, literal
from pipelines.reports.sql_text import sql_text
from strategies.registry import DEFAULT_STRATEGY, STRATEGIES

_DAY = timedelta(days=1)
_GRACE = timedelta(minutes=1)  # a bar is not missing before the polling of its minute is over


@dataclass(frozen=True)
class Board:
    """Everything at one moment. Times are KST; `now` is the collector's clock when it simulates."""

    now: datetime
    components: pl.DataFrame  # SYSTEM_STATUS
    bars_today: pl.DataFrame  # of bars_today.sql, with the counts of bars `expected` and `missing`
    counts: dict[str, int]  # open_gaps, rejected, corrected
    last_signals: Mapping[str, pl.DataFrame]  # of last_signals.sql, by strategy
    symbol: str | None  # whose chart is shown
    chart_bars: pl.DataFrame
    chart_signals: Mapping[str, pl.DataFrame]  # by strategy; one at least
    summary: dict[str, Any] | None  # of the nearest option chain
    cells: pl.DataFrame  # of its last matrix, long


def read_board(connection: Connection, clock: Clock, *, simulated: bool) -> Board:
    """Read the board. Raises StoreUnreachable while the database is away."""
    with connection.transaction(read_only=True) as cursor:
        components = fetch_frame(cursor, sql_text("status", "1_heartbeats.sql"))
        now = _now(components, clock, simulated=simulated)
        today = _today(now.date())
        due = literal(now - _GRACE)
        bars = fetch_frame(cursor, sql_text("dashboard", "bars_today.sql", **today, due=due))
        bars = _with_missing(bars, now)
        symbol = _chart_symbol(cursor, bars)
        summaries = fetch_frame(cursor, sql_text("dashboard", "last_summaries.sql", **today))
        counts = fetch_frame(cursor, sql_text("dashboard", "counts_today.sql", **today))
        tables = _signal_tables(cursor)
        summary = next(
            summaries.sort("days_to_expiry", nulls_last=True).iter_rows(named=True), None
        )
        return Board(
            now,
            components,
            bars,
            next(counts.iter_rows(named=True)),
            _last_signals(cursor, tables, today),
            symbol,
            _bars(cursor, symbol, today),
            _chart_signals(cursor, tables, symbol, today),
            summary,
            _cells(cursor, summary),
        )


def _now(components: pl.DataFrame, clock: Clock, *, simulated: bool) -> datetime:
    """Return the current moment; a simulated day has a clock of its own."""
    newest = components["timestamp"].max()
    return newest if simulated and isinstance(newest, datetime) else clock.now()


def _today(day: date) -> dict[str, str]:
    begin = datetime.combine(day, time())
    return {"begin": literal(begin), "end": literal(begin + _DAY)}


def _with_missing(bars: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """Add how many bars of each symbol are expected by now, and how many of them are missing."""
    counts = [
        int((parse(symbol).expected_stamps(now.date()) <= now - _GRACE).sum())
        for symbol in bars["symbol"]
    ]
    return bars.with_columns(pl.Series("expected", counts, pl.Int64)).with_columns(
        missing=(pl.col("expected") - pl.col("bars_due")).clip(lower_bound=0)
    )


def _signal_tables(cursor: Cursor) -> dict[str, str]:
    """Return the table of each registered strategy that has one: it is made with a signal."""
    existing = set(fetch_frame(cursor, sql_text("dashboard", "signal_tables.sql"))["name"])
    return {name: s.table for name, s in STRATEGIES.items() if s.table in existing}


def _last_signals(
    cursor: Cursor, tables: Mapping[str, str], today: dict[str, str]
) -> dict[str, pl.DataFrame]:
    """Return the last trade signals of every strategy; without any, an empty frame."""
    return {
        name: fetch_frame(
            cursor,
            sql_text("dashboard", "last_signals.sql", table=identifier(tables[name]), **today),
        )
        if name in tables
        else pl.DataFrame()
        for name in STRATEGIES
    }


def _chart_symbol(cursor: Cursor, bars: pl.DataFrame) -> str | None:
    """Return the symbol with bars today that a strategy ran on last, else any other."""
    query = "SELECT symbol FROM strategy_symbols ORDER BY since DESC, symbol"
    watched = [s for s in fetch_frame(cursor, query)["symbol"] if s in set(bars["symbol"])]
    futures = [s for s in bars["symbol"] if not isinstance(parse(s), Stock)]
    return next(iter([*watched, *futures, *bars["symbol"]]), None)


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
        f" AND timestamp >= {today['begin']} AND timestamp < {today['end']} ORDER BY timestamp",
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
