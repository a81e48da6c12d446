"""The simulated KIS serves venues that agree with each other."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.market.sessions import Market, session
from engine.simulator.exchange import SimulatedExchange
from engine.simulator.market.data import BARS
from engine.simulator.market.synthetic import SyntheticMarket
from engine.simulator.market.venues import together

EXCHANGE = SimulatedExchange(SyntheticMarket(5))


def bars(symbol: str, market: Market, day: date) -> pl.DataFrame:
    hours = session(market, day)
    assert hours is not None
    return EXCHANGE.session_rows(symbol, hours).bars


@pytest.mark.parametrize("symbol", ["005930", "900110"])
@pytest.mark.parametrize("day", [date(2025, 6, 2), date(2026, 11, 18), date(2026, 11, 19)])
def test_both_together_are_what_either_has(symbol: str, day: date) -> None:
    krx, nextrade = bars(symbol, Market.STOCKS, day), bars(symbol, Market.NXT, day)
    both = bars(symbol, Market.UNIFIED, day)
    by_minute = (
        pl.concat([krx, nextrade])
        .group_by("label")
        .agg(pl.col("high").max(), pl.col("low").min(), pl.col("volume").sum())
    )
    assert both.select(by_minute.columns).equals(by_minute.sort("label"))
    hours = session(Market.NXT, day)
    assert hours is not None
    assert set(nextrade["label"]) <= set(hours.labels())
    assert nextrade["label"][-1] == hours.labels()[-1]
    for found in (krx, nextrade, both):
        assert found.filter(pl.col("high") < pl.max_horizontal("open", "close")).is_empty()
        assert found.filter(pl.col("low") > pl.min_horizontal("open", "close")).is_empty()
        assert (found["volume"] > 0).all()


MINUTES = st.lists(st.integers(480, 1199), max_size=8, unique=True)


@settings(max_examples=30)
@given(MINUTES, MINUTES)
def test_no_trade_of_either_is_lost(first: list[int], second: list[int]) -> None:
    def made(minutes: list[int], price: float) -> pl.DataFrame:
        at = [date(2026, 11, 18) for _ in minutes]
        rows = {"label": at, "open": price, "high": price, "low": price, "close": price}
        label = pl.col("label").cast(pl.Datetime("us")) + pl.Series(
            [timedelta(minutes=minute) for minute in minutes], dtype=pl.Duration("us")
        )
        frame = pl.DataFrame({"label": pl.Series(rows.pop("label"), dtype=pl.Date)})
        named = [pl.lit(value).alias(name) for name, value in rows.items()]
        return frame.with_columns(label, *named, volume=pl.lit(3, pl.Int64)).select(list(BARS))

    krx, nextrade = made(sorted(first), 10.0), made(sorted(second), 20.0)
    both = together(krx, nextrade)
    assert both["label"].to_list() == sorted({*krx["label"], *nextrade["label"]})
    assert both["volume"].sum() == krx["volume"].sum() + nextrade["volume"].sum()
