"""From a bar's close to its committed row and its committed signal, and where the time goes.

A session of stocks and a future on the virtual clock, where some bars come late. Waiting for KIS
(the polling interval, bars that are late), for the pace and for others to share a commit with is
virtual time: what it would be with the real KIS. Our own code takes none of that, so it is measured
in real time, less what the simulator in the same process takes; the sums are of both. The signals
are those of every strategy, as in a day.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from engine import schemas
from engine.clock import VirtualClock
from engine.market import sessions
from engine.market.sessions import Market
from engine.simulator.faults.scenario import LateBar, Scenario
from engine.simulator.market.synthetic import SyntheticMarket
from engine.simulator.server import Simulator, serve
from engine.store import MergeCounts, Store
from engine.store.metadata import store_strategy_symbols
from pipelines.day.polling import PollingManager
from pipelines.day.warm_up import open_windows
from pipelines.day_plan import BarPlan, DayPlan, plan
from pipelines.feed import Feed
from strategies.registry import STRATEGIES, warm_up_sessions
from tests.benchmarks.bench_env import BenchEnv
from tests.benchmarks.bench_poll import PACE, open_polling
from tests.benchmarks.rows import Row
from tests.benchmarks.simulator_process import KEYS

DAY = date(2026, 11, 20)
OPEN = datetime(2026, 11, 20, 9, 0)
LATE = Scenario(
    rule=(
        LateBar(what="late_bar", seconds=4, probability=0.05),
        LateBar(what="late_bar", seconds=20, probability=0.01),
    )
)
PARTS = {
    "kis": "KIS: the polling interval, late bars",
    "pace": "the pace",
    "shared": "others to share a commit with",
    "fetch": "ours: fetch and parse",
    "evaluate": "ours: evaluate the strategies",
    "merge": "ours: merge",
}
TINY = {"stocks": 1, "minutes": 2}
QUICK = {"stocks": 2, "minutes": 10}


@dataclass
class Poll:
    """What one bar's polls took so far, in seconds by part."""

    stamp: datetime
    took: defaultdict[str, float]
    answered: float = 0.0  # what the simulator had taken in all when the turn came


POLL: ContextVar[Poll] = ContextVar("POLL")


def measure(env: BenchEnv, *, stocks: int = 10, minutes: int = 390) -> list[Row]:
    """Follow so many stocks and a future for so many minutes from nine o'clock on."""
    url, market = env.database(), SyntheticMarket(3)
    found = asyncio.run(session(url, market, stocks, OPEN + timedelta(minutes=minutes)))
    frame = pl.DataFrame(found)
    own = ["fetch", "merge"]
    return [
        *_rows(
            "stock: bar → committed bar",
            frame.filter(kind="stock"),
            ["kis", "pace", "shared", *own],
        ),
        *_rows(
            "future: bar → committed with its signals",
            frame.filter(kind="signal"),
            ["kis", "pace", "fetch", "evaluate", "merge"],
        ),
    ]


def _rows(what: str, frame: pl.DataFrame, parts: list[str]) -> list[Row]:
    who = what.partition(":")[0]
    return [
        _row(what, frame["whole"]),
        *(_row(f"{who} · {PARTS[part]}", frame[part]) for part in parts),
    ]


def _row(what: str, seconds: pl.Series) -> Row:
    p50, p99 = (float(np.quantile(seconds, q)) for q in (0.5, 0.99))
    return Row(what, p50, p99=p99, rows=seconds.len())


async def session(
    url: str, market: SyntheticMarket, stocks: int, until: datetime
) -> list[dict[str, object]]:
    """Play the session; return what each committed bar and each committed signal took."""
    clock, day = VirtualClock(OPEN), day_plan(stocks)
    store = Store(url, clock)
    await warm_up(store, market, day)
    async with (
        serve(market, clock, faults=LATE, app_keys=KEYS) as simulator,
        open_polling(simulator.base_url, url, clock, dict(list(KEYS.items())[:1]), PACE) as polling,
    ):
        watch = Watch(clock, simulator)
        ingestor = polling.ingestor
        await open_windows(day, store, ingestor)
        await store.close()
        watch.over(polling, polling.fetchers.values())
        followed = [asyncio.create_task(polling.follow_bars(bars)) for bars in day.bars]
        await clock.sleep_until(until)
        for task in followed:
            task.cancel()
        ended = await asyncio.gather(*followed, return_exceptions=True)
        if failed := [e for e in ended if not isinstance(e, asyncio.CancelledError | None)]:
            raise AssertionError(f"following ended: {failed}")
    return watch.found


def day_plan(stocks: int) -> DayPlan:
    """Return the plan of a future and so many stocks."""
    return plan(Feed(tuple(f"{n:05}0" for n in range(1, stocks + 1)), ("A01",)), DAY)


