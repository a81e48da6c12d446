"""The sessions that a user means by codes and universes, of past days as well."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date

import polars as pl

from engine.errors import InputError
from engine.market.expected import expected_sessions
from engine.market.sessions import Market, session_dates
from engine.market.universes import members_on, split_universes
from engine.store import Store

log = logging.getLogger(__name__)

_PERIODS = """
SELECT symbol, seen_first, seen_last, market, kind, index_member, listed_from FROM stock_listings"""


async def named_sessions(
    store: Store, symbols: Sequence[str], start: date, end: date, *, warm_up: int = 0
) -> pl.DataFrame:
    """Return SESSIONS of symbols and of universes, whose stocks are those of each day.

    Raises InputError, CalendarRangeError.
    """
    universes, codes = split_universes(symbols)
    named = expected_sessions(codes, start, end, warm_up=warm_up)
    if not universes:
        return named
    days = session_dates(Market.STOCKS, start, end)
    found = members_on(await _periods(store, universes, days), universes, days)
    return pl.concat([named, found]).unique().sort("symbol", "session")


async def _periods(store: Store, universes: Sequence[str], days: Sequence[date]) -> pl.DataFrame:
    """Return the stored listings; say where they begin after the days that are asked for."""
    periods = pl.DataFrame(await store.query(_PERIODS))
    if periods.is_empty():
        raise InputError(
            f"what {', '.join(universes)} means is not known: no master file of KIS is stored yet;"
            " fetch it with `just symbols --refresh`"
        )
    since = periods["seen_first"].sort()[0]
    if days and days[0] < since:
        log.warning(
            "⚠️ what %s was before %s is not known: taken as of that day",
            ", ".join(universes),
            since,
        )
    return periods
