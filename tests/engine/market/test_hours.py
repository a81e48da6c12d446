"""Hours of markets over the years, and the stamps that follow from them."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import CalendarRangeError
from engine.market.hours import Market, session
from engine.market.trading_days import special_days, trading_days

S, D, N = Market.STOCKS, Market.DERIVATIVES, Market.NIGHT
DAYS = st.dates(date(2015, 1, 1), date(2027, 12, 31))

# market, date, expiring, opens, last continuous stamp, auction, bars owed
KNOWN = [
    (S, "2015-06-15", False, "09:00", "14:50", "15:00", 351),
    (S, "2016-07-29", False, "09:00", "14:50", "15:00", 351),
    (S, "2016-08-01", False, "09:00", "15:20", "15:30", 381),
    (S, "2025-09-01", False, "09:00", "15:20", "15:30", 381),
    (S, "2016-01-04", False, "10:00", "14:50", "15:00", 291),  # first session of the year
    (S, "2026-01-02", False, "10:00", "15:20", "15:30", 321),
    (S, "2015-11-12", False, "10:00", "15:50", "16:00", 351),  # CSAT
    (S, "2017-11-16", False, "10:00", "16:20", "16:30", 381),  # put off, but KRX kept the hours
    (S, "2017-11-23", False, "10:00", "16:20", "16:30", 381),
    (S, "2026-11-19", False, "10:00", "16:20", "16:30", 381),
    (D, "2015-06-15", False, "09:00", "15:05", "15:15", 366),
    (D, "2015-06-11", True, "09:00", "14:50", None, 350),
    (D, "2016-08-01", False, "09:00", "15:35", "15:45", 396),
    (D, "2023-07-28", False, "09:00", "15:35", "15:45", 396),
    (D, "2023-07-31", False, "08:45", "15:35", "15:45", 411),
    (D, "2025-09-01", False, "08:45", "15:35", "15:45", 411),
    (D, "2025-09-11", True, "08:45", "15:20", None, 395),
    (D, "2023-01-02", False, "10:00", "15:35", "15:45", 336),
    (D, "2024-01-02", False, "09:45", "15:35", "15:45", 351),
    (D, "2022-11-17", False, "10:00", "16:35", "16:45", 396),
    (D, "2025-11-13", False, "09:45", "16:35", "16:45", 411),
    (D, "2025-11-13", True, "09:45", "16:20", None, 395),  # CSAT and expiry of the options at once
]


@pytest.mark.parametrize(("market", "day", "expiring", "opens", "end", "auction", "bars"), KNOWN)
def test_hours_and_bars_of_known_days(market, day, expiring, opens, end, auction, bars):
    of = session(market, date.fromisoformat(day), expiring=expiring)
    assert of
    assert f"{of.opens:%F %H:%M}" == f"{day} {opens}"
    assert f"{of.continuous_end:%F %H:%M}" == f"{day} {end}"
    assert (f"{of.auction:%F %H:%M}" if of.auction else None) == (auction and f"{day} {auction}")
    assert of.stamps().len() == bars


def test_a_regular_futures_day_is_stamped_as_the_specification_says():
    of = session(D, date(2025, 9, 1))
    day = datetime(2025, 9, 1)
    minutes = [day.replace(hour=8, minute=46) + timedelta(minutes=n) for n in range(410)]
    assert of.stamps().to_list() == [*minutes, day.replace(hour=15, minute=45)]
    assert minutes[-1] == day.replace(hour=15, minute=35)
    assert of.minute_grid().len() == 420
    assert of.minute_grid()[-1] == of.last_stamp


def test_the_night_has_711_bars_that_carry_the_dates_of_their_moments():
    night = session(N, date(2025, 6, 13))  # a Friday: ends on Saturday morning
    assert night.first_stamp == datetime(2025, 6, 13, 18, 1)
    assert night.continuous_end == datetime(2025, 6, 14, 5, 50)
    assert night.auction == datetime(2025, 6, 14, 6, 0)
    assert night.stamps().len() == 711
    assert night.stamps()[359] == datetime(2025, 6, 14, 0, 0)


def test_there_was_no_night_before_june_2025():
    assert session(N, date(2025, 6, 5)) is None
    assert session(N, date(2025, 6, 9)) is not None


@pytest.mark.parametrize("day", [date(2025, 10, 2), date(2026, 2, 13)])
def test_the_night_before_a_long_holiday_is_not_held_although_the_day_is(day):
    assert session(D, day)
    assert session(N, day) is None


def test_the_night_of_the_last_trading_day_of_a_year_is_held():
    assert session(N, date(2025, 12, 30)).opens == datetime(2025, 12, 30, 18, 0)


def test_csat_moves_the_opening_of_the_night_and_new_year_moves_nothing_of_it():
    csat = session(N, date(2025, 11, 13))
    assert (csat.opens, csat.last_stamp) == (
        datetime(2025, 11, 13, 19, 0),
        datetime(2025, 11, 14, 6, 0),
    )
    assert csat.stamps().len() == 651
    assert session(N, date(2026, 1, 2)).opens == datetime(2026, 1, 2, 18, 0)


def test_an_expiring_contract_has_no_night_and_stocks_do_not_expire():
    assert session(N, date(2025, 9, 11), expiring=True) is None
    assert session(S, date(2025, 9, 11), expiring=True) == session(S, date(2025, 9, 11))


def test_csat_days_are_thursdays_in_november_but_for_the_year_of_covid():
    days = set(special_days("csat"))
    assert {day.year for day in days} == set(range(2015, 2028))
    assert len(days) == 14  # twice in 2017
    assert all(day.weekday() == 3 for day in days)
    assert {day for day in days if day.month != 11} == {date(2020, 12, 3)}


@pytest.mark.parametrize("market", Market)
@pytest.mark.parametrize("day", [date(2014, 12, 31), date(2028, 1, 3)])
def test_outside_the_range_the_calendar_says_so(market, day):
    with pytest.raises(CalendarRangeError):
        session(market, day)


@pytest.mark.parametrize("market", Market)
def test_closed_days_have_no_session(market):
    assert session(market, date(2026, 7, 17)) is None
    assert session(market, date(2026, 7, 18)) is None


@given(st.sampled_from(Market), DAYS, st.booleans())
def test_sessions_are_whole(market, day, expiring):
    of = session(market, day, expiring=expiring)
    if of is None:
        return
    stamps, grid = of.stamps(), of.minute_grid()
    assert stamps.is_sorted()
    assert stamps.n_unique() == stamps.len()
    assert (stamps[0], stamps[-1]) == (of.first_stamp, of.last_stamp)
    assert stamps.is_in(grid.implode()).all()
    assert grid.len() == (of.last_stamp - of.opens) / timedelta(minutes=1)
    assert of.sealed_at > of.last_stamp
    assert of.opens.date() == of.date == day


@given(st.sampled_from(Market), DAYS, st.booleans())
def test_labels_become_exactly_the_stamps_owed(market, day, expiring):
    """From an hour before to an hour after, also those that KIS fills in before the auction."""
    of = session(market, day, expiring=expiring)
    if of is None:
        return
    hour = timedelta(hours=1)
    labels = pl.datetime_range(of.opens - hour, of.last_stamp + hour, "1m", eager=True)
    frame = pl.DataFrame({"label": labels}).select(of.stamp_of_label(pl.col("label")))
    assert frame.to_series().drop_nulls().to_list() == of.stamps().to_list()


def test_the_minute_before_the_auction_is_not_taken_for_the_auction():
    of = session(S, date(2025, 10, 15))
    labels = [datetime(2025, 10, 15, 15, minute) for minute in (19, 20, 29, 30)]
    labels.append(datetime(2025, 10, 15, 15, 18, 30))
    frame = pl.DataFrame({"label": labels}).select(of.stamp_of_label(pl.col("label")))
    assert frame.to_series().to_list() == [
        datetime(2025, 10, 15, 15, 20),
        None,
        None,
        datetime(2025, 10, 15, 15, 30),
        None,
    ]


def test_stocks_and_derivatives_trade_on_the_same_days():
    days = trading_days(date(2015, 1, 1), date(2027, 12, 31))
    assert all(session(S, day) and session(D, day) for day in days)


def test_regular_days_differ_only_where_a_source_says_so():
    """Every day whose opening is not the era's is a CSAT day or the first session of its year."""
    days = trading_days(date(2015, 1, 1), date(2027, 12, 31))
    late = {day for day in days if session(S, day).opens.hour != 9}
    first = {min(day for day in days if day.year == year) for year in range(2015, 2028)}
    assert late == first | set(special_days("csat"))
