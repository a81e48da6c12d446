"""A day of stocks at all venues through the command line, as the settings name them."""

from __future__ import annotations

import json
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


@pytest.mark.long
def test_every_day_settles_the_evening_of_the_venues_with_the_next_session(desk: Desk) -> None:
    """A quiet minute at a venue takes two answers, hours apart: the next session asks again."""
    asked = ("--every-day", "--sessions", "2", "--start", "19:52", "--speed", "max", "--json")
    done = desk.krt(
        *("live", *asked, "--date", f"{DAY}", "--stock", "005930"), KRT_VENUES="J,AFTER,NX,UN"
    )
    assert done.returncode == 0, done.stderr[-2000:]
    names = [json.loads(line)["date"] for line in done.stdout.splitlines()]
    assert names == ["2026-11-18", "2026-11-19"]
    found = json.loads(desk.krt("validate", "--format", "json").stdout)["findings"]
    assert {(row["check"], row["session"]) for row in found} <= {("missing", "2026-11-19")}
    assert {"005930", *SYMBOLS} >= {row["symbol"] for row in found}
