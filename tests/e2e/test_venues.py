"""A day of stocks at all venues through the command line, as the settings name them."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from engine.simulator.exchange import SimulatedExchange
from engine.simulator.market.synthetic import SyntheticMarket
from pipelines.simulation import SEED
from tests.e2e.conftest import Desk, started_at
from tests.served import served_bars

DAY = date(2026, 11, 18)
SYMBOLS = {"005930_AFTER": "J", "005930_NX": "NX", "005930_UN": "UN"}


@pytest.mark.long  # tests/pipelines/day/test_venues.py plays the same evening in one process
def test_each_venue_is_stored_as_the_simulator_holds_it(desk: Desk) -> None:
    asked = ("--stock", "005930", "--date", f"{DAY}", *started_at("19:50"))
    summary = desk.live(*asked, KRT_VENUES="J,AFTER,NX,UN")
    stored = desk.ask(
        "SELECT symbol, venue, count(*)::bigint AS bars, sum(volume)::bigint AS volume,"
        " max(high) AS high, min(low) AS low FROM stocks_venue_1m"
        f" WHERE timestamp::date = '{DAY}' GROUP BY 1, 2 ORDER BY 1"
    )
    exchange = SimulatedExchange(SyntheticMarket(SEED))
    served = {symbol: served_bars(exchange, symbol, DAY) for symbol in ["005930", *SYMBOLS]}
    assert stored.rows() == [
        (
            symbol,
            venue,
            served[symbol].height,
            served[symbol]["volume"].sum(),
            served[symbol]["high"].max(),
            served[symbol]["low"].min(),
        )
        for symbol, venue in SYMBOLS.items()
    ]
    assert summary["bars"] == sum(found.height for found in served.values())
    regular = desk.ask(f"SELECT symbol, volume FROM stocks_1m WHERE timestamp::date = '{DAY}'")
    assert set(regular["symbol"]) == {"005930"}
    both = stored.filter(pl.col("venue") == "UN")["volume"].sum()
    assert both == regular["volume"].sum() + stored.filter(pl.col("venue") != "UN")["volume"].sum()
