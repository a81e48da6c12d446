"""Which bars and snapshots must exist: the sessions of symbols, and the stamps of these sessions.

A symbol here is the code of a stock or contract, whose sessions have a bar each minute, the name of
an option chain (202512_KOSPI200), whose sessions have a snapshot each minute, or what is told once.
No other module decides which stamps are expected: checks, ledger, backfill and pictures ask here.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, time
from functools import cache, lru_cache

import polars as pl

from engine.market.hours import Market, Session
from engine.market.sessions import previous_sessions, session_dates
from engine.market.symbols import (
    FrontMonth,
    FrontNight,
    OptionChain,
    Stock,
    Symbol,
    VenueStock,
    parse,
)
from engine.market.told_once import ToldOnce
from engine.market.venues import at_venue

SESSIONS = pl.Schema([("symbol", pl.String()), ("session", pl.Date())])
EXPECTED_STAMPS = pl.Schema(
    [*SESSIONS.items(), ("stamp", pl.Datetime("us")), ("index_in_session", pl.Int64())]
)  # index_in_session: number of the stamp in its session, from 0
GRIDS = pl.Schema([("grid", pl.Int64()), ("index_in_session", pl.Int64()), ("minute", pl.Int64())])
_ANY_STOCK = Stock("005930")  # all stocks keep the same hours


def expected_sessions(
    symbols: Iterable[str],
    start: date,
    end: date,
    *,
    warm_up: int = 0,
    sealed_by: datetime | None = None,
) -> pl.DataFrame:
    """Return SESSIONS: every session of the symbols from start to end, ascending.

    A product (A01 or A01_FRONT, of nights A01_NIGHT) means each of its contracts for the time that
    it was in front and (not of nights) `warm_up` sessions before, as far as they lie in start …
    end. `sealed_by` leaves out sessions about which KIS's answer was not final at that moment.
    Raises InputError, CalendarRangeError.
    """
    parsed = [parse(symbol) for symbol in dict.fromkeys(symbols)]
    others = [symbol for symbol in parsed if not isinstance(symbol, Stock)]
    parts = [_sessions_of(symbol, start, end, warm_up) for symbol in others]
    pairs = dict.fromkeys(pair for part in parts for pair in part)
    kept = [pair for pair in pairs if _is_held(parse(pair[0]), pair[1], sealed_by)]
    stocks = [symbol.code for symbol in parsed if isinstance(symbol, Stock)]
    days = session_dates(Market.STOCKS, start, end) if stocks else []
    held = [day for day in days if _is_held(_ANY_STOCK, day, sealed_by)]
    codes = pl.DataFrame({"symbol": stocks}, {"symbol": pl.String()})
    of_stocks = codes.unique().join(
        pl.DataFrame({"session": held}, {"session": pl.Date()}), how="cross"
    )
    return pl.concat([pl.DataFrame(kept, SESSIONS, orient="row"), of_stocks]).sort(
        "symbol", "session"
    )


def _is_held(symbol: Symbol, day: date, sealed_by: datetime | None) -> bool:
    """Say whether there is a session, and whether KIS's answer was final at the moment given."""
    found = symbol.session(day)
    return found is not None and (sealed_by is None or found.sealed_at <= sealed_by)


def _sessions_of(symbol: Symbol, start: date, end: date, warm_up: int) -> list[tuple[str, date]]:
    if isinstance(symbol, FrontNight):
        return [(symbol.on(day).code, day) for day in session_dates(symbol.market, start, end)]
    if not isinstance(symbol, FrontMonth):
        return [(symbol.code, day) for day in session_dates(symbol.market, start, end)]
    days = session_dates(Market.DERIVATIVES, start, end)
    contracts = symbol.contracts(start, end).select("symbol", "first_day", "last_day")
    return [
        (code, day)
        for code, first, last in contracts.iter_rows()
        for day in days
        if _first_wanted(first, start, warm_up) <= day <= last
    ]


def _first_wanted(first: date, start: date, warm_up: int) -> date:
    """Return the first day wanted of a contract that is in front from `first` on.

    That is the first of its warm-up, or `start` if the contract is in front by then.
    """
    if warm_up == 0 or first <= start:
        return max(first, start)
    return previous_sessions(Market.DERIVATIVES, first, warm_up)[0]


def expected_stamps(sessions: pl.DataFrame) -> pl.DataFrame:
    """Return EXPECTED_STAMPS (KST) of SESSIONS: every stamp that must exist in them, ascending.

    Codes have a stamp for each bar; option chains one for each minute, the wait for the auction
    included.
    """
    numbered, grids = with_grids(sessions)
    stamp = pl.col("session").cast(pl.Datetime("us")) + pl.duration(minutes="minute")
    return (
        numbered.sort("symbol", "session")
        .join(grids, on="grid", maintain_order="left_right")
        .select("symbol", "session", stamp.alias("stamp"), "index_in_session")
    )


def with_grids(sessions: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return SESSIONS with the number of their grid, and GRIDS: grid, index_in_session, minute.

    Sessions with the same hours share a grid; `minute` counts from midnight of the session's date.
    So a few rows tell all expected stamps, and SQL can join them (`engine.history.checks`).
    """
    numbers: dict[tuple[int, ...], int] = {}
    alike = {code: _of_same_hours(parse(code)) for code in sessions["symbol"].unique()}
    pairs = [(alike[code], day) for code, day in sessions.select(list(SESSIONS)).iter_rows()]
    number_of = {
        pair: numbers.setdefault(_minutes(*pair), len(numbers)) for pair in dict.fromkeys(pairs)
    }
    grids = [
        pl.DataFrame(
            {"grid": number, "index_in_session": range(len(minutes)), "minute": minutes},
            schema=GRIDS,
        )
        for minutes, number in numbers.items()
    ]
    grid = pl.Series("grid", [number_of[pair] for pair in pairs], dtype=pl.Int64)
    numbered = sessions.select(list(SESSIONS)).with_columns(grid)
    return numbered, pl.concat([GRIDS.to_frame(), *grids])


def _of_same_hours(symbol: Symbol) -> Symbol:
    """Return one symbol for all that keep the same hours."""
    if isinstance(symbol, VenueStock):
        return at_venue(_ANY_STOCK.code, symbol.venue.name)
    return _ANY_STOCK if isinstance(symbol, Stock) else symbol


def _minutes(symbol: Symbol, day: date) -> tuple[int, ...]:
    """Return the expected stamps of a symbol's session as minutes since midnight of its date."""
    session = symbol.session(day)
    if session and isinstance(symbol, ToldOnce):
        return _since_midnight(symbol.expected_stamps(day), session)
    return _grid(session, isinstance(symbol, OptionChain)) if session else ()


@lru_cache(maxsize=1024)  # two for each session
def _grid(session: Session, every_minute: bool) -> tuple[int, ...]:
    minutes = session.minute_grid() if every_minute else session.stamps()
    return _shared(_since_midnight(minutes, session))


@cache
def _shared(minutes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the one tuple of these minutes: it takes 17 KB, and most sessions have the same."""
    return minutes


def _since_midnight(stamps: pl.Series, session: Session) -> tuple[int, ...]:
    return tuple((stamps - datetime.combine(session.date, time())).dt.total_minutes())
