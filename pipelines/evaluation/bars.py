"""The bars that a strategy is evaluated on: from a file, or from the database.

A product (A01, or A01_FRONT) means its front month: the contracts in front one after the other,
unadjusted, under the one name A01_FRONT. A contract's code means that contract's own bars.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from engine.columns import BARS
from engine.errors import CalendarRangeError, InputError
from engine.features import adjustment
from engine.history.bar_file import scan_bar_file
from engine.history.bar_file_times import BarTimes, by_session
from engine.history.scan import scan
from engine.market import sessions
from engine.market.nights import session_begins
from engine.market.symbols import FrontMonth, FrontNight, OptionChain, Stock, Symbol, parse
from engine.market.told_once import ToldOnce
from engine.market.trading_days import rules

log = logging.getLogger(__name__)


def read_bar_file(
    path: Path, symbols: Sequence[str] = (), times: BarTimes | None = None
) -> pl.DataFrame:
    """Read a file of bars (`engine.history.bar_file`), with stamps as they are stored.

    `times` says what the times in the file are; else the file is to show it. Rows outside the hours
    of their session are left out. Raises InputError for a file that cannot be read or holds rows
    that cannot be right, and if no bars are left.
    """
    bars = scan_bar_file(path, times=times).select(list(BARS)).collect()
    if symbols:
        codes = [symbol_with_bars(symbol).code for symbol in symbols]
        bars = bars.filter(pl.col("symbol").is_in(codes))
    if bars.is_empty():
        raise InputError(f"{path} has no bars{' of ' + ', '.join(symbols) if symbols else ''}")
    stamped = [
        part.bars.with_columns(part.session.stamp_of_label(pl.col("timestamp")))
        for part in by_session(bars)
        if part.session
    ]
    return pl.concat(stamped).sort("symbol", "timestamp")


def read_stored_bars(
    url: str,
    symbols: Sequence[str],
    start: date | None = None,
    end: date | None = None,
    *,
    warm_up: int = 0,
    adjusted: bool = False,
) -> pl.DataFrame:
    """Read the bars of symbols from `warm_up` sessions before start to end, both included.

    Without start or end, from the first or to the last bar. `adjusted`: those of stocks are one
    series over corporate actions (`engine.features.adjustment`), without the bars of files of which
    nobody knows whether they are adjusted. Raises InputError for an unknown symbol and if there are
    no bars, StoreError if the database does not answer.
    """
    last = end or rules()["last_day"]
    parts = [
        _stored_bars(url, symbol, warm_up_start(symbol, start, warm_up), last, adjusted=adjusted)
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
    if isinstance(symbol, ToldOnce):
        raise InputError(f"{symbol} is not an instrument: it has no bars")
    return symbol


def _stored_bars(
    url: str, symbol: Symbol, start: date, end: date, *, adjusted: bool
) -> pl.DataFrame:
    if isinstance(symbol, FrontNight):
        raise InputError(f"{symbol} means several contracts: name one, such as A01612_NIGHT")
    first = session_begins(symbol.code, start)
    until = session_begins(symbol.code, end + timedelta(days=1))
    in_time = pl.col("timestamp").is_between(first, until, closed="left")
    table = scan(symbol.table, url).filter(in_time)
    if not isinstance(symbol, FrontMonth):
        own = table.filter(pl.col("symbol") == symbol.code)
        if adjusted and isinstance(symbol, Stock):
            return _adjusted(own, url, symbol)
        return own.select(list(BARS)).collect()
    table = table.select(list(BARS))
    fronts = symbol.contracts(start, end)
    bars = table.filter(pl.col("symbol").is_in(fronts["symbol"].to_list())).collect()
    in_front = pl.col("timestamp").dt.date().is_between("first_day", "last_day")
    return (
        bars.join(fronts, on="symbol")
        .filter(in_front)
        .select(list(BARS))
        .with_columns(pl.lit(symbol.code).alias("symbol"))
    )


def _adjusted(bars: pl.LazyFrame, url: str, symbol: Stock) -> pl.DataFrame:
    actions = scan("adjustments", url).filter(pl.col("symbol") == symbol.code)
    found = adjustment.adjusted(bars, actions.select(list(adjustment.ACTIONS)).collect()).collect()
    known = found.drop_nulls("adjustment")
    if left_out := found.height - known.height:
        log.warning(
            "⚠️ %s: %d bars of a file before a corporate action are left out: whether they are"
            " adjusted is not known",
            symbol,
            left_out,
        )
    return known.select(pl.col(name).cast(kind) for name, kind in BARS.items())


def warm_up_start(symbol: Symbol, start: date | None, count: int) -> date:
    """Return the day so many sessions before start, but not before the calendar begins."""
    first_known: date = rules()["first_day"]
    if start is None:
        return first_known
    try:
        return [*sessions.previous_sessions(symbol.market, start, count), start][0]
    except CalendarRangeError:
        return first_known
