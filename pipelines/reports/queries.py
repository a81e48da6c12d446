"""What pictures and the notebook ask the database, whose URL they give.

Times are KST without zone; a day is a session's date.
"""

from __future__ import annotations

import importlib.resources
from datetime import date, datetime, time, timedelta

import polars as pl

from engine.errors import InputError
from engine.history.matrices import long_matrix
from engine.history.scan import query, scan
from engine.market import instruments, sessions
from engine.market.expected import SESSIONS, expected_sessions, expected_stamps
from engine.market.symbols import parse
from strategies.dolpha1.params import Dolpha1Params
from strategies.dolpha1.strategy import Dolpha1

_BARS = ["timestamp", "symbol", "open", "high", "low", "close", "volume"]
_DAY = timedelta(days=1)


def last_bars(url: str) -> pl.DataFrame:
    """Return each symbol's last bar: table_name, symbol, timestamp, close, volume, committed_at."""
    return query(url, _sql("status", "2_last_bars.sql"))


def newest_day(url: str) -> date:
    """Return the date of the newest bar. Raises InputError where there is none."""
    newest = last_bars(url)["timestamp"].max()
    if not isinstance(newest, datetime):
        raise InputError("the database holds no bars yet: collect a day with `just live`")
    return newest.date()


def symbol_of(day: date, symbol: str | None) -> str:
    """Return the code that is meant: of a product (A01) its front month, of nothing A01's."""
    name = symbol or "A01"
    code = instruments.front_month(name, day) if len(name) == 3 else name
    return instruments.contract_on(instruments.validate_symbol(code), day)


def bars_of_day(url: str, symbol: str, day: date) -> pl.DataFrame:
    """Return a session's bars. Raises InputError where there are none."""
    bars = _bars(url, symbol, day, day).collect()
    if bars.is_empty():
        raise InputError(f"the database holds no bars of {symbol} on {day}")
    return bars


def signals_of_day(url: str, symbol: str, day: date) -> pl.DataFrame:
    """Return dolpha1's signals of a session as they were given; else as they would have been."""
    given = scan("dolpha1_signal", url).filter(pl.col("symbol") == symbol, *_on(day)).collect()
    if given.height:
        return given
    needed = Dolpha1().warm_up_sessions(Dolpha1Params())
    earlier = sessions.previous_sessions(sessions.market_of(symbol), day, needed)
    bars = _bars(url, symbol, min(earlier, default=day), day)
    return Dolpha1().evaluate(bars, Dolpha1Params()).filter(*_on(day)).collect()


def maturities(url: str, day: date, series: str) -> list[str]:
    """Return the underlying_symbols of a series with snapshots on the day, nearest first.

    Raises InputError where there is none.
    """
    name = instruments.option_series(series).name
    symbol = pl.col("underlying_symbol")
    of_series = symbol.str.ends_with(f"_{name}") & (symbol.str.len_chars() == len(name) + 7)
    found = scan("option_summary", url).filter(of_series, *_on(day)).select(symbol.unique())
    symbols = found.collect().to_series().sort().to_list()
    if not symbols:
        raise InputError(f"the database holds no snapshots of {series} options on {day}")
    return symbols


def chain_at(
    url: str, underlying_symbols: list[str], day: date, minute: time | None
) -> pl.DataFrame:
    """Return the last boards of the day, or until the minute; raises InputError without any."""
    moment = summaries_at(url, underlying_symbols, day, minute)["timestamp"].max()
    wanted = pl.col("underlying_symbol").is_in(underlying_symbols), pl.col("timestamp") == moment
    return scan("option_chain_raw", url).filter(*wanted).collect()


def summaries_at(
    url: str, underlying_symbols: list[str], day: date, minute: time | None
) -> pl.DataFrame:
    """Return the last summaries of the day, or until the minute; raises InputError without any."""
    until = [] if minute is None else [pl.col("timestamp") <= datetime.combine(day, minute)]
    wanted = pl.col("underlying_symbol").is_in(underlying_symbols)
    found = scan("option_summary", url).filter(wanted, *_on(day), *until).collect()
    if found.is_empty():
        raise InputError(f"the database holds no option board on {day} until {minute}")
    return found.filter(pl.col("timestamp") == pl.col("timestamp").max())


def matrix_of_day(url: str, underlying_symbol: str, metric: str, day: date) -> pl.DataFrame:
    """Return a metric of the matrix through a day, long. Raises InputError where there is none."""
    wanted = pl.col("underlying_symbol") == underlying_symbol, pl.col("metric_type") == metric
    cells = long_matrix(scan("option_matrices", url).filter(*wanted, *_on(day))).collect()
    if cells["value"].drop_nulls().is_empty():
        raise InputError(f"the matrix of {underlying_symbol} has no {metric} on {day}")
    return cells


def summary_of_day(url: str, underlying_symbol: str, day: date) -> pl.DataFrame:
    """Return what is read off a chain, through a day."""
    wanted = pl.col("underlying_symbol") == underlying_symbol
    return scan("option_summary", url).filter(wanted, *_on(day)).collect()


def coverage(url: str, first: date, last: date) -> pl.DataFrame:
    """Return symbol, session, owed, stored of the bars of all symbols, from first to last session.

    A symbol is owed from its first to its last session of which anything is known in that span:
    a bar, or a row of the gap ledger.
    """
    stamps = [
        scan(table, url, order_by=()).filter(*_between(first, last)).select("symbol", "timestamp")
        for table in ("futures_1m", "stocks_1m")
    ]
    stored = pl.concat(stamps).collect()
    gaps = scan("gaps", url).filter(pl.col("session").is_between(first, last))
    known = pl.concat(
        [
            stored.select("symbol", pl.col("timestamp").dt.date().alias("session")),
            gaps.filter(pl.col("market") != "chain").select("symbol", "session").collect(),
        ]
    )
    spans = known.group_by("symbol").agg(
        first=pl.col("session").min(), last=pl.col("session").max()
    )
    return _counted(_owed(spans), stored)


def findings(url: str) -> pl.DataFrame:
    """Return what validation has left in the books, newest first: symbol, session, what, detail.

    Open gaps of the ledger, sessions that a validation found fault with, corrected sessions.
    """
    return query(url, _sql("research", "findings.sql"))


def _owed(spans: pl.DataFrame) -> pl.DataFrame:
    known = [expected_sessions([symbol], first, last) for symbol, first, last in spans.iter_rows()]
    return expected_stamps(pl.concat([SESSIONS.to_frame(), *known]))


def _counted(owed: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    found = stored.with_columns(stored=pl.lit(value=True)).rename({"timestamp": "stamp"})
    return (
        owed.join(found.unique(), on=["symbol", "stamp"], how="left")
        .group_by("symbol", "session")
        .agg(pl.len().cast(pl.Int64).alias("owed"), pl.col("stored").count().cast(pl.Int64))
        .sort("symbol", "session")
    )


def _bars(url: str, symbol: str, first: date, last: date) -> pl.LazyFrame:
    of_symbol = scan(parse(symbol).table, url).filter(pl.col("symbol") == symbol)
    return of_symbol.filter(*_between(first, last)).select(_BARS)


def _on(day: date) -> list[pl.Expr]:
    return _between(day, day)


def _between(first: date, last: date) -> list[pl.Expr]:
    begin, end = datetime.combine(first, time()), datetime.combine(last, time()) + _DAY
    return [pl.col("timestamp") >= begin, pl.col("timestamp") < end]


def _sql(folder: str, name: str) -> str:
    return importlib.resources.files("sql").joinpath(folder).joinpath(name).read_text("utf-8")
