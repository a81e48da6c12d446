"""What charts, notebook and page ask the database."""

from __future__ import annotations

from datetime import date, datetime, time

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from engine.errors import InputError
from pipelines.reports import queries as questions

DAY = date(2026, 11, 16)


def test_coverage_counts_exactly_what_is_owed(filled: str) -> None:
    counted = questions.coverage(filled, date(2026, 11, 9), DAY)
    of_day = counted.filter(session=DAY).rows()
    assert of_day == [("005930", DAY, 381, 381), ("A01612", DAY, 411, 409)]
    assert counted.filter(symbol="A01612").height == 6


def test_the_newest_day_and_the_last_bars(filled: str) -> None:
    assert questions.newest_day(filled) == DAY
    last = questions.last_bars(filled).select("symbol", "timestamp").sort("symbol").rows()
    assert last == [
        ("005930", datetime(2026, 11, 16, 15, 30)),
        ("A01612", datetime(2026, 11, 16, 15, 45)),
    ]


async def test_an_empty_database_says_what_to_do(database_url: str) -> None:
    with pytest.raises(InputError, match="just live"):
        questions.newest_day(database_url)


def test_signals_not_given_are_computed(filled: str) -> None:
    """A day that was only backfilled has no signals; what they would have been is shown."""
    given = questions.signals_of_day(filled, "A01612", DAY)
    earlier = questions.signals_of_day(filled, "A01612", date(2026, 11, 13))
    assert (given.height, earlier.height) == (409, 411)
    assert earlier["ub"].null_count() == 0
    assert given.select("committed_at").to_series().null_count() == 0


def test_a_product_means_its_front_month() -> None:
    assert questions.symbol_of(DAY, None) == "A01612"
    assert questions.symbol_of(DAY, "A05") == "A05612"
    assert questions.symbol_of(date(2025, 9, 1), "A01_FRONT") == "101W09"


def test_maturities_come_nearest_first(filled: str) -> None:
    near = ["202612_KOSPI200", "202701_KOSPI200"]
    assert questions.maturities(filled, DAY, "KOSPI200") == near
    with pytest.raises(InputError, match="MINI_KOSPI200"):
        questions.maturities(filled, DAY, "MINI_KOSPI200")


def test_a_minute_means_the_last_snapshot_until_then(filled: str) -> None:
    chain = questions.chain_at(filled, ["202612_KOSPI200"], DAY, time(9, 34))
    assert chain["timestamp"].unique().to_list() == [datetime(2026, 11, 16, 9, 30)]
    assert chain.height == 62


def test_the_matrix_of_a_day_is_that_of_the_chain(filled: str) -> None:
    cells = questions.matrix_of_day(filled, "202612_KOSPI200", "iv", DAY)
    chain = questions.chain_at(filled, ["202612_KOSPI200"], DAY, time(9, 0))
    at_the_money = chain.filter(strike=1050.0, option_type="C")["iv"]
    atm = cells.filter(
        pl.col("timestamp") == datetime(2026, 11, 16, 9, 0), step=0, option_type="C"
    )["value"]
    assert_frame_equal(atm.to_frame("iv"), at_the_money.to_frame("iv"))


async def test_the_books_name_what_validation_left(database_url: str) -> None:
    assert questions.findings(database_url).columns == ["symbol", "session", "what", "detail"]
