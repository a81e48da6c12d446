"""Which bars a market owes on a date, and from when on KIS's answer about them is final.

Everything is KST without zone. A session is named by the date on which it begins: the night of a
Friday is Friday's, although its stamps are Saturday's after midnight. Stamps are those of stored
bars: the end of the minute, the closing auction at its own time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from functools import cache
from typing import Any

import polars as pl

from engine import instruments
from engine.expiries import nominal_expiry
from engine.trading_days import (
    check_range,
    depends_on_days,
    is_first_of_year,
    is_trading_day,
    learn_closed_days,
    previous_trading_days,
    remember_kis_days,
    rules,
    special_days,
    trading_days,
    why_closed,
)

__all__ = [
    "Market", "Session", "calendar_year", "learn_closed_days", "market_of", "owed_stamps",
    "previous_sessions", "remember_kis_days", "session", "session_dates", "session_of",
]  # fmt: skip

MINUTE = timedelta(minutes=1)


class Market(StrEnum):
    """Markets with hours of their own."""

    STOCKS = "stocks"
    DERIVATIVES = "derivatives"
    NIGHT = "night"


@dataclass(frozen=True)
class Session:
    """One session of a market: when it trades and which stamps its bars have."""

    market: Market
    date: date
    opens: datetime  # the first trade possible
    continuous_end: datetime  # stamp of the last bar before the auction
    auction: datetime | None  # stamp of the closing auction; None where there is none
    sealed_at: datetime  # from here on KIS's answer for this session is final

    @property
    def first_stamp(self) -> datetime:
        """Return the stamp of the first bar."""
        return self.opens + MINUTE

    @property
    def last_stamp(self) -> datetime:
        """Return the stamp of the last bar, which is the auction's where there is one."""
        return self.auction or self.continuous_end

    def stamps(self) -> pl.Series:
        """Return every stamp owed, ascending: 411 of a regular derivatives session."""
        continuous = _minutes(self.first_stamp, self.continuous_end)
        if self.auction is None:
            return continuous
        return continuous.append(pl.Series([self.auction], dtype=pl.Datetime("us")))

    def minute_grid(self) -> pl.Series:
        """Return every minute from first to last stamp, the wait for the auction included."""
        return _minutes(self.first_stamp, self.last_stamp)

    def stamp_of_label(self, label: pl.Expr) -> pl.Expr:
        """Turn KIS's labels (datetimes, start of the minute) into stamps."""
        end = label.dt.offset_by("1m")
        return (
            end
            if self.auction is None
            else pl.when(label == self.auction).then(label).otherwise(end)
        )


def _minutes(first: datetime, last: datetime) -> pl.Series:
    return pl.datetime_range(first, last, "1m", time_unit="us", eager=True).alias("stamp")


def session(market: Market, day: date, *, expiring: bool = False) -> Session | None:
    """Return the session that begins on the day, None if there is none.

    `expiring` asks for the hours of a contract on its last trading day. Raises CalendarRangeError
    outside the dates that the calendar knows.
    """
    found: Session | None = _session(Market(market), check_range(day), expiring)
    return found


@depends_on_days
@cache
def _session(market: Market, day: date, expiring: bool) -> Session | None:
    hours = _hours(market, day)
    if hours is None or not is_trading_day(day) or (expiring and market is Market.NIGHT):
        return None
    opens_later, closes_later = _shift(market, day)
    opens = datetime.combine(day, time.fromisoformat(hours["opens"])) + opens_later

    def closing(name: str) -> datetime:
        moment = datetime.combine(day, time.fromisoformat(hours[name])) + closes_later
        return moment if moment > opens else moment + timedelta(days=1)

    end = closing("expiring_end" if expiring else "continuous_end")
    auction = None if expiring else closing("auction")
    sealed = (auction or end) + timedelta(minutes=rules()["sealed"]["minutes_after_last_stamp"])
    return Session(market, day, opens, end, auction, sealed)


