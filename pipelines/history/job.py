"""What a job on the history works with: database, KIS or its simulator, a clock, the symbols."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

from cyclopts import Parameter

from engine.clock import Clock, VirtualClock, WallClock, today
from engine.configuration import load
from engine.errors import InputError
from engine.kis.client import KisClient
from engine.log import setup_logging
from engine.market.trading_days import check_range
from engine.settings import KisSettings
from engine.simulator.market.recorded import RecordedMarket
from engine.store import Store, Writer
from pipelines.commands.live import configuration_feed
from pipelines.databases import Kind, database, folder, kind_of
from pipelines.day.warm_up import warm_up_sessions
from pipelines.history.request import BackfillContext
from pipelines.simulated_market import kept_market
from pipelines.simulation import FEED, Scene, simulated_kis, symbols_of

DAYS = 5  # looked back by default
EVENING = time(18, 30)
Replay = Annotated[
    Path | None, Parameter(help="a simulated KIS serves this Parquet file's bars instead of KIS")
]
Look = Callable[[Store], Awaitable[int]]  # its result is the exit code, as that of:
Job = Callable[[BackfillContext], Awaitable[int]]


class Desk:
    """Where a job runs: with KIS if there are credentials, else with a simulated one."""

    def __init__(
        self, replay: Path | None, which: Kind | None, symbols: tuple[str, ...], *, collects: bool
    ) -> None:
        self.configuration, self._yours = load()
        asked = "simulation" if replay else which
        self._kind = kind_of(self.configuration, self._yours, asked, collects=collects)
        if replay and self._kind == "live":
            raise InputError("--replay is a simulation, and your database holds real data")
        self.market = RecordedMarket(replay) if replay else None
        self.symbols = list(symbols) or self._usual()
        self.warm_up = warm_up_sessions()
        self.clock = self._clock()

    def _usual(self) -> list[str]:
        """Return the symbols of the file, else those of the settings (the chains have no past)."""
        if self.market:
            return symbols_of(self.market.symbols)
        feed = configuration_feed(self.configuration) if self._kind == "live" else FEED
        return [*feed.futures, *feed.stocks]

    def _clock(self) -> Clock:
        """Return the wall clock; for a simulation the evening of the last day it knows."""
        if self._kind == "live":
            return WallClock()
        last = today(WallClock())
        if self.market:
            last = max(self.market.dates(symbol)[-1] for symbol in self.market.symbols)
        return VirtualClock(datetime.combine(last, EVENING))

    def span(self, start: date | None, end: date | None, days: int | None) -> tuple[date, date]:
        """Return the first and the last date that are meant. Raises InputError."""
        if start and days:
            raise InputError("give --from or --days, not both")
        last = end or today(self.clock)
        first = start or last - timedelta(days=(days or DAYS) - 1)
        if self.market and not (start or days):
            first = min(self.market.dates(symbol)[0] for symbol in self.market.symbols)
        if first > last:
            raise InputError(f"--from {first} is after --to {last}")
        return check_range(first), last

    @property
    def per_second(self) -> float:
        """Calls a second that all app keys together may make at best."""
        kis = self.configuration.kis
        return kis.calls_per_second * max(1, len(kis.app_keys))

    def look(self, job: Look) -> int:
        """Run a job that brings nothing in: without KIS, and without the spool of who collects."""
        with self._database(collects=False) as url:
            return asyncio.run(self._look(job, url))

    def collect(self, job: Job) -> int:
        """Run a job that asks KIS and stores what it says."""
        with self._database(collects=True) as url:
            return asyncio.run(self._collect(job, url))

    @contextmanager
    def _database(self, *, collects: bool) -> Iterator[str]:
        setup_logging(
            clock=self.clock,
            level=self.configuration.log_level,
            secrets=[*self.configuration.secrets(), *self._yours.secrets()],
        )
        with database(self.configuration, self._yours, self._kind, collects=collects) as url:
            yield url

    async def _look(self, job: Look, url: str) -> int:
        store = Store(url, self.clock, component="history")
        try:
            return await job(store)
        finally:
            await store.close()

    async def _collect(self, job: Job, url: str) -> int:
        async with AsyncExitStack() as stack:
            settings, here = await stack.enter_async_context(self._kis(url))
            store = Store(url, self.clock, component="history")
            stack.push_async_callback(store.close)
            spool = folder(self.configuration, self._kind) / "spool"
            writer = Writer(url, self.clock, spool, component="history-writer")
            stack.push_async_callback(writer.close)
            client = KisClient(settings, self.clock, folder=here)
            stack.push_async_callback(client.close)
            store_rejected = partial(writer.put, "rejected_rows")
            context = BackfillContext(store, writer.put, store_rejected, client, self.clock)
            return await job(context)

    @asynccontextmanager
    async def _kis(self, url: str) -> AsyncIterator[tuple[KisSettings, Path]]:
        if self._kind == "live":
            yield self.configuration.kis, folder(self.configuration, "live") / "kis"
            return
        scene = Scene(kept_market(url, self.market), today(self.clock), FEED)
        with TemporaryDirectory(prefix="krt-") as here:
            async with simulated_kis(scene, self.clock, self.configuration) as (settings, _):
                yield settings, Path(here)
