"""Last trading days of KRX index derivatives.

Monthly: the second Thursday. Weekly options: each Monday, and each Thursday but the second, whose
place the monthly has. On a holiday the trading day before it.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import cache

from engine.errors import CalendarRangeError, InputError
from engine.trading_days import check_range, depends_on_days, last_trading_day_until, rules

QUARTERLY = ("KOSPI200_FUTURES", "KOSDAQ150_FUTURES")
MONTHLY = ("MINI_KOSPI200_FUTURES", "KOSPI200", "MINI_KOSPI200", "KOSDAQ150")
WEEKLY = {"KOSPI200_WEEKLY_MON": 0, "KOSPI200_WEEKLY_THU": 3}  # weekday of expiry


def _nth(year: int, month: int, weekday: int, n: int) -> date:
    first = date(year, month, 1)
    return first + timedelta((weekday - first.weekday()) % 7 + 7 * (n - 1))


def nominal_expiry(months: str, maturity: str) -> date:
    """Return the expiry as if there were no holidays; raises InputError for a wrong maturity."""
    if len(maturity) != 6 or not maturity.isdigit():
        raise InputError(f"{maturity!r} is no maturity: YYYYMM, of weekly options YYMMWW")
    if months in WEEKLY:
        return _nth(2000 + int(maturity[:2]), int(maturity[2:4]), WEEKLY[months], int(maturity[4:]))
    return _nth(int(maturity[:4]), int(maturity[4:]), 3, 2)


@depends_on_days
@cache
def expiry(months: str, maturity: str) -> date:
    """Return the last trading day; raises CalendarRangeError where holidays are unknown."""
    return last_trading_day_until(nominal_expiry(months, maturity))


@depends_on_days
@cache
def maturities(months: str) -> tuple[tuple[date, str], ...]:
    """Return (expiry, maturity) of every maturity that the calendar knows, ascending."""
    first, last = rules()["first_day"], rules()["last_day"]
    if months in WEEKLY:
        names = _weekly_maturities(WEEKLY[months], first.year, last.year)
    else:
        step = 3 if months in QUARTERLY else 1
        years = range(first.year, last.year + 1)
        names = [f"{y}{m:02d}" for y in years for m in range(step, 13, step)]
    return tuple(sorted((expiry(months, name), name) for name in names))


def _weekly_maturities(weekday: int, first: int, last: int) -> list[str]:
    months = [(y, m) for y in range(first, last + 1) for m in range(1, 13)]
    weeks = [(y, m, n) for y, m in months for n in range(1, 6) if _nth(y, m, weekday, n).month == m]
    return [f"{y % 100}{m:02d}{n:02d}" for y, m, n in weeks if weekday == 0 or n != 2]


def front_maturity(months: str, day: date) -> str:
    """Return the nearest maturity on the day; it still is on its last trading day."""
    check_range(day)
    for last_day, maturity in maturities(months):
        if last_day >= day:
            return maturity
    raise CalendarRangeError(f"no expiry of {months} after {day} is known yet")
