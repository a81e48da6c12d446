"""Which session a stamp belongs to, where one column has symbols of days and of nights.

A night is named by the date on which it begins, and most of its stamps are of the next date. All
lie between noon and the next noon, so twelve hours before any of them the date is the night's.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

import polars as pl

from engine.market.symbol_types import NIGHT_SUFFIX, NIGHT_TABLE

HALF_DAY = timedelta(hours=12)


def is_night(symbol: pl.Expr) -> pl.Expr:
    """Say which symbols mean the nights of a contract."""
    return symbol.str.ends_with(NIGHT_SUFFIX)


def contract_of(symbol: pl.Expr) -> pl.Expr:
    """Return the code of the contract whose days or nights a symbol means."""
    return symbol.str.strip_suffix(NIGHT_SUFFIX)


def session_of(symbol: pl.Expr, stamp: pl.Expr) -> pl.Expr:
    """Return the date of the session that a stamp of the symbol belongs to."""
    evening = stamp.dt.offset_by("-12h").dt.date()
    return pl.when(is_night(symbol)).then(evening).otherwise(stamp.dt.date())


def session_date(symbol: str, stamp: datetime) -> date:
    """Return the date of the session that a stamp of one symbol belongs to."""
    return (stamp - HALF_DAY if symbol.endswith(NIGHT_SUFFIX) else stamp).date()


def session_begins(symbol: str, day: date) -> datetime:
    """Return the moment from which on a symbol's stamps belong to a day's session, or a later one.

    It agrees with `session_of`.
    """
    return datetime.combine(day, time(12) if symbol.endswith(NIGHT_SUFFIX) else time())


def session_sql(table: str, stamp: str = "timestamp") -> str:
    """Return the SQL for the date of the session that a stamp in a table belongs to."""
    return f"({stamp} - interval '12 hours')::date" if table == NIGHT_TABLE else f"{stamp}::date"


def is_night_sql(chain: str = "underlying_symbol") -> str:
    """Return the SQL that says whether a row of an option chain is of a night."""
    return f"(right({chain}, {len(NIGHT_SUFFIX)}) = '{NIGHT_SUFFIX}')"


def chain_session_sql(stamp: str = "timestamp", chain: str = "underlying_symbol") -> str:
    """Return the SQL for the session date of a row of an option chain, by day or by night."""
    back = f"CASE WHEN {is_night_sql(chain)} THEN interval '12 hours' ELSE interval '0' END"
    return f"({stamp} - {back})::date"
