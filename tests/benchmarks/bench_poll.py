"""A minute's polling against what the pace allows, and what a symbol costs us.

On the virtual clock work takes no time, so a cycle takes what KIS's pace makes of it: every symbol
is asked at once, and the baseline is symbols over calls a second. The CPU is measured in real time
against a simulator in a process of its own, the pace as good as off: ask, parse, judge, commit.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import SecretStr

from engine.clock import Clock, ScaledClock, VirtualClock
from engine.fetchers.base import BarRequest
from engine.fetchers.registry import FETCHERS
from engine.kis.client import KisClient
from engine.settings import AppKey, KisSettings
from engine.simulator.market.synthetic import SyntheticMarket
from engine.simulator.server import serve
from engine.store import Writer
from pipelines.day.alerts import Alerts, Contact
from pipelines.day.ingest import Ingestor
from pipelines.day.polling import PollingManager
from pipelines.day.statistics import DayStatistics
from pipelines.day_plan import DayPlan, plan
from pipelines.feed import Feed
from tests.benchmarks.bench_env import BenchEnv
from tests.benchmarks.rows import Row
from tests.benchmarks.simulator_process import KEYS, NOON, run_simulator

PACE = 5.0  # calls a second for each app key, the settings' default
A_KEY = 250  # symbols that one key can follow in a minute, with some seconds to spare
# Calls at once; in real time more would only wait for the simulator.
A_THOUSAND = 1000
A_FEW = 10
UNBOUND = 1000.0  # calls a second: the settings' limit
HASTE = 20.0  # so many times as fast passes the time in which bars wait to share a commit
TIMEOUT = 5 * HASTE
TINY = {"rounds": 1, "symbols": (1, 3)}
QUICK = {"rounds": 1, "symbols": (1, 10)}


def measure(
    env: BenchEnv, *, rounds: int = 3, symbols: tuple[int, ...] = (10, 100, 1000)
) -> list[Row]:
    """Poll so many symbols on both clocks."""
    url = env.database()
    rows = []
    for count in symbols:
        keys = -(-count // A_KEY)
        took = asyncio.run(virtually(url, count, keys))
        what = f"a minute of {count:,} symbols, {keys} keys vs symbols / {PACE * keys:g}/s"
        rows.append(Row(what, took, count / (PACE * keys), count))
    with run_simulator() as address:
        spent = asyncio.run(in_real_time(url, address, symbols, rounds))
    first = spent[symbols[0]]
    return rows + [
        Row(
            f"CPU a symbol and minute, of {count:,}",
            spent[count],
            None if count == symbols[0] else first,
            count,
        )
        for count in symbols
    ]


async def virtually(url: str, symbols: int, keys: int) -> float:
    """Return the virtual seconds until the last bar of a minute is committed."""
    clock = VirtualClock(NOON - timedelta(minutes=1))
    pairs = dict(list(KEYS.items())[:keys])
    async with (
        serve(SyntheticMarket(3), clock, app_keys=pairs) as simulator,
        open_polling(simulator.base_url, url, clock, pairs, PACE) as polling,
    ):
        await cycle(polling, day_plan(keys))  # tokens are there from now on
        await clock.sleep_until(NOON)
        await cycle(polling, day_plan(symbols))
        return (clock.now() - NOON).total_seconds()


async def in_real_time(
    url: str, address: str, symbols: tuple[int, ...], rounds: int
) -> dict[int, float]:
    """Return our CPU seconds a symbol; each round's answers hold one bar that is new."""
    clock = ScaledClock(NOON, HASTE)
    spent: dict[int, list[float]] = {count: [] for count in symbols}
    async with open_polling(address, url, clock, KEYS, UNBOUND) as polling:
        await cycle(polling, day_plan(max(symbols)), NOON - timedelta(minutes=rounds + 1), A_FEW)
        for turn in range(rounds, 0, -1):
            for count in symbols:
                begin = time.process_time()
                await cycle(polling, day_plan(count), NOON - timedelta(minutes=turn), A_FEW)
                spent[count].append((time.process_time() - begin) / count)
    return {count: statistics.median(seconds) for count, seconds in spent.items()}


async def cycle(
    polling: PollingManager, day: DayPlan, until: datetime | None = None, at_once: int = A_THOUSAND
) -> None:
    """Ask for every symbol's bars once, so many at once, and commit what comes."""
    stamp = until and until.replace(second=0)
    for first in range(0, len(day.bars), at_once):
        asked = (
            polling.fetch_bars(bars, BarRequest(bars.symbol, bars.session, until=stamp))
            for bars in day.bars[first : first + at_once]
        )
        if not all(await asyncio.gather(*asked)):
            raise AssertionError("a symbol brought no bar")


def day_plan(symbols: int) -> DayPlan:
    """Return the plan of so many stocks."""
    return plan(Feed(tuple(f"{n:05}0" for n in range(1, symbols + 1))), NOON.date())


@asynccontextmanager
async def open_polling(
    address: str, url: str, clock: Clock, keys: dict[str, str], pace: float
) -> AsyncIterator[PollingManager]:
    """Open a PollingManager with the parts that a day gives it."""
    pairs = tuple(
        AppKey(app_key=SecretStr(key), app_secret=SecretStr(secret)) for key, secret in keys.items()
    )
    beyond_the_bounds = {"calls_per_second": pace, "request_timeout": TIMEOUT}
    settings = KisSettings(base_url=address, app_keys=pairs).model_copy(update=beyond_the_bounds)
    with tempfile.TemporaryDirectory(prefix="krt-bench-") as here:
        client = KisClient(settings, clock, folder=Path(here))
        writer = Writer(url, clock, Path(here) / "spool")
        stats = DayStatistics(day_plan(1), simulated=True)
        ingestor = Ingestor(writer, clock, stats, Alerts([], clock, Contact()))
        fetchers = {name: source(client) for name, source in FETCHERS.items()}
        try:
            yield PollingManager(clock, ingestor, fetchers, settings.polling_interval)
        finally:
            await client.close()
            await writer.close()
