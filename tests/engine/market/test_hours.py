"""Hours of markets over the years, and the stamps that follow from them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from functools import cache
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import CalendarRangeError
from engine.market.hours import MINUTE, Market, Session, session
from engine.market.trading_days import (
    is_doubtful_night,
    special_days,
    trading_days,
    why_no_night,
)

S = Market.STOCKS
D = Market.DERIVATIVES
N = Market.NIGHT
DAYS = st.dates(date(2015, 1, 1), date(2027, 12, 31))

# market, date, expiring, opens, last continuous stamp, auction, bars expected
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
    hours = session(market, date.fromisoformat(day), expiring=expiring)
    assert hours
    assert f"{hours.opens:%F %H:%M}" == f"{day} {opens}"
    assert f"{hours.continuous_end:%F %H:%M}" == f"{day} {end}"
    assert (f"{hours.auction:%F %H:%M}" if hours.auction else None) == (
        auction and f"{day} {auction}"
    )
    assert hours.stamps().len() == bars


def test_a_regular_futures_day_has_411_stamps_from_0846_to_1545():
    hours = session(D, date(2025, 9, 1))
    day = datetime(2025, 9, 1)
    minutes = [day.replace(hour=8, minute=46) + timedelta(minutes=n) for n in range(410)]
    assert hours.stamps().to_list() == [*minutes, day.replace(hour=15, minute=45)]
    assert minutes[-1] == day.replace(hour=15, minute=35)
    assert hours.minute_grid().len() == 420
    assert hours.minute_grid()[-1] == hours.last_stamp


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


@pytest.mark.parametrize("day", [date(2025, 10, 2), date(2026, 2, 13), date(2026, 9, 23)])
def test_the_night_before_a_long_holiday_is_not_held_although_the_day_is(day):
    assert session(D, day)
    assert session(N, day) is None


def test_which_nights_are_not_held_follows_from_the_holiday_after_them():
    """The three that were seen, and the eves of Chuseok and the Lunar New Year to come."""
    held = {day for day in trading_days(date(2025, 6, 9), date(2027, 12, 31)) if session(N, day)}
    missed = set(trading_days(date(2025, 6, 9), date(2027, 12, 31))) - held
    seen = {date(2025, 10, 2), date(2026, 2, 13), date(2026, 9, 23)}
    assert missed == seen | {date(2027, 2, 5), date(2027, 9, 13)}
    assert why_no_night(date(2027, 9, 13)) == "night before The day preceding Chuseok not held"


def test_a_night_before_any_other_holiday_is_held_but_doubtful():
    for day in (date(2026, 10, 8), date(2026, 2, 27), date(2025, 12, 30)):
        assert session(N, day) is not None
        assert is_doubtful_night(day)
    assert not is_doubtful_night(date(2026, 11, 20))  # a Friday


def test_a_night_belongs_to_the_trading_day_that_follows_it():
    friday = session(N, date(2026, 11, 20))
    assert friday.last_stamp == datetime(2026, 11, 21, 6, 0)
    assert friday.trading_day == date(2026, 11, 23)
    assert session(N, date(2026, 10, 8)).trading_day == date(2026, 10, 12)  # a holiday between
    assert session(D, date(2026, 11, 20)).trading_day == date(2026, 11, 20)


def test_the_night_of_the_last_trading_day_of_a_year_is_held():
    assert session(N, date(2025, 12, 30)).opens == datetime(2025, 12, 30, 18, 0)


def test_csat_moves_the_opening_of_the_night_and_new_year_does_not():
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


def test_csat_days_are_thursdays_in_november_except_in_2020():
    days = set(special_days("csat"))
    assert {day.year for day in days} == set(range(2015, 2028))
    assert len(days) == 14  # twice in 2017
    assert all(day.weekday() == 3 for day in days)
    assert {day for day in days if day.month != 11} == {date(2020, 12, 3)}


@pytest.mark.parametrize("market", Market)
@pytest.mark.parametrize("day", [date(2014, 12, 31), date(2028, 1, 3)])
def test_a_date_outside_the_calendar_is_an_error(market, day):
    with pytest.raises(CalendarRangeError):
        session(market, day)


@pytest.mark.parametrize("market", Market)
def test_closed_days_have_no_session(market):
    assert session(market, date(2026, 7, 17)) is None
    assert session(market, date(2026, 7, 18)) is None


@given(st.sampled_from(Market), DAYS, st.booleans())
def test_the_parts_of_a_session_agree(market, day, expiring):
    hours = session(market, day, expiring=expiring)
    if hours is None:
        return
    stamps, grid = hours.stamps(), hours.minute_grid()
    assert stamps.is_sorted()
    assert stamps.n_unique() == stamps.len()
    assert (stamps[0], stamps[-1]) == (hours.first_stamp, hours.last_stamp)
    assert stamps.is_in(grid.implode()).all()
    assert grid.len() == (hours.last_stamp - hours.opens) / timedelta(minutes=1)
    assert hours.sealed_at > hours.last_stamp
    assert hours.opens.date() == hours.date == day


@cache
def sessions_by_hours() -> dict[tuple[timedelta | None, ...], list[Session]]:
    """Return all sessions of 2015 to 2027, those alike but for their date under one key.

    Of all markets, expiring contracts too. The key: opens, continuous_end and auction since
    midnight of the session's date.
    """
    alike: dict[tuple[timedelta | None, ...], list[Session]] = defaultdict(list)
    for day in trading_days(date(2015, 1, 1), date(2027, 12, 31)):
        midnight = datetime.combine(day, time())
        for market, expiring in ((S, False), (D, False), (D, True), (N, False)):
            if hours := session(market, day, expiring=expiring):
                moments = (hours.opens, hours.continuous_end, hours.auction)
                alike[tuple(m and m - midnight for m in moments)].append(hours)
    return alike


@pytest.fixture(params=range(len(sessions_by_hours())))
def alike(request: pytest.FixtureRequest) -> list[Session]:
    """Sessions of the same hours on different dates."""
    return list(sessions_by_hours().values())[request.param]


def test_every_session_of_the_calendar_is_visited():
    assert sum(map(len, sessions_by_hours().values())) > 3 * 3_100 + 600
    assert len(sessions_by_hours()) > 15


def in_columns(alike: list[Session]) -> tuple[Session, pl.DataFrame]:
    """Return a session whose times are columns, and these columns: a row for each session.

    Its methods that take an expression then speak of every session at once.
    """
    names = ["date", "opens", "continuous_end", "auction", "last_stamp"]
    rows = [tuple(getattr(hours, name) for name in names) for hours in alike]
    kinds: Any = {"auction": pl.Datetime("us")}
    moments = {name: pl.col(name) for name in ("opens", "continuous_end", "auction")}
    if alike[0].auction is None:
        moments["auction"] = None
    columns: Any = moments
    frame = pl.DataFrame(rows, names, orient="row", schema_overrides=kinds)
    return replace(alike[0], **columns), frame


def test_every_label_and_stamp_of_every_session_turn_into_each_other(alike):
    """Of all half minutes from an hour before to an hour after a session only expected ones do."""
    hours, sessions = in_columns(alike)
    moment, around = pl.col("moment"), timedelta(hours=1)
    first, last = pl.col("opens") - around, pl.col("last_stamp") + around
    half_minutes = pl.datetime_ranges(first, last, "30s").alias("moment")
    found = (
        sessions.with_columns(half_minutes)
        .explode("moment")
        .with_columns(
            is_label=hours.is_label(moment),
            stamp=hours.stamp_of_label(moment),
            label=hours.label_of_stamp(moment),
        )
    )
    stamps = pl.concat(each.stamps().to_frame() for each in alike)["stamp"]
    is_auction = stamps.is_in([each.auction for each in alike if each.auction])
    labels = pl.select(
        pl.when(is_auction).then(stamps).otherwise(stamps.dt.offset_by("-1m"))
    ).to_series()
    with_stamp, with_label = found.drop_nulls("stamp"), found.drop_nulls("label")
    for series, expected in (
        (found.filter("is_label")["moment"], labels),
        (with_stamp["moment"], labels),
        (with_stamp["stamp"], stamps),
        (with_label["moment"], stamps),
        (with_label["label"], labels),
    ):
        assert series.equals(expected)
    assert found["is_label"].null_count() == 0
    round_trip = with_stamp.select(back=hours.label_of_stamp(pl.col("stamp")))["back"]
    assert round_trip.equals(labels)


def test_single_labels_and_stamps_agree_with_the_columns(alike):
    for hours in {alike[0], alike[-1]}:  # the ends of all of them: the next test
        labels, stamps = hours.labels().to_list(), hours.stamps().to_list()
        assert [hours.label_of(stamp) for stamp in stamps] == labels
        assert [hours.stamp_of(label) for label in labels] == stamps
        assert [hours.label_before(label) for label in labels] == [None, *labels[:-1]]
        assert [hours.finished_at(stamp) - MINUTE for stamp in stamps] == labels


def test_the_ends_of_every_session_have_their_labels(alike):
    for hours in alike:
        before_auction = hours.continuous_end - MINUTE
        assert hours.label_of(hours.first_stamp) == hours.opens
        assert hours.label_of(hours.last_stamp) == (hours.auction or before_auction)
        assert hours.label_before(hours.opens) is None
        assert hours.label_before(hours.last_stamp) == before_auction
        assert hours.label_before(hours.sealed_at) == (hours.auction or before_auction)
        assert hours.finished_at(hours.first_stamp) == hours.first_stamp
        wait = MINUTE if hours.auction else timedelta(0)
        assert hours.finished_at(hours.last_stamp) == hours.last_stamp + wait <= hours.sealed_at


def test_the_newest_label_in_the_wait_for_the_auction_is_the_last_before_it():
    hours = session(S, date(2025, 10, 15))
    moments = [datetime(2025, 10, 15, 15, minute) for minute in (20, 21, 25, 30, 31)]
    found = [f"{hours.label_before(moment):%H:%M}" for moment in moments]
    assert found == ["15:19", "15:19", "15:19", "15:19", "15:30"]


@pytest.mark.parametrize(
    ("market", "stamp", "finished_at"),
    [
        (D, "2025-09-01 08:46", "2025-09-01 08:46"),
        (D, "2025-09-01 15:35", "2025-09-01 15:35"),
        (D, "2025-09-01 15:45", "2025-09-01 15:46"),
        (S, "2025-11-13 16:30", "2025-11-13 16:31"),  # CSAT
        (N, "2025-09-02 00:00", "2025-09-02 00:00"),
        (N, "2025-09-02 06:00", "2025-09-02 06:01"),
    ],
)
def test_a_bar_is_finished_at_its_stamp_but_the_auction_a_minute_later(market, stamp, finished_at):
    day = date(2025, 11, 13) if market is S else date(2025, 9, 1)
    hours, moment = session(market, day), datetime.fromisoformat(finished_at)
    assert hours.finished_at(datetime.fromisoformat(stamp)) == moment
    label = pl.DataFrame({"label": [hours.label_of(datetime.fromisoformat(stamp))]})
    for as_of, finished in ((moment, True), (moment - timedelta(seconds=1), False)):
        assert label.select(hours.is_finished(pl.col("label"), as_of)).item() is finished


def test_the_minute_before_the_auction_is_not_taken_for_the_auction():
    hours = session(S, date(2025, 10, 15))
    labels = [datetime(2025, 10, 15, 15, minute) for minute in (19, 20, 29, 30)]
    labels.append(datetime(2025, 10, 15, 15, 18, 30))
    frame = pl.DataFrame({"label": labels}).select(hours.stamp_of_label(pl.col("label")))
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
