"""The hours of one market on one day, and the stamps of the bars that must exist.

All times are KST without a time zone. A session is named by the date on which it begins: the night
of a Friday is Friday's, although its stamps after midnight are Saturday's. Stamps are those of
stored bars: the end of the minute; for the closing auction, its own time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from functools import cache, lru_cache
from typing import Any, TypeVar

import polars as pl

from engine.market.trading_days import (
    check_range,
    depends_on_days,
    is_first_of_year,
    is_trading_day,
    next_trading_day_from,
    rules,
    special_days,
    why_no_night,
)

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
Day = date  # for use inside Session, where `date` is the name of a field


class Market(StrEnum):
    """Markets with hours of their own."""

    STOCKS = "stocks"
    DERIVATIVES = "derivatives"
    NIGHT = "night"
    AFTER = "after"  # stocks at KRX after the regular session
    NXT = "nxt"  # stocks at Nextrade, the second exchange
    UNIFIED = "unified"  # stocks at KRX and Nextrade together, as KIS sums them up


Labels = TypeVar("Labels", pl.Expr, pl.Series)
Span = tuple[datetime, datetime]  # from a label on, up to another, which is not part of it


@dataclass(frozen=True)
class Session:
    """One session of a market: when it trades and which stamps its bars have."""

    market: Market
    date: date
    opens: datetime  # when trading begins, which is the first label
    continuous_end: datetime  # stamp of the last bar before the auction
    auction: datetime | None  # stamp of the closing auction; None without one (expiring contracts)
    sealed_at: datetime  # from here on KIS's answer for this session is final
    breaks: tuple[Span, ...] = ()  # between opens and continuous_end, when nothing trades

    @property
    def first_stamp(self) -> datetime:
        """The stamp of the first bar."""
        return self.opens + MINUTE

    @property
    def last_stamp(self) -> datetime:
        """The stamp of the last bar: the auction's where there is one."""
        return self.auction or self.continuous_end

    @property
    def trading_day(self) -> Day:
        """The trading day that it belongs to: for a night the one after its evening.

        Raises CalendarRangeError where the calendar does not know that day.
        """
        return next_trading_day_from(self.date + DAY) if self.market is Market.NIGHT else self.date

    def stamps(self) -> pl.Series:
        """Return every expected stamp, ascending: 411 in a regular derivatives session."""
        return _stamps(self).clone()

    def minute_grid(self) -> pl.Series:
        """Return every minute from first to last stamp, the wait for the auction included."""
        return _minutes(self.first_stamp, self.last_stamp)

    # A label is KIS's time of a bar, the start of its minute; a stamp is ours, the end. The auction
    # has one time for both. Labels of a night are real datetimes: its hour 30 is 06:00 of the next
    # day. Only these methods turn one into the other.

    def labels(self) -> pl.Series:
        """Return the label of every expected bar, ascending."""
        return _labels(self).clone()

    def is_label(self, label: pl.Expr) -> pl.Expr:
        """Say which datetimes are labels of bars; null where the datetime is null.

        Those of expected bars and the minutes of a break are: that nothing trades in a break is
        only a belief of ours, so what KIS has there is kept (`just validate` reports it). The
        minutes of the wait for the auction are not: KIS fills them with repeats of the last price
        when it is asked then (real stock data has them on six days).
        """
        continuous = self._is_continuous_label(label)
        return continuous if self.auction is None else continuous | (label == self.auction)

    def stamp_of_label(self, label: pl.Expr) -> pl.Expr:
        """Turn labels into stamps; null where `is_label` is not true."""
        stamp = pl.when(self._is_continuous_label(label)).then(label.dt.offset_by("1m"))
        return stamp if self.auction is None else stamp.when(label == self.auction).then(label)

    def label_of_stamp(self, stamp: pl.Expr) -> pl.Expr:
        """Turn stamps into labels, the inverse of `stamp_of_label`; null where none is expected."""
        before = stamp.dt.offset_by("-1m")
        label = pl.when(self._is_continuous_label(before)).then(before)
        return label if self.auction is None else label.when(stamp == self.auction).then(stamp)

    def stamp_of_trade(self, moment: pl.Expr) -> pl.Expr:
        """Return the stamp of the bar that a trade belongs to, from when it was traded.

        A trade of the closing auction may come up to a minute after the auction's time: KRX ends it
        at a random moment. Null before the open, in the wait for the auction and after it.
        """
        return self.stamp_of_label(moment.dt.truncate("1m"))

    def stamp_of(self, label: datetime) -> datetime:
        """Return the stamp of one label. Does not check that the label is expected."""
        return label if label == self.auction else label + MINUTE

    def label_of(self, stamp: datetime) -> datetime:
        """Return the label of one stamp. Does not check that the stamp is expected."""
        return stamp if stamp == self.auction else stamp - MINUTE

    def label_before(self, moment: datetime) -> datetime | None:
        """Return the newest label before a moment, which is a whole minute; None without one."""
        if self.auction is not None and moment > self.auction:
            return self.auction
        label = min(moment, self.continuous_end) - MINUTE
        return label if label >= self.opens else None

    def finished_at(self, stamp: datetime) -> datetime:
        """Return the moment from which KIS's bar of a stamp can be final: its minute is over.

        That is the stamp itself; for the auction, whose minute begins with its stamp, a minute
        later.
        """
        return self.label_of(stamp) + MINUTE

    def is_finished(self, label: Labels, as_of: datetime) -> Labels:
        """Say which labels are of minutes that were over at the moment (see `finished_at`)."""
        return label <= as_of - MINUTE

    def _is_continuous_label(self, label: pl.Expr) -> pl.Expr:
        whole = label.dt.truncate("1m") == label
        return whole & (label >= self.opens) & (label < self.continuous_end)


