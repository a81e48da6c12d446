"""The bars that a strategy is evaluated on: from a file of KIS's labels, or from the database.

A product (A01, or A01_FRONT) means its front month: the contracts in front one after the other,
unadjusted, under the one name A01_FRONT. A contract's code means that contract's own bars.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path

import polars as pl

from engine.columns import BARS
from engine.errors import CalendarRangeError, InputError
from engine.history.bar_file import scan_bars
from engine.history.scan import scan
from engine.market import sessions
from engine.market.sessions import Session
from engine.market.symbols import FrontMonth, OptionChain, Symbol, parse
from engine.market.trading_days import rules


def read_bar_file(path: Path, symbols: Sequence[str] = ()) -> pl.DataFrame:
    """Read a Parquet file of bars labelled as KIS labels them, and turn the labels into stamps.

    Needs the columns symbol, timestamp, open, high, low, close, volume. Rows outside the hours of
    their session are left out. Raises InputError for a file that cannot be read, lacks a column or
    holds an unknown symbol, and if no bars are left.
    """
    bars = scan_bars(path, tuple(BARS)).collect()
    if symbols:
        codes = [symbol_with_bars(symbol).code for symbol in symbols]
        bars = bars.filter(pl.col("symbol").is_in(codes))
    pairs = bars.select("symbol", pl.col("timestamp").dt.date().alias("day")).unique()
    symbols_of: defaultdict[Session, list[str]] = defaultdict(list)
    for symbol, day in pairs.iter_rows():
        if session := parse(symbol).session(day):
            symbols_of[session].append(symbol)
    stamped = [_with_stamps(bars, session, codes) for session, codes in symbols_of.items()]
    if not any(part.height for part in stamped):
        raise InputError(f"{path} has no bars{' of ' + ', '.join(symbols) if symbols else ''}")
    return pl.concat(stamped).sort("symbol", "timestamp")


def _with_stamps(bars: pl.DataFrame, session: Session, symbols: list[str]) -> pl.DataFrame:
    in_session = pl.col("timestamp").dt.date() == session.date
    stamp = session.stamp_of_label(pl.col("timestamp"))
    rows = bars.filter(in_session, pl.col("symbol").is_in(symbols))
    return rows.with_columns(stamp).drop_nulls("timestamp")


def read_stored_bars(
    url: str,
    symbols: Sequence[str],
    start: date | None = None,
    end: date | None = None,
    *,
    warm_up: int = 0,
) -> pl.DataFrame:
    """Read the bars of symbols from `warm_up` sessions before start to end, both included.

    Without start or end, from the first or to the last bar. Raises InputError for an unknown symbol
    and if there are no bars, StoreError if the database does not answer.
    """
    last = end or rules()["last_day"]
    parts = [
        _stored_bars(url, symbol, _warm_up_start(symbol, start, warm_up), last)
        for symbol in map(symbol_with_bars, symbols)
    ]
    bars = pl.concat(parts).sort("symbol", "timestamp")
    if bars.is_empty():
        when = f"{f' from {start}' if start else ''}{f' to {end}' if end else ''}"
        raise InputError(
            f"the database has no bars of {', '.join(symbols)}{when};"
            " fetch them with `just backfill`"
        )
    return bars


def symbol_with_bars(text: str) -> Symbol:
    """Return the symbol that a text means. Raises InputError for an option chain, too."""
    symbol = parse(text)
    if isinstance(symbol, OptionChain):
        raise InputError(f"{symbol} is an option chain: it has no bars")
    return symbol


def _stored_bars(url: str, symbol: Symbol, start: date, end: date) -> pl.DataFrame:
    table = scan(symbol.table, url)
    if not isinstance(symbol, FrontMonth):
        return _between(table, [symbol.code], start, end).collect()
    fronts = symbol.contracts(start, end)
    bars = _between(table, fronts["symbol"], start, end).collect()
    in_front = pl.col("timestamp").dt.date().is_between("first_day", "last_day")
    return (
        bars.join(fronts, on="symbol")
        .filter(in_front)
        .select(list(BARS))
        .with_columns(pl.lit(symbol.code).alias("symbol"))
    )


def _between(table: pl.LazyFrame, symbols: Iterable[str], start: date, end: date) -> pl.LazyFrame:
    first = datetime.combine(start, time())
    until = datetime.combine(end, time()) + timedelta(days=1)
    return table.filter(
        pl.col("symbol").is_in(list(symbols)),
        pl.col("timestamp").is_between(first, until, closed="left"),
    ).select(list(BARS))


def _warm_up_start(symbol: Symbol, start: date | None, count: int) -> date:
    """Return the day so many sessions before start, but not before the calendar begins."""
    first_known: date = rules()["first_day"]
    if start is None:
        return first_known
    try:
        return [*sessions.previous_sessions(symbol.market, start, count), start][0]
    except CalendarRangeError:
        return first_known
