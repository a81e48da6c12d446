"""The wait for the closing auction: nobody trades, and options stand as the future does."""

from __future__ import annotations

from datetime import date

import polars as pl

from engine.market.sessions import Market, session
from engine.market.symbols import FrontMonth, parse
from engine.simulator import SyntheticMarket
from engine.simulator.market.options import OptionMarket

DAY = date(2026, 11, 27)
MATURITY = "202612"
MARKET = SyntheticMarket(20)
CHAINS = OptionMarket(MARKET)
HOURS = session(Market.DERIVATIVES, DAY)
assert HOURS is not None
MINUTES = HOURS.minute_grid().len()
LAST_BEFORE = MINUTES - 1 - 10  # of the minutes from 0; the wait takes ten, the last has its trades


def board(minute: int) -> pl.DataFrame:
    return CHAINS.at("KOSPI200", MATURITY, DAY, minute)


def forward(minute: int) -> float:
    """Return the strike at which puts and calls are worth the same, by the nearest pairs."""
    middle = board(minute).select(
        "strike", "option_type", value=(pl.col("bid") + pl.col("ask")) / 2
    )
    pairs = middle.pivot("option_type", index="strike", values="value")
    near = pairs.sort((pl.col("C") - pl.col("P")).abs()).head(6)
    return near.select((pl.col("strike") + pl.col("C") - pl.col("P")).mean()).item()


def test_what_options_say_of_the_future_stays_where_it_is() -> None:
    found = parse("A01")
    assert isinstance(found, FrontMonth)
    bars = MARKET.bars(found.on(DAY).code, HOURS)
    future = bars.filter(pl.col("label") < HOURS.continuous_end)["close"][-1]
    assert abs(bars["close"][-1] - future) < 1.0, "the auction's price"
    for minute in range(LAST_BEFORE, MINUTES):
        assert abs(forward(minute) - future) < 1.5, minute


def test_nobody_trades_until_the_auction() -> None:
    volumes = [board(minute)["volume"].sum() for minute in range(LAST_BEFORE, MINUTES)]
    assert len(set(volumes[:-1])) == 1
    assert volumes[-1] > volumes[0]
    interest = [board(minute)["open_interest"].sum() for minute in range(LAST_BEFORE, MINUTES)]
    assert len(set(interest[:-1])) == 1


def test_an_option_s_last_bar_is_the_auction_s() -> None:
    code = board(0).sort("volume")["code"][-1]
    busiest = board(MINUTES - 1).sort("volume")["code"][-1]
    for option in {code, busiest}:
        bars = CHAINS.bars(option, HOURS)
        assert bars["label"].is_unique().all()
        assert bars.filter(HOURS.is_label(pl.col("label"))).height == bars.height
    assert bars["label"][-1] == HOURS.auction


def test_an_option_that_expires_has_no_auction() -> None:
    day = date(2026, 12, 10)
    hours = session(Market.DERIVATIVES, day, expiring=True)
    assert hours is not None
    assert hours.auction is None
    code = CHAINS.at("KOSPI200", MATURITY, day, 100).sort("volume")["code"][-1]
    labels = CHAINS.bars(code, hours)["label"]
    assert labels.is_unique().all()


def test_the_next_session_s_change_counts_from_the_last_price_s_level() -> None:
    following = date(2026, 11, 30)
    before = CHAINS.day("KOSPI200", MATURITY, following).index_before
    assert before == CHAINS.day("KOSPI200", MATURITY, DAY).index["close"][-1]
