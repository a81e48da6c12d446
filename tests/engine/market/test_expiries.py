"""Last trading days, listed maturities and the numbers of weeks."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import CalendarRangeError, InputError
from engine.market import expiries
from engine.market.trading_days import is_trading_day, rules

MONDAYS, THURSDAYS = "KOSPI200_WEEKLY_MON", "KOSPI200_WEEKLY_THU"
ALL = [entry["months"] for entry in rules()["listed"]]
DAYS = st.dates(date(2015, 1, 1), date(2027, 12, 31))


@pytest.mark.parametrize(
    ("months", "maturity", "day"),
    [
        ("KOSPI200_FUTURES", "202509", "2025-09-11"),
        ("KOSPI200_FUTURES", "202512", "2025-12-11"),
        ("KOSPI200_FUTURES", "202603", "2026-03-12"),
        ("KOSPI200_FUTURES", "202606", "2026-06-11"),
        ("KOSPI200_FUTURES", "202612", "2026-12-10"),
        ("KOSPI200", "202610", "2026-10-08"),
        ("KOSPI200", "202510", "2025-10-02"),  # 3 to 9 October closed
        ("KOSPI200", "202102", "2021-02-10"),  # Seollal
        ("KOSPI200", "202705", "2027-05-12"),  # Buddha's birthday
        ("MINI_KOSPI200_FUTURES", "202611", "2026-11-12"),
        (THURSDAYS, "250904", "2025-09-25"),
        (THURSDAYS, "260904", "2026-09-23"),  # brought forward
        (THURSDAYS, "250501", "2025-04-30"),
        (THURSDAYS, "230904", "2023-09-27"),
        (MONDAYS, "250902", "2025-09-08"),
        (MONDAYS, "250905", "2025-09-29"),
        (MONDAYS, "261001", "2026-10-06"),  # pushed back
        (MONDAYS, "250104", "2025-01-31"),
        (MONDAYS, "240902", "2024-09-09"),
        (MONDAYS, "240903", "2024-09-19"),
    ],
)
def test_known_expiries(months, maturity, day):
    assert expiries.expiry(months, maturity) == date.fromisoformat(day)


@pytest.mark.parametrize(
    ("months", "maturity"),
    [
        ("KOSPI200_FUTURES", "202511"),  # no quarter
        ("KOSPI200", "202513"),
        ("KOSPI200", "202500"),
        ("KOSPI200", "2025"),
        ("KOSPI200", "２０２５０９"),
        ("KOSPI200", "000009"),
        (MONDAYS, "251005"),  # October 2025 has four Mondays
        (THURSDAYS, "250905"),
        (MONDAYS, "250900"),
        (MONDAYS, "251301"),
        ("KOSPI_200", "202509"),
        ("KOSPI200_FUTURES; DROP TABLE gaps", "202509"),
    ],
)
def test_a_maturity_that_does_not_exist_is_refused(months, maturity):
    with pytest.raises(InputError):
        expiries.expiry(months, maturity)


def test_an_expiry_beyond_the_calendar_is_not_guessed():
    with pytest.raises(CalendarRangeError):
        expiries.expiry("KOSPI200_FUTURES", "202803")
    assert expiries.last_day("KOSPI200_FUTURES", "202803") == date(2028, 3, 9)
    assert all(last <= date(2027, 12, 31) for last, _ in expiries.maturities("KOSPI200"))


@pytest.mark.parametrize(
    ("months", "maturity", "number"),
    [  # as rows of KIS's master file have them
        (THURSDAYS, "250601", "DX"),
        (THURSDAYS, "260703", "F6"),
        (THURSDAYS, "260901", "FC"),
        (THURSDAYS, "260904", "FE"),
        (THURSDAYS, "261001", "FF"),
        (MONDAYS, "250602", "97"),
        (MONDAYS, "260701", "BL"),
        (MONDAYS, "260702", "BM"),
        (MONDAYS, "260904", "BZ"),
        (MONDAYS, "261001", "C0"),
        # the first ever
        (THURSDAYS, "190904", "01"),
        (MONDAYS, "230801", "01"),
    ],
)
def test_week_numbers_are_those_of_the_master_file(months, maturity, number):
    assert expiries.week_number(months, maturity) == number
    assert expiries.maturity_of_week(months, number) == maturity


@pytest.mark.parametrize("months", [MONDAYS, THURSDAYS])
def test_every_listed_week_has_a_number_of_its_own(months):
    names = [name for _, name in expiries.maturities(months)]
    numbers = [expiries.week_number(months, name) for name in names]
    assert len(set(numbers)) == len(names)
    assert [expiries.maturity_of_week(months, number) for number in numbers] == names
    assert not set("".join(numbers)) & set("IOU")


def test_a_week_that_is_not_listed_has_no_number():
    for maturity in ("250902", "251001"):  # the monthly's week; the monthly moved onto it
        with pytest.raises(InputError):
            expiries.week_number(THURSDAYS, maturity)
    with pytest.raises(InputError):
        expiries.maturity_of_week(THURSDAYS, "ZZ")


def test_no_thursday_weekly_expires_with_a_monthly():
    monthly = {last for last, _ in expiries.maturities("KOSPI200")}
    assert not monthly & {last for last, _ in expiries.maturities(THURSDAYS)}


@pytest.mark.parametrize("months", ALL)
def test_all_expiries_are_trading_days_and_ascend_with_the_maturities(months):
    listed = expiries.maturities(months)
    assert all(is_trading_day(last) for last, _ in listed)
    assert [name for _, name in listed] == sorted(name for _, name in listed)
    assert listed[0][1] == next(e for e in rules()["listed"] if e["months"] == months)["first"]


@given(st.sampled_from(ALL), DAYS)
def test_the_front_maturity_is_the_first_that_has_not_passed(months, day):
    front = expiries.front_maturity(months, day)
    assert expiries.last_day(months, front) >= day
    before = [name for last, name in expiries.maturities(months) if last < day]
    assert all(name < front for name in before)
    if (last := expiries.last_day(months, front)) < date(2027, 12, 31):
        assert expiries.front_maturity(months, last) == front
        assert expiries.front_maturity(months, last + timedelta(days=1)) > front