def _hours(market: Market, day: date) -> dict[str, Any] | None:
    eras = [era for era in rules()["hours"] if era["market"] == market and era["from"] <= day]
    return max(eras, key=lambda era: era["from"], default=None)


def _shift(market: Market, day: date) -> tuple[timedelta, timedelta]:
    """Return by how much open and close are later on this day."""
    none, csat = timedelta(0), timedelta(minutes=rules()["csat"]["later_minutes"])
    if day in special_days("csat"):
        return csat, none if market is Market.NIGHT else csat
    if market in rules()["new_year"]["markets"] and is_first_of_year(day):
        return timedelta(minutes=rules()["new_year"]["opens_later_minutes"]), none
    return none, none


def market_of(symbol: str) -> Market:
    """Return the daytime market of a code; raises InputError for what is no code."""
    symbol = instruments.validate_symbol(symbol)
    return Market.STOCKS if instruments.is_stock(symbol) else Market.DERIVATIVES


def session_of(symbol: str, day: date) -> Session | None:
    """Return the daytime session of a code, shorter on its expiry, None after it.

    A front name such as A01_FRONT expires with each of its contracts and goes on with the next.
    """
    market = market_of(symbol)
    if market is Market.STOCKS:
        return session(market, day)
    if instruments.is_front(symbol):
        symbol = instruments.front_month(symbol[:3], check_range(day))
    last = _last_day(symbol)
    return None if day > last else session(market, day, expiring=day == last)


def _last_day(code: str) -> date:
    """Return a contract's expiry; beyond the calendar the nominal one, which is after any date."""
    contract = instruments.contract(code)
    nominal = nominal_expiry(contract.product.months, contract.maturity)
    return nominal if nominal > rules()["last_day"] else contract.expiry


def session_dates(market: Market, start: date, end: date) -> list[date]:
    """Return the dates of the sessions from start to end, both included."""
    return [day for day in trading_days(start, end) if _hours(market, day)]


def previous_sessions(market: Market, day: date, count: int) -> list[date]:
    """Return the dates of the `count` sessions before the day, oldest first."""
    return [d for d in previous_trading_days(day, count) if _hours(market, d)]


def owed_stamps(symbols: Sequence[str], start: date, end: date) -> pl.DataFrame:
    """Return symbol, session (date), stamp of every bar owed, ascending in this order."""
    schema = pl.Schema(
        [("symbol", pl.String()), ("session", pl.Date()), ("stamp", pl.Datetime("us"))]
    )
    frames = [
        pl.DataFrame({"stamp": s.stamps()}).select(
            pl.lit(symbol).alias("symbol"), pl.lit(s.date).alias("session"), "stamp"
        )
        for symbol in symbols
        for day in trading_days(start, end)
        if (s := session_of(symbol, day))
    ]
    return pl.concat(frames) if frames else pl.DataFrame(schema=schema)


def calendar_year(year: int) -> pl.DataFrame:
    """Return date, weekday, stocks, derivatives, note of every weekday of a year, for printing.

    Hours read "09:00-15:30", NULL on a closed day; the note names whatever is not ordinary.
    """
    days = pl.date_range(check_range(date(year, 1, 1)), date(year, 12, 31), eager=True).to_list()
    weekdays = [day for day in days if day.weekday() < 5]
    return pl.DataFrame({"date": weekdays}).with_columns(
        pl.col("date").dt.strftime("%a").alias("weekday"),
        *(
            pl.Series(market.value, [_hours_text(session(market, d)) for d in weekdays], pl.String)
            for market in (Market.STOCKS, Market.DERIVATIVES)
        ),
        pl.Series("note", [_note(day) for day in weekdays], pl.String),
    )


def _hours_text(of: Session | None) -> str | None:
    return f"{of.opens:%H:%M}-{of.last_stamp:%H:%M}" if of else None


def _note(day: date) -> str | None:
    notes = [
        why_closed(day),
        "CSAT day: one hour later" if day in special_days("csat") else None,
        "first session of the year: opens one hour later" if is_first_of_year(day) else None,
    ]
    return "; ".join(note for note in notes if note) or None
