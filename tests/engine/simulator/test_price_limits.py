"""KRX's price limits and circuit breaker, and the day that goes through them."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from itertools import pairwise
from typing import Any

import polars as pl
import pytest

from engine.market.products import KOSPI200, STOCK_TICKS
from engine.market.sessions import Market, Session
from engine.market.symbols import parse
from engine.simulator import SyntheticMarket, load_scenario
from engine.simulator.market.data import BARS, instrument, open_session
from engine.simulator.market.moved import Move, MovedMarket
from engine.simulator.market.price_limits import (
    HALT,
    STEPS,
    PriceLimits,
    halts,
    price_limits,
    widened_at,
    within_limits,
)

DAY = date(2026, 11, 20)
CODE = "A01612"
DERIVATIVES = open_session(Market.DERIVATIVES, DAY)
FIRST = DERIVATIVES.opens
SCENARIO = load_scenario("limit_down")
MOVES = [Move(move.at, move.by) for move in SCENARIO.move]


def bars(*closes: float, first: datetime = FIRST) -> pl.DataFrame:
    """Return a bar a minute that stands at one price."""
    rows = [
        (first + timedelta(minutes=n), close, close, close, close, 100)
        for n, close in enumerate(closes)
    ]
    return pl.DataFrame(rows, BARS, orient="row")


def limited(frame: pl.DataFrame, base: float = 1000.0) -> list[float]:
    return within_limits(frame, base, instrument(CODE), DERIVATIVES)["close"].to_list()


def test_limits_are_rounded_inwards_to_the_tick() -> None:
    """1061.15 gives 1146.00 and 976.30: docs/kis.md#price-limits."""
    assert price_limits(1061.15, STEPS[0], KOSPI200.ticks) == PriceLimits(976.3, 1146.0)
    assert price_limits(70_100, 0.30, STOCK_TICKS) == PriceLimits(49_100, 91_100)


def test_a_price_stands_at_its_limit_and_five_minutes_later_the_next_one_holds() -> None:
    start = FIRST + timedelta(minutes=60)
    found = limited(bars(*[1000.0], *[900.0] * 8, *[840.0] * 8, *[780.0] * 8, first=start))
    assert found == [1000.0] + [920.0] * 6 + [900.0] * 2 + [850.0] * 6 + [840.0] * 2 + [800.0] * 8
    assert limited(bars(1081.0, first=start)) == [1080.0]


def test_the_first_limit_holds_until_nine() -> None:
    found = limited(bars(*[900.0] * 20))
    assert found == [920.0] * 15 + [900.0] * 5
    widened = widened_at(bars(*[900.0] * 20), 1000.0, instrument(CODE), DERIVATIVES)
    assert widened == [datetime(2026, 11, 20, 9)]


@pytest.mark.parametrize(("code", "lowest"), [("005930", 0.70), ("122630", 0.40)])
def test_stocks_have_one_limit_and_funds_with_double_leverage_twice_as_much(
    code: str, lowest: float
) -> None:
    session = open_session(Market.STOCKS, DAY)
    frame = bars(*[1000.0] * 20, first=session.opens)
    found = within_limits(frame, 10_000.0, instrument(code), session)
    assert set(found["close"]) == {10_000 * lowest}
    assert set(found["volume"]) == {10}  # hardly anybody buys


def test_the_breaker_stops_trading_twice_at_most_and_not_late_in_the_day() -> None:
    falls = bars(1000, 919, 921, 919, 918, *[919] * 30, *[849] * 40)
    (first, again), (second, _) = halts(falls, 1000.0)
    assert (first, again) == (FIRST + timedelta(minutes=5), FIRST + timedelta(minutes=25))
    assert second == FIRST + timedelta(minutes=37)
    late = bars(*[900.0] * 30, first=datetime(2026, 11, 20, 14, 50))
    assert halts(late, 1000.0) == []


