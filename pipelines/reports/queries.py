"""What pictures and the notebook read from the database at a URL.

Times are KST without zone; a day is the date of a session.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from functools import partial

import polars as pl

from engine.columns import BARS
from engine.errors import InputError
from engine.history.matrices import long_matrix
from engine.history.scan import query, scan
from engine.history.told_once import with_flows, with_state
from engine.market import sessions
from engine.market.products import option_series
from engine.market.symbols import FrontMonth, Symbol, chains_of
from pipelines.evaluation.bars import symbol_with_bars
from pipelines.evaluation.standing import strategies_with_signals
from pipelines.reports.sql_text import sql_text
from pipelines.reports.standing import read_figures
from strategies.registry import DEFAULT_STRATEGY, strategy_named

DEFAULT_SYMBOL = "A01"  # the front month of the KOSPI200 future

_DAY = timedelta(days=1)


def last_bars(url: str) -> pl.DataFrame:
    """Return each symbol's last bar: table_name, symbol, timestamp, close, volume, committed_at."""
    return query(url, sql_text("status", "2_last_bars.sql"))


def newest_day(url: str) -> date:
    """Return the date of the newest bar. Raises InputError if no bar is stored."""
    newest = last_bars(url)["timestamp"].max()
    if not isinstance(newest, datetime):
        raise InputError("the database holds no bars yet: collect a day with `just live`")
    return newest.date()


def newest_whole_day(url: str) -> date:
    """Return the newest day with what the notebook shows: bars and option snapshots.

    Where no option was ever collected it is `newest_day`, whose errors it raises.
    """
    newest = newest_day(url)
    found = query(url, sql_text("research", "newest_snapshot.sql"))["timestamp"].item()
    return min(newest, found.date()) if found else newest


def symbol_on(day: date, text: str | None) -> Symbol:
    """Return the symbol with bars that a text means on a day: of a product, the front month.

    Without a text it is that of DEFAULT_SYMBOL. Raises InputError for any other text, and for an
    option chain, which has no bars.
    """
    symbol = symbol_with_bars(text or DEFAULT_SYMBOL)
    return symbol.on(day) if isinstance(symbol, FrontMonth) else symbol


def bars_of_day(url: str, symbol: Symbol, day: date) -> pl.DataFrame:
    """Return the BARS of a session. Raises InputError if none are stored."""
    bars = _bars(url, symbol, day, day).collect()
    if bars.is_empty():
        raise InputError(f"the database holds no bars of {symbol} on {day}")
    return bars


def signals_of_day(
    url: str, symbol: Symbol, day: date, strategy: str = DEFAULT_STRATEGY
) -> pl.DataFrame:
    """Return a strategy's signals of a session, one row a bar.

    As they are stored; if none are, computed from the stored bars with the default parameters.
    Raises InputError for an unknown strategy.
    """
    chosen = strategy_named(strategy)
    if chosen in strategies_with_signals(partial(query, url)):
        of_symbol = pl.col("symbol") == symbol.code
        stored = scan(chosen.table, url).filter(of_symbol, *_on(day)).collect()
        if stored.height:
            return stored
    params = chosen.params()
    warm_up = chosen.warm_up_sessions(params)
    earlier = sessions.previous_sessions(symbol.market, day, warm_up)
    bars = _bars(url, symbol, min(earlier, default=day), day)
    return chosen.evaluate(bars, params).filter(*_on(day)).collect()


def maturities(url: str, day: date, series: str) -> list[str]:
    """Return the underlying_symbols of a series with snapshots on the day, nearest expiry first.

    Raises InputError if there are none.
    """
    symbol = pl.col("underlying_symbol")
    of_series = chains_of(option_series(series), symbol)
    stored = scan("option_summary", url).filter(*_on(day)).select(symbol.unique()).collect()
    symbols = stored.filter(of_series).to_series().sort().to_list()
    if not symbols:
        raise InputError(f"the database holds no snapshots of {series} options on {day}")
    return symbols


