"""Our own client of the feed on the simulator: every frame at its time, and never in a loop."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from pydantic import SecretStr

from engine.clock import VirtualClock
from engine.features.ticks import bars_from_trades
from engine.kis.stream.approval import ApprovalKeeper
from engine.kis.stream.connection import StreamConnection
from engine.kis.stream.frames import Frame, read_frames
from engine.kis.stream.registrations import StreamRegistration
from engine.kis.transport import Transport
from engine.market.sessions import Market
from engine.settings import AppKey
from engine.simulator import Simulator, load_scenario
from engine.simulator.market.data import open_session
from tests.engine.simulator.stream.client import APP_KEY, APP_SECRET, MARKET, serving

DAY = date(2026, 11, 18)
SESSION = open_session(Market.DERIVATIVES, DAY)
FUTURE = StreamRegistration("H0IFCNT0", "A01612")
BOOK = StreamRegistration("H0IFASP0", "A01612")
NAMES = ["timestamp", "open", "high", "low", "close", "volume"]


def is_trading(_registration: StreamRegistration, moment: datetime) -> bool:
    return SESSION.opens <= moment < SESSION.continuous_end


@asynccontextmanager
async def collecting(
    simulator: Simulator, clock: VirtualClock, folder: Path, *wanted: StreamRegistration
) -> AsyncIterator[list[Frame]]:
    """Connect our client; yield the frames that it takes, of the whole block."""
    key = AppKey(app_key=SecretStr(APP_KEY), app_secret=SecretStr(APP_SECRET))
    transport = Transport(simulator.base_url, clock, timeout=10)
    approvals = ApprovalKeeper(transport, key, folder / "key", clock)
    connection = StreamConnection(
        simulator.stream_url,
        approvals,
        folder / "key",
        clock,
        trading=is_trading,
        chance=random.Random(1),  # noqa: S311
    )
    frames: list[Frame] = []

    async def take() -> None:
        while taken := await connection.take():
            frames.extend(taken)

    taking = asyncio.create_task(take())
    connection.want(wanted)
    connection.start()
    try:
        yield frames
    finally:
        await connection.close()
        await taking
        await transport.close()


def bars(frames: list[Frame]) -> pl.DataFrame:
    trades = pl.LazyFrame(pl.from_arrow(read_frames(frames).trades))
    own = trades.filter(pl.col("symbol") == FUTURE.tr_key)
    found = bars_from_trades(own, SESSION.stamp_of_trade(pl.col("traded_at")), {})
    return found.collect()


def expected() -> pl.DataFrame:
    stamp = SESSION.stamp_of_label(pl.col("label"))
    return MARKET.bars(FUTURE.tr_key, SESSION).with_columns(timestamp=stamp).select(NAMES)


async def test_a_day_of_bars_comes_by_the_feed_alone_each_frame_at_its_time(
    tmp_path: Path,
) -> None:
    async with serving(SESSION.opens - timedelta(minutes=1)) as (simulator, clock):
        async with collecting(simulator, clock, tmp_path, FUTURE, BOOK) as frames:
            await clock.sleep_until(SESSION.last_stamp + timedelta(minutes=1))
        planned = [
            (frame.leaves_at, frame.text)
            for block in range(simulator.stream.frames.blocks(FUTURE.tr_key, SESSION))
            for frame in simulator.stream.frames.block(FUTURE.tr_id, FUTURE.tr_key, SESSION, block)
        ]
    assert [frame for frame in frames if "|H0IFCNT0|" in frame[1]] == planned
    found = bars(frames)
    assert found["complete"].all()
    assert found.select(NAMES).equals(expected())
    assert simulator.stream.counts["connections"] == 1
    assert not simulator.stream.counts["no echo"]


@pytest.mark.parametrize(
    ("name", "begin", "end"), [("rough", (10, 0), (10, 20)), ("storm", (9, 50), (13, 0))]
)
async def test_a_bad_day_is_survived_within_the_rules_and_no_complete_bar_is_wrong(
    tmp_path: Path, name: str, begin: tuple[int, int], end: tuple[int, int]
) -> None:
    start = datetime(2026, 11, 18, *begin)
    scenario = load_scenario(name)
    async with serving(start, faults=scenario) as (simulator, clock):
        connected: list[datetime] = []
        serve_stream = simulator._serve_stream

        async def note(request):  # type: ignore[no-untyped-def]
            connected.append(clock.now())
            return await serve_stream(request)

        simulator._serve_stream = note  # type: ignore[method-assign]
        async with collecting(simulator, clock, tmp_path, FUTURE, BOOK) as frames:
            await clock.sleep_until(datetime(2026, 11, 18, *end))
    assert len(connected) >= 2
    for first, fifth in zip(connected, connected[4:], strict=False):
        assert fifth - first >= timedelta(seconds=600)
    assert all(later > earlier for earlier, later in pairwise(connected))
    found = bars(frames).filter("complete").select(NAMES)
    assert found.height > 5
    assert found.join(expected(), on=NAMES, how="anti").is_empty()
    assert simulator.counts.faults["stream_cut"]
