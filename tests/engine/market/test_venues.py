"""Stocks at other venues than KRX's regular session: symbols and hours of their own."""

from __future__ import annotations

from datetime import date, datetime, time

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InputError
from engine.market.expected import expected_sessions, expected_stamps
from engine.market.hours import Market, session
from engine.market.symbols import Stock, VenueStock, parse
from engine.market.venues import VENUES, read_venues, regular_session

DAY = date(2026, 11, 18)


@pytest.mark.parametrize(
    ("text", "code", "market", "english"),
    [
        ("005930_AFTER", "J", Market.AFTER, "stock 005930, KRX after-market"),
        ("0001A0_NX", "NX", Market.NXT, "stock 0001A0, Nextrade"),
        ("Q500001_UN", "UN", Market.UNIFIED, "stock Q500001, KRX and Nextrade"),
    ],
)
def test_a_stock_at_a_venue_is_a_symbol_of_its_own(text, code, market, english) -> None:
    found = parse(text)
    assert isinstance(found, VenueStock)
    assert not isinstance(found, Stock)
    assert (found.code, found.venue.code, found.market) == (text, code, market)
    assert (found.table, found.ledger_market) == ("stocks_venue_1m", market.value)
    assert found.name_en == english
    assert found.session(DAY, night=True) is None


@pytest.mark.parametrize("text", ["005930_J", "005930_NXT", "A01612_NX", "5930_UN", "005930_NX_UN"])
def test_nothing_else_is_a_venue(text) -> None:
    with pytest.raises(InputError):
        parse(text)


def hours(text: str, day: date) -> tuple[time, time, int] | None:
    found = parse(text).session(day)
    return found and (found.first_stamp.time(), found.last_stamp.time(), len(found.stamps()))


@pytest.mark.parametrize(
    ("day", "after", "nextrade"),
    [
        (date(2025, 2, 28), None, None),  # before Nextrade
        (date(2025, 3, 4), None, (time(8, 1), time(20), 700)),  # its first day
        (date(2025, 11, 13), None, (time(10, 1), time(20), 590)),  # examination: no pre-market
        (date(2026, 1, 2), None, (time(10, 1), time(20), 590)),  # first session of the year
        (date(2026, 9, 11), None, (time(8, 1), time(20), 700)),
        (date(2026, 9, 14), (time(16, 1), time(20), 240), (time(8, 1), time(20), 700)),
        (date(2026, 11, 19), (time(17, 1), time(20), 180), (time(10, 1), time(20), 590)),
        (date(2026, 11, 21), None, None),  # a Saturday
    ],
)
def test_hours_of_the_venues(day, after, nextrade) -> None:
    assert hours("005930_AFTER", day) == after
    assert hours("005930_NX", day) == hours("005930_UN", day) == nextrade


def test_nothing_is_expected_in_a_break_and_what_comes_is_a_bar_all_the_same() -> None:
    found = session(Market.NXT, DAY)
    assert found is not None
    stamps = set(found.stamps())
    for inside in (datetime(2026, 11, 18, 8, 51), datetime(2026, 11, 18, 15, 30)):
        assert inside not in stamps
    for beside in (datetime(2026, 11, 18, 8, 50), datetime(2026, 11, 18, 15, 31)):
        assert beside in stamps
    labels = pl.DataFrame({"label": found.minute_grid().dt.offset_by("-1m")})
    assert labels.select(found.is_label(pl.col("label")).all()).item()


@given(st.sampled_from(sorted(VENUES)), st.dates(date(2025, 3, 4), date(2027, 12, 30)))
def test_a_venue_has_a_session_on_the_days_of_krx_since_it_exists(name, day) -> None:
    found = parse(f"005930_{name}").session(day)
    regular = session(Market.STOCKS, day)
    if name == "AFTER" and day < date(2026, 9, 14):
        assert found is None
        return
    assert (found is None) == (regular is None)
    if found and regular:
        assert found.stamps().is_unique().all()
        assert regular_session(found) == (regular if name == "AFTER" else None)
        if name == "AFTER":
            assert found.opens > regular.last_stamp
        else:
            assert set(regular.stamps()) - {regular.last_stamp} <= set(found.stamps())


def test_expected_bars_of_venues_are_those_of_their_own_hours() -> None:
    pairs = expected_sessions(["005930_NX", "005930", "005930_AFTER", "000660_NX"], DAY, DAY)
    counts = expected_stamps(pairs).group_by("symbol").len().sort("symbol")
    assert dict(counts.rows()) == {
        "000660_NX": 700,
        "005930": 381,
        "005930_AFTER": 240,
        "005930_NX": 700,
    }


def test_settings_name_venues() -> None:
    assert read_venues(("j", "NX", "UN", "nx")) == ("J", "NX", "UN")
    with pytest.raises(InputError, match="'NXT' is not a venue: choose from J, AFTER, NX, UN"):
        read_venues(("NXT",))
