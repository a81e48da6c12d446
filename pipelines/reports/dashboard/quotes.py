"""Prices against the close before, and the bars that a chart is drawn of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from itertools import chain

import polars as pl

from engine.columns import BARS, TIME
from engine.errors import CalendarRangeError
from engine.market.expected import with_grids
from engine.market.sessions import Market, Session, previous_sessions, session
from engine.market.symbol_types import Night
from engine.market.symbols import OptionChain, Stock, Symbol, parse
from engine.market.told_once import ToldOnce
from engine.market.venues import VenueStock
from engine.store.identifiers import identifier, identifiers, literal, literals
from pipelines.evaluation.standing import Ask
from pipelines.reports.sql_text import sql_text

CHART_SESSIONS = 3  # so that a chart begins with something at the open
LAST_BARS = pl.Schema([("symbol", pl.String()), ("timestamp", TIME), ("close", pl.Float64())])
PREVIOUS = pl.Schema([("symbol", pl.String()), ("previous", pl.Float64())])
_LINES = ("vwap", "ub", "lb")


@dataclass(frozen=True)
class ChartData:
    """What the chart of a symbol shows: its last sessions until the moment, ascending."""

    symbol: str | None
    strategy: str | None  # whose lines and signals; None where none has any
    bars: pl.DataFrame  # BARS
    signals: pl.DataFrame  # all columns of the strategy's table; empty without a strategy


def has_bars(symbol: Symbol) -> bool:
    """Say whether a symbol has prices to draw; chains and what is told once have none."""
    return not isinstance(symbol, OptionChain | ToldOnce)


def read_last_bars(ask: Ask, sessions: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """Return LAST_BARS: the last bar until now of each of the SESSIONS, at its expected minutes.

    Those that have no bars are left out; sessions of the same hours are asked for at once.
    """
    of_tables = {
        symbol: known.table for symbol in sessions["symbol"] if has_bars(known := parse(symbol))
    }
    wanted = sessions.filter(pl.col("symbol").is_in(list(of_tables)))
    numbered, grids = with_grids(wanted)
    table = pl.col("symbol").replace_strict(of_tables, return_dtype=pl.String())
    found = [LAST_BARS.to_frame()]
    alike = numbered.with_columns(table=table).partition_by(
        "table", "session", "grid", as_dict=True
    )
    for (name, day, grid), group in alike.items():
        minutes = pl.duration(minutes=pl.col("minute"))
        stamps = grids.filter(grid=grid).select(stamp=pl.lit(day).cast(TIME) + minutes)["stamp"]
        stamps = stamps.filter(stamps <= now)
        if stamps.len():
            question = sql_text(
                "dashboard",
                "last_bars.sql",
                table=identifier(str(name)),
                symbols=literals(group["symbol"]),
                begin=literal(stamps[0]),
                end=literal(stamps[-1]),
                stamps=literals(stamps),
            )
            found.append(ask(question).cast(LAST_BARS))
    return pl.concat(found)


def read_previous_closes(ask: Ask, sessions: Iterable[tuple[str, date]]) -> pl.DataFrame:
    """Return PREVIOUS: the close that each symbol's session, named by its date, is compared with.

    That of the session before, at night of the day before it, of another venue KRX's. A session
    without the bars of its last minutes has no row: an earlier price is not a close.
    """
    names: dict[tuple[str, datetime, datetime], dict[str, list[str]]] = {}
    of_stocks: dict[date, list[tuple[str, str, Session]]] = {}  # they keep the same hours
    for name, day in sessions:
        symbol = parse(name)
        if isinstance(symbol, Stock):
            if day not in of_stocks:
                of_stocks[day] = _compared_with(symbol, day)
            compared = [(name, table, before) for _, table, before in of_stocks[day]]
        else:
            compared = _compared_with(symbol, day)
        for code, table, before in compared:
            ends = (table, before.continuous_end, before.last_stamp)
            names.setdefault(ends, {}).setdefault(code, []).append(name)
    found = [PREVIOUS.to_frame()]
    for (table, begin, end), codes in names.items():
        closes = ask(
            "SELECT DISTINCT ON (symbol) symbol AS code, close AS previous"  # noqa: S608 - quoted
            f" FROM {identifier(table)} WHERE symbol IN ({literals(codes)})"
            f" AND timestamp >= {literal(begin)} AND timestamp <= {literal(end)}"
            " ORDER BY symbol, timestamp DESC"
        )
        rows = [(name, code) for code, named in codes.items() for name in named]
        of_codes = pl.DataFrame(rows, {"symbol": pl.String(), "code": pl.String()}, orient="row")
        found.append(of_codes.join(closes, on="code").select(list(PREVIOUS)).cast(PREVIOUS))
    return pl.concat(found)


def _compared_with(symbol: Symbol, day: date) -> list[tuple[str, str, Session]]:
    """Return code and table of the bars with the close before a symbol's session, and its session.

    Empty where it has none or the calendar does not reach.
    """
    try:
        if not has_bars(symbol):
            return []
        if isinstance(symbol, Night):
            return _if_any(
                symbol.contract.code, symbol.contract.table, symbol.contract.session(day)
            )
        if isinstance(symbol, VenueStock):
            ended = day if symbol.market is Market.AFTER else _before(Market.STOCKS, day)
            return _if_any(symbol.stock, "stocks_1m", session(Market.STOCKS, ended))
        return _if_any(symbol.code, symbol.table, symbol.session(_before(symbol.market, day)))
    except CalendarRangeError:
        return []


def _if_any(code: str, table: str, found: Session | None) -> list[tuple[str, str, Session]]:
    return [(code, table, found)] if found else []


def _before(market: Market, day: date) -> date:
    return previous_sessions(market, day, 1)[0]


def read_chart(
    ask: Ask,
    tables: Mapping[str, str],
    symbol: str | None,
    strategy: str | None,
    day: date,
    now: datetime,
) -> ChartData:
    """Return what to draw of a symbol's last CHART_SESSIONS sessions until `now`.

    `tables` are those of the strategies with signals, by name; the strategy is the one asked for,
    else the first that has signals of the symbol today.
    """
    if symbol is None:
        return ChartData(None, None, BARS.to_frame(), pl.DataFrame())
    parsed = parse(symbol)
    try:
        days = [*previous_sessions(parsed.market, day, CHART_SESSIONS - 1), day]
    except CalendarRangeError:
        days = [day]
    sessions = [found for found in map(parsed.session, days) if found]
    if not sessions:
        return ChartData(symbol, None, BARS.to_frame(), pl.DataFrame())
    span = (
        f" WHERE symbol = {literal(symbol)} AND timestamp >= {literal(sessions[0].opens)}"
        f" AND timestamp <= {literal(now)}"
    )
    bars = ask(
        f"SELECT {identifiers(list(BARS))} FROM {identifier(parsed.table)}{span}"  # noqa: S608
        " ORDER BY timestamp"
    )
    wanted = [strategy] if strategy in tables else list(tables)
    for name in wanted:
        signals = ask(
            f"SELECT * FROM {identifier(tables[str(name)])}{span} ORDER BY timestamp"  # noqa: S608
        )
        if signals.height:
            return ChartData(symbol, name, bars, signals)
    return ChartData(symbol, None, bars, pl.DataFrame())


def lines_of(signals: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Return the lines that a strategy has: VWAP and bands, each with timestamp and value."""
    return {
        name: signals.select("timestamp", value=name).drop_nulls()
        for name in _LINES
        if name in signals.columns and signals[name].count()
    }


def chart_symbol(ask: Ask, symbols: Iterable[str], asked: str | None) -> str | None:
    """Return whose chart is shown: of `symbols` the one asked for.

    Else the one that a strategy ran on last, else a future, else any.
    """
    known = [name for name in symbols if has_bars(parse(name))]
    if asked in known:
        return asked
    query = "SELECT symbol FROM strategy_symbols ORDER BY since DESC, symbol"
    watched = [name for name in ask(query)["symbol"] if name in known]
    derivatives = [name for name in known if parse(name).market is Market.DERIVATIVES]
    return next(chain(watched, derivatives, known), None)
