"""Which bars and snapshots must exist: targets (a symbol in a session) and the stamps they owe.

A symbol is a stock's or contract's code, whose sessions owe bars, or the underlying_symbol of an
option chain (202512_KOSPI200), whose sessions owe a snapshot each minute.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, time
from functools import lru_cache

import polars as pl

from engine.market import expiries, sessions
from engine.market import symbols as instruments
from engine.market.sessions import Market, Session

TARGETS = pl.Schema([("symbol", pl.String()), ("session", pl.Date())])
OWED = pl.Schema(
    [*TARGETS.items(), ("stamp", pl.Datetime("us")), ("index_in_session", pl.Int64())]
)  # index_in_session: number of the stamp in its session, from 0
GRIDS = pl.Schema([("grid", pl.Int64()), ("index_in_session", pl.Int64()), ("minute", pl.Int64())])
PREFIX_LENGTH = 3
_STOCK = "005930"  # any: all stocks keep the same hours
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
    last = expiries.last_day(instruments.option_series(series).name, maturity)
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


def with_grids(wanted: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return targets with the number of their grid, and the grids: grid, index_in_session, minute.

    Sessions of the same hours share a grid; `minute` counts from the session's midnight. Whatever
    owes stamps is so told in few rows, which SQL can join (`engine.history.checks`).
    """
    numbers: dict[tuple[int, ...], int] = {}
    alike = {s: _STOCK if instruments.is_stock(s) else s for s in wanted["symbol"].unique()}
    pairs = [(alike[symbol], day) for symbol, day in wanted.select(list(TARGETS)).iter_rows()]
    number_of = {
        pair: numbers.setdefault(_minutes(*pair), len(numbers)) for pair in dict.fromkeys(pairs)
    }
    of = [number_of[pair] for pair in pairs]
    grids = [
        pl.DataFrame({"minute": grid}, {"minute": pl.Int64})
        .with_row_index("index_in_session")
        .select(
            grid=pl.lit(number, pl.Int64),
            index_in_session=pl.col("index_in_session").cast(pl.Int64),
            minute="minute",
        )
        for grid, number in numbers.items()
    ]
    return (
        wanted.select(list(TARGETS)).with_columns(grid=pl.Series(of, dtype=pl.Int64)),
        pl.concat([GRIDS.to_frame(), *grids]),
    )


def _minutes(symbol: str, day: date) -> tuple[int, ...]:
    session = session_of(symbol, day)
    return _grid(session, is_chain(symbol)) if session else ()


@lru_cache(maxsize=1024)  # of 19 KB; two for each session
def _grid(session: Session, every_minute: bool) -> tuple[int, ...]:
    stamps = session.minute_grid() if every_minute else session.stamps()
    midnight = datetime.combine(session.date, time())
    return tuple((stamps - midnight).dt.total_minutes())


def owed(wanted: pl.DataFrame) -> pl.DataFrame:
    """Return OWED of targets: every stamp that their sessions owe, ascending.

    Bars of codes; of option chains every minute, the wait for the auction included.
    """
    of, grids = with_grids(wanted)
    stamp = pl.col("session").cast(pl.Datetime("us")) + pl.duration(minutes="minute")
    return (
        of.sort("symbol", "session")
        .join(grids, on="grid", maintain_order="left_right")
        .select("symbol", "session", stamp.alias("stamp"), "index_in_session")
    )
