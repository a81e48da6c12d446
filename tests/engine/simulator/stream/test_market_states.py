"""What the simulated KIS tells of halts, by frame and by answer, is what its market did."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl

from engine.market.sessions import Market
from engine.simulator import SyntheticMarket, load_scenario
from engine.simulator.exchange import SimulatedExchange
from engine.simulator.faults.moving import moved_market
from engine.simulator.faults.scenario import Scenario
from engine.simulator.market.data import open_session
from engine.simulator.stream.market_states import FIELDS, state_frames
from engine.simulator.stream.services import MARKET_STATES
from tests.engine.simulator.stream.client import connected, records, serving
from tests.paths import KIS_API, require

DAY = date(2026, 11, 20)
SESSION = open_session(Market.STOCKS, DAY)
HALT = {"symbol": "000660", "at": "13:00", "minutes": 15}
CRASH = load_scenario("limit_down").model_copy(
    update={"halt": Scenario.model_validate({"halt": [HALT]}).halt}
)
MARKET = moved_market(SyntheticMarket(1), CRASH, DAY)
EXCHANGE = SimulatedExchange(MARKET)


def test_a_record_has_the_fields_of_kis_in_their_order() -> None:
    table = json.loads((require(KIS_API) / f"{MARKET_STATES}.json").read_text("utf-8"))
    assert [*FIELDS] == [field[0] for field in table["response"]]


def told(symbol: str) -> list[tuple[str, dict[str, str]]]:
    return [
        (f"{frame.leaves_at:%H:%M}", dict(zip(FIELDS, record, strict=True)))
        for frame in state_frames(EXCHANGE, symbol, SESSION)
        for record in records(frame.text)
    ]


def test_frames_begin_and_end_where_the_bars_stop() -> None:
    codes = [(at, one["MKOP_CLS_CODE"]) for at, one in told("005930")]
    breaker = [at for at, code in codes if code in ("174", "175")]
    begin, end = next(s[1:3] for s in MARKET.stops(DAY) if s.kind == "circuit_breaker")
    assert breaker[:2] == [f"{begin:%H:%M}", f"{end:%H:%M}"]
    assert [code for _, code in codes if code in ("387", "388")] == ["387", "388"]
    halted = [(at, one) for at, one in told("000660") if one["TRHT_YN"] == "Y"]
    assert [(at, one["ISCD_STAT_CLS_CODE"]) for at, one in halted] == [("13:00", "58")]
    bars = MARKET.bars("000660", SESSION)
    one, two = datetime(2026, 11, 20, 13), datetime(2026, 11, 20, 13, 15)
    assert bars.filter(pl.col("label").is_between(one, two, closed="left")).is_empty()
    assert bars.filter(pl.col("label") == two).height == 1


def test_a_vi_leaves_the_minute_after_the_jump_without_a_trade() -> None:
    (vi,) = [s for s in EXCHANGE.stops("122630", SESSION) if s.kind == "vi"]
    labels = MARKET.bars("122630", SESSION)["label"].to_list()
    assert vi.begin in labels
    assert vi.begin + timedelta(minutes=1) not in labels
    flags = {at: one["VI_CLS_CODE"] for at, one in told("122630")}
    assert (flags[f"{vi.begin:%H:%M}"], flags[f"{vi.end:%H:%M}"]) == ("Y", "N")


async def test_the_price_says_that_trading_is_stopped(calling: Any) -> None:
    async with calling(datetime(2026, 11, 20, 13, 5), SyntheticMarket(1), faults=CRASH) as caller:
        found = {}
        for symbol in ("000660", "005930"):
            answer = await caller.http.get(
                "/uapi/domestic-stock/v1/quotations/inquire-price",
                params={"FID_COND_MRKT_DIV_CODE": "J", "FID_INPUT_ISCD": symbol},
                headers=caller.headers | {"tr_id": "FHKST01010100"},
            )
            found[symbol] = answer.json()["output"]
    flags = {code: (o["temp_stop_yn"], o["iscd_stat_cls_code"]) for code, o in found.items()}
    assert flags == {"000660": ("Y", "58"), "005930": ("N", "55")}


async def test_a_client_that_registered_a_stock_hears_of_its_halt_alone() -> None:
    start = datetime(2026, 11, 20, 12, 59)
    async with (
        serving(start, SyntheticMarket(1), faults=CRASH) as (simulator, clock),
        connected(simulator, clock) as client,
    ):
        assert (await client.ask(MARKET_STATES, "A01612"))["body"]["msg_cd"] == "OPSP8992"
        assert (await client.ask(MARKET_STATES, "000660"))["body"]["msg_cd"] == "OPSP0000"
        frames = await client.listen(start + timedelta(minutes=20))
    assert [f"{moment:%H:%M}" for moment, _ in frames] == ["13:00", "13:15"]
