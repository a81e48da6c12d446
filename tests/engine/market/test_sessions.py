"""Sessions of codes, spans of sessions, expected stamps: also against the real files."""

from __future__ import annotations

from datetime import date, datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import CalendarRangeError, InputError
from engine.market.sessions import (
    Market,
    calendar_year,
    previous_sessions,
    session,
    session_dates,
)
from engine.market.symbols import parse
from engine.market.trading_days import trading_days
from tests.paths import FUTURES_FILE, STOCKS_FILE, needs
from tests.stamps import stamps_between

SYMBOLS = [
    "005930",
    "0001A0",
    "A01_FRONT",
    "A05_FRONT",
    "101W09",
    "101W12",
    "A01603",
    "A06612",
    "201W09347",
    "2AF97W320",
    "209DXW320",
    "B09FEW970",
    "BAFC0W970",
]
DAYS = st.dates(date(2025, 1, 2), date(2026, 12, 31))


@needs(FUTURES_FILE)
def test_the_real_futures_file_holds_exactly_the_expected_stamps():
    label = pl.col("timestamp")
    auction = label.dt.time() == pl.time(15, 45)
    file = (
        pl.scan_parquet(FUTURES_FILE)
        .select(
            "symbol",
            label.dt.date().alias("session"),
            pl.when(auction).then(label).otherwise(label.dt.offset_by("1m")).alias("stamp"),
        )
        .sort("session", "stamp")
        .collect()
    )
    expected = stamps_between(["A01_FRONT"], date(2025, 6, 25), date(2025, 10, 31))
    assert expected.equals(file)
    assert expected["session"].n_unique() == 87
    assert expected.filter(pl.col("session") == date(2025, 9, 11)).height == 395


@needs(STOCKS_FILE)
def test_every_trade_of_the_real_stock_file_has_an_expected_stamp():
    """All rows of a day share its session; KIS's fillers before the auction have no stamp."""
    file = pl.read_parquet(STOCKS_FILE, columns=["symbol", "timestamp", "volume"])
    days = session_dates(Market.STOCKS, date(2025, 10, 13), date(2025, 10, 24))
    stamped = pl.concat(
        file.filter(pl.col("timestamp").dt.date() == day).with_columns(
            session(Market.STOCKS, day).stamp_of_label(pl.col("timestamp")).alias("stamp")
        )
        for day in days
    )
    assert stamped.height == file.height
    fillers = stamped.filter(pl.col("stamp").is_null())
    assert (fillers.height, fillers["volume"].sum()) == (307, 0)
    bars = stamped.drop_nulls("stamp").select("symbol", "stamp")
    expected = stamps_between(file["symbol"].unique().to_list(), days[0], days[-1])
    assert expected.height == 60 * 10 * 381
    assert bars.is_unique().all()
    assert bars.join(expected, on=["symbol", "stamp"], how="anti").is_empty()


@pytest.mark.parametrize(
    ("symbol", "day", "bars"),
    [
        ("005930", "2025-09-11", 381),
        ("101W09", "2025-09-10", 411),
        ("101W09", "2025-09-11", 395),
        ("101W09", "2025-09-12", None),
        ("101W12", "2025-09-11", 411),
        ("A01_FRONT", "2025-09-11", 395),
        ("A01_FRONT", "2025-09-12", 411),
        ("A05_FRONT", "2025-08-14", 395),  # minis expire every month
        ("A01_FRONT", "2025-08-14", 411),
        ("201W09347", "2025-09-11", 395),
        ("2AF97W320", "2025-06-09", 395),
        ("2AF97W320", "2025-06-10", None),
        ("B09FEW970", "2026-09-23", 395),
        ("BAFC0W970", "2026-10-05", None),  # a holiday
        ("BAFC0W970", "2026-10-06", 395),
        ("A01812", "2026-11-20", 411),
        ("101W12", "2025-11-13", 411),
        ("201W11400", "2025-11-13", 395),
    ],
)
def test_a_code_has_the_session_of_its_market_and_its_expiry(symbol, day, bars):
    session_of_day = parse(symbol).session(date.fromisoformat(day))
    assert (session_of_day.stamps().len() if session_of_day else None) == bars


