"""The bars that a strategy is tried on: from a file as KIS labels it, or from the database.

A product (A01, or A01_FRONT) means its front month: the contracts in front one after the other,
unadjusted, under the one name A01_FRONT. A contract's code means that contract's own bars.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path

import polars as pl

from engine.errors import CalendarRangeError, InputError
from engine.history.bar_file import scan_bars
from engine.history.scan import scan
from engine.market import instruments, sessions
from engine.market.sessions import Market, Session
from engine.market.trading_days import rules

FRONT = "_FRONT"
COLUMNS = ("timestamp", "symbol", "open", "high", "low", "close", "volume")


def read_bar_file(path: Path, symbols: Sequence[str] = ()) -> pl.DataFrame:
    """Read a Parquet file of bars labelled as KIS labels them, and turn the labels into stamps.

    Needs the columns symbol, timestamp, open, high, low, close, volume. Rows that no session owes
    are left out. Raises InputError for a file that cannot be read, lacks a column, or holds a
    symbol that is no code, and where nothing is left.
    """
    bars = scan_bars(path, COLUMNS).collect()
    if symbols:
        bars = bars.filter(pl.col("symbol").is_in([_name(symbol) for symbol in symbols]))
    pairs = bars.select("symbol", pl.col("timestamp").dt.date().alias("day")).unique()
    of: dict[Session, list[tuple[str, date]]] = {}
    for symbol, day in pairs.iter_rows():
        if session := sessions.session_of(symbol, day):
            of.setdefault(session, []).append((symbol, day))
    stamped = [_stamped(bars, session, owners) for session, owners in of.items()]
    if not any(part.height for part in stamped):
        raise InputError(f"{path} has no bars{' of ' + ', '.join(symbols) if symbols else ''}")
    return pl.concat(stamped).sort("symbol", "timestamp")


def _stamped(bars: pl.DataFrame, session: Session, owners: list[tuple[str, date]]) -> pl.DataFrame:
    of_session = (pl.col("timestamp").dt.date() == session.date) & pl.col("symbol").is_in(
        [symbol for symbol, _ in owners]
    )
    stamp = session.stamp_of_label(pl.col("timestamp"))
    return bars.filter(of_session).with_columns(stamp).drop_nulls("timestamp")


def read_stored_bars(
    url: str,
    symbols: Sequence[str],
    start: date | None = None,
    end: date | None = None,
    *,
    warm_up: int = 0,
) -> pl.DataFrame:
    """Read the bars of symbols from `warm_up` sessions before start to end, both included.

    Without start or end as far as there are any. Raises InputError for what is no code and where
    there are no bars, StoreError if the database does not answer.
    """
    last = end or rules()["last_day"]
    parts = [
        _stored(url, name, _before(name, start, warm_up), last) for name in map(_name, symbols)
    ]
    bars = pl.concat(parts).sort("symbol", "timestamp")
    if bars.is_empty():
        when = f"{f' from {start}' if start else ''}{f' to {end}' if end else ''}"
        raise InputError(
            f"the database has no bars of {', '.join(symbols)}{when};"
            " fetch them with `just backfill`"
        )
    return bars


def _stored(url: str, name: str, start: date, end: date) -> pl.DataFrame:
    table = "stocks_1m" if instruments.is_stock(name) else "futures_1m"
    if not instruments.is_front(name):
        return _between(scan(table, url), [name], start, end).collect()
    fronts = instruments.front_months(name[:3], start, end)
    bars = _between(scan(table, url), fronts["symbol"], start, end).collect()
    in_front = pl.col("timestamp").dt.date().is_between("first_day", "last_day")
    return (
        bars.join(fronts, on="symbol")
        .filter(in_front)
        .select(*COLUMNS)
        .with_columns(pl.lit(name).alias("symbol"))
    )


def _between(table: pl.LazyFrame, symbols: Iterable[str], start: date, end: date) -> pl.LazyFrame:
    first = datetime.combine(start, time())
    until = datetime.combine(end, time()) + timedelta(days=1)
    return table.filter(
        pl.col("symbol").is_in(list(symbols)),
        pl.col("timestamp").is_between(first, until, closed="left"),
    ).select(*COLUMNS)


def _name(symbol: str) -> str:
    """Return the name of a symbol's series: of a product that of its front month."""
    if len(symbol) == len("A01"):
        return f"{instruments.product(symbol).prefix}{FRONT}"
    return instruments.validate_symbol(symbol)


def _before(name: str, day: date | None, count: int) -> date:
    """Return the day so many sessions before, but no day that the calendar does not know."""
    known: date = rules()["first_day"]
    if day is None:
        return known
    market = Market.STOCKS if instruments.is_stock(name) else Market.DERIVATIVES
    try:
        return [*sessions.previous_sessions(market, day, count), day][0]
    except CalendarRangeError:
        return known
