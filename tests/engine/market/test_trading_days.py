"""Which days KRX trades, held against `holidays`, exchange-calendars and a list of our own."""

from __future__ import annotations

import logging
from datetime import date, timedelta

import pytest

from engine.errors import CalendarRangeError
from engine.market import trading_days
from tests.ci_tools import ci_tool

YEARS = range(2015, 2028)

# Weekdays on which KRX was or will be closed, written down by hand from KRX's yearly notices and
# the public holidays decreed since, not from either library.
CLOSED = {
    2015: "0101 0218 0219 0220 0501 0505 0525 0814 0928 0929 1009 1225 1231",
    2016: "0101 0208 0209 0210 0301 0413 0505 0506 0606 0815 0914 0915 0916 1003 1230",
    2017: "0127 0130 0301 0501 0503 0505 0509 0606 0815 1002 1003 1004 1005 1006 1009 1225 1229",
    2018: "0101 0215 0216 0301 0501 0507 0522 0606 0613 0815 0924 0925 0926 1003 1009 1225 1231",
    2019: "0101 0204 0205 0206 0301 0501 0506 0606 0815 0912 0913 1003 1009 1225 1231",
    2020: "0101 0124 0127 0415 0430 0501 0505 0817 0930 1001 1002 1009 1225 1231",
    2021: "0101 0211 0212 0301 0505 0519 0816 0920 0921 0922 1004 1011 1231",
    2022: "0131 0201 0202 0301 0309 0505 0601 0606 0815 0909 0912 1003 1010 1230",
    2023: "0123 0124 0301 0501 0505 0529 0606 0815 0928 0929 1002 1003 1009 1225 1229",
    2024: "0101 0209 0212 0301 0410 0501 0506 0515 0606 0815 0916 0917 0918 1001 1003 1009 1225 "
    "1231",
    2025: "0101 0127 0128 0129 0130 0303 0501 0505 0506 0603 0606 0815 1003 1006 1007 1008 1009 "
    "1225 1231",
    2026: "0101 0216 0217 0218 0302 0501 0505 0525 0603 0717 0817 0924 0925 1005 1009 1225 1231",
    2027: "0101 0208 0209 0301 0503 0505 0513 0719 0816 0914 0915 0916 1004 1011 1227 1231",
}
# Trading days a year as KRX's yearbooks count them.
COUNTS = {
    2015: 248,
    2016: 246,
    2017: 243,
    2018: 244,
    2019: 246,
    2020: 248,
    2021: 248,
    2022: 246,
    2023: 245,
    2024: 244,
    2025: 242,
}


@pytest.fixture(autouse=True)
def _forget_what_kis_said():
    yield
    trading_days.learn_closed_days({})


def closed_weekdays(year: int) -> set[date]:
    open_days = set(trading_days.trading_days(date(year, 1, 1), date(year, 12, 31)))
    days = (date(year, 1, 1) + timedelta(n) for n in range(366))
    return {d for d in days if d.year == year and d.weekday() < 5 and d not in open_days}


@pytest.mark.parametrize("year", YEARS)
def test_closed_days_are_those_of_the_list_written_by_hand(year):
    expected = {date(year, int(day[:2]), int(day[2:])) for day in CLOSED[year].split()}
    assert closed_weekdays(year) == expected


@pytest.mark.parametrize("year", YEARS)
def test_closed_days_are_those_of_the_holidays_package(year):
    import holidays

    known = holidays.financial_holidays("KRX", years=year)
    assert closed_weekdays(year) == {day for day in known if day.weekday() < 5}


@pytest.mark.parametrize(("year", "count"), COUNTS.items())
def test_a_year_has_as_many_trading_days_as_krx_counted(year, count):
    assert len(trading_days.trading_days(date(year, 1, 1), date(year, 12, 31))) == count