@lru_cache(maxsize=256)  # shared by all symbols of a market
def _stamps(session: Session) -> pl.Series:
    continuous = _minutes(session.first_stamp, session.continuous_end)
    for start, end in session.breaks:
        continuous = continuous.filter((continuous <= start) | (continuous > end))
    if session.auction is None:
        return continuous
    return continuous.append(_minutes(session.auction, session.auction))


@lru_cache(maxsize=256)
def _labels(session: Session) -> pl.Series:
    stamps = pl.lit(_stamps(session))
    return pl.select(session.label_of_stamp(stamps).alias("label")).to_series()


def _minutes(first: datetime, last: datetime) -> pl.Series:
    return pl.datetime_range(first, last, "1m", time_unit="us", eager=True).alias("stamp")


def session(market: Market, day: date, *, expiring: bool = False) -> Session | None:
    """Return the session that begins on the day, None on a day without one.

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
    # A day that opens late has no pre-market.
    first = hours.get("main_opens", hours["opens"]) if opens_later else hours["opens"]
    opens = _at(day, first) + opens_later

    def closing(name: str) -> datetime:
        moment = _at(day, hours[name]) + closes_later
        return moment if moment > opens else moment + DAY

    shorter = expiring and market is Market.DERIVATIVES
    end = closing("expiring_end" if shorter else "continuous_end")
    auction = None if shorter or "auction" not in hours else closing("auction")
    sealed = (auction or end) + timedelta(minutes=rules()["sealed"]["minutes_after_last_stamp"])
    later = _csat_later(day)
    breaks = ((_at(day, a) + later, _at(day, b) + later) for a, b in hours.get("breaks", ()))
    return Session(
        market, day, opens, end, auction, sealed, tuple(s for s in breaks if s[0] > opens)
    )


def _at(day: date, text: str) -> datetime:
    return datetime.combine(day, time.fromisoformat(text))


def _csat_later(day: date) -> timedelta:
    is_csat = day in special_days("csat")
    return timedelta(minutes=rules()["csat"]["later_minutes"] if is_csat else 0)


def era(market: Market, day: date) -> dict[str, Any] | None:
    """Return the market's hours as they were on the day, None before it existed."""
    past = (e for e in rules()["hours"] if e["market"] == market and e["from"] <= day)
    return max(past, key=lambda e: e["from"], default=None)


def is_held(market: Market, day: date) -> bool:
    """Say whether a session of an existing market begins on the day."""
    if not is_trading_day(day):
        return False
    return market is not Market.NIGHT or why_no_night(day) is None


def _shift(market: Market, day: date) -> tuple[timedelta, timedelta]:
    """Return by how much a market opens and closes later than usual on this day."""
    csat, new_year, none = rules()["csat"], rules()["new_year"], timedelta(0)
    if later := _csat_later(day):
        return later, later if market in csat["close_later"] else none
    if market in new_year["markets"] and is_first_of_year(day):
        return timedelta(minutes=new_year["opens_later_minutes"]), none
    return none, none
