"""Which days KRX trades: `closed_days.csv`, the special days of `sessions.toml`, then KIS.

Stocks and derivatives share their days. Outside first_day … last_day of the TOML every question
raises CalendarRangeError: no answer is better than a wrong one.

KIS tells holidays too (CTCA0903R). Whoever asks it keeps the answer with `remember_kis_days` in the
data folder; `learn_closed_days` reads that file at start. Where KIS and the built-in calendar
disagree, KIS is believed, since it knows of holidays declared last week, and a line says so.
"""

from __future__ import annotations

import logging
import tomllib
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from engine import closed_days
from engine.errors import CalendarRangeError, InputError

log = logging.getLogger(__name__)

_learned: dict[date, bool] = {}


@dataclass(frozen=True)
class Days:
    """The known trading days, ascending, and why other weekdays are none."""

    first: date
    last: date
    open: tuple[date, ...]
    closed: Mapping[date, str]


@cache
def rules() -> dict[str, Any]:
    """Return `sessions.toml` as it stands."""
    return tomllib.loads(Path(__file__).with_name("sessions.toml").read_text(encoding="utf-8"))


@cache
def special_days(kind: str) -> dict[date, str]:
    """Return date → source of the TOML's special days of a kind: closed, csat."""
    return {day["date"]: day["source"] for day in rules()["special"] if day["kind"] == kind}


def _built_in() -> dict[date, str]:
    base = closed_days.load()
    return dict(zip(base["date"], base["name"], strict=True)) | special_days("closed")


@cache
def _days() -> Days:
    first, last, closed = rules()["first_day"], rules()["last_day"], _built_in()
    closed = {day: why for day, why in closed.items() if not _learned.get(day, False)}
    closed |= {day: "KIS" for day, is_open in _learned.items() if not is_open and day not in closed}
    every = (first + timedelta(n) for n in range((last - first).days + 1))
    return Days(first, last, tuple(d for d in every if d.weekday() < 5 and d not in closed), closed)


def check_range(day: date) -> date:
    """Return the day; raises CalendarRangeError if the calendar does not know it."""
    days = _days()
    if not days.first <= day <= days.last:
        raise CalendarRangeError(
            f"{day} is outside {days.first} … {days.last}, the dates the KRX calendar knows: "
            "choose a date inside, or extend engine/sessions.toml and closed_days.csv"
        )
    return day


def is_trading_day(day: date) -> bool:
    """Say whether KRX trades on the day."""
    check_range(day)
    days = _days().open
    at = bisect_left(days, day)
    return at < len(days) and days[at] == day


def trading_days(start: date, end: date) -> list[date]:
    """Return the trading days from start to end, both included."""
    days = _days().open
    return list(days[bisect_left(days, check_range(start)) : bisect_right(days, check_range(end))])


def previous_trading_days(day: date, count: int) -> list[date]:
    """Return the `count` trading days before the day, oldest first; raises CalendarRangeError."""
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


@cache
def is_first_of_year(day: date) -> bool:
    """Say whether the day is the first trading day of its year."""
    return trading_days(date(day.year, 1, 1), day) == [day]


def why_closed(day: date) -> str | None:
    """Return the name of the holiday, "weekend", or None for a trading day."""
    if is_trading_day(day):
        return None
    return "weekend" if day.weekday() >= 5 else _days().closed[day]


def remember_kis_days(path: Path, days: Mapping[date, bool]) -> None:
    """Add KIS's answer (date → does the exchange open) to the JSON file that start-up reads."""
    known = _read_kis_days(path) if path.exists() else {}
    merged = {day.isoformat(): is_open for day, is_open in sorted((known | {**days}).items())}
    part = path.with_suffix(".part")
    part.write_bytes(orjson.dumps(merged, option=orjson.OPT_INDENT_2))
    part.replace(path)


def learn_closed_days(path: Path) -> list[date]:
    """Believe the days that KIS told; returns those on which the built-in calendar differs.

    A file that is not there changes nothing. Weekends and days outside the range are ignored.
    Raises InputError for a file that cannot be read as date → true or false.
    """
    told = _read_kis_days(path) if path.exists() else {}
    first, last, closed = rules()["first_day"], rules()["last_day"], _built_in()
    told = {d: o for d, o in told.items() if d.weekday() < 5 and first <= d <= last}
    differing = sorted(day for day, is_open in told.items() if is_open == (day in closed))
    for day in differing:
        log.warning(
            "⚠️ KIS says %s is %s, the built-in calendar says otherwise (%s): believing KIS",
            day, "open" if told[day] else "closed", closed.get(day, "a trading day"),
        )  # fmt: skip
    _learned.clear()
    _learned.update({day: told[day] for day in differing})
    forget_cached()
    return differing


def forget_cached() -> None:
    """Drop whatever was derived from the old days; `on_change` modules add their caches."""
    for cached in _depending:
        cached.cache_clear()


def _read_kis_days(path: Path) -> dict[date, bool]:
    try:
        told = {
            date.fromisoformat(day): known for day, known in orjson.loads(path.read_bytes()).items()
        }
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path} is no JSON object of date → true/false: delete it ({error})"
        ) from error
    if not all(isinstance(known, bool) for known in told.values()):
        raise InputError(f"{path} is no JSON object of date → true/false: delete it")
    return told


_depending: list[Any] = [_days, is_first_of_year]


def depends_on_days(cached: Any) -> Any:
    """Register a cached function whose answers follow the trading days (a decorator)."""
    _depending.append(cached)
    return cached
