"""A short piece of a simulated day, with trouble: what tests of the day's phases play."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import polars as pl
from pydantic import SecretStr

from engine.clock import Clock
from engine.errors import KrtError
from engine.settings import AppKey, KisSettings
from engine.simulator.endpoints import MASTER_PATH
from engine.simulator.faults.scenario import Scenario
from engine.store.trade_files import TradeFiles
from pipelines.day.alerts import Contact
from pipelines.day.run import DayPaths, run_day
from pipelines.day.statistics import DayStatistics
from pipelines.day_plan import plan
from pipelines.feed import Feed
from strategies.registry import STRATEGIES
from tests.pipelines.simulated import KEY, SECRET, Desk, desk

DAY = date(2025, 11, 4)
STOCK, FUTURE = "005930", "101W12"
STOCK_ONLY = Feed((STOCK,))
FEED = Feed((STOCK,), (FUTURE,))
TABLES = {FUTURE: "futures_1m", STOCK: "stocks_1m"}
Trouble = Callable[[Desk], Awaitable[None]]
Rule = dict[str, object]


def at_time(text: str, day: date = DAY) -> datetime:
    """The moment of the day, from "09:05" or "09:05:30"."""
    return datetime.fromisoformat(f"{day} {text}")


@dataclass
class Played:
    """How a piece of a day ended: `error` is what it raised."""

    stats: DayStatistics
    error: KrtError | None
    ended_at: datetime

    def stamps(self, symbol: str) -> list[str]:
        """The stamps of the bars that this run knows to be stored or spooled."""
        return sorted(f"{stamp:%H:%M}" for stamp in self.stats.stored.get(symbol, ()))


async def play(
    at: Desk,
    url: str,
    folder: Path,
    *,
    until: datetime | None = None,
    trouble: Trouble | None = None,
    prepare: Callable[[], None] | None = None,
    alerts: tuple[SecretStr, ...] = (),
    contact: Contact | None = None,
    feed: Feed = STOCK_ONLY,
    secret: str = SECRET,
    clock: Clock | None = None,
    stream: bool = False,
    halts: bool = True,
    pace: float = 15,
    keys: Mapping[str, str] | None = None,
    day: date = DAY,
) -> Played:
    """Collect from the desk's time on; `until` ends it as Ctrl+C does, else it ends by itself.

    `clock` is the collector's, where it is not the true one; `pace` is in calls a
    second; `keys` are app keys with their secrets, by default the first of the simulator.
    """
    pairs = (keys or {KEY: secret}).items()
    settings = KisSettings(
        base_url=at.simulator.base_url,
        app_keys=tuple(AppKey(app_key=SecretStr(k), app_secret=SecretStr(s)) for k, s in pairs),
        calls_per_second=pace,
        stream=stream,
        stream_halts=halts,
        master_url=at.simulator.base_url + MASTER_PATH,
    )
    today = plan(feed, day)
    stats = DayStatistics(today, simulated=True)
    paths = DayPaths(
        url, folder / "live", folder / "kis", TradeFiles(folder / "trades", 30), folder / "book"
    )
    running = asyncio.create_task(
        run_day(
            today,
            settings,
            clock or at.clock,
            paths,
            stats,
            contact=contact or Contact(alerts),
            prepare=prepare,
        )
    )
    causing = asyncio.create_task(trouble(at)) if trouble else None
    error: KrtError | None = None
    try:
        if until:
            await at.clock.sleep_until(until)
            running.cancel()
        with suppress(asyncio.CancelledError):
            await running
    except KrtError as raised:
        error = raised
    finally:
        if causing:
            if running.cancelled() or not until:
                await asyncio.wait_for(causing, 60)
            causing.cancel()
    return Played(stats, error, at.clock.now())


def scenario(*rules: Rule) -> Scenario:
    """A scenario of these rules."""
    return Scenario.model_validate({"rule": rules})


async def stored(at: Desk, symbol: str, table: str) -> list[str]:
    """The stamps of the day's bars in the database."""
    found = await at.frame(
        f"SELECT timestamp FROM {table} WHERE symbol = '{symbol}'"
        f" AND timestamp::date = '{DAY}' ORDER BY 1"
    )
    return [f"{stamp:%H:%M}" for stamp in found["timestamp"]]


async def statuses(at: Desk) -> dict[str, str]:
    """The last status of each component."""
    found = await at.frame("SELECT component, status FROM system_status")
    return dict(found.iter_rows())


def expected(at: Desk, symbol: str, until: datetime) -> list[str]:
    """The stamps of the bars that the market has until a moment."""
    bars = at.served(symbol, DAY).filter(pl.col("timestamp") <= until)
    return [f"{stamp:%H:%M}" for stamp in bars["timestamp"]]


__all__ = ["Played", "desk"]


async def assert_bars_and_signals_are_right(at: Desk) -> None:
    """All bars of the day are those that KIS has, the signals those of a batch over them."""
    for symbol, table in TABLES.items():
        bars = (await at.bars(table)).filter(pl.col("timestamp").dt.date() == DAY)
        assert bars.equals(at.served(symbol, DAY)), symbol
    bars = await at.frame("SELECT * FROM futures_1m")
    for strategy in STRATEGIES.values():
        given = (await at.frame(f"SELECT * FROM {strategy.table}")).sort("timestamp")
        batch = strategy.evaluate(bars.lazy(), strategy.params()).collect().sort("timestamp")
        batch = batch.filter(pl.col("timestamp").dt.date() == DAY)
        assert given.height > 300
        assert given.select(batch.columns).equals(batch), strategy.name


def poll_reasons(played: Played) -> dict[str, str | None]:
    """Return why each symbol is polled at the end; None if it comes by the feed."""
    assert played.stats.feed is not None
    return dict(played.stats.feed.states.select("symbol", "reason").iter_rows())
