"""Which sessions and stamps must exist."""

from __future__ import annotations

from datetime import date, datetime

import polars as pl
import pytest

from engine.errors import InputError
from engine.market.expected import _grid, expected_sessions, expected_stamps
from engine.market.sessions import Market, session
from engine.market.symbols import parse

ROLL, EXPIRY = date(2025, 9, 12), date(2025, 9, 11)


def spans(wanted: pl.DataFrame) -> dict[str, tuple[date, date, int]]:
    rows = wanted.group_by("symbol").agg(
        pl.min("session"), pl.max("session").alias("last"), pl.len()
    )
    return {symbol: (first, last, count) for symbol, first, last, count in rows.iter_rows()}


def test_a_product_means_each_contract_for_its_time_in_front_and_its_warm_up() -> None:
    found = spans(expected_sessions(["A01"], date(2025, 9, 1), date(2025, 9, 30), warm_up=3))
    assert found == {
        "101W09": (date(2025, 9, 1), EXPIRY, 9),
        "101W12": (date(2025, 9, 9), date(2025, 9, 30), 16),
    }


def test_no_warm_up_reaches_before_the_first_date_asked_for() -> None:
    found = spans(
        expected_sessions(["A01_FRONT"], date(2025, 9, 10), date(2025, 9, 15), warm_up=20)
    )
    assert found["101W12"][0] == date(2025, 9, 10)


def test_a_contract_has_no_session_after_its_expiry() -> None:
    assert (
        spans(expected_sessions(["101W09"], date(2025, 9, 8), date(2025, 9, 30)))["101W09"][1]
        == EXPIRY
    )


def test_sessions_that_are_not_sealed_can_be_left_out() -> None:
    day = date(2025, 9, 1)
    assert expected_sessions(["A01"], day, day, sealed_by=datetime(2025, 9, 1, 15, 45)).is_empty()
    assert expected_sessions(["A01"], day, day, sealed_by=datetime(2025, 9, 1, 16)).height == 1


def test_expected_stamps_on_ordinary_and_last_days_and_of_chains() -> None:
    wanted = expected_sessions(["101W09", "101W12", "005930", "202509_KOSPI200"], EXPIRY, EXPIRY)
    counts = dict(expected_stamps(wanted).group_by("symbol").len().iter_rows())
    # a chain has every minute until its series ends, as its future does on that day
    assert counts == {"101W09": 395, "101W12": 411, "005930": 381, "202509_KOSPI200": 395}
    day_before = expected_stamps(
        expected_sessions(["202509_KOSPI200"], date(2025, 9, 10), date(2025, 9, 10))
    )
    assert day_before.height == 420


def test_places_count_the_stamps_of_a_session() -> None:
    stamps = expected_stamps(expected_sessions(["005930"], date(2025, 9, 1), date(2025, 9, 2)))
    assert stamps["index_in_session"].to_list() == [*range(381), *range(381)]
    assert stamps.filter(pl.col("index_in_session") == 380)["stamp"].dt.strftime(
        "%H:%M"
    ).to_list() == [
        "15:30",
        "15:30",
    ]


def test_markets_and_ends_of_chains() -> None:
    assert parse("202509_KOSPI200").ledger_market == "chain"
    assert parse("101W09").ledger_market == "derivatives"
    assert parse("202509_KOSPI200").session(ROLL) is None


@pytest.mark.parametrize("symbol", ["'; DROP TABLE gaps; --", "../etc", "999999_NOTHING", ""])
def test_what_is_no_symbol_is_refused(symbol: str) -> None:
    with pytest.raises(InputError):
        expected_sessions([symbol], EXPIRY, EXPIRY)


def test_a_chain_that_matures_beyond_the_calendar_has_sessions_until_then() -> None:
    """Once such a chain was collected all day and could then not be closed."""
    day = date(2026, 11, 24)
    session = parse("202812_KOSPI200").session(day)
    assert session is not None
    assert session == parse("202612_KOSPI200").session(day)


def test_sessions_of_the_same_hours_share_their_minutes_in_memory() -> None:
    days = (date(2025, 9, 1), date(2025, 9, 2))
    first, second = (session(Market.DERIVATIVES, day) for day in days)
    assert first is not None
    assert second is not None
    assert _grid(first, every_minute=False) is _grid(second, every_minute=False)
    assert _grid(first, every_minute=True) is _grid(second, every_minute=True)