def test_nights_of_codes():
    expiry = date(2025, 9, 11)
    assert parse("101W09").session(date(2025, 9, 10), night=True) == session(
        Market.NIGHT, date(2025, 9, 10)
    )
    assert parse("101W09").session(expiry, night=True) is None
    assert parse("A01_FRONT").session(expiry, night=True) == session(Market.NIGHT, expiry)
    assert parse("005930").session(expiry, night=True) is None


def test_what_is_no_code_has_no_market():
    assert parse("0001A0").market is Market.STOCKS
    assert parse("A01_FRONT").market is Market.DERIVATIVES


def test_previous_sessions_skip_holidays_and_nights_that_were_not_held():
    day = date(2025, 10, 13)
    assert previous_sessions(Market.STOCKS, day, 2) == [date(2025, 10, 2), date(2025, 10, 10)]
    assert previous_sessions(Market.NIGHT, day, 2) == [date(2025, 10, 1), date(2025, 10, 10)]
    assert previous_sessions(Market.STOCKS, date(2025, 10, 6), 1) == [date(2025, 10, 2)]
    assert previous_sessions(Market.DERIVATIVES, day, 0) == []
    assert previous_sessions(Market.NIGHT, day, 0) == []


def test_more_sessions_than_there_were_are_refused():
    assert previous_sessions(Market.NIGHT, date(2025, 6, 11), 2) == [
        date(2025, 6, 9),
        date(2025, 6, 10),
    ]
    with pytest.raises(CalendarRangeError):
        previous_sessions(Market.NIGHT, date(2025, 6, 11), 3)
    with pytest.raises(CalendarRangeError):
        previous_sessions(Market.STOCKS, date(2015, 1, 2), 1)
    with pytest.raises(CalendarRangeError):
        session_dates(Market.STOCKS, date(2014, 12, 1), date(2015, 2, 1))


@given(st.sampled_from(Market), DAYS, st.integers(0, 30))
def test_previous_sessions_are_the_last_of_the_session_dates(market, day, count):
    start = date(2024, 6, 3) if market is not Market.NIGHT else date(2025, 6, 9)
    held = [d for d in session_dates(market, start, day) if d < day] if start < day else []
    assert all(session(market, d) for d in held)
    if len(held) >= count:
        assert previous_sessions(market, day, count) == held[len(held) - count :]


@settings(max_examples=30)
@given(st.lists(st.sampled_from(SYMBOLS), max_size=5), DAYS, st.integers(0, 20))
def test_expected_stamps_are_those_of_each_symbol_and_day(symbols, start, length):
    days = trading_days(
        start, min(date.fromordinal(start.toordinal() + length), date(2026, 12, 31))
    )
    end = days[-1] if days else start
    found = stamps_between(symbols, start, end)
    expected = [
        (symbol, day, stamp)
        for symbol in sorted(set(symbols))
        for day in days
        for stamp in parse(symbol).expected_stamps(day)
    ]
    assert found.rows() == expected
    assert found.schema == {"symbol": pl.String, "session": pl.Date, "stamp": pl.Datetime("us")}


def test_expected_stamps_outside_the_range_are_refused():
    with pytest.raises(CalendarRangeError):
        stamps_between(["005930"], date(2027, 12, 1), date(2028, 1, 31))
    with pytest.raises(InputError):
        stamps_between(["005930", "nonsense"], date(2025, 9, 1), date(2025, 9, 2))


def test_ten_million_stamps_are_expected_where_sixty_symbols_trade_four_hundred_sessions():
    symbols = [f"{n:06d}" for n in range(60)]
    days = session_dates(Market.STOCKS, date(2025, 2, 3), date(2026, 11, 18))[:400]
    expected = stamps_between(symbols, days[0], days[-1])
    assert expected.height == 60 * (400 * 381 - 60)  # the first session of 2026 is an hour shorter
    assert expected["stamp"].dt.time().min() == datetime(2025, 1, 1, 9, 1).time()


def test_the_printed_year_names_all_that_is_not_ordinary(snapshot):
    year = calendar_year(2025)
    assert year.height == 261
    assert year.filter(pl.col("stocks").is_null()).height == 261 - 242
    notes = year.filter(pl.col("note").is_not_null())
    assert notes.write_csv() == snapshot


def test_a_year_outside_the_range_is_not_printed():
    with pytest.raises(CalendarRangeError):
        calendar_year(2028)
