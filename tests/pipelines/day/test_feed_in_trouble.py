"""With the feed or without it, in a crash and by a wrong clock: the same bars, the same signals."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from pathlib import Path

import polars as pl
import pytest

import engine.kis.client
import engine.kis.stream.connection
from engine.kis.transport import Transport
from engine.simulator import load_scenario
from engine.simulator.market.moved import Move, MovedMarket
from engine.simulator.market.synthetic import SyntheticMarket
from engine.simulator.server import APP_KEYS
from tests.databases import LONG
from tests.pipelines.day.playing import (
    DAY,
    FEED,
    FUTURE,
    STOCK,
    TABLES,
    Rule,
    assert_bars_and_signals_are_right,
    at_time,
    play,
    poll_reasons,
    scenario,
    statuses,
)
from tests.pipelines.simulated import desk
from tests.soak.clocks import SteppedClock

TRADING = at_time("08:30" if LONG else "15:14")
NO_FUTURES: Rule = {"what": "refuse_registration", "code": "OPSP8991", "endpoint": "H0IFCNT0"}
STOCKS_ALONE = "a paper key has stocks alone"


@pytest.mark.long
async def test_a_paper_key_costs_no_bar_and_is_named(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with desk(database_url, tmp_path, TRADING, faults=scenario(NO_FUTURES)) as at:
        # The simulator's WebSocket is taken for that of paper trading.
        monkeypatch.setattr(engine.kis.stream.connection, "_PAPER", "ws://127.0.0.1")
        played = await play(at, database_url, tmp_path, feed=FEED, stream=True)
        await assert_bars_and_signals_are_right(at)
        told = poll_reasons(played)
        assert told == {STOCK: None, FUTURE: STOCKS_ALONE}
        assert set(played.stats.by_feed) == {STOCK}
        found = await at.frame("SELECT symbol, reason FROM feed_symbols")
        assert dict(found.iter_rows()) == told
        assert (await statuses(at))["feed"] == "done"
        summary = played.stats.as_json()["feed"]
        assert summary["reconnects"] == 0
        says = " ".join(summary["says"])
        assert "1 of 2 symbols by feed" in says
        assert STOCKS_ALONE in says


@pytest.mark.long
async def test_a_crash_with_halts_and_locked_prices_comes_by_the_feed_as_by_rest(
    database_url: str, tmp_path: Path
) -> None:
    moves = [Move(move.at, move.by) for move in load_scenario("limit_down").move]
    market = MovedMarket(SyntheticMarket(3), moves, DAY)
    (begin, end), *_ = market.halts()
    start, until = begin - timedelta(minutes=8), end + timedelta(minutes=8)
    async with desk(database_url, tmp_path, start, market) as at:
        played = await play(at, database_url, tmp_path, feed=FEED, stream=True, until=until)
        for symbol, table in TABLES.items():
            bars = (await at.bars(table)).filter(
                pl.col("timestamp").is_between(start + timedelta(minutes=2), until)
            )
            served = at.served(symbol, DAY)
            assert bars.join(served, on=bars.columns, how="anti").is_empty(), symbol
            assert bars.height > 10
            in_halt = bars["timestamp"].is_between(begin + timedelta(minutes=1), end)
            assert not in_halt.any()
            by_feed = played.stats.by_feed[symbol]
            complete = {stamp for stamp, state in by_feed.items() if state}
            # The first minute was begun without us; no trade soon proves the last before the halt.
            others = bars["timestamp"][1:-1].filter(bars["timestamp"][1:-1] != begin)
            assert complete >= set(others)
        assert (await at.frame("SELECT 1 FROM replaced_bars")).is_empty()
        assert played.stats.reconnects == 0, "a halt is not silence"


@pytest.mark.long
@pytest.mark.parametrize("seconds", [60, -60])
async def test_a_clock_that_is_a_minute_wrong_is_named_and_changes_no_bar(
    seconds: int,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    dated = partial(Transport, tells_time=True)
    monkeypatch.setattr(engine.kis.client, "Transport", dated)
    async with desk(database_url, tmp_path, TRADING) as at:
        wrong = SteppedClock(at.clock, [(TRADING, timedelta(seconds=seconds))])
        played = await play(at, database_url, tmp_path, feed=FEED, stream=True, clock=wrong)
        await assert_bars_and_signals_are_right(at)
        assert (await at.frame("SELECT 1 FROM replaced_bars")).is_empty()
        assert played.stats.feed_bars[True] > 15
        assert played.stats.reconnects == 0
    side = "ahead of" if seconds > 0 else "behind"
    assert f"{side} KIS's" in caplog.text


async def test_two_app_keys_share_the_symbols(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(APP_KEYS, "another-key".ljust(36, "-"), "another-secret".ljust(180, "-"))
    one_each = scenario({"what": "registration_limit", "registrations": 1})
    async with desk(database_url, tmp_path, TRADING, faults=one_each) as at:
        played = await play(
            at,
            database_url,
            tmp_path,
            feed=FEED,
            stream=True,
            keys=APP_KEYS,
            until=TRADING + timedelta(minutes=5),
        )
        assert poll_reasons(played) == {STOCK: None, FUTURE: None}
        assert at.simulator.stream.counts["connections"] == 2
        assert [len(made) for made in played.stats.feed_connections] == [1, 1]
        assert all(played.stats.by_feed[symbol] for symbol in (STOCK, FUTURE))
