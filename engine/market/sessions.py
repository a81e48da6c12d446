"""Sessions of a market: their dates, the last ones before a day, the calendar of a year.

`hours` has the sessions, `trading_days` the days, `calendar.toml` the facts with their sources, and
`symbols` the sessions of a symbol. Outside 2015 … 2027 every question raises CalendarRangeError.
"""

from __future__ import annotations

from datetime import date
from functools import cache

import polars as pl

from engine.errors import CalendarRangeError
from engine.market import expiries
from engine.market.hours import Market, Session, era, is_held, session
from engine.market.trading_days import (
    check_range,
    depends_on_days,
    is_first_of_year,
    is_trading_day,
    previous_trading_days,
    rules,
    special_days,
    trading_days,
    why_closed,
    why_no_night,
)

__all__ = [
    "Market",
    "Session",
    "calendar_year",
    "previous_sessions",
    "session",
    "session_dates",
]


def session_dates(market: Market, start: date, end: date) -> list[date]:
    """Return the dates of the sessions from start to end, both included."""
    market = Market(market)
    return [day for day in trading_days(start, end) if era(market, day) and is_held(market, day)]


def previous_sessions(market: Market, day: date, count: int) -> list[date]:
    """Return the dates of the `count` sessions before the day, oldest first.

    Raises CalendarRangeError where the calendar does not know so many.
    """
    if Market(market) in (Market.STOCKS, Market.DERIVATIVES):
        return previous_trading_days(day, count)
    earlier = [found for found in _dates(Market(market)) if found < check_range(day)]
    if len(earlier) < count:
        raise CalendarRangeError(
            f"there were {len(earlier)} sessions of the market {market} before {day}, not {count}"
        )
    return earlier[len(earlier) - count :]


@depends_on_days
@cache
def _dates(market: Market) -> list[date]:
    return session_dates(market, rules()["first_day"], rules()["last_day"])


def calendar_year(year: int) -> pl.DataFrame:
    """Return date, weekday, stocks, derivatives, note of every weekday of a year, for printing.

    Hours read "09:00-15:30", null on a closed day; the note says what is not ordinary. Raises
    CalendarRangeError for a year that the calendar does not know.
    """
    first, last = check_range(date(year, 1, 1)), date(year, 12, 31)
    days = pl.date_range(first, last, eager=True)
    weekdays = days.filter(days.dt.weekday() <= 5).alias("date")
    hours = {
        market.value: [_hours_text(session(market, day)) for day in weekdays]
        for market in (Market.STOCKS, Market.DERIVATIVES)
    }
    return pl.DataFrame(
        {
            "date": weekdays,
            "weekday": weekdays.dt.strftime("%a"),
            **{name: pl.Series(texts, dtype=pl.String()) for name, texts in hours.items()},
            "note": pl.Series([_note(day) for day in weekdays], dtype=pl.String()),
        }
    )


def _hours_text(found: Session | None) -> str | None:
    return f"{found.opens:%H:%M}-{found.last_stamp:%H:%M}" if found else None


def _note(day: date) -> str | None:
    notes = (
        why_closed(day),
        "university entrance examination: one hour later" if day in special_days("csat") else None,
        "first session of the year: opens one hour later" if is_first_of_year(day) else None,
        why_no_night(day) if era(Market.NIGHT, day) and is_trading_day(day) else None,
        _expiring(day),
    )
    return "; ".join(note for note in notes if note) or None


def _expiring(day: date) -> str | None:
    for months, words in (("KOSPI200_FUTURES", "futures and options"), ("KOSPI200", "options")):
        for last, maturity in expiries.maturities(months):
            if last == day:
                return f"last trading day of {maturity} {words}"
    return None
