"""Which days KRX trades: `closed_days.csv`, the special days of `calendar.toml`, then KIS.

Stocks and derivatives trade on the same days. Outside first_day … last_day of the TOML every
question raises CalendarRangeError: no answer is better than a wrong one.

KIS tells holidays, too (`engine/kis/holidays.py`): `learn_closed_days` takes its answer before work
on real data and each time that KIS was asked. Where KIS and the built-in calendar disagree, KIS is
believed, since it knows of holidays declared last week, and a line in the log says so.
"""

from __future__ import annotations

import logging
import tomllib
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import polars as pl

from engine.errors import CalendarRangeError

if TYPE_CHECKING:
    from functools import _lru_cache_wrapper as Cached  # noqa: N812  (typing only)

log = logging.getLogger(__name__)
Answer = TypeVar("Answer")

SATURDAY = 5
_EVE_AHEAD = 4  # days from an eve to its holiday at most: a weekend and closed days may lie between
_learned: dict[date, bool] = {}  # whether KRX opens, where KIS and the built-in calendar disagree
_expected_nights: set[date] = set()  # although the calendar expects none
_dependent: list[Cached[Any]] = []  # functions whose answers depend on the two


@dataclass(frozen=True)
class Days:
    """The known trading days, ascending, and why the exchange is closed on the other weekdays."""

    first: date
    last: date
    open: tuple[date, ...]
    closed: Mapping[date, str]


def depends_on_days(cached: Cached[Answer]) -> Cached[Answer]:
    """Have a cached function forget its answers when KIS tells other days (a decorator)."""
    _dependent.append(cached)
    return cached


@cache
def rules() -> dict[str, Any]:
    """Return `calendar.toml` as it stands."""
    return tomllib.loads(Path(__file__).with_name("calendar.toml").read_text(encoding="utf-8"))


@cache
def special_days(kind: str) -> dict[date, str]:
    """Return date → name of the TOML's special days of a kind: closed, csat, no_night."""
    of_kind = (day for day in rules()["special"] if day["kind"] == kind)
    return {day["date"]: day.get("name", kind) for day in of_kind}


def closed_weekdays() -> pl.DataFrame:
    """Return date and name of every weekday on which KRX is closed, as exchange-calendars has them.

    `.ci/closed_days.py` writes the file: importing exchange-calendars takes seconds and 90 MB.
    """
    file = Path(__file__).with_name("closed_days.csv")
    return pl.read_csv(file, schema={"date": pl.Date, "name": pl.String})


def _built_in() -> dict[date, str]:
    base = closed_weekdays()
    return dict(zip(base["date"], base["name"], strict=True)) | special_days("closed")


@depends_on_days
@cache
def _days() -> Days:
    first, last = rules()["first_day"], rules()["last_day"]
    closed = {day: name for day, name in _built_in().items() if not _learned.get(day)}
    closed |= {day: "closed, says KIS" for day, is_open in _learned.items() if not is_open}
    every = (first + timedelta(n) for n in range((last - first).days + 1))
    weekdays = (day for day in every if day.weekday() < SATURDAY)
    return Days(first, last, tuple(day for day in weekdays if day not in closed), closed)


def check_range(day: date) -> date:
    """Return the day. Raises CalendarRangeError if the calendar does not know it."""
    days = _days()
    if days.first <= day <= days.last:
        return day
    raise CalendarRangeError(
        f"{day} is outside {days.first} … {days.last}, the dates that the KRX calendar knows: "
        "choose a date inside, or extend calendar.toml and closed_days.csv in engine/market"
    )


def is_trading_day(day: date) -> bool:
    """Say whether KRX trades on the day."""
    return check_range(day).weekday() < SATURDAY and day not in _days().closed


def is_usual_trading_day(day: date) -> bool:
    """Say whether KRX trades on the day by the built-in calendar, whatever KIS says."""
    return check_range(day).weekday() < SATURDAY and day not in _built_in()


