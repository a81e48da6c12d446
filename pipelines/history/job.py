"""What a job on the history works with: database, KIS or its simulator, a clock, the symbols."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from engine.clock import Clock, VirtualClock, WallClock, today
from engine.errors import InputError
from engine.history.bar_file_times import BarTimes
from engine.kis.client import KisClient
from engine.log import setup_logging
from engine.market.trading_days import check_range
from engine.market.venues import REGULAR
from engine.settings import DataKind, KisSettings, load_settings
from engine.simulator.market.recorded import RecordedMarket
from engine.store import Store, Writer
from engine.store.connection import Connection
from pipelines.databases import Database, data_kind, open_database, run_with_store
from pipelines.feed import configured_feed
from pipelines.history.request import BackfillContext
from pipelines.simulation import (
    collected_symbols,
    market_of_database,
    simulated_feed,
    simulated_kis,
)
from strategies.registry import warm_up_sessions

DAYS = 5  # looked back by default
EVENING = time(18, 30)
ReadJob = Callable[[Store], Awaitable[int]]  # its result is the exit code, as that of:
CollectJob = Callable[[BackfillContext], Awaitable[int]]


class HistoryJob:
    """Where a job runs: with KIS if there are credentials, else with a simulated one."""

    def __init__(
        self,
        recorded: Path | None,
        asked: DataKind | None,
        symbols: tuple[str, ...],
        *,
        collects: bool,
        bar_times: BarTimes | None = None,
    ) -> None:
        self.settings = load_settings()
        wanted = "simulation" if recorded else asked
        self._kind = data_kind(self.settings, wanted, collects=collects)
        if recorded and self._kind == "live":
            raise InputError("--recorded is a simulation, and your database holds real data")
        self.market = RecordedMarket(recorded, bar_times) if recorded else None
        self.symbols = list(symbols) or self._usual_symbols()
        self.warm_up = warm_up_sessions()
        self.clock = self._clock()

    def _usual_symbols(self) -> list[str]:
        """Return the symbols of the file, else those of the settings (the chains have no past)."""
        if self.market:
            return collected_symbols(self.market.symbols)
        is_live = self._kind == "live"
        wanted = configured_feed(self.settings) if is_live else simulated_feed(self.settings)
        venues = [stock.code for stock in wanted.stocks_at_venues]
        universes = wanted.universes if REGULAR in wanted.venues else ()
        return [*wanted.futures, *wanted.nights, *wanted.regular_stocks, *venues, *universes]

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
    def calls_per_second(self) -> float:
        """Calls a second that all app keys together may make at best."""
        kis = self.settings.kis
        return kis.calls_per_second * max(1, len(kis.app_keys))

    def read(self, job: ReadJob) -> int:
        """Run a job that stores nothing: without KIS, and without the collector's spool."""
        with self._open(collects=False) as database:
            return run_with_store(database.url, job, component="history", clock=self.clock)

    def collect(self, job: CollectJob) -> int:
        """Run a job that asks KIS and stores what it says."""
        with self._open(collects=True) as database:
            return asyncio.run(self._collect(job, database))

    @contextmanager
    def _open(self, *, collects: bool) -> Iterator[Database]:
        setup_logging(
            clock=self.clock, level=self.settings.log_level, secrets=self.settings.secrets()
        )
        with open_database(self._kind, settings=self.settings, collects=collects) as database:
            if database.kind == "simulation":
                self.clock = _no_earlier(self.clock, database.url)
            yield database

    async def _collect(self, job: CollectJob, database: Database) -> int:
        async with AsyncExitStack() as stack:
            settings, folder = await stack.enter_async_context(self._kis(database))
            store = Store(database.url, self.clock, component="history")
            stack.push_async_callback(store.close)
            spool = database.folder / "spool"
            writer = Writer(database.url, self.clock, spool, component="history-writer")
            stack.push_async_callback(writer.close)
            client = KisClient(settings, self.clock, folder=folder)
            stack.push_async_callback(client.close)
            store_rejected = partial(writer.put, "rejected_rows")
            context = BackfillContext(store, writer.put, store_rejected, client, self.clock, writer)
            return await job(context)

    @asynccontextmanager
    async def _kis(self, database: Database) -> AsyncIterator[tuple[KisSettings, Path]]:
        """Yield how to talk to KIS or its simulator, and the folder of tokens and paces."""
        if database.kind == "live":
            yield self.settings.kis, database.folder / "kis"
            return
        market = market_of_database(database.url, self.market)
        with TemporaryDirectory(prefix="krt-") as folder:
            async with simulated_kis(market, self.clock, self.settings.kis) as (settings, _):
                yield settings, Path(folder)


def _no_earlier(clock: Clock, url: str) -> Clock:
    """Return a clock that is not before the simulation's collector, who may be in days to come."""
    connection = Connection(url, "history")
    try:
        found = connection.query("SELECT max(timestamp) AS moment FROM system_status")
    finally:
        connection.close()
    moment = found["moment"][0].as_py()
    return VirtualClock(moment) if moment and moment > clock.now() else clock