async def warm_up(store: Store, market: SyntheticMarket, day: DayPlan) -> None:
    """Store what the strategies need to know of the future's sessions before."""
    symbol = day.futures[0]
    for strategy in STRATEGIES.values():
        await store_strategy_symbols(store, strategy.name, [symbol])
    earlier = sessions.previous_sessions(Market.DERIVATIVES, DAY, warm_up_sessions())
    for one in earlier:
        held = sessions.session(Market.DERIVATIVES, one)
        assert held
        bars = market.bars(symbol, held).with_columns(
            timestamp=held.stamp_of_label(pl.col("label")),
            symbol=pl.lit(symbol),
            fetched_at=pl.lit(held.last_stamp),
            source=pl.lit(schemas.REST),
        )
        await store.merge("futures_1m", schemas.conform(bars, schemas.FUTURES_BARS))


class Watch:
    """Notes when bars and signals are committed, and what was spent on the way."""

    def __init__(self, clock: VirtualClock, simulator: Simulator) -> None:
        self.found: list[dict[str, object]] = []
        self._clock = clock
        self._simulator = simulator
        self._answering = self._merging = 0.0
        self._seen: set[tuple[str, str, datetime]] = set()

    def over(self, polling: PollingManager, fetchers: Any) -> None:
        """Watch everything between a poll and its commits."""
        self._wrap(polling, "_poll_bars", self._poll)
        for fetcher in fetchers:
            self._wrap(fetcher, "fetch", self._fetch)
        client = next(iter(fetchers)).client
        for account in client._accounts:
            self._wrap(account.pace, "wait_turn", self._turn)
        ingestor = polling.ingestor
        self._wrap(ingestor, "_evaluate", self._evaluate)
        self._wrap(ingestor._writer, "queue", self._queue)
        for store in ingestor._writer._stores:
            self._wrap(store, "merge_tables", self._merge)
        # aiohttp holds the handler already, but not what it calls
        self._wrap(self._simulator, "_quotation", self._answer)

    @staticmethod
    def _wrap(owner: Any, name: str, by: Callable[..., Any]) -> None:
        inner = getattr(owner, name)
        setattr(owner, name, lambda *args, **named: by(inner, *args, **named))

    async def _poll(
        self, inner: Callable[..., Awaitable[None]], bars: BarPlan, stamp: datetime
    ) -> None:
        POLL.set(Poll(stamp, defaultdict(float)))
        await inner(bars, stamp)

    async def _turn(self, inner: Callable[..., Awaitable[None]], *args: Any) -> None:
        began, real = self._clock.now(), time.perf_counter()
        await inner(*args)
        poll = POLL.get()
        poll.took["pace"] += self._since(began)
        poll.took["waited"], poll.answered = time.perf_counter() - real, self._answering

    async def _fetch(self, inner: Callable[..., Awaitable[Any]], request: Any) -> Any:
        poll, real = POLL.get(), time.perf_counter()
        poll.took["waited"] = 0.0
        batch = await inner(request)
        simulated = self._answering - poll.answered
        poll.took["fetch"] = time.perf_counter() - real - poll.took["waited"] - simulated
        return batch

    async def _answer(self, inner: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        real = time.perf_counter()
        try:
            return await inner(*args)
        finally:
            self._answering += time.perf_counter() - real

    async def _merge(self, inner: Callable[..., Awaitable[Any]], *args: Any, **named: Any) -> Any:
        real = time.perf_counter()
        counts = await inner(*args, **named)
        self._merging = time.perf_counter() - real
        return counts

    async def _evaluate(self, inner: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        real = time.perf_counter()
        found = await inner(*args)
        POLL.get().took["evaluate"] = time.perf_counter() - real
        return found

    def _queue(
        self,
        inner: Callable[..., asyncio.Future[MergeCounts]],
        table: str,
        batch: pa.RecordBatch,
        **named: Any,
    ) -> asyncio.Future[MergeCounts]:
        began, poll, done = self._clock.now(), POLL.get(), inner(table, batch, **named)

        def note(_: asyncio.Future[MergeCounts]) -> None:
            poll.took["merge"] = self._merging
            if table == "stocks_1m":
                poll.took["shared"] = self._since(began)
                self._note("stock", batch, poll)
            elif table == f"{list(STRATEGIES)[-1]}_signal":
                self._note("signal", batch, poll)

        done.add_done_callback(note)
        return done

    def _note(self, kind: str, batch: pa.RecordBatch, poll: Poll) -> None:
        """Note the bars that are committed now and were not before."""
        for symbol, stamp in zip(
            batch["symbol"].to_pylist(), batch["timestamp"].to_pylist(), strict=True
        ):
            if stamp <= OPEN or (kind, symbol, stamp) in self._seen:
                continue
            self._seen.add((kind, symbol, stamp))
            passed = self._since(stamp)
            took = {part: poll.took[part] for part in PARTS}
            took["kis"] = passed - took["pace"] - took["shared"]
            own = sum(took[part] for part in ("fetch", "evaluate", "merge"))
            self.found.append({"kind": kind, "whole": passed + own, **took})

    def _since(self, moment: datetime) -> float:
        return (self._clock.now() - moment).total_seconds()
