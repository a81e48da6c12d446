"""The desk behind the server: sessions written out, at hand by symbol and date."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from functools import lru_cache

import polars as pl

from engine import instruments
from engine.errors import CalendarRangeError, InputError
from engine.sessions import Market, Session, previous_sessions, session, session_of
from engine.simulator.carry import carry
from engine.simulator.market import MarketData
from engine.simulator.options import OptionMarket
from engine.simulator.sheets import Disturb, Sheet, with_fake_ticks, write_sheet

KEPT = timedelta(days=365)  # KIS keeps about a year of minutes
KEPT_AFTER_EXPIRY = timedelta(days=120)  # and an expired contract for some months
LOOK_BACK = 10  # sessions that one answer may reach back for a thin contract


class Desk:
    """What the endpoints ask. `disturb` is the scenario's hold on the bars."""

    def __init__(self, market: MarketData, disturb: Disturb = lambda sheet: sheet) -> None:
        self.market, self._disturb = market, disturb
        self.options = OptionMarket(market)
        self.sheet = lru_cache(maxsize=4096)(self._sheet)

    def _sheet(self, symbol: str, of: Session, *, fake_ticks: bool = False) -> Sheet:
        if instruments.is_stock(symbol) or instruments.product(symbol).kind == "future":
            bars = self.market.bars(symbol, of)
        else:
            bars = self.options.bars(symbol, of)
        if fake_ticks:
            bars = with_fake_ticks(bars, of)
        return self._disturb(write_sheet(symbol, of, bars))

    def sheets(
        self, symbol: str, market: Market, day: date, now: datetime, *, fake_ticks: bool
    ) -> Iterator[Sheet]:
        """Yield the symbol's sessions from `day` backwards, as far as KIS still has them."""
        days = [day, *reversed(_before(market, day))]
        for one in days:
            of = served_session(symbol, market, one)
            if of is not None and one <= now.date() and now.date() - one <= KEPT:
                yield self.sheet(symbol, of, fake_ticks=fake_ticks)

    def carry_of(self, symbol: str, day: date) -> float:
        """Return the future's price over the index's by its maturity; 1 for an option."""
        contract = instruments.contract(symbol)
        return carry(day, contract.expiry) if contract.product.kind == "future" else 1.0

    def previous(self, symbol: str, of: Session) -> Sheet | None:
        """Return the session before, where the symbol has one."""
        for day in reversed(_before(of.market, of.date)[-1:]):
            before = served_session(symbol, of.market, day)
            return self.sheet(symbol, before) if before else None
        return None


def served_session(symbol: str, market: Market, day: date) -> Session | None:
    """Return the symbol's session on the date in that market, None if there is none."""
    try:
        daytime = session_of(symbol, day)
        if market is not Market.NIGHT or daytime is None:
            return daytime
        return session(Market.NIGHT, day)
    except CalendarRangeError:
        return None


def is_dead(symbol: str, now: datetime) -> bool:
    """Say whether KIS no longer knows a derivative: an old-style code, or long expired."""
    try:
        contract = instruments.contract(symbol)
        return now.date() - contract.expiry > KEPT_AFTER_EXPIRY or (
            now.year >= instruments.FIRST_NEW_YEAR
            and symbol.startswith(contract.product.old_prefix)
        )
    except CalendarRangeError:
        return False
    except InputError:
        return True


def _before(market: Market, day: date) -> list[date]:
    try:
        return previous_sessions(market, day, LOOK_BACK)
    except CalendarRangeError:
        return []


def served(sheet: Sheet) -> pl.DataFrame:
    """Return the bars as they are served in the end, once everything late has come."""
    never = [place for place, late in sheet.late.items() if late.shown_from is None]
    return sheet.bars.with_row_index().filter(~pl.col("index").is_in(never)).drop("index")