def trading_days(start: date, end: date) -> list[date]:
    """Return the trading days from start to end, both included."""
    days = _days().open
    return list(days[bisect_left(days, check_range(start)) : bisect_right(days, check_range(end))])


def previous_trading_days(day: date, count: int) -> list[date]:
    """Return the `count` trading days before the day, oldest first. Raises CalendarRangeError."""
    days = _days().open
    end = bisect_left(days, check_range(day))
    if end < count:
        raise CalendarRangeError(f"the KRX calendar knows {end} sessions before {day}, not {count}")
    return list(days[end - count : end])


def last_trading_day_until(day: date) -> date:
    """Return the day itself if KRX trades on it, else the trading day before it."""
    days = _days().open
    at = bisect_right(days, check_range(day))
    return days[at - 1] if at else previous_trading_days(day, 1)[0]


def next_trading_day_from(day: date) -> date:
    """Return the day itself if KRX trades on it, else the trading day after it."""
    days = _days().open
    at = bisect_left(days, check_range(day))
    if at < len(days):
        return days[at]
    raise CalendarRangeError(f"the KRX calendar knows no trading day after {day}")


@depends_on_days
@cache
def is_first_of_year(day: date) -> bool:
    """Say whether the day is the first trading day of its year."""
    return trading_days(date(day.year, 1, 1), day) == [day]


def why_closed(day: date) -> str | None:
    """Return the name of the holiday, "weekend", or None for a trading day."""
    if is_trading_day(day):
        return None
    return _days().closed.get(day, "weekend")


def why_no_night(day: date) -> str | None:
    """Return why no night begins on a trading day, None if one does.

    That is a belief, from the nights that were not held so far: what KIS has decides
    (`expect_nights`).
    """
    return None if day in _expected_nights else why_unlikely_night(day)


@depends_on_days
@cache
def why_unlikely_night(day: date) -> str | None:
    """Return why the calendar expects no night on a trading day, whatever KIS says; else None."""
    if named := special_days("no_night").get(day):
        return named
    closed = _days().closed
    following = (day + timedelta(n) for n in range(1, _EVE_AHEAD + 1))
    for after in following:
        if after in closed and any(name in closed[after] for name in rules()["no_night"]["before"]):
            return f"night before {closed[after]} not held"
        if after.weekday() < SATURDAY and after not in closed:
            return None
    return None


@depends_on_days
@cache
def is_doubtful_night(day: date) -> bool:
    """Say whether a night that begins on the day may not be held, since a holiday follows.

    Nights before some holidays were not held, so KIS's answers decide about such a night.
    """
    after = day + timedelta(1)
    while after.weekday() >= SATURDAY:
        after += timedelta(1)
    return after in _days().closed


def expected_nights() -> frozenset[date]:
    """Return the nights that are expected although the calendar does not expect them."""
    return frozenset(_expected_nights)


def expect_nights(nights: Iterable[date]) -> None:
    """Expect these nights, whatever the calendar says, in place of those expected before.

    They are nights of which KIS has given bars, or about which it will be asked.
    """
    _expected_nights.clear()
    _expected_nights.update(nights)
    for cached in _dependent:
        cached.cache_clear()


def learn_closed_days(kis_days: Mapping[date, bool]) -> list[date]:
    """Believe the days that KIS told (date → does the exchange open), in place of earlier ones.

    Returns those on which the built-in calendar says otherwise. Weekends and dates outside the
    calendar are ignored.
    """
    first, last, closed = rules()["first_day"], rules()["last_day"], _built_in()
    told = {d: o for d, o in kis_days.items() if first <= d <= last and d.weekday() < SATURDAY}
    differing = {day: told[day] for day in sorted(told) if told[day] == (day in closed)}
    for day, is_open in differing.items():
        if _learned.get(day) == is_open:
            continue  # said before
        log.warning(
            "⚠️ %s: KIS says %s, the built-in calendar %s; KIS is believed",
            day,
            "open" if is_open else "closed",
            closed.get(day, "a trading day"),
        )
    _learned.clear()
    _learned.update(differing)
    for cached in _dependent:
        cached.cache_clear()
    return list(differing)
