"""What is computed from a stored chain knows when its options end and what a point is worth."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date, datetime

import polars as pl
import pytest

from engine.errors import InputError
from engine.features.black76 import RATE
from engine.market import trading_days
from engine.market.products import SERIES, tick_size
from engine.schemas import OPTION_CHAIN
from pipelines.chains import chain_matrix, chain_with_greeks
from tests.engine.features.conftest import board

LAST_DAY = date(2026, 12, 10)


@pytest.fixture(autouse=True)
def _forget_the_days_of_kis() -> Iterator[None]:
    yield
    trading_days.learn_closed_days({})


def terms(symbol: str) -> tuple[datetime, float]:
    chain = chain_with_greeks(board(symbol=symbol).select(OPTION_CHAIN.names))
    ((expiry, multiplier),) = chain.select("expiry", "multiplier").unique().rows()
    return expiry, multiplier


@pytest.mark.parametrize(
    ("symbol", "expiry", "multiplier"),
    [
        ("202612_KOSPI200", datetime(2026, 12, 10, 15, 20), 250_000.0),
        ("202612_MINI_KOSPI200", datetime(2026, 12, 10, 15, 20), 50_000.0),
        ("261101_KOSPI200_WEEKLY_MON", datetime(2026, 11, 2, 15, 20), 250_000.0),
        ("203012_KOSPI200", datetime(2030, 12, 12, 15, 20), 250_000.0),  # beyond the calendar
    ],
)
def test_a_chain_ends_on_its_last_day_and_has_the_multiplier_of_its_series(
    symbol: str, expiry: datetime, multiplier: float
) -> None:
    assert terms(symbol) == (expiry, multiplier)


def test_a_last_day_that_kis_closes_moves_the_end_of_the_chain() -> None:
    assert terms("202612_KOSPI200")[0].date() == LAST_DAY
    trading_days.learn_closed_days({LAST_DAY: False})
    assert terms("202612_KOSPI200")[0] == datetime(2026, 12, 9, 15, 20)


@pytest.mark.parametrize("symbol", SERIES)
def test_a_price_moves_by_the_ticks_of_its_own_series(symbol: str) -> None:
    maturity = "261101" if "WEEKLY" in symbol else "202612"
    quiet = board(symbol=f"{maturity}_{symbol}", volatility=0.1)
    chain = chain_with_greeks(quiet.select(OPTION_CHAIN.names))
    ticks = SERIES[symbol].call.ticks
    prices = chain.drop_nulls("fresh")
    assert all(prices.select(pl.col("fresh").min() < 3, more=pl.col("fresh").max() > 50).row(0))
    assert prices["tick"].to_list() == [tick_size(ticks, price) for price in prices["fresh"]]


@pytest.mark.parametrize(
    ("source", "days"),
    [
        ("future:A01703", -56),  # from the 11th of March to the 14th of January
        ("index", 73.2),  # from the 2nd of November
        ("future:A01701", None),  # not a contract
        ("parity", None),  # made by an earlier release
        (None, None),
    ],
)
def test_a_future_is_carried_from_its_own_last_day(source: str | None, days: float | None) -> None:
    rows = board(symbol="202701_KOSPI200").select(OPTION_CHAIN.names)
    calls = rows.filter(option_type="C").with_columns(underlying_source=pl.lit(source, pl.String))
    found = chain_with_greeks(calls).select("forward", "forward_source").unique().rows()
    if days is None:
        assert found == [(None, None)]
    else:
        expected = 1061.3 * math.exp(RATE * days / 365)
        assert found == [(pytest.approx(expected, abs=0.005), str(source).partition(":")[0])]


@pytest.mark.parametrize("symbol", ["A01612", "005930", "202612_KOSPI", "december"])
def test_rows_of_anything_but_a_chain_are_refused(symbol: str) -> None:
    with pytest.raises(InputError, match=symbol):
        chain_with_greeks(pl.DataFrame({"underlying_symbol": [symbol]}))


def test_a_session_without_any_snapshot_has_no_matrix_and_no_error() -> None:
    """Nobody collected the chain: validation has to say so, not to fail."""
    none = pl.DataFrame(OPTION_CHAIN.empty_table())
    with_greeks = chain_with_greeks(none)
    assert chain_matrix(with_greeks).is_empty()
