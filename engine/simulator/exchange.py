"""The desk behind the server: sessions written out, at hand by symbol and date."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import lru_cache

import polars as pl

from engine.errors import CalendarRangeError, InputError
from engine.market import instruments
from engine.market.sessions import Market, Session, previous_sessions, session, session_of
from engine.simulator.market.carry import carry
from engine.simulator.market.data import MarketData
from engine.simulator.market.options import OptionMarket
from engine.simulator.market.recorded_answers import RecordedAnswers
from engine.simulator.session_rows import Disturb, Sheet, with_fake_ticks, write_sheet

KEPT = timedelta(days=365)  # KIS keeps about a year of minutes
KEPT_AFTER_EXPIRY = timedelta(days=120)  # and an expired contract for some months
LOOK_BACK = 10  # sessions that one answer may reach back for a thin contract


class Desk:
    """What the endpoints ask. `disturb` is the scenario's hold on the bars."""

    def __init__(self, market: MarketData, disturb: Disturb = lambda sheet: sheet) -> None:
        self.market, self._disturb = market, disturb
        self.options = OptionMarket(market)
        self.sheet = lru_cache(maxsize=1024)(self._sheet)
        self._reach_back = lru_cache(maxsize=512)(_reach_back)
        self._session = lru_cache(maxsize=8192)(served_session)

    def _sheet(self, symbol: str, of: Session, *, fake_ticks: bool = False) -> Sheet:
        if instruments.is_stock(symbol) or instruments.product(symbol).kind == "future":
            bars = self.market.bars(symbol, of)
        else:
            bars = self.options.bars(symbol, of)
        if fake_ticks:
            bars = with_fake_ticks(bars, of)
        return self._disturb(write_sheet(symbol, of, bars))

    def sheets(
        self, symbol: str, market: Market, day: date, now: datetime, *, fake_ticks: bool = False
    ) -> Iterator[Sheet]:
        """Yield the symbol's sessions from `day` backwards, as far as KIS still has them."""
        if isinstance(self.market, RecordedAnswers):
            yield from self._answered(self.market.answer(symbol, day, now), symbol, day)
            return
        for one in self._reach_back(market, day):
            of = self._session(symbol, market, one)
            if of is not None and timedelta() <= now.date() - one <= KEPT:
                yield self.sheet(symbol, of, fake_ticks=fake_ticks)

    def _answered(self, rows: pl.DataFrame, symbol: str, asked: date) -> Iterator[Sheet]:
        if rows.height and (of := self._session(symbol, Market.STOCKS, rows["label"][0].date())):
            yield replace(write_sheet(symbol, of, rows), asked_late=asked - of.date)

    def today(self, symbol: str, market: Market, now: datetime) -> Sheet | None:
        """Return the session of today, None if there is none."""
        of = self._session(symbol, market, now.date())
        return self.sheet(symbol, of) if of else None

    def last_before(self, symbol: str, market: Market, day: date) -> Sheet | None:
        """Return the symbol's last session before the day."""
        for one in self._reach_back(market, day)[1:]:
            of = self._session(symbol, market, one)
            if of is not None:
                return self.sheet(symbol, of)
        return None

    def carry_of(self, symbol: str, day: date) -> float:
        """Return the future's price over the index's by its maturity; 1 for an option."""
        contract = instruments.contract(symbol)
        return carry(day, contract.last_day) if contract.product.kind == "future" else 1.0


def served_session(symbol: str, market: Market, day: date) -> Session | None:
    """Return the symbol's session on the date in that market, None if there is none."""
    try:
        daytime = session_of(symbol, day)
        if market is not Market.NIGHT or daytime is None:
            return daytime
        expires = instruments.contract(symbol).last_day == day
        return None if expires else session(Market.NIGHT, day)
    except CalendarRangeError:
        return None


def is_dead(symbol: str, now: datetime) -> bool:
    """Say whether KIS no longer knows a derivative: an old-style code, or long expired."""
    try:
        contract = instruments.contract(symbol)
    except InputError:
        return True
    old_style = symbol.startswith(contract.product.old_prefix)
    outdated = old_style and now.year >= instruments.FIRST_NEW_YEAR
    return outdated or now.date() - contract.last_day > KEPT_AFTER_EXPIRY


def _reach_back(market: Market, day: date) -> list[date]:
    try:
        return [day, *reversed(previous_sessions(market, day, LOOK_BACK))]
    except CalendarRangeError:
        return [day]


def served(sheet: Sheet, *, owed_only: bool) -> pl.DataFrame:
    """Return the bars as they are served in the end, once everything late has come."""
    never = [place for place, late in sheet.late.items() if late.shown_from is None]
    bars = sheet.bars.with_row_index().filter(~pl.col("index").is_in(never)).drop("index")
    owed = sheet.session.labels()
    return bars.filter(pl.col("label").is_in(owed.implode())) if owed_only else bars
