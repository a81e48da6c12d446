"""What markets and symbols owe: sessions of a code, spans of sessions, owed stamps, a year's list.

The door to the sessions: `hours` has the sessions, `trading_days` the days, `calendar.toml` the
facts with their sources. Outside 2015 … 2027 every question raises
CalendarRangeError.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import polars as pl

from engine.errors import CalendarRangeError
from engine.market import expiries
from engine.market import symbols as instruments
from engine.market.hours import DAY, Market, Session, era, is_held, session
from engine.market.trading_days import (
    check_range,
    is_first_of_year,
    learn_closed_days,
    previous_trading_days,
    remember_kis_days,
    special_days,
    trading_days,
    why_closed,
)

__all__ = [
    "Market",
    "Session",
    "calendar_year",
    "learn_closed_days",
    "market_of",
    "owed_sessions",
    "owed_stamps",
    "previous_sessions",
    "remember_kis_days",
    "session",
    "session_dates",
    "session_of",
]


def market_of(symbol: str) -> Market:
    """Return the daytime market of a code; raises InputError for what is no code."""
    symbol = instruments.validate_symbol(symbol)
    return Market.STOCKS if instruments.is_stock(symbol) else Market.DERIVATIVES


def session_of(symbol: str, day: date, *, night: bool = False) -> Session | None:
    """Return the session of a code on the day, shorter on its expiry, None after it.

    A front name such as A01_FRONT expires with each of its contracts and goes on with the next.
    `night` asks for the night that begins on the day, which stocks do not have, nor a contract on
    its last day; a front name's is then its next contract's.
    """
    market = market_of(symbol)
    if market is Market.STOCKS:
        return None if night else session(market, day)
    last = instruments.contract(instruments.contract_on(symbol, check_range(day))).last_day
    if night:
        held = day < last or instruments.is_front(symbol)
        return session(Market.NIGHT, day) if held else None
    return None if day > last else session(market, day, expiring=day == last)


def session_dates(market: Market, start: date, end: date) -> list[date]:
    """Return the dates of the sessions from start to end, both included."""
    market = Market(market)
    return [day for day in trading_days(start, end) if era(market, day) and is_held(market, day)]


def previous_sessions(market: Market, day: date, count: int) -> list[date]:
    """Return the dates of the `count` sessions before the day, oldest first.

    Raises CalendarRangeError where the calendar does not know so many.
    """
    if Market(market) is not Market.NIGHT:
        return previous_trading_days(day, count)
    skipped = len(special_days("no_night"))  # at most so many of the days have no night
    days = previous_trading_days(day, count + skipped)
    nights = session_dates(market, days[0], day - DAY) if days else []
    if len(nights) < count:
        raise CalendarRangeError(f"there were {len(nights)} nights before {day}, not {count}")
    return nights[len(nights) - count :]


def owed_stamps(symbols: Sequence[str], start: date, end: date) -> pl.DataFrame:
    """Return symbol, session (date), stamp of every daytime bar owed, ascending in this order.

    A contract owes bars until its expiry, however long before it was listed: narrow the dates to
    its time in front (`instruments.front_months`) where that matters.
    """
    owed = owed_sessions(symbols, start, end)
    kinds = ["market", "session", "expiring"]
    return (
        owed.lazy()
        .join(_stamps_of(owed.select(kinds).unique()).lazy(), on=kinds, maintain_order="left")
        .select("symbol", "session", pl.col("stamps").alias("stamp"))
        .explode("stamp")
        .collect()
    )


def owed_sessions(symbols: Sequence[str], start: date, end: date) -> pl.DataFrame:
    """Return symbol, market, session (date), expiring of all sessions in which symbols owe bars."""
    names = sorted(set(symbols))
    markets = pl.DataFrame(
        [(name, market_of(name).value) for name in names],
        schema={"symbol": pl.String(), "market": pl.String()},
        orient="row",
    )
    days = pl.DataFrame({"session": trading_days(start, end)}, schema={"session": pl.Date()})
    last_days = pl.DataFrame(
        [(name, last) for name in names for last in _last_days(name, start, end)],
        schema={"symbol": pl.String(), "last_day": pl.Date()},
        orient="row",
    )
    expiring = pl.col("session").eq_missing(pl.col("last_day")).alias("expiring")
    return (
        markets.join(days, how="cross", maintain_order="left_right")
        .join_asof(
            last_days,
            left_on="session",
            right_on="last_day",
            by="symbol",
            strategy="forward",
            check_sortedness=False,
        )
        .filter((pl.col("market") == Market.STOCKS) | pl.col("last_day").is_not_null())
        .select("symbol", "market", "session", expiring)
    )


def _last_days(symbol: str, start: date, end: date) -> list[date]:
    """Return the last days of a symbol's contracts: one, many of a front name, none of a stock."""
    if instruments.is_stock(symbol):
        return []
    if instruments.is_front(symbol):
        return instruments.front_months(symbol[:3], start, end)["last_day"].to_list()
    return [instruments.contract(symbol).last_day]


def _stamps_of(kinds: pl.DataFrame) -> pl.DataFrame:
    """Add the stamps, as lists, to market, session, expiring."""
    sessions = [session(Market(m), day, expiring=expiring) for m, day, expiring in kinds.rows()]
    stamps = [one.stamps() for one in sessions if one]
    return kinds.with_columns(pl.Series("stamps", stamps, dtype=pl.List(pl.Datetime("us"))))


def calendar_year(year: int) -> pl.DataFrame:
    """Return date, weekday, stocks, derivatives, note of every weekday of a year, for printing.

    Hours read "09:00-15:30", NULL on a closed day; the note names whatever is not ordinary.
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


def _hours_text(of: Session | None) -> str | None:
    return f"{of.opens:%H:%M}-{of.last_stamp:%H:%M}" if of else None


def _note(day: date) -> str | None:
    notes = (
        why_closed(day),
        "university entrance examination: one hour later" if day in special_days("csat") else None,
        "first session of the year: opens one hour later" if is_first_of_year(day) else None,
        special_days("no_night").get(day),
        _expiring(day),
    )
    return "; ".join(note for note in notes if note) or None


def _expiring(day: date) -> str | None:
    for months, words in (("KOSPI200_FUTURES", "futures and options"), ("KOSPI200", "options")):
        for last, maturity in expiries.maturities(months):
            if last == day:
                return f"last trading day of {maturity} {words}"
    return None
