"""Last trading days of KRX index derivatives.

- Monthly and quarterly: the second Thursday; if that is a holiday, the trading day before.
- Thursday weeklies: every Thursday; if that is a holiday, the trading day before. None is listed
  that would expire together with the monthly.
- Monday weeklies: every Monday; if that is a holiday, the trading day **after**.

Source: KRX's contract specification of KOSDAQ150 options, whose weeklies follow the rules of the
KOSPI200's (https://global.krx.co.kr/contents/GLB/02/0201/0201040210/GLB0201040210.jsp), and
http://www.biztribune.co.kr/news/articleView.html?idxno=284435 for Mondays.

`months` is a key of the table `listed` in calendar.toml: KOSPI200_FUTURES, KOSPI200 (options),
KOSPI200_WEEKLY_MON … Maturities are YYYYMM, of weeklies YYMMWW, the week counted by the weekday
within its month (250902 would be the second Thursday of September 2025).
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import cache
from typing import Any

from engine.errors import CalendarRangeError, InputError
from engine.market.trading_days import (
    check_range,
    depends_on_days,
    last_trading_day_until,
    next_trading_day_from,
    rules,
)

MONDAY, THURSDAY = 0, 3
# KRX leaves out I, O and U, which look like other characters (help.cqg.com/apihelp, dwmode1.htm).
_LETTERS = "ABCDEFGHJKLMNPQRSTVWXYZ"
_DIGITS = "0123456789" + _LETTERS


@cache
def _listed(months: str) -> dict[str, Any]:
    for entry in rules()["listed"]:
        if entry["months"] == months:
            return dict(entry)
    raise InputError(f"nothing is listed under {months!r}: see the table listed in calendar.toml")


def is_weekly(months: str) -> bool:
    """Say whether maturities are weeks (YYMMWW) and not months (YYYYMM). Raises InputError."""
    return "weekday" in _listed(months)


def _nth(year: int, month: int, weekday: int, n: int) -> date:
    first = date(year, month, 1)
    return first + timedelta((weekday - first.weekday()) % 7 + 7 * (n - 1))


def nominal_expiry(months: str, maturity: str) -> date:
    """Return the expiry as if there were no holidays. Raises InputError for a wrong maturity."""
    if not (len(maturity) == 6 and maturity.isascii() and maturity.isdigit()):
        raise InputError(f"{maturity!r} is not a maturity: write YYYYMM, of weekly options YYMMWW")
    weekly = is_weekly(months)
    year, month, week = int(maturity[:4]), int(maturity[4:]), 2
    if weekly:
        year, month, week = 2000 + int(maturity[:2]), int(maturity[2:4]), int(maturity[4:])
    if 1 <= month <= 12 and 1 <= week <= 5 and year >= 1996:
        day = _nth(year, month, _listed(months).get("weekday", THURSDAY), week)
        if day.month == month and month % _listed(months).get("every", 1) == 0:
            return day
    raise InputError(f"{months} has no maturity {maturity}")


@depends_on_days
@cache
def _expiry(months: str, maturity: str) -> date:
    nominal = check_range(nominal_expiry(months, maturity))
    pushed_back = _listed(months).get("weekday") == MONDAY
    return next_trading_day_from(nominal) if pushed_back else last_trading_day_until(nominal)


def expiry(months: str, maturity: str) -> date:
    """Return the last trading day.

    Raises CalendarRangeError where the holidays are unknown, InputError for a wrong maturity.
    """
    return _expiry(months, maturity)


def last_day(months: str, maturity: str) -> date:
    """Return the last trading day; beyond the calendar the nominal one. Raises InputError."""
    nominal = nominal_expiry(months, maturity)
    return nominal if nominal > rules()["last_day"] else expiry(months, maturity)


@depends_on_days
@cache
def _maturities(months: str) -> tuple[tuple[date, str], ...]:
    years = range(rules()["first_day"].year, rules()["last_day"].year + 2)
    names = [name for year in years for name in _names(months, year)]
    listed = [(last_day(months, name), name) for name in names if name >= _listed(months)["first"]]
    if _listed(months).get("weekday") == THURSDAY:
        gone = {e["maturity"] for e in rules()["unlisted"] if e["months"] == months}
        monthly = {last for last, _ in maturities("KOSPI200")}
        listed = [(d, name) for d, name in listed if d not in monthly and name not in gone]
    return tuple(sorted(listed))


def maturities(months: str, *, beyond: bool = False) -> tuple[tuple[date, str], ...]:
    """Return (last trading day, maturity) of all that were or will be listed, ascending.

    `beyond` adds the year after the calendar, whose days are nominal. Raises InputError.
    """
    found = _maturities(months)
    return found if beyond else tuple(pair for pair in found if pair[0] <= rules()["last_day"])


def _names(months: str, year: int) -> list[str]:
    if not is_weekly(months):
        step = _listed(months)["every"]
        return [f"{year}{month:02d}" for month in range(step, 13, step)]
    weekday = _listed(months)["weekday"]
    weeks = [(month, n) for month in range(1, 13) for n in range(1, 6)]
    return [
        f"{year % 100}{month:02d}{n:02d}"
        for month, n in weeks
        if _nth(year, month, weekday, n).month == month
    ]


def front_maturity(months: str, day: date) -> str:
    """Return the nearest maturity on a day, its last trading day included.

    Raises CalendarRangeError where the calendar does not know it.
    """
    check_range(day)
    alive = (name for last, name in maturities(months, beyond=True) if last >= day)
    if found := next(alive, None):
        return found
    raise CalendarRangeError(f"no maturity of {months} after {day} is known yet")


@depends_on_days
@cache
def _week_numbers(months: str) -> dict[str, str]:
    listed = enumerate(maturities(months, beyond=True), start=1)
    return {name: _week_number(n) for n, (_, name) in listed}


def _week_number(n: int) -> str:
    if n <= 99:
        return f"{n:02d}"
    lead, rest = divmod(n - 100, len(_DIGITS))
    return _LETTERS[lead] + _DIGITS[rest]


def week_number(months: str, maturity: str) -> str:
    """Return the two characters that stand for a week in the codes of a weekly series.

    KRX counts the listed weeks: 01 … 99, A0 … A9, AA … AZ, B0 … (help.cqg.com, dwmode1.htm; held
    against codes seen in KIS's master file). Raises InputError for a week that is not listed.
    """
    numbers = _week_numbers(months)
    if maturity not in numbers:
        raise InputError(f"{months} has no listed maturity {maturity}")
    return numbers[maturity]


def maturity_of_week(months: str, number: str) -> str:
    """Return the maturity YYMMWW that the two characters of a weekly code mean.

    Raises InputError for a number that no listed week has.
    """
    for maturity, known in _week_numbers(months).items():
        if known == number:
            return maturity
    raise InputError(f"{months} has no listed week numbered {number}")