def sessions_of(code: str) -> Session:
    found = parse(code).session(DAY)
    assert found is not None
    return found


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_the_crash_locks_at_8_and_15_percent_halts_and_recovers(seed: int) -> None:
    market = MovedMarket(SyntheticMarket(seed), MOVES, DAY)
    day = market.bars(CODE, DERIVATIVES)
    before = market.bars(CODE, open_session(Market.DERIVATIVES, date(2026, 11, 19)))
    base = before["close"][-1]
    for share in STEPS[:2]:
        low = price_limits(base, share, KOSPI200.ticks).low
        assert day.filter(pl.col("high") == low).height >= 3  # it stands there
    assert day["low"].min() < base * 0.85
    assert day["close"][-1] > base * 0.94
    widened = widened_at(day, base, instrument(CODE), DERIVATIVES)
    assert len(widened) == 2
    stops = [(a, b) for a, b in pairwise(day["label"]) if b - a > timedelta(minutes=1)]
    begin, end = market.halts()[0]
    assert (begin - timedelta(minutes=1), end) in stops
    assert end - begin == HALT
    assert len(stops) == len(market.halts()) + 1  # the other one is the wait for the auction
    share = market.bars("005930", sessions_of("005930"))
    assert share.filter(pl.col("label").is_between(begin, end, closed="left")).is_empty()
    still = market.index("KOSPI200", DERIVATIVES)
    inside = still.filter(pl.col("label").is_between(begin, end, closed="left"))
    assert inside.height == 20
    assert inside.select("open", "high", "low", "close").n_unique() == 1


def test_every_bar_of_the_crash_is_possible_and_on_a_tick() -> None:
    market = MovedMarket(SyntheticMarket(1), MOVES, DAY)
    for code in (CODE, "005930", "122630", "252670", "900110"):
        symbol = instrument(code)
        day = market.bars(code, sessions_of(code))
        assert day.schema == BARS
        assert (day["volume"] > 0).all()
        assert (
            day["high"] == day.select(pl.max_horizontal("open", "high", "low", "close")).to_series()
        ).all()
        assert (
            day["low"] == day.select(pl.min_horizontal("open", "high", "low", "close")).to_series()
        ).all()
        for price in day["close"]:
            assert (
                abs(price / symbol.tick_size(price) - round(price / symbol.tick_size(price))) < 1e-6
            )


def test_other_days_and_nights_are_not_moved() -> None:
    plain = SyntheticMarket(1)
    market = MovedMarket(plain, MOVES, DAY)
    for session in (
        open_session(Market.DERIVATIVES, date(2026, 11, 23)),
        open_session(Market.NIGHT, DAY),
    ):
        assert market.bars(CODE, session).equals(plain.bars(CODE, session))
        assert market.index("KOSPI200", session).equals(plain.index("KOSPI200", session))


async def test_bars_show_8_percent_whatever_happens_and_the_quote_the_limit_that_holds(
    calling: Any,
) -> None:
    """docs/kis.md#price-limits: futs_mxpr and futs_llam stay, crbr_aply_… was 0.00 before."""
    async with calling(
        datetime.combine(DAY, time(9, 30)), SyntheticMarket(1), faults=SCENARIO
    ) as caller:
        early = (await caller.quote(CODE, "F"))["output1"]
        base = float(early["futs_prdy_clpr"])
        first = price_limits(base, STEPS[0], KOSPI200.ticks)
        assert (early["crbr_aply_mxpr"], early["crbr_aply_llam"]) == ("0.00", "0.00")
        await caller.clock.sleep_until(datetime.combine(DAY, time(12)))
        later = (await caller.quote(CODE, "F"))["output1"]
        third = price_limits(base, STEPS[2], KOSPI200.ticks)
        assert float(later["crbr_aply_llam"]) == third.low
        for quote in (early, later):
            assert (float(quote["futs_llam"]), float(quote["futs_mxpr"])) == (first.low, first.high)
        assert float(later["futs_lwpr"]) < float(later["futs_llam"])
