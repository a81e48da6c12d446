"""The hours of one market on one day, and the stamps of the bars it owes.

Everything is KST without zone. A session is named by the date on which it begins: the night of a
Friday is Friday's, although its stamps are Saturday's after midnight. Stamps are those of stored
bars: the end of the minute, the closing auction at its own time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from functools import cache
from typing import Any

import polars as pl

from engine.market.trading_days import (
    check_range,
    depends_on_days,
    is_first_of_year,
    is_trading_day,
    rules,
    special_days,
)

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)


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
    auction: datetime | None  # stamp of the closing auction; None for an expiring contract
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
        return continuous.append(_minutes(self.auction, self.auction))

    def minute_grid(self) -> pl.Series:
        """Return every minute from first to last stamp, the wait for the auction included."""
        return _minutes(self.first_stamp, self.last_stamp)

    def stamp_of_label(self, label: pl.Expr) -> pl.Expr:
        """Turn KIS's labels (datetimes, start of the minute) into stamps, NULL where none is owed.

        KIS fills the wait for the auction with repeats of the last price when it is asked then
        (real stock data has them on six days): the label 15:29 plus a minute would be the
        auction's stamp. Labels of a night are real datetimes: its hour 30 is 06:00 of the next day.
        """
        whole = label.dt.truncate("1m") == label
        continuous = whole & (label >= self.opens) & (label < self.continuous_end)
        stamp = pl.when(continuous).then(label.dt.offset_by("1m"))
        return stamp if self.auction is None else stamp.when(label == self.auction).then(label)


def _minutes(first: datetime, last: datetime) -> pl.Series:
    return pl.datetime_range(first, last, "1m", time_unit="us", eager=True).alias("stamp")


def session(market: Market, day: date, *, expiring: bool = False) -> Session | None:
    """Return the session that begins on the day, None if there is none.

    `expiring` asks for the hours of a contract on its last trading day: no auction, and no night.
    Raises CalendarRangeError outside the dates that the calendar knows.
    """
    return _session(Market(market), check_range(day), expiring)


@depends_on_days
@cache
def _session(market: Market, day: date, expiring: bool) -> Session | None:
    hours = era(market, day)
    if hours is None or not is_held(market, day) or (expiring and market is Market.NIGHT):
        return None
    opens_later, closes_later = _shift(market, day)
    opens = datetime.combine(day, time.fromisoformat(hours["opens"])) + opens_later

    def closing(name: str) -> datetime:
        moment = datetime.combine(day, time.fromisoformat(hours[name])) + closes_later
        return moment if moment > opens else moment + DAY

    shorter = expiring and market is Market.DERIVATIVES
    end = closing("expiring_end" if shorter else "continuous_end")
    auction = None if shorter else closing("auction")
    sealed = (auction or end) + timedelta(minutes=rules()["sealed"]["minutes_after_last_stamp"])
    return Session(market, day, opens, end, auction, sealed)


def era(market: Market, day: date) -> dict[str, Any] | None:
    """Return the market's hours as they were on the day, None before it existed."""
    past = (e for e in rules()["hours"] if e["market"] == market and e["from"] <= day)
    return max(past, key=lambda e: e["from"], default=None)


def is_held(market: Market, day: date) -> bool:
    """Say whether a session of an existing market begins on the day."""
    skipped = market is Market.NIGHT and day in special_days("no_night")
    return is_trading_day(day) and not skipped


def _shift(market: Market, day: date) -> tuple[timedelta, timedelta]:
    """Return by how much open and close are later on this day."""
    csat, new_year, none = rules()["csat"], rules()["new_year"], timedelta(0)
    if day in special_days("csat"):
        later = timedelta(minutes=csat["later_minutes"])
        return later, none if market is Market.NIGHT else later
    if market in new_year["markets"] and is_first_of_year(day):
        return timedelta(minutes=new_year["opens_later_minutes"]), none
    return none, none