def chain_at(
    url: str, underlying_symbols: list[str], day: date, minute: time | None
) -> pl.DataFrame:
    """Return the last snapshots of the day, or until the minute. Raises InputError without any.

    Where KIS gave no underlying_price it is the forward.
    """
    summaries = summaries_at(url, underlying_symbols, day, minute)
    of_chains = pl.col("underlying_symbol").is_in(underlying_symbols)
    moment = pl.col("timestamp") == summaries["timestamp"].max()
    rows = scan("option_chain_raw", url).filter(of_chains, moment).collect()
    forwards = dict(summaries.select("underlying_symbol", "forward").iter_rows())
    forward = pl.col("underlying_symbol").replace_strict(
        forwards, default=None, return_dtype=pl.Float64
    )
    return rows.with_columns(pl.col("underlying_price").fill_null(forward))


def summaries_at(
    url: str, underlying_symbols: list[str], day: date, minute: time | None
) -> pl.DataFrame:
    """Return the last summaries of the day, or until the minute. Raises InputError without any."""
    until = [] if minute is None else [pl.col("timestamp") <= datetime.combine(day, minute)]
    of_chains = pl.col("underlying_symbol").is_in(underlying_symbols)
    summaries = scan("option_summary", url).filter(of_chains, *_on(day), *until).collect()
    if summaries.is_empty():
        raise InputError(f"the database holds no option snapshot on {day} until {minute}")
    return summaries.filter(pl.col("timestamp") == pl.col("timestamp").max())


def matrix_of_day(url: str, underlying_symbol: str, metric: str, day: date) -> pl.DataFrame:
    """Return a metric of the matrix through a day, long, with `atm_strike` (index points).

    Raises InputError without any value.
    """
    chain = pl.col("underlying_symbol") == underlying_symbol
    matrix = scan("option_matrices", url).filter(chain, pl.col("metric_type") == metric, *_on(day))
    cells = long_matrix(matrix).collect()
    if cells["value"].drop_nulls().is_empty():
        raise InputError(f"the matrix of {underlying_symbol} has no {metric} on {day}")
    strikes = summary_of_day(url, underlying_symbol, day).select("timestamp", "atm_strike")
    return cells.join(strikes, on="timestamp", how="left", maintain_order="left")


def summary_of_day(url: str, underlying_symbol: str, day: date) -> pl.DataFrame:
    """Return the summary of a chain through a day, one row a snapshot."""
    chain = pl.col("underlying_symbol") == underlying_symbol
    return scan("option_summary", url).filter(chain, *_on(day)).collect()


def flows_of_day(url: str, symbol: Symbol, day: date) -> pl.DataFrame:
    """Return a future's bars of a day with its state and the flows of the KOSPI 200 futures.

    Raises InputError if nothing of either is stored.
    """
    of_symbol = pl.col("symbol") == symbol.code
    bars = _bars(url, symbol, day, day)
    state = scan("futures_state", url).filter(of_symbol, *_on(day))
    flows = scan("investor_flows", url).filter(*_on(day))
    rows = with_flows(with_state(bars, state), flows, columns=["net_volume"]).collect()
    if rows.select(pl.any_horizontal(pl.col("open_interest", "foreign_net_volume").is_not_null()))[
        :, 0
    ].any():
        return rows
    raise InputError(f"the database holds no flows and no state of {symbol.code} on {day}")


def coverage(url: str, first: date, last: date, now: datetime | None = None) -> pl.DataFrame:
    """Return FIGURES (engine.history.completeness) of the sessions from first to last.

    Of bars and option chains, for all that ought to have been collected. If `now` is a moment of
    the last day, what is later is not missing yet.
    """
    whole = datetime.combine(last, time.max)
    until = now if now and now.date() == last else whole
    return read_figures(partial(query, url), first, last, until)


def findings(url: str) -> pl.DataFrame:
    """Return what `just validate` would look at again: symbol, session, what, detail, newest first.

    Missing minutes of the ledger, sessions that are not validated, corrected sessions.
    """
    return query(url, sql_text("research", "findings.sql"))


def _bars(url: str, symbol: Symbol, first: date, last: date) -> pl.LazyFrame:
    of_symbol = scan(symbol.table, url).filter(pl.col("symbol") == symbol.code)
    return of_symbol.filter(*_between(first, last)).select(list(BARS))


def _on(day: date) -> list[pl.Expr]:
    return _between(day, day)


def _between(first: date, last: date) -> list[pl.Expr]:
    begin, end = datetime.combine(first, time()), datetime.combine(last, time()) + _DAY
    return [pl.col("timestamp") >= begin, pl.col("timestamp") < end]
