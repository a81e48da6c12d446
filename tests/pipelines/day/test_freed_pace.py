"""Calls that the feed saves go to the chain and to the symbols beyond the 41, at the same pace."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast

import pyarrow as pa
import pytest
from pydantic import SecretStr

from engine.clock import VirtualClock
from engine.fetchers.newest_quotes import FEED_QUOTES
from engine.fetchers.registry import FETCHERS
from engine.kis.client import KisClient
from engine.market.symbols import parse_chain
from engine.schemas import REJECTED_ROWS
from engine.settings import AppKey, KisSettings
from engine.simulator import APP_KEYS, SyntheticMarket, serve
from engine.simulator.endpoints import MASTER_PATH
from pipelines.day.feed_bars import CONFIRM_EVERY, MINUTE, turns_to_confirm
from pipelines.day.ingest import Ingestor
from pipelines.day.polling import PollingManager
from pipelines.day.streaming import FeedFollower
from pipelines.day_plan import plan
from pipelines.feed import Feed
from tests.pipelines.day.playing import DAY, at_time

STOCKS = tuple(f"{number:06d}" for number in range(10, 600, 10))  # 59
COLLECTED = Feed(STOCKS, ("101W12",), (parse_chain("KOSPI200:202511"),))
BY_FEED = frozenset(("101W12", *STOCKS[:40]))  # 41
PACE = 10.0


@dataclass
class Watch:
    """Stands for the ingestor: notes when each symbol's bar and the snapshot came, in seconds."""

    clock: VirtualClock
    minute: datetime
    arrived: dict[str, float] = field(default_factory=dict)

    def _note(self, name: str) -> None:
        self.arrived.setdefault(name, (self.clock.now() - self.minute).total_seconds())

    def is_watched(self, symbol: str) -> bool:
        return symbol == "101W12"

    async def store_bars(self, _table: str, batch: pa.RecordBatch) -> None:
        if batch.num_rows:
            self._note(batch["symbol"][0].as_py())

    def expect_chain(self, _minute: datetime, _name: str) -> None:
        pass

    give_up_chain = expect_chain

    async def store_chain(self, _batch: pa.RecordBatch) -> None:
        self._note("chain")

    async def store_rejected(self, batch: pa.RecordBatch) -> None:
        assert batch.schema == REJECTED_ROWS

    async def store_confirmed(self, _batch: pa.RecordBatch) -> None:
        pass


class AllByFeed:
    """A feed that has every bar of 41 symbols."""

    newest_quotes = staticmethod(FEED_QUOTES.to_frame)

    def needs_poll(self, symbol: str, _stamp: datetime) -> bool:
        return symbol not in BY_FEED

    def note_confirmed(self, symbol: str, stamps: set[datetime]) -> None:
        pass


async def arrivals(folder: Path, feed: AllByFeed | None) -> dict[str, float]:
    """Poll for one minute; return how long after it each symbol's bar and the snapshot came."""
    minute = at_time("13:30")
    clock = VirtualClock(minute - timedelta(seconds=1))
    key = AppKey(**{n: SecretStr(v) for n, v in zip(("app_key", "app_secret"), KEY, strict=True)})
    async with serve(SyntheticMarket(3), clock, calls_per_second=1000) as simulator:
        settings = KisSettings(
            base_url=simulator.base_url,
            app_keys=(key,),
            calls_per_second=PACE,
            master_url=simulator.base_url + MASTER_PATH,
        )
        client = KisClient(settings, clock, folder=folder)
        watch = Watch(clock, minute)
        fetchers = {name: source(client) for name, source in FETCHERS.items()}
        polling = PollingManager(clock, cast("Ingestor", watch), fetchers, 2.0)
        polling.feed = cast("FeedFollower", feed) if feed else None
        today = plan(COLLECTED, DAY)
        tasks = [
            *(asyncio.create_task(polling.follow_bars(bars)) for bars in today.bars),
            *(asyncio.create_task(polling.follow_chain(chain)) for chain in today.chains),
        ]
        try:
            await clock.sleep_until(minute + timedelta(seconds=50))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await client.close()
    return watch.arrived


KEY = next(iter(APP_KEYS.items()))


@pytest.mark.long
async def test_symbols_beyond_the_feed_and_the_chain_come_sooner_at_the_same_pace(
    tmp_path: Path,
) -> None:
    without = await arrivals(tmp_path / "without", None)
    with_feed = await arrivals(tmp_path / "with", AllByFeed())
    polled = [symbol for symbol in STOCKS if symbol not in BY_FEED]
    assert set(without) == {*STOCKS, "101W12", "chain"}
    assert set(with_feed) == {*polled, "chain"}
    # Polls begin two seconds after the minute. 60 symbols take six seconds at ten calls a second,
    # the 19 beyond the feed two; the four saved are the chain's, too.
    assert max(without[symbol] for symbol in polled) > 2 + 5.5
    assert max(with_feed[symbol] for symbol in polled) < 2 + 2.5
    assert with_feed["chain"] < without["chain"] - 3.5


def test_symbols_take_turns_to_be_confirmed() -> None:
    """All 41 in one minute would delay everything else in it."""
    turns = turns_to_confirm(sorted(BY_FEED))
    minutes = int(CONFIRM_EVERY / MINUTE)
    in_one = [sum(turn == minute for turn in turns.values()) for minute in range(minutes)]
    assert sum(in_one) == 41
    assert max(in_one) == 2
