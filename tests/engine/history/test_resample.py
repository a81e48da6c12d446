"""Longer bars are cut at the hours of their own session, on special days too."""

from __future__ import annotations

from datetime import date, datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import InputError
from engine.history.resample import resample
from engine.history.session_columns import with_session_hours
from engine.market.symbols import parse
from tests.stamps import stamps_between

ORDINARY, EXPIRY, CSAT = date(2025, 9, 10), date(2025, 9, 11), date(2025, 11, 13)


def bars(symbols: list[str], first: date, last: date) -> pl.DataFrame:
    """Return a bar for each expected stamp: rising prices, a volume of one."""
    stamps = stamps_between(symbols, first, last)
    price = 300 + pl.int_range(pl.len()) * 0.05
    return stamps.select(
        pl.col("stamp").alias("timestamp"),
        "symbol",
        open=price,
        high=price + 0.1,
        low=price - 0.1,
        close=price + 0.02,
        volume=pl.lit(1, pl.Int64),
    )


def stamps(frame: pl.LazyFrame, day: date) -> list[str]:
    of_day = frame.filter(pl.col("session") == day).collect()
    return of_day["timestamp"].dt.strftime("%H:%M").to_list()


def test_an_ordinary_day_is_cut_into_hours() -> None:
    hours = resample(bars(["101W12"], ORDINARY, ORDINARY).lazy(), 60)
    assert stamps(hours, ORDINARY) == [
        "09:45",
        "10:45",
        "11:45",
        "12:45",
        "13:45",
        "14:45",
        "15:35",
        "15:45",
    ]
    assert hours.collect()["bars"].to_list() == [60] * 6 + [50, 1]


def test_the_expiring_contract_ends_early_and_without_auction() -> None:
    both = resample(bars(["101W09", "101W12"], EXPIRY, EXPIRY).lazy(), 60).collect()
    last = both.group_by("symbol").agg(pl.col("timestamp").max()).sort("symbol")
    assert last["timestamp"].to_list() == [
        datetime(2025, 9, 11, 15, 20),
        datetime(2025, 9, 11, 15, 45),
    ]
    assert both.filter(symbol="101W09")["volume"].sum() == 395


def test_a_csat_day_is_counted_from_its_own_open() -> None:
    five = resample(bars(["101W12"], CSAT, CSAT).lazy(), 5)
    assert stamps(five, CSAT)[:2] == ["09:50", "09:55"]
    assert stamps(five, CSAT)[-2:] == ["16:35", "16:45"]
    assert five.collect().height == 83


def test_stocks_have_their_own_hours() -> None:
    quarter = resample(bars(["005930"], ORDINARY, ORDINARY).lazy(), 15)
    assert stamps(quarter, ORDINARY)[0] == "09:15"
    assert stamps(quarter, ORDINARY)[-2:] == ["15:20", "15:30"]


def test_a_session_closes_with_its_auction_unless_that_is_left_out() -> None:
    day = bars(["101W12"], ORDINARY, ORDINARY)
    whole, continuous = (
        resample(day.lazy(), "session", auction=auction).collect() for auction in (True, False)
    )
    assert whole["close"].to_list() == day["close"].tail(1).to_list()
    assert whole["bars"].to_list() == [411]
    assert continuous["bars"].to_list() == [410]
    assert continuous["close"].to_list() == day["close"].slice(409, 1).to_list()


def test_a_week_is_made_of_its_sessions() -> None:
    month = bars(["101W12"], date(2025, 9, 1), date(2025, 9, 14))
    weeks = resample(month.lazy(), "week").collect()
    assert weeks["session"].to_list() == [date(2025, 9, 5), date(2025, 9, 12)]
    assert weeks["timestamp"].to_list() == [
        datetime(2025, 9, 5, 15, 45),
        datetime(2025, 9, 12, 15, 45),
    ]
    assert weeks["bars"].to_list() == [5 * 411] * 2
    assert weeks["open"][0] == month["open"][0]
    assert weeks["close"][1] == month["close"][-1]


def test_bars_outside_their_session_are_left_out() -> None:
    stray = bars(["101W12"], ORDINARY, ORDINARY).with_columns(
        pl.col("timestamp").dt.offset_by("9h")
    )
    assert resample(stray.lazy(), 5).collect().is_empty()


@pytest.mark.parametrize("minutes", [0, -5, 1441])
def test_an_impossible_interval_is_refused(minutes: int) -> None:
    with pytest.raises(InputError, match="from 1 to 1440"):
        resample(pl.LazyFrame(), minutes)


@given(
    every=st.one_of(st.integers(1, 500), st.sampled_from(["session", "week"])),
    kept=st.integers(0, 2**32),
    symbol=st.sampled_from(["101W09", "101W12", "005930", "A01_FRONT"]),
)
@settings(max_examples=60, deadline=None)
def test_no_bar_is_lost_and_none_spans_two_sessions(every, kept, symbol) -> None:
    whole = bars([symbol], date(2025, 9, 8), date(2025, 9, 12))
    given_ = whole.sample(fraction=0.3, seed=kept, shuffle=True)
    longer = resample(given_.lazy(), every).collect()
    assert longer["volume"].sum() == given_["volume"].sum()
    assert longer["high"].max() == given_["high"].max()
    assert longer.select(pl.col("timestamp").is_sorted()).item()
    assert longer.select("symbol", "timestamp").is_unique().all()
    if every != "week":
        assert longer.select((pl.col("timestamp").dt.date() == pl.col("session")).all()).item()
    if isinstance(every, int):
        assert longer["bars"].max() <= every


def test_bars_of_one_minute_are_the_bars_themselves() -> None:
    day = bars(["101W12", "005930"], ORDINARY, CSAT).sort("symbol", "timestamp")
    same = resample(day.lazy(), 1).select(day.columns).collect()
    assert same.equals(day)


@pytest.mark.parametrize(
    ("code", "session_opens"),
    [
        ("101W09", "08:45"),
        ("A01612", "08:45"),
        ("A01_FRONT", "08:45"),
        ("B01612A97", "08:45"),
        ("101490", "09:00"),  # a stock whose code begins like a future's
        ("005930", "09:00"),
        ("0001A0", "09:00"),
    ],
)
def test_a_code_gets_the_hours_of_its_market(code: str, session_opens: str) -> None:
    frame = pl.LazyFrame({"symbol": [code], "timestamp": [datetime(2025, 9, 10, 10, 0)]})
    opens = with_session_hours(frame).collect()["opens"]
    assert opens.dt.strftime("%H:%M").to_list() == [session_opens]


def test_the_hours_are_those_of_the_calendar() -> None:
    days = bars(["101W09", "005930"], date(2025, 9, 1), EXPIRY)
    found = with_session_hours(days.lazy()).select("symbol", "session", "opens", "auction").unique()
    for symbol, day, opens, auction in found.collect().iter_rows():
        session = parse(symbol).session(day)
        assert session is not None
        assert (session.opens, session.auction) == (opens, auction)
