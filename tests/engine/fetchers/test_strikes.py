"""Which strikes of a chain are quoted: those around the market, the oldest and nearest first."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import polars as pl
import pytest

from engine.fetchers.strikes import carried, hedging_future, most_in_need, with_distance

MINUTE = datetime(2026, 11, 20, 10, 5)


@pytest.mark.parametrize(
    ("series", "maturity", "future"),
    [
        ("KOSPI200", "202612", "A01612"),
        ("KOSPI200", "202611", "A01612"),
        ("KOSPI200", "202701", "A01703"),
        ("KOSPI200", "202509", "101W09"),
        ("KOSPI200_WEEKLY_MON", "261203", "A01703"),
        ("MINI_KOSPI200", "202611", "A05611"),
        ("KOSDAQ150", "202611", "A06612"),
    ],
)
def test_the_hedging_future_is_the_first_to_expire_with_or_after_the_option(
    series, maturity, future
) -> None:
    assert hedging_future(series, maturity)[0] == future


def test_the_market_of_a_month_is_where_the_carried_future_is() -> None:
    """The March future is 13 points above the January options' forward: five strikes."""
    code, expiry = hedging_future("KOSPI200", "202701")
    assert (code, expiry) == ("A01703", date(2027, 3, 11))
    january = date(2027, 1, 14)
    assert carried(1100.0, expiry, january) == pytest.approx(1094.95, abs=0.01)
    assert carried(1100.0, date(2026, 11, 20), january) == pytest.approx(1104.98, abs=0.01)


def test_the_distance_counts_listed_strikes_from_the_lower_of_two_equally_near() -> None:
    listed = pl.DataFrame({"symbol": list("abcdef"), "strike": [90.0, 95, 100, 110, 120, 90]})
    found = with_distance(listed, 105).sort("symbol")
    assert found.columns == ["symbol", "strike", "distance"]
    assert found["distance"].to_list() == [2, 1, 0, 1, 2, 2]
    assert with_distance(listed.clear(), 105).is_empty()


def test_the_oldest_and_nearest_are_most_in_need() -> None:
    wanted = pl.DataFrame(
        {"symbol": list("abcd"), "strike": [1.0, 2, 3, 4], "distance": [0, 1, 2, 0]}
    )
    quoted = pl.DataFrame(
        {"symbol": ["a", "d"], "quoted_at": [MINUTE, MINUTE - timedelta(minutes=9)]}
    )
    now = MINUTE + timedelta(minutes=1)
    assert most_in_need(wanted, quoted, now, 3) == ["b", "c", "d"]