def test_the_csv_is_what_exchange_calendars_says_today():
    rules = trading_days.rules()
    made = ci_tool("closed_days").from_libraries(rules["first_day"], rules["last_day"])
    assert made.equals(trading_days.closed_weekdays()), "run `uv run python .ci/closed_days.py`"


def test_the_toml_fills_gaps_and_repeats_nothing_that_exchange_calendars_knows():
    known = set(trading_days.closed_weekdays()["date"])
    assert not known & set(trading_days.special_days("closed"))


def test_every_entry_of_the_toml_names_its_source():
    rules = trading_days.rules()
    entries = [e for table in ("hours", "special", "listed", "unlisted") for e in rules[table]]
    assert all(entry["source"].strip() for entry in [*entries, rules["csat"], rules["new_year"]])


def test_the_last_day_of_a_year_is_closed_and_the_session_before_it_is_not():
    for year in YEARS:
        last_weekday = max(closed_weekdays(year))
        assert last_weekday.month == 12
        assert last_weekday + timedelta(days=3) > date(year, 12, 31)
        assert trading_days.previous_trading_days(last_weekday, 1)[0].year == year


@pytest.mark.parametrize("day", [date(2014, 12, 31), date(2028, 1, 1), date(1996, 5, 3)])
@pytest.mark.parametrize(
    "ask",
    [
        trading_days.is_trading_day,
        trading_days.last_trading_day_until,
        trading_days.next_trading_day_from,
        trading_days.why_closed,
        lambda day: trading_days.trading_days(day, day),
        lambda day: trading_days.previous_trading_days(day, 1),
    ],
)
def test_a_date_outside_the_range_gets_no_answer(ask, day):
    with pytest.raises(CalendarRangeError, match="2015-01-01 … 2027-12-31"):
        ask(day)


def test_more_previous_days_than_the_calendar_knows_are_refused():
    with pytest.raises(CalendarRangeError):
        trading_days.previous_trading_days(date(2015, 1, 5), 2)
    assert trading_days.previous_trading_days(date(2015, 1, 5), 1) == [date(2015, 1, 2)]


def test_days_around_a_holiday():
    assert trading_days.last_trading_day_until(date(2025, 10, 9)) == date(2025, 10, 2)
    assert trading_days.next_trading_day_from(date(2025, 10, 3)) == date(2025, 10, 10)
    assert trading_days.why_closed(date(2025, 10, 6)) == "Chuseok"
    assert trading_days.why_closed(date(2026, 7, 17)) == "Constitution Day"
    assert trading_days.why_closed(date(2025, 10, 4)) == "weekend"
    assert trading_days.why_closed(date(2025, 10, 10)) is None


def test_kis_is_believed_where_it_differs_and_a_line_says_so(caplog):
    told = {
        date(2026, 11, 24): False,
        date(2026, 11, 25): True,
        date(2026, 12, 25): True,
        date(2026, 12, 26): False,
        date(2028, 1, 3): False,
    }
    with caplog.at_level(logging.WARNING):
        differing = trading_days.learn_closed_days(told)
    assert differing == [date(2026, 11, 24), date(2026, 12, 25)]
    assert [record.getMessage()[:2] for record in caplog.records] == ["⚠️", "⚠️"]
    assert "2026-12-25: KIS says open, the built-in calendar Christmas Day" in caplog.text
    assert not trading_days.is_trading_day(date(2026, 11, 24))
    assert trading_days.why_closed(date(2026, 11, 24)) == "closed, says KIS"
    assert trading_days.is_trading_day(date(2026, 12, 25))


def test_what_kis_told_moves_sessions_and_expiries_too():
    from engine.market.expiries import expiry
    from engine.market.sessions import Market, session

    day = date(2026, 12, 10)
    assert expiry("KOSPI200", "202612") == day
    assert session(Market.STOCKS, day)
    trading_days.learn_closed_days({day: False})
    assert expiry("KOSPI200", "202612") == date(2026, 12, 9)
    assert session(Market.STOCKS, day) is None
