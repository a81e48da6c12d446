"""A crash of anything inside costs a line and a restart of that part."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from engine.market.symbols import parse_chain
from pipelines.day.polling import PollingManager
from pipelines.feed import Feed
from tests.pipelines.day.playing import DAY, FUTURE, STOCK, at_time, play
from tests.pipelines.simulated import Desk, desk

START = at_time("15:36")
FEED = Feed(
    (STOCK,), (FUTURE,), (parse_chain("KOSPI200:202511"),), streams=("flows:KOSPI", "state")
)


class Crash(Exception):
    """Nobody has foreseen it."""


def crash_in(patch: pytest.MonkeyPatch, owner: type, method: str, times: int = 1) -> list[str]:
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
    ("owner", "method", "part"),
    [
        (PollingManager, "_poll_bars", "005930|101W12"),
    ],
)
async def test_a_part_that_crashes_begins_again_and_the_others_go_on(
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    owner: type,
    method: str,
    part: str,
) -> None:
    crashed = crash_in(monkeypatch, owner, method, times=3)
    async with desk(database_url, tmp_path, START) as at:
        played = await play(at, database_url, tmp_path, feed=FEED, stream=True)
        assert played.error is None
        await assert_whole(at)
        assert played.stats.snapshots >= 8
    assert len(crashed) == 3
    lines = [r.message for r in caplog.records if "crashed, and begins again" in r.message]
    assert len(lines) == 3
    names = part.split("|")
    assert all(any(line.startswith(f"❌ {name} crashed") for name in names) for line in lines)
    assert all(f"Crash: in {method} (" in line for line in lines)
