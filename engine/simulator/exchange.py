"""The exchange behind the server: sessions as the rows that KIS sends, by symbol and date."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from functools import lru_cache

from engine.errors import CalendarRangeError, InputError
from engine.market.codes import FIRST_NEW_YEAR, is_old_code
from engine.market.sessions import Market, Session, previous_sessions, session
from engine.market.symbols import Contract, Option, Stock, parse_derivative
from engine.simulator.market.carry import carry
from engine.simulator.market.data import MarketData, Stop, instrument
from engine.simulator.market.options import OptionMarket
from engine.simulator.market.price_limits import interruption
from engine.simulator.market.venues import venue_bars
from engine.simulator.session_rows import (
    AddFaults,
    SessionRows,
    with_fake_ticks,
    write_session_rows,
)

KEPT = timedelta(days=365)  # KIS keeps about a year of minutes
NIGHTS_KEPT = timedelta(days=208)  # of nights less (docs/kis.md#depth)
KEPT_AFTER_EXPIRY = timedelta(days=200)  # an expired contract: after six months, not after nine
LOOK_BACK = 10  # sessions that one answer may reach back for a thin contract


class SimulatedExchange:
    """What the endpoints read from. `add_faults` lets a scenario change the bars of a session.

    `most_kept` is how many sessions (each of one symbol, some 250 kB) stay in memory as rows.
    """

    def __init__(
        self,
        market: MarketData,
        add_faults: AddFaults = lambda session_rows: session_rows,
        *,
        most_kept: int = 1024,
    ) -> None:
        self.market = market
        self.options = OptionMarket(market)
        self.session_rows = lru_cache(maxsize=most_kept)(self._write_session)
        self.whole_day = lru_cache(maxsize=16_384)(self._whole_day)  # small, unlike rows
        self._add_faults = add_faults
        self._days_back = lru_cache(maxsize=512)(_days_back)
        self._session = lru_cache(maxsize=8192)(served_session)

    def _write_session(
        self, symbol: str, session: Session, *, fake_ticks: bool = False
    ) -> SessionRows:
        if session.market in (Market.NXT, Market.UNIFIED):
            bars = venue_bars(self.market, symbol, session)
        else:
            is_option = isinstance(instrument(symbol), Option)
            bars = (self.options if is_option else self.market).bars(symbol, session)
        if fake_ticks:
            bars = with_fake_ticks(bars, session)
        return self._add_faults(write_session_rows(symbol, session, bars))

    def _whole_day(self, symbol: str, session: Session) -> dict[str, float]:
        rows = self.session_rows(symbol, session)
        return rows.day_until(rows.last_finished(session.last_stamp))

    def day_so_far(self, symbol: str, session: Session | None, now: datetime) -> dict[str, float]:
        """Return open, high, low, close, volume, turnover of a session so far; empty before it.

        Turnover is in KIS's unit: KRW for stocks, thousand KRW for derivatives.
        """
        if session is None:
            return {}
        if now >= session.last_stamp:
            return self.whole_day(symbol, session)
        rows = self.session_rows(symbol, session)
        return rows.day_until(rows.last_finished(now))

    def session_on(self, symbol: str, market: Market, day: date) -> Session | None:
        """Return the symbol's session that begins on the day, None on a day without one."""
        return self._session(symbol, market, day)

    def last_session(self, symbol: str, market: Market, day: date) -> Session | None:
        """Return the symbol's last session before the day; None without one in LOOK_BACK days."""
        return next(self._sessions_before(symbol, market, day), None)

    def day_before(self, symbol: str, market: Market, now: datetime) -> dict[str, float]:
        """Return the figures of `day_so_far` for the last session before today.

        For a stock that is the last one in which it traded.
        """
        for earlier in self._sessions_before(symbol, market, now.date()):
            found = self.day_so_far(symbol, earlier, now)
            if found or not isinstance(instrument(symbol), Stock):
                return found
        return {}

    def _sessions_before(self, symbol: str, market: Market, day: date) -> Iterator[Session]:
        for session_date in self._days_back(market, day)[1:]:
            earlier = self._session(symbol, market, session_date)
            if earlier is not None:
                yield earlier

    def sessions_back(
        self, symbol: str, market: Market, day: date, now: datetime, *, fake_ticks: bool = False
    ) -> Iterator[SessionRows]:
        """Yield the symbol's sessions from `day` backwards, as far as KIS still has them."""
        kept = NIGHTS_KEPT if market is Market.NIGHT else KEPT
        for session_date in self._days_back(market, day):
            session = self._session(symbol, market, session_date)
            if session is not None and timedelta() <= now.date() - session_date <= kept:
                yield self.session_rows(symbol, session, fake_ticks=fake_ticks)

    def today(self, symbol: str, market: Market, now: datetime) -> SessionRows | None:
        """Return the rows of today's session, None on a day without one."""
        return self.on(symbol, market, now.date())

    def on(self, symbol: str, market: Market, day: date) -> SessionRows | None:
        """Return the rows of the session that begins on the day, None on a day without one."""
        session = self._session(symbol, market, day)
        return self.session_rows(symbol, session) if session else None

    def session_before(self, symbol: str, market: Market, day: date) -> SessionRows | None:
        """Return the rows of the `last_session` before the day."""
        session = self.last_session(symbol, market, day)
        return self.session_rows(symbol, session) if session else None

    def stops(self, symbol: str, session: Session) -> list[Stop]:
        """Return when trading of a symbol stops in a session, its market's stops among them."""
        stops = self.market.stops(session.date)
        found = [stop for stop in stops if stop.symbol in (None, symbol)]
        if isinstance(instrument(symbol), Stock):
            found += interruption(self.session_rows(symbol, session).bars, symbol)
        return sorted(found, key=lambda stop: stop.begin)


def price_over_index(symbol: str, day: date) -> float:
    """Return a future's price divided by that of its index; 1 for an option."""
    found = parse_derivative(symbol)
    return carry(day, found.last_day) if isinstance(found, Contract) else 1.0


def served_session(symbol: str, market: Market, day: date) -> Session | None:
    """Return the symbol's session in a market on a date, None if it does not trade then."""
    try:
        found = instrument(symbol)
        if isinstance(found, Stock) and market is not Market.NIGHT:
            return session(market, day)
        return found.session(day, night=market is Market.NIGHT)
    except CalendarRangeError:
        return None


def is_forgotten(symbol: str, now: datetime) -> bool:
    """Say whether KIS no longer knows a derivative: an old-style code, or long expired."""
    try:
        found = parse_derivative(symbol)
    except InputError:
        return True
    outdated = is_old_code(symbol) and now.year >= FIRST_NEW_YEAR
    return outdated or now.date() - found.last_day > KEPT_AFTER_EXPIRY


def _days_back(market: Market, day: date) -> list[date]:
    """Return the day and the session dates before it, newest first."""
    try:
        return [day, *reversed(previous_sessions(market, day, LOOK_BACK))]
    except CalendarRangeError:
        return [day]
