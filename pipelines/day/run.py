"""One trading day, from the warm-up before the open to the summary after the close."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import polars as pl
from filelock import FileLock, Timeout
from pydantic import SecretStr

from engine.clock import Clock
from engine.concurrency import run_until_first_error
from engine.errors import InputError, KisError, KisKeyRefused, StoreError, StoreUnreachable
from engine.fetchers.registry import FETCHERS
from engine.files import private_folder
from engine.history.queries import read_stamps
from engine.kis.client import KisClient, Priority
from engine.kis.holidays import DAYS_FILE, learn_opening_days
from engine.market import sessions
from engine.settings import KisSettings
from engine.store import MergeCounts, Store, Writer, ledger
from engine.store.metadata import record_heartbeat, store_strategy_symbols
from pipelines.day.alerts import Alerts, alerting, stopped, unfillable_gap
from pipelines.day.ingest import Ingestor
from pipelines.day.polling import PollingManager
from pipelines.day.statistics import DayStatistics
from pipelines.day.warm_up import open_windows, warm_up_sessions
from pipelines.feed import DayPlan
from pipelines.history.reconcile import (
    fill_before_open,
    fill_today,
    finish_earlier,
    reconcile,
)
from pipelines.history.request import BackfillContext
from strategies.registry import STRATEGIES

log = logging.getLogger(__name__)

HEARTBEAT = 60.0  # seconds
PATIENCE = timedelta(hours=2)  # for a database that is away at the close
BEFORE_OPEN = timedelta(minutes=10)  # the warm-up begins then; its calls need a minute or two


@dataclass(frozen=True)
class Place:
    """Where a day is collected: the database, and folders that only we use."""

    url: str
    spool: Path
    kis: Path  # tokens, paces, what KIS said of the calendar
    alerts: tuple[SecretStr, ...] = ()


async def run_day(
    plan: DayPlan, settings: KisSettings, clock: Clock, place: Place, stats: DayStatistics
) -> None:
    """Collect the plan's day into the database and count it in the stats.

    Ends when every session of the plan is sealed. Cancelled (Ctrl+C), it commits what it has.
    Raises KisError if KIS refuses the app key, StoreError if the database refuses to work,
    InputError if another collector is at work here.
    """
    async with AsyncExitStack() as stack:
        stack.enter_context(_alone(place.spool))
        alerts = await stack.enter_async_context(alerting(place.alerts, clock))
        store = Store(place.url, clock, component="collector")
        stack.push_async_callback(store.close)
        writer = Writer(place.url, clock, place.spool, component="writer")
        stack.push_async_callback(writer.close)
        kis = KisClient(settings, clock, folder=place.kis)
        stack.push_async_callback(kis.close)
        ingestor = Ingestor(writer, clock, stats, alerts)
        fetchers = {name: source(kis) for name, source in FETCHERS.items()}
        polling = PollingManager(clock, ingestor, fetchers, settings.polling_interval)
        context = BackfillContext(store, ingestor.put, kis, clock, priority=Priority.LIVE)
        stack.callback(lambda: stats.calls.update(kis.counts))

        await _wait_for_open(plan, clock)
        beating: asyncio.Task[None] | None = None
        try:
            stats.closed = not await _opens(plan, kis, place.kis)
            if stats.closed:
                return
            earlier = await finish_earlier(context, plan.names, plan.day)
            # Said before the day's first row: if we die now, the next start knows what to finish.
            await _say_status(store, stats, kis, writer, "running")
            beating = asyncio.create_task(_beat(store, clock, stats, kis, writer))
            await _catch_up(plan, context, earlier)
            await _count_stored(plan, store, stats)
            ingestor.windows = await open_windows(plan, store)
            log.info("🚀 collecting %s", ", ".join(plan.names))
            await _follow(plan, polling)
            await _close(plan, context, stats)
        except BaseException as error:  # Ctrl+C too: whoever looks must not take us for running
            if isinstance(error, Exception):
                alerts.tell(stopped("collector", clock.now(), str(error)))
            if beating:  # before that, the last word of an earlier session says what to finish
                with suppress(StoreError):
                    await _say_status(store, stats, kis, writer, "stopped")
            raise
        finally:
            if beating:
                beating.cancel()
                await asyncio.gather(beating, return_exceptions=True)
        _tell_gaps(stats, alerts)
        await _say_status(store, stats, kis, writer, "done")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the collector's lock: two of them would double every call. Raises InputError."""
    lock = FileLock(private_folder(folder) / "collector.lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise InputError(
            f"another collector is at work here (it holds {lock.lock_file}); one is enough"
        ) from None
    with lock:
        yield


