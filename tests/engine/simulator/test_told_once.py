"""What is told once agrees with the simulated market, synthetic or recorded."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import pytest

from engine.market.symbols import FrontMonth, parse
from engine.simulator.exchange import SimulatedExchange
from engine.simulator.market.data import MarketData, open_session
from engine.simulator.market.recorded import RecordedMarket
from engine.simulator.market.synthetic import SyntheticMarket
from engine.simulator.quotations.flows import KINDS, flow_minutes
from engine.simulator.quotations.index_frames import index_day
from engine.simulator.summaries import future_summary
from tests.paths import FUTURES_FILE

DAY = date(2025, 9, 1)
MINUTE = timedelta(minutes=1)


@pytest.fixture(params=["synthetic", "recorded"])
def market(request: pytest.FixtureRequest) -> MarketData:
    if request.param == "synthetic":
        return SyntheticMarket(7)
    if not FUTURES_FILE.exists():
        pytest.skip("there is no recorded file")
    return RecordedMarket(FUTURES_FILE)


def test_flows_state_and_index_are_those_of_the_market(market: MarketData) -> None:
    exchange = SimulatedExchange(market)
    front = parse("A01")
    assert isinstance(front, FrontMonth)
    contract = front.on(DAY)
    bars = market.bars(contract.code, open_session(contract.market, DAY))
    flows = flow_minutes(exchange, "F001", DAY)
    for side in ("sold", "bought"):
        total = sum(flows[f"{kind}_{side}_volume"][-1] for kind in KINDS)
        assert total >= bars["volume"].sum()  # the next contract is in it, too
    before: dict[str, int] = {}
    for minute in range(3):
        now = datetime(2025, 9, 1, 11, minute, 2)
        told = future_summary(exchange, contract.code, contract.market, now)
        price, index = float(told["futs_prpr"]), float(told["kospi200_nmix"])
        assert float(told["basis"]) == pytest.approx(price - index, abs=0.011)
        minutes = index_day(exchange, "2001", DAY)
        shown = minutes.filter(minutes["label"] + MINUTE <= now)["close"][-1]
        assert index == pytest.approx(shown, rel=0.002)
        counts = {name: int(told[name]) for name in ("hts_otst_stpl_qty", "acml_vol")}
        if before:
            opened = abs(counts["hts_otst_stpl_qty"] - before["hts_otst_stpl_qty"])
            assert opened <= counts["acml_vol"] - before["acml_vol"]
        before = counts
