"""Days on which everything is collected that KIS tells only once, good ones and bad ones.

Whole days in the long tests; else the last quarter of an hour, the auction of derivatives in it.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from engine.history.completeness import LOST, read_minutes
from engine.market.expected import expected_stamps
from engine.market.sessions import Market
from engine.market.symbols import parse_chain
from engine.market.told_once import STREAMS
from engine.simulator.faults.scenario import load_scenario
from engine.simulator.quotations.auctions import expected_price
from engine.store import book_files
from pipelines.feed import Feed, plan
from tests.databases import LONG
from tests.pipelines.day.playing import DAY, FUTURE, STOCK, at_time, play
from tests.pipelines.day.test_told_once import (
    PARTS,
    assert_flows,
    assert_indices,
    assert_programmes,
    assert_states,
)
from tests.pipelines.simulated import Desk, desk

CHAINS = (parse_chain("front"),) if LONG else ()
FEED = Feed((STOCK,), (FUTURE,), CHAINS, streams=tuple(STREAMS))
CODES = [stream.code for stream in plan(FEED, DAY).streams]
START = at_time("08:10") if LONG else at_time("15:31:30")
PACE = 10  # calls a second


async def collect(at: Desk, url: str, folder: Path) -> pl.DataFrame:
    """Collect the rest of the day; return MINUTES of all that is told once, as the database has."""
    played = await play(at, url, folder, feed=FEED, stream=True, pace=PACE)
    assert played.error is None
    minutes = await read_minutes(at.store, CODES, DAY, at.clock.now())
    # Each expected minute has a row, or stands in the ledger as lost with a reason: none is both.
    sessions = pl.DataFrame({"symbol": CODES, "session": [DAY] * len(CODES)})
    assert minutes.height == expected_stamps(sessions).height
    assert set(minutes["state"]) <= {"stored", *LOST}
    rows = await at.frame(
        "SELECT symbol, sum(stamps)::bigint AS stamps, count(reason) = count(*) AS reasoned"
        f" FROM gaps WHERE session = '{DAY}' AND state IN ('unavailable', 'refused')"
        " GROUP BY symbol"
    )
    ledger = rows.filter(pl.col("symbol").is_in(CODES))
    lost = minutes.filter(pl.col("state") != "stored").group_by("symbol").len().sort("symbol")
    assert dict(ledger.select("symbol", "stamps").iter_rows()) == dict(lost.iter_rows())
    assert ledger["reasoned"].all()
    return minutes.filter(pl.col("stamp") > START)


@pytest.mark.long  # of minutes of a good day: test_told_once.py, test_book_keeping.py
async def test_of_a_good_day_every_stream_is_complete_and_what_the_market_holds(
    database_url: str, tmp_path: Path
) -> None:
    async with desk(database_url, tmp_path, START) as at:
        minutes = await collect(at, database_url, tmp_path)
        assert minutes.filter(pl.col("state") != "stored").is_empty()
        assert set(minutes["symbol"]) == {*CODES}
        exchange = at.simulator.exchange
        await assert_flows(at, exchange)
        await assert_programmes(at, exchange)
        await assert_indices(at, exchange)
        await assert_states(at, exchange)
        for row in (await at.frame("SELECT * FROM expected_prices")).iter_rows(named=True):
            market = Market.STOCKS if row["symbol"] == STOCK else Market.DERIVATIVES
            held = expected_price(exchange, row["symbol"], market, row["said_at"])
            assert (row["price"], row["size"] or held.volume) == held, row
        counted = await at.frame("SELECT sum(updates)::bigint AS updates FROM book_minutes")
    book = book_files.scan_files(tmp_path / "book").collect()
    assert book.height == counted["updates"].item() > 100
    assert (book["bid1"] < book["ask1"]).all()


@pytest.mark.parametrize("name", [pytest.param("rough", marks=pytest.mark.long), "storm"])
async def test_of_a_bad_day_the_ledger_has_each_missing_minute_and_no_row_contradicts_itself(
    database_url: str, tmp_path: Path, name: str
) -> None:
    async with desk(database_url, tmp_path, START, faults=load_scenario(name)) as at:
        minutes = await collect(at, database_url, tmp_path)
        flows = await at.frame("SELECT * FROM investor_flows")
        states = await at.frame("SELECT * FROM futures_state ORDER BY timestamp")
    missing = minutes.filter(pl.col("state") != "stored")
    assert missing.height < 0.3 * minutes.height, missing.group_by("symbol", "reason").len()
    for unit in ("volume", "amount"):
        net = pl.col(f"bought_{unit}") - pl.col(f"sold_{unit}")
        assert flows.filter(net != pl.col(f"net_{unit}")).is_empty()
    whole = flows.filter(~pl.col("investor").is_in(PARTS)).group_by("symbol", "timestamp")
    sums = whole.agg(pl.len().alias("kinds"), pl.col("net_volume").sum()).filter(kinds=5)
    assert set(sums["net_volume"]) <= {0}
    known = states.drop_nulls(["open_interest", "day_volume"])
    opened = known["open_interest"].diff().drop_nulls().abs()
    assert (opened <= known["day_volume"].diff().drop_nulls()).all()
