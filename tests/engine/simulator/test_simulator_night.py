"""The simulated night: it goes on where the day ended, and is quoted as KIS quotes a night."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest

from engine.market.sessions import Market, session
from engine.market.symbols import parse
from engine.simulator import RecordedMarket, SyntheticMarket
from tests.paths import FUTURES_FILE, needs

EVENING = date(2026, 11, 17)
MIDNIGHT = datetime(2026, 11, 18, 0, 30, 5)
MARKET = SyntheticMarket(3)


@pytest.mark.parametrize("day", [EVENING, date(2026, 11, 20), date(2026, 12, 30)])
def test_the_night_begins_where_the_day_ended_and_ends_where_the_next_begins(day: date) -> None:
    night = session(Market.NIGHT, day)
    assert night is not None
    before, after = (session(Market.DERIVATIVES, on) for on in (day, night.trading_day))
    assert before is not None
    assert after is not None
    path = MARKET.index("KOSPI200", night)
    last = MARKET.index("KOSPI200", before)["close"][-1]
    assert path["open"][0] == pytest.approx(last, rel=0.001)
    following = MARKET.index("KOSPI200", after)["open"][0]
    assert path["close"][-1] == pytest.approx(following, rel=1e-5)


async def test_boards_of_a_night_are_refused(calling: Any) -> None:
    async with calling(MIDNIGHT, MARKET) as caller:
        for market in ("EU", "CM"):
            answer = await caller.board("202612", market=market)
            assert answer["msg_cd"] == "OPSQ2001"


async def test_single_quotes_of_a_night_have_its_price_interest_and_greeks(calling: Any) -> None:
    async with calling(MIDNIGHT, MARKET) as caller:
        options = caller.simulator.exchange.options
        night = options.at("KOSPI200", "202612", EVENING, 389, Market.NIGHT)
        row = night.filter(strike=night["atm"][0], option_type="C").row(0, named=True)
        quote = (await caller.quote(row["code"], market="EU"))["output1"]
        assert float(quote["futs_prpr"]) == pytest.approx(row["price"])
        assert int(quote["acml_vol"]) == row["volume"] > 0
        assert int(quote["hts_otst_stpl_qty"]) == row["open_interest"]
        assert float(quote["delta_val"]) == pytest.approx(row["delta"], abs=1e-4)
        day = (await caller.quote(row["code"], market="O"))["output1"]
        assert day["acml_vol"] != quote["acml_vol"]

        rows = await caller.futures("A01612", f"{EVENING:%Y%m%d}", "242900", market="CM")
        future = (await caller.quote("A01612", market="CM"))["output1"]
        assert future["futs_prpr"] == rows[0]["futs_prpr"]
        assert (await caller.quote("A01612", market="EU"))["output1"] == {}


@needs(FUTURES_FILE)
def test_a_night_around_a_recorded_day_begins_where_the_day_ended() -> None:
    market = RecordedMarket(FUTURES_FILE)
    code, day = "101W09", date(2025, 9, 1)
    night = session(Market.NIGHT, day)
    last = parse(code).session(day)
    assert night is not None
    assert last is not None
    bars = market.bars(code, night)
    assert bars.height > 700
    assert bars["open"][0] == pytest.approx(market.bars(code, last)["close"][-1], rel=0.002)
