"""A market is swept after the close: whole, by nearly the fewest calls, however often it ends."""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from engine.fetchers.market_snapshot import SnapshotFetcher
from engine.kis.stock_layout import MARKETS
from engine.kis.stock_master import parse_stock_master
from engine.market.expected import expected_sessions
from engine.market.universes import members
from engine.simulator.faults.scenario import Scenario
from engine.simulator.market.listed_stocks import stock_master_file
from pipelines.history.closing_volumes import closing_volumes
from pipelines.history.market_sweep import Sweep, sweep
from tests.pipelines.history.whole_market import WholeMarket, fewest_calls
from tests.pipelines.simulated import Desk, desk

DAY = date(2026, 11, 16)
CLOSED = datetime(2026, 11, 16, 15, 40)
MARKET = WholeMarket(5)
A_CALL_MORE = 0.02  # of the fewest
COUNTS = "SELECT symbol, count(*) FROM stocks_1m GROUP BY 1"


def codes(count: int) -> list[str]:
    listed = pl.concat(
        parse_stock_master(stock_master_file(MARKET, name, DAY), name).listings for name in MARKETS
    )
    found = members(listed, ["all"])
    return found[:: max(1, len(found) // count)][:count]


async def check_whole(at: Desk, wanted: list[str]) -> int:
    """Compare what is stored with what KIS has of the stocks; return the fewest calls for it."""
    stored = await at.bars("stocks_1m")
    counts = dict(stored.group_by("symbol").len().iter_rows())
    for symbol in wanted:
        served = at.served(symbol, DAY)
        assert counts.get(symbol, 0) == served.height, symbol
        if symbol in wanted[:: max(1, len(wanted) // 30)]:
            assert stored.filter(pl.col("symbol") == symbol).equals(served), symbol
    status = await at.frame("SELECT sum(open) AS open, count(*) AS sessions FROM kept_sessions")
    assert status.row(0) == (0, len(wanted))
    owed = await at.frame("SELECT sum(owed - stored - no_trade) AS left FROM kept_sessions")
    assert owed.item() == 0
    return sum(fewest_calls(counts.get(symbol, 0)) for symbol in wanted)


@pytest.mark.parametrize("count", [40, pytest.param(2_700, marks=pytest.mark.long)])
async def test_a_market_is_swept_by_nearly_the_fewest_calls(
    database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, count: int
) -> None:
    caplog.set_level(logging.INFO)
    wanted = codes(count)
    targets = expected_sessions(wanted, DAY, DAY)
    async with desk(database_url, tmp_path, CLOSED, MARKET, calls_per_second=15) as at:
        done = await sweep(at.context, targets, DAY)
        took = at.clock.now() - CLOSED
        fewest = await check_whole(at, wanted)
        again = await sweep(at.context, targets, DAY)
    assert done.calls == at.calls
    assert done.calls <= fewest * (1 + A_CALL_MORE)
    assert took <= timedelta(seconds=done.calls / 15 + 1)
    assert took < timedelta(minutes=13)
    assert (again.stocks, again.calls) == (0, 0)
    assert f"sweeping {count} stocks of 2026-11-16: at most" in caplog.text
    assert f"2026-11-16 is swept: {count} stocks" in caplog.text


@pytest.mark.parametrize("count", [40, pytest.param(2_700, marks=pytest.mark.long)])
async def test_a_sweep_that_is_ended_again_and_again_comes_to_the_same(
    database_url: str, tmp_path: Path, count: int
) -> None:
    wanted = codes(count)
    targets = expected_sessions(wanted, DAY, DAY)
    chance = random.Random(count)  # noqa: S311 - when it ends
    async with desk(database_url, tmp_path, CLOSED, MARKET, calls_per_second=15) as at:
        began = at.clock.now()
        for _ in range(3):
            await end_soon(at, targets, chance.uniform(0, count / 15))
        await sweep(replace(at.context), targets, DAY)
        took = at.clock.now() - began
        fewest = await check_whole(at, wanted)
    # What is under way when it ends is asked for again: eight stocks of each of two batches.
    assert at.calls <= fewest * (1 + A_CALL_MORE) + 3 * 2 * 8 * 4
    assert took < timedelta(minutes=13)


async def end_soon(at: Desk, targets: pl.DataFrame, seconds: float) -> None:
    task = asyncio.create_task(sweep(replace(at.context), targets, DAY))
    await at.clock.sleep(seconds)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_when_its_time_is_up_the_rest_stays_open_and_is_said(
    database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = codes(100)
    targets = expected_sessions(wanted, DAY, DAY)
    async with desk(database_url, tmp_path, CLOSED, MARKET, calls_per_second=15) as at:
        done: Sweep = await sweep(at.context, targets, DAY, until=CLOSED + timedelta(seconds=5))
        left = await at.frame("SELECT count(*) AS sessions FROM kept_sessions WHERE open > 0")
    assert 0 < done.left == left.item() < 100
    assert "takes longer than until 15:40" in caplog.text
    assert f"the time is up with {done.left} of 100 stocks" in caplog.text


async def test_answers_that_are_wrong_cost_calls_and_settle_nothing(
    database_url: str, tmp_path: Path
) -> None:
    """Empty answers, rows left out and half of the day's volumes missing: no bar is given up."""
    rules = [
        {"what": "empty_answer", "endpoint": "FHKST03010230", "every": 7},
        {"what": "cut", "endpoint": "FHKST03010230", "every": 11},
        {"what": "html", "endpoint": "FHKST11300006", "limit": 5},
    ]
    faults = Scenario.model_validate({"rule": rules})
    wanted = codes(40)
    targets = expected_sessions(wanted, DAY, DAY)
    async with desk(database_url, tmp_path, CLOSED, MARKET, faults, calls_per_second=15) as at:
        await sweep(at.context, targets, DAY)
        for _ in range(3):
            await sweep(await at.next_run(), targets, DAY)
        await check_whole(at, wanted)


async def test_a_volume_that_contradicts_itself_proves_nothing(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """KIS says that nothing was traded, beside a first price of the day: every stock is asked."""
    read = SnapshotFetcher._read

    def without_volume(*args: object) -> pl.DataFrame:
        return read(*args).with_columns(volume=pl.lit(0, pl.Int64))  # type: ignore[arg-type]

    monkeypatch.setattr(SnapshotFetcher, "_read", without_volume)
    wanted = codes(20)
    targets = expected_sessions(wanted, DAY, DAY)
    async with desk(database_url, tmp_path, CLOSED, MARKET, calls_per_second=15) as at:
        await sweep(at.context, targets, DAY)
        counts = dict((await at.frame(COUNTS)).iter_rows())
        served = {symbol: at.served(symbol, DAY).height for symbol in wanted}
    assert counts == {symbol: bars for symbol, bars in served.items() if bars}


async def test_a_volume_that_has_shrunk_since_the_session_proves_nothing(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the close KIS says of every stock that it did not trade; at noon it had volumes."""
    wanted = codes(20)
    async with desk(database_url, tmp_path, CLOSED, MARKET, calls_per_second=15) as at:
        traded = await closing_volumes(at.context, wanted, DAY)
        await at.context.store.execute(
            "UPDATE market_snapshot SET timestamp = timestamp - interval '3 hours',"
            " fetched_at = fetched_at - interval '3 hours'"
        )
        read = SnapshotFetcher._read

        def nothing(*args: object) -> pl.DataFrame:
            zero = dict.fromkeys(("turnover", "open", "high"), pl.lit(0.0))
            return read(*args).with_columns(volume=pl.lit(0, pl.Int64), **zero)  # type: ignore[arg-type]

        monkeypatch.setattr(SnapshotFetcher, "_read", nothing)
        now = dict((await closing_volumes(at.context, wanted, DAY))["symbol", "volume"].iter_rows())
    before = dict(traded["symbol", "volume"].iter_rows())
    assert sum(1 for volume in before.values() if volume) > 10
    assert now == {symbol: None if volume else 0 for symbol, volume in before.items()}
