"""The sessions that a user means by codes and universes, of past days as well."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date

import polars as pl

from engine.errors import InputError
from engine.market.expected import expected_sessions
from engine.market.names import english_stock
from engine.market.sessions import Market, session_dates
from engine.market.universes import members_on, not_yet_listed, split_universes
from engine.store import Store

log = logging.getLogger(__name__)

_NAMED = 5  # stocks in a line of the log
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


async def log_not_yet_listed(store: Store, symbols: Sequence[str], day: date) -> None:
    """Say which stocks the universes among the symbols leave out since they are listed later.

    That a stock is not traded before the day that KIS gives as that of its listing is believed, not
    known: whoever sees one traded earlier finds here why it is missing. Raises StoreError.
    """
    universes, _ = split_universes(symbols)
    if not universes:
        return
    coming = not_yet_listed(pl.DataFrame(await store.query(_PERIODS)), universes, day)
    if coming.is_empty():
        return
    some = coming.head(_NAMED).iter_rows()
    log.info(
        "⏱️ %d stocks of %s are left out until the day from which KIS lists them: %s%s",
        coming.height,
        ", ".join(universes),
        ", ".join(f"{english_stock(code)} from {listed}" for code, listed in some),
        " …" if coming.height > _NAMED else "",
    )


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
