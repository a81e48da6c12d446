"""A crash of anything inside costs a line and a restart of that part."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from engine.kis.client import KisClient
from engine.market.symbols import parse_chain
from engine.store.writer import Writer
from pipelines.day import machine, run
from pipelines.day.heartbeats import Heartbeats
from pipelines.day.minute_bars import MinuteBars
from pipelines.day.polling import PollingManager
from pipelines.day.told_once import StreamPolling
from pipelines.feed import Feed
from tests.pipelines.day.playing import DAY, FUTURE, STOCK, at_time, play
from tests.pipelines.simulated import Desk, desk

START = at_time("15:36")
BARS = Feed((STOCK,), (FUTURE,))
STATES = Feed((STOCK,), (FUTURE,), streams=("state",))
FEED = Feed(  # what a chain brings by the feed is most of a minute's work
    (STOCK,),
    (FUTURE,),
    (parse_chain("KOSPI200:202511"),),
    streams=("flows:KOSPI200_FUTURES", "state"),
)


class Crash(Exception):
    """Nobody has foreseen it."""


def crash_in(patch: pytest.MonkeyPatch, owner: object, method: str, times: int = 1) -> list[str]:
    """Let the first calls of a method crash, those in the first minutes; return what crashed."""
    original: Callable[..., Any] = getattr(owner, method)
    crashed: list[str] = []

    def sometimes(self: Any, *args: Any, **options: Any) -> Any:
        if len(crashed) < times:
            crashed.append(method)
            raise Crash(f"in {method}")
        return original(self, *args, **options)

    patch.setattr(owner, method, sometimes)
    return crashed


async def assert_whole(at: Desk) -> None:
    for table, symbol in (("futures_1m", FUTURE), ("stocks_1m", STOCK)):
        bars = (await at.bars(table)).filter(pl.col("timestamp").dt.date() == DAY)
        assert bars.equals(at.served(symbol, DAY)), symbol


@pytest.mark.parametrize(
    ("feed", "owner", "method", "part"),
    [
        (BARS, PollingManager, "_poll_bars", "005930|101W12"),
        (BARS, run, "tell_morning", "the message of the morning"),
        (STATES, StreamPolling, "write_down", "the ledger of what is told once"),
        *(
            pytest.param(FEED, *crash, marks=pytest.mark.long)
            for crash in (
                (PollingManager, "_poll_chain", "202511_KOSPI200"),
                (StreamPolling, "_poll", "FLOWS_KOSPI200_FUTURES"),
                (MinuteBars, "finished", "the feed"),
                (Heartbeats, "_store", "the heartbeat|the catching up"),
            )
        ),
    ],
)
async def test_a_part_that_crashes_begins_again_and_the_others_go_on(
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    feed: Feed,
    owner: object,
    method: str,
    part: str,
) -> None:
    crashed = crash_in(monkeypatch, owner, method, times=3)
    async with desk(database_url, tmp_path, START) as at:
        played = await play(at, database_url, tmp_path, feed=feed, stream=True)
        assert played.error is None
        await assert_whole(at)
        assert not feed.option_chains or played.stats.snapshots >= 8
    assert len(crashed) == 3
    lines = [r.message for r in caplog.records if "crashed, and begins again" in r.message]
    assert len(lines) == 3
    names = part.split("|")
    assert all(any(line.startswith(f"❌ {name} crashed") for name in names) for line in lines)
    assert all(f"Crash: in {method} (" in line for line in lines)


async def test_a_commit_of_trades_that_crashes_loses_none(
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    put = Writer.put
    crashed: list[str] = []

    async def put_sometimes(self: Writer, table: str, *args: Any, **options: Any) -> Any:
        if table == "trades" and len(crashed) < 3:
            crashed.append(table)
            raise Crash("in the writer")
        return await put(self, table, *args, **options)

    monkeypatch.setattr(Writer, "put", put_sometimes)
    async with desk(database_url, tmp_path, at_time("15:10")) as at:
        until = at_time("15:16:30")
        await play(at, database_url, tmp_path, feed=Feed((), (FUTURE,)), stream=True, until=until)
        trades = await at.frame(
            "SELECT symbol, sum(size)::bigint AS traded,"
            " date_trunc('minute', traded_at) + interval '1 minute' AS timestamp"
            " FROM trades GROUP BY symbol, 3"
        )
        minutes = pl.col("timestamp").is_between(at_time("15:13"), at_time("15:16"))
        both = at.served(FUTURE, DAY).filter(minutes).join(trades, on=["symbol", "timestamp"])
        assert both.height == 4
        assert (both["volume"] == both["traded"]).all()
    assert len(crashed) == 3
    assert caplog.text.count("a commit crashed, its trades go to disk") == 3


@pytest.mark.parametrize("watch", ["token", "machine"])
async def test_a_watch_that_crashes_begins_again(
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    watch: str,
) -> None:
    caplog.set_level(logging.ERROR)
    if watch == "token":
        looks = [Crash("once"), None]

        def trouble(_: KisClient) -> str | None:
            if looks and (error := looks.pop(0)):
                raise error
            return None

        monkeypatch.setattr(KisClient, "trouble", property(trouble))
    else:
        note_troubles, left = machine.note_troubles, [1]

        def crash_once(*args: Any) -> None:
            if left:
                left.pop()
                raise Crash("once")
            note_troubles(*args)

        monkeypatch.setattr(machine, "note_troubles", crash_once)
    async with desk(database_url, tmp_path, at_time("15:26")) as at:
        played = await play(at, database_url, tmp_path, feed=Feed((STOCK,)))
        assert played.error is None
        assert played.stats.complete
    assert caplog.text.count("crashed, and begins again") == 1