async def _opens(plan: DayPlan, kis: KisClient, folder: Path) -> bool:
    """Ask KIS, once a day, on which days the exchange opens; False if not on ours after all."""
    try:
        await learn_opening_days(kis, folder / DAYS_FILE)
    except KisKeyRefused:
        raise
    except KisError as error:
        log.warning("⚠️ KIS does not tell its holidays, ours stand: %s", error)
    if any(sessions.session(session.market, plan.day) for session in plan.sessions):
        return True
    log.warning("⚠️ KIS says that the exchange is closed on %s", plan.day)
    return False


async def _wait_for_open(plan: DayPlan, clock: Clock) -> None:
    opens = min(session.opens for session in plan.sessions)
    if clock.now() < opens - BEFORE_OPEN:
        log.info("⏱️ waiting for the open at %s", f"{opens:%Y-%m-%d %H:%M}")
    await clock.sleep_until(opens - BEFORE_OPEN)


async def _follow(plan: DayPlan, polling: PollingManager) -> None:
    bars = (polling.follow_bars(bars) for bars in plan.bars)
    chains = (polling.follow_chain(chain) for chain in plan.chains)
    await run_until_first_error(*bars, *chains)


async def _catch_up(plan: DayPlan, context: BackfillContext, found: MergeCounts) -> None:
    """Fetch what history lacks: yesterday's holes, the warm-up, and today so far if we are late."""
    for strategy in STRATEGIES.values():
        if plan.futures:
            await store_strategy_symbols(context.store, strategy.name, plan.futures)
    found += (await fill_before_open(context, plan.names, plan.day, warm_up_sessions())).rows
    if context.clock.now() > min(session.first_stamp for session in plan.sessions):
        found += (await fill_today(context, plan.names, plan.day)).rows
    if found.inserted:
        log.info("✅ %d bars that the history lacked came in", found.inserted)


async def _count_stored(plan: DayPlan, store: Store, stats: DayStatistics) -> None:
    """Have the stats know the day's bars that a collector before us has stored."""
    codes = [bars.symbol for bars in plan.bars]
    stored = await read_stamps(store, codes, plan.day, plan.day)
    for symbol, stamp in stored.select("symbol", "stamp").iter_rows():
        stats.note_stored(symbol, stamp)


async def _close(plan: DayPlan, context: BackfillContext, stats: DayStatistics) -> None:
    """Compare the whole day with KIS when it is sealed: late bars and corrections come in."""
    await context.clock.sleep_until(max(session.sealed_at for session in plan.sessions))
    log.info("🔄 the day is over; comparing it with KIS")

    async def settle() -> pl.DataFrame:
        await reconcile(context, plan.names, plan.day)
        return await ledger.read(context.store, plan.names, plan.day, plan.day)

    marks = await patiently(context.clock, settle)
    stats.gaps = marks.filter(pl.col("state") != "filled").sort("symbol", "first_stamp")


async def patiently(clock: Clock, job: Callable[[], Awaitable[pl.DataFrame]]) -> pl.DataFrame:
    """Do what needs the database, again while it is away: until it is back the day is not over.

    Raises StoreUnreachable if it has not come back within PATIENCE.
    """
    until = clock.now() + PATIENCE
    while True:
        try:
            return await job()
        except StoreUnreachable as error:
            if clock.now() >= until:
                raise
            log.warning("⚠️ the day cannot be closed yet, trying again: %s", error)
            await clock.sleep(60)


def _tell_gaps(stats: DayStatistics, alerts: Alerts) -> None:
    lost = pl.DataFrame() if stats.gaps is None else stats.gaps
    columns = ["symbol", "session", "first_stamp", "reason"]
    if lost.is_empty():
        return
    for gap in lost.filter(pl.col("state") == "unavailable").select(columns).iter_rows():
        alerts.tell(unfillable_gap(*gap))


async def _beat(
    store: Store, clock: Clock, stats: DayStatistics, kis: KisClient, writer: Writer
) -> None:
    """Say each minute that we live; a database that is away must not end the collecting."""
    while True:
        await clock.sleep(HEARTBEAT)
        try:
            await _say_status(store, stats, kis, writer, "running")
        except StoreError as error:
            log.debug("no heartbeat: %s", error)


async def _say_status(
    store: Store, stats: DayStatistics, kis: KisClient, writer: Writer, status: str
) -> None:
    """Tell whoever looks (`krt status`, the dashboard) how collecting, asking and storing go."""
    last = max((bar["timestamp"] for bar in stats.last_bar.values()), default=None)
    collected = f"{stats.day}: {stats.bars} bars, {stats.snapshots} snapshots"
    await record_heartbeat(store, "collector", status, collected, stats.rows.inserted, last)
    pace = f"{kis.per_second:.1f} calls/s, {kis.calls} calls, {kis.refusals} refused"
    await record_heartbeat(store, "kis", status, pace, kis.calls, None)
    batches, size = writer.spooled
    await record_heartbeat(
        store, "spool", status, f"{batches} batches, {size} bytes", batches, None
    )
