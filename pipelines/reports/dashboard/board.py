"""What the page shows, read from the database in one short read-only transaction."""

from __future__ import annotations

import importlib.resources
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

import polars as pl

from engine.clock import Clock
from engine.history.matrices import long_matrix
from engine.market import sessions
from engine.store.connection import Connection, Cursor, fetch_frame
from engine.store.identifiers import literal

_BARS = "timestamp, symbol, open, high, low, close, volume"
_DAY = timedelta(days=1)
_GRACE = timedelta(minutes=1)  # a bar is no gap before its minute's polling is over


@dataclass(frozen=True)
class Board:
    """Everything at one moment. Times are KST; `now` is the collector's own when it simulates."""

    now: datetime
    components: pl.DataFrame  # SYSTEM_STATUS
    bars_today: pl.DataFrame  # of bars_today.sql, and how many bars are `owed` and `missing`
    counts: dict[str, int]  # open_gaps, rejected, corrected
    signals: pl.DataFrame  # timestamp, symbol, close, trade_signal, reason
    symbol: str | None  # whose chart is shown
    chart_bars: pl.DataFrame
    chart_signals: pl.DataFrame
    summary: dict[str, object] | None  # of the nearest option chain
    cells: pl.DataFrame  # of its last matrix, long


def read_board(connection: Connection, clock: Clock, *, simulated: bool) -> Board:
    """Read the board. Raises StoreUnreachable while the database is away."""
    with connection.transaction(read_only=True) as cursor:
        components = fetch_frame(cursor, _sql("status", "1_heartbeats.sql"))
        now = _now(components, clock, simulated=simulated)
        today = _today(now.date())
        due = literal(now - _GRACE)
        bars = fetch_frame(cursor, _sql("dashboard", "bars_today.sql", **today, due=due))
        bars = _with_owed(bars, now)
        symbol = _chart_symbol(cursor, bars)
        summaries = fetch_frame(cursor, _sql("dashboard", "last_summaries.sql", **today))
        counts = fetch_frame(cursor, _sql("dashboard", "counts_today.sql", **today))
        summary = next(
            summaries.sort("days_to_expiry", nulls_last=True).iter_rows(named=True), None
        )
        return Board(
            now,
            components,
            bars,
            next(counts.iter_rows(named=True)),
            fetch_frame(cursor, _sql("dashboard", "last_signals.sql", **today)),
            symbol,
            fetch_frame(cursor, _of_symbol(_BARS, _table(symbol), symbol, today)),
            fetch_frame(cursor, _of_symbol("*", "dolpha1_signal", symbol, today)),
            summary,
            _cells(cursor, summary),
        )


def _now(components: pl.DataFrame, clock: Clock, *, simulated: bool) -> datetime:
    """Return the moment it is: a simulated day goes by on a clock of its own."""
    newest = components["timestamp"].max()
    return newest if simulated and isinstance(newest, datetime) else clock.now()


def _today(day: date) -> dict[str, str]:
    begin = datetime.combine(day, time())
    return {"begin": literal(begin), "end": literal(begin + _DAY)}


def _with_owed(bars: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """Add how many bars each symbol's session owes by now, and how many of them are missing."""
    due = [_due(symbol, now) for symbol in bars["symbol"]]
    owed = pl.Series("owed", due, pl.Int64)
    return bars.with_columns(owed).with_columns(
        missing=(pl.col("owed") - pl.col("bars_due")).clip(lower_bound=0)
    )


def _due(symbol: str, now: datetime) -> int:
    session = sessions.session_of(symbol, now.date())
    return 0 if session is None else int((session.stamps() <= now - _GRACE).sum())


def _chart_symbol(cursor: Cursor, bars: pl.DataFrame) -> str | None:
    """Return the symbol that dolpha1 runs on today, else any that has bars."""
    query = "SELECT symbol FROM strategy_symbols WHERE strategy = 'dolpha1' ORDER BY since DESC"
    known = [s for s in fetch_frame(cursor, query)["symbol"] if s in set(bars["symbol"])]
    futures = [s for s in bars["symbol"] if sessions.market_of(s) != sessions.Market.STOCKS]
    return next(iter([*known, *futures, *bars["symbol"]]), None)


def _table(symbol: str | None) -> str:
    stock = symbol is not None and sessions.market_of(symbol) is sessions.Market.STOCKS
    return "stocks_1m" if stock else "futures_1m"


def _of_symbol(columns: str, table: str, symbol: str | None, today: dict[str, str]) -> str:
    return (
        f"SELECT {columns} FROM {table} WHERE symbol = {literal(symbol)}"  # noqa: S608 - literals
        f" AND timestamp >= {today['begin']} AND timestamp < {today['end']} ORDER BY timestamp"
    )


def _cells(cursor: Cursor, summary: dict[str, object] | None) -> pl.DataFrame:
    """Return the implied volatilities of the summary's snapshot: ours where we have them."""
    of = summary or {"underlying_symbol": None, "timestamp": None}
    name, at = str(of["underlying_symbol"]), of["timestamp"]
    moment = at if isinstance(at, datetime) else None
    query = (
        "SELECT * FROM option_matrices WHERE metric_type IN ('iv', 'model_iv')"  # noqa: S608
        f" AND underlying_symbol = {literal(name)} AND timestamp = {literal(moment)}"
    )
    return long_matrix(fetch_frame(cursor, query).lazy()).collect()


def _sql(folder: str, name: str, **values: str) -> str:
    file = importlib.resources.files("sql").joinpath(folder).joinpath(name)
    text = file.read_text("utf-8")
    return text.format(**values) if values else text
