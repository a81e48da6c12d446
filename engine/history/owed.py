"""Which bars and snapshots must exist: targets (a symbol in a session) and the stamps they owe.

A symbol is a stock's or contract's code, whose sessions owe bars, or the underlying_symbol of an
option chain (202512_KOSPI200), whose sessions owe a snapshot each minute.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime

import polars as pl

from engine import instruments, sessions
from engine.sessions import Market, Session

TARGETS = pl.Schema([("symbol", pl.String()), ("session", pl.Date())])
OWED = pl.Schema(
    [*TARGETS.items(), ("stamp", pl.Datetime("us")), ("place", pl.Int64())]
)  # place: number of the stamp in its session, from 0
PREFIX_LENGTH = 3
CHAIN = "chain"  # what the ledger calls the market of option chains


def is_chain(symbol: str) -> bool:
    """Say whether the text is the name of an option chain: 202512_KOSPI200."""
    return symbol[:6].isdigit() and symbol[6:7] == "_"


def market_of(symbol: str) -> str:
    """Return stocks, derivatives or chain."""
    return CHAIN if is_chain(symbol) else sessions.market_of(symbol).value


def session_of(symbol: str, day: date) -> Session | None:
    """Return the daytime session of a code or an option chain; None if there is none."""
    if not is_chain(symbol):
        return sessions.session_of(symbol, day)
    maturity, _, series = symbol.partition("_")
    last = instruments.expiry(series, maturity)
    return None if day > last else sessions.session(Market.DERIVATIVES, day, expiring=day == last)


def targets(
    symbols: Iterable[str],
    start: date,
    end: date,
    *,
    warm_up: int = 0,
    sealed_by: datetime | None = None,
) -> pl.DataFrame:
    """Return symbol, session of every session from start to end, ascending.

    A product (A01 or A01_FRONT) means each of its contracts for the time that it was in front and
    `warm_up` sessions before, as far as they lie in start … end. `sealed_by` leaves out sessions
    about which KIS's answer was not final at that moment. Raises InputError, CalendarRangeError.
    """
    parts = [_sessions_of(symbol, start, end, warm_up) for symbol in dict.fromkeys(symbols)]
    pairs = dict.fromkeys(pair for part in parts for pair in part)
    kept = [
        (symbol, day)
        for symbol, day in pairs
        if (session := session_of(symbol, day))
        and (sealed_by is None or session.sealed_at <= sealed_by)
    ]
    return pl.DataFrame(kept, TARGETS, orient="row").sort("symbol", "session")


def _sessions_of(symbol: str, start: date, end: date, warm_up: int) -> list[tuple[str, date]]:
    if not is_product(symbol):
        market = Market.DERIVATIVES if is_chain(symbol) else sessions.market_of(symbol)
        return [(symbol, day) for day in sessions.session_dates(market, start, end)]
    days = sessions.session_dates(Market.DERIVATIVES, start, end)
    fronts = instruments.front_months(symbol[:PREFIX_LENGTH], start, end)
    return [
        (code, day)
        for code, first, last in fronts.select("symbol", "first_day", "last_day").iter_rows()
        for day in days
        if _begin(first, start, warm_up) <= day <= last
    ]


def is_product(symbol: str) -> bool:
    """Say whether the text means each contract of a product in its turn: A01, A01_FRONT."""
    return len(symbol) == PREFIX_LENGTH or instruments.is_front(symbol)


def _begin(first: date, start: date, warm_up: int) -> date:
    """Return the day of the warm-up's first session; before `start` nobody wants to know it."""
    if warm_up == 0 or first <= start:
        return max(first, start)
    return sessions.previous_sessions(Market.DERIVATIVES, first, warm_up)[0]


def owed(wanted: pl.DataFrame) -> pl.DataFrame:
    """Return OWED of targets: every stamp that their sessions owe, ascending.

    Bars of codes; of option chains every minute, the wait for the auction included.
    """
    of: dict[tuple[Session, bool], list[tuple[str, date]]] = {}
    for symbol, day in wanted.select("symbol", "session").iter_rows():
        if session := session_of(symbol, day):
            of.setdefault((session, is_chain(symbol)), []).append((symbol, day))
    frames = [_stamps(key, pairs) for key, pairs in of.items()]
    empty = pl.DataFrame(schema=OWED)
    return pl.concat([empty, *frames]).sort("symbol", "session", "place")


def _stamps(key: tuple[Session, bool], pairs: Sequence[tuple[str, date]]) -> pl.DataFrame:
    session, every_minute = key
    stamps = session.minute_grid() if every_minute else session.stamps()
    grid = pl.DataFrame({"stamp": stamps}).with_row_index("place")
    return (
        pl.DataFrame(pairs, TARGETS, orient="row")
        .join(grid, how="cross")
        .select(pl.col(name).cast(kind) for name, kind in OWED.items())
    )
