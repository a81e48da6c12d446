"""Halts that the feed tells: named in the ledger, and no trouble for the feed itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from engine.history.halts import REASONS
from engine.simulator.faults.scenario import Scenario
from pipelines.history.reconcile import fill_before_open
from tests.pipelines.day.playing import DAY, FEED, FUTURE, STOCK, STOCK_ONLY, at_time, play
from tests.pipelines.simulated import desk

# The stock alone is halted; then all is, and trading goes on with an auction's trade.
SCENARIO = Scenario.model_validate(
    {
        "halt": [{"symbol": STOCK, "at": "14:32", "minutes": 3}],
        "move": [{"at": f"14:{minute}", "by": by} for minute, by in ((37, 0.0), (40, -0.1))]
        + [{"at": f"15:{minute}", "by": by} for minute, by in (("05", -0.1), (20, -0.02))],
    }
)


async def test_a_halt_that_the_feed_tells_is_kept(database_url: str, tmp_path: Path) -> None:
    halted = Scenario.model_validate({"halt": [{"symbol": STOCK, "at": "15:10", "minutes": 3}]})
    async with desk(database_url, tmp_path, at_time("15:08"), faults=halted) as at:
        until = at_time("15:16:30")
        await play(at, database_url, tmp_path, feed=STOCK_ONLY, stream=True, until=until)
        events = await at.frame(
            "SELECT symbol, kind, ended_at - started_at AS lasted, source FROM market_events"
            " WHERE kind <> 'vi'"
        )
        assert events.rows() == [(STOCK, "halt", timedelta(minutes=3), "H0STMKO0")]
        assert at.simulator.stream.counts["connections"] == 1


@pytest.mark.long
async def test_minutes_of_halts_that_the_feed_told_are_named_and_it_goes_on(
    database_url: str, tmp_path: Path
) -> None:
    async with desk(database_url, tmp_path, at_time("14:30"), faults=SCENARIO) as at:
        played = await play(at, database_url, tmp_path, feed=FEED, stream=True)
        assert played.error is None
        (breaker,) = [s for s in at.simulator.exchange.market.stops(DAY) if s.symbol is None][-1:]
        assert (breaker.kind, breaker.end - breaker.begin) == (
            "circuit_breaker",
            timedelta(minutes=20),
        )
        for table, symbol in (("futures_1m", FUTURE), ("stocks_1m", STOCK)):
            bars = (await at.bars(table)).filter(pl.col("timestamp").dt.date() == DAY)
            assert bars.equals(at.served(symbol, DAY)), symbol
        # Where no turnover proves that nothing was traded, the next morning's answers settle it.
        await at.clock.sleep_until(at_time("08:35") + timedelta(days=1))
        morning = replace(at.context)
        await fill_before_open(morning, [STOCK, FUTURE], DAY + timedelta(days=1), 0)
        named = await at.frame(
            "SELECT symbol, state, reason, sum(stamps)::bigint AS stamps FROM gaps"
            f" WHERE session = '{DAY}' AND state <> 'filled' GROUP BY 1, 2, 3 ORDER BY 1, 3"
        )
        assert named.rows() == [
            (STOCK, "halted", REASONS["circuit_breaker"], 20),
            (STOCK, "halted", REASONS["vi"], 1),
            (STOCK, "halted", REASONS["halt"], 3),
            (FUTURE, "halted", REASONS["circuit_breaker"], 20),
        ]
        events = await at.frame(
            "SELECT symbol, kind, ended_at - started_at AS lasted, source FROM market_events"
            " WHERE kind <> 'vi' ORDER BY 1, started_at"
        )
        assert [row[:2] for row in events.rows()] == [
            (STOCK, "halt"),
            (STOCK, "sidecar"),
            (STOCK, "circuit_breaker"),
            ("derivatives", "sidecar"),
            ("derivatives", "circuit_breaker"),
        ]
        assert set(events["source"]) == {"H0STMKO0"}
        # Twenty minutes without a trade are not silence of the feed.
        assert at.simulator.stream.counts["connections"] == 1
        told = "SELECT 1 FROM rejected_rows WHERE tr_id = 'H0STMKO0'"
        assert (await at.frame(told)).is_empty()
