"""One trading day, from the warm-up before the open to the summary after the close."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
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
from engine.history.completeness import LOST, gap_runs, read_minutes
from engine.history.queries import read_stamps
from engine.kis.client import KisClient, Priority
from engine.kis.holidays import DAYS_FILE, learn_opening_days
from engine.market import sessions
from engine.settings import KisSettings
from engine.store import MergeCounts, Store, Writer
from engine.store.metadata import (
    record_heartbeat,
    store_collected_symbols,
    store_strategy_symbols,
)
from pipelines.day.alerts import Alerts, open_alerts, stopped_component, unfillable_gap
from pipelines.day.ingest import Ingestor
from pipelines.day.polling import PollingManager
from pipelines.day.statistics import DayStatistics
from pipelines.day.warm_up import open_windows
from pipelines.feed import DayPlan
from pipelines.history.reconcile import (
    fill_before_open,
    fill_today,
    finish_earlier,
    reconcile,
)
from pipelines.history.request import BackfillContext
from strategies.registry import STRATEGIES, warm_up_sessions

log = logging.getLogger(__name__)

HEARTBEAT = 60.0  # seconds
DATABASE_WAIT = timedelta(hours=2)  # at the close, for a database that cannot be reached
DATABASE_PAUSE = 60.0  # seconds before the close is tried again
BEFORE_OPEN = timedelta(minutes=10)  # the warm-up begins then; its calls need a minute or two


@dataclass(frozen=True)
class DayPaths:
    """Where a day is collected: the URL of the database, and folders of this collector alone."""

    url: str
    spool: Path
    kis: Path  # tokens, the pace of the calls, the holidays that KIS announced


async def run_day(
    plan: DayPlan,
    settings: KisSettings,
    clock: Clock,
    paths: DayPaths,
    stats: DayStatistics,
    *,
    alert_addresses: Sequence[SecretStr] = (),
) -> None:
    """Collect the plan's day into the database; `stats` counts it.

    `alert_addresses` are the services (apprise URLs) that hear of trouble and of trade signals.

    Ends when every session of the plan is sealed. Cancelled (Ctrl+C), it commits what it has.
    Raises KisError if KIS refuses the app key, StoreError if the database refuses to work,
    InputError if another collector runs with the same spool folder.
    """
    async with AsyncExitStack() as stack:
        stack.enter_context(hold_collector_lock(paths.spool))
        alerts = await stack.enter_async_context(open_alerts(alert_addresses, clock))
        store = Store(paths.url, clock, component="collector")
        stack.push_async_callback(store.close)
        writer = Writer(paths.url, clock, paths.spool, component="writer")
        stack.push_async_callback(writer.close)
        kis = KisClient(settings, clock, folder=paths.kis)
        stack.push_async_callback(kis.close)
        ingestor = Ingestor(writer, clock, stats, alerts)
        fetchers = {name: source(kis) for name, source in FETCHERS.items()}
        polling = PollingManager(clock, ingestor, fetchers, settings.polling_interval)
        context = BackfillContext(
            store, ingestor.store_bars, ingestor.store_rejected, kis, clock, Priority.LIVE
        )
        stack.callback(lambda: stats.end(kis.counts, clock.now()))

        await _wait_for_open(plan, clock)
        heartbeats: asyncio.Task[None] | None = None
        try:
            stats.closed = not await _exchange_opens(plan, kis, paths.kis)
            if stats.closed:
                return
            earlier = await finish_earlier(context, plan.names, plan.day)
            # Before the day's first row: if this process is killed, the next knows what to finish.
            await _store_status(store, stats, kis, writer, "running")
            heartbeats = asyncio.create_task(_send_heartbeats(store, clock, stats, kis, writer))
            await _catch_up(plan, context, earlier)
            await _count_stored(plan, store, stats)
            ingestor.windows = await open_windows(plan, store)
            log.info("🚀 collecting %s", ", ".join(plan.names))
            await _follow_plan(plan, polling)
            await _close_day(plan, context, stats)
        except BaseException as error:  # Ctrl+C too: the status must not go on saying `running`
            if isinstance(error, Exception):
                alerts.tell(stopped_component("collector", clock.now(), str(error)))
            if heartbeats:  # before, the status of an earlier session says what to finish: keep it
                with suppress(StoreError):
                    await _store_status(store, stats, kis, writer, "stopped")
            raise
        finally:
            if heartbeats:
                heartbeats.cancel()
                await asyncio.gather(heartbeats, return_exceptions=True)
        _alert_gaps(stats, alerts)
        await _store_status(store, stats, kis, writer, "done")


@contextmanager
def hold_collector_lock(folder: Path) -> Iterator[None]:
    """Hold the collector's lock: two collectors would make every call twice. Raises InputError."""
    lock = FileLock(private_folder(folder) / "collector.lock", mode=0o600)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise InputError(
            f"another collector is running with this data folder (it holds {lock.lock_file})"
        ) from None
    with lock:
        yield


async def _exchange_opens(plan: DayPlan, kis: KisClient, folder: Path) -> bool:
    """Learn the opening days from KIS, once a day; False if the plan's day is not among them."""
    try:
        await learn_opening_days(kis, folder / DAYS_FILE)
    except KisKeyRefused:
        raise
    except KisError as error:
        log.warning("⚠️ KIS did not give its holidays, the built-in calendar is used: %s", error)
    if any(sessions.session(session.market, plan.day) for session in plan.sessions):
        return True
    log.warning("⚠️ KIS says that the exchange is closed on %s", plan.day)
    return False


async def _wait_for_open(plan: DayPlan, clock: Clock) -> None:
    opens = min(session.opens for session in plan.sessions)
    if clock.now() < opens - BEFORE_OPEN:
        log.info("⏱️ waiting for the open at %s", f"{opens:%Y-%m-%d %H:%M}")
    await clock.sleep_until(opens - BEFORE_OPEN)


async def _follow_plan(plan: DayPlan, polling: PollingManager) -> None:
    bars = (polling.follow_bars(bars) for bars in plan.bars)
    chains = (polling.follow_chain(chain) for chain in plan.chains)
    await run_until_first_error(*bars, *chains)


async def _catch_up(plan: DayPlan, context: BackfillContext, found: MergeCounts) -> None:
    """Fetch what the history lacks: of yesterday, of the warm-up, and of today on a late start."""
    await store_collected_symbols(context.store, plan.day, plan.names)
    for strategy in STRATEGIES.values():
        if plan.futures:
            await store_strategy_symbols(context.store, strategy.name, plan.futures)
    found += (await fill_before_open(context, plan.names, plan.day, warm_up_sessions())).rows
    if context.clock.now() > min(session.first_stamp for session in plan.sessions):
        found += (await fill_today(context, plan.names, plan.day)).rows
    if found.inserted:
        log.info("✅ %d missing bars of the history added", found.inserted)


async def _count_stored(plan: DayPlan, store: Store, stats: DayStatistics) -> None:
    """Count the day's bars and snapshots that an earlier run has stored."""
    stored = await read_stamps(store, plan.names, plan.day, plan.day)
    so_far = stored.filter(pl.col("stamp") <= store.now())  # a day may be played again
    for symbol, stamp in so_far.select("symbol", "stamp").iter_rows():
        stats.mark_stored(symbol, stamp)


async def _close_day(plan: DayPlan, context: BackfillContext, stats: DayStatistics) -> None:
    """Compare the whole day with KIS once it is sealed: late bars and corrections come in."""
    await context.clock.sleep_until(max(session.sealed_at for session in plan.sessions))
    log.info("🔄 the day is over; comparing it with KIS")

    async def compare_with_kis() -> pl.DataFrame:
        await reconcile(context, plan.names, plan.day)
        return await read_minutes(context.store, plan.names, plan.day, context.clock.now())

    stats.minutes = await retry_while_unreachable(context.clock, compare_with_kis)


async def retry_while_unreachable(
    clock: Clock, job: Callable[[], Awaitable[pl.DataFrame]]
) -> pl.DataFrame:
    """Run the job, again each minute while the database cannot be reached; return its result.

    Raises StoreUnreachable if it cannot be reached for DATABASE_WAIT.
    """
    until = clock.now() + DATABASE_WAIT
    while True:
        try:
            return await job()
        except StoreUnreachable as error:
            if clock.now() >= until:
                raise
            log.warning("⚠️ the day cannot be compared with KIS yet, trying again: %s", error)
            await clock.sleep(DATABASE_PAUSE)


def _alert_gaps(stats: DayStatistics, alerts: Alerts) -> None:
    if stats.minutes is None:
        return
    lost = gap_runs(stats.minutes).filter(pl.col("state").is_in(LOST))
    for gap in lost.select("symbol", "session", "first_stamp", "reason").iter_rows():
        alerts.tell(unfillable_gap(*gap))


async def _send_heartbeats(
    store: Store, clock: Clock, stats: DayStatistics, kis: KisClient, writer: Writer
) -> None:
    """Store the status each minute; a database that cannot be reached does not end collecting."""
    while True:
        await clock.sleep(HEARTBEAT)
        try:
            await _store_status(store, stats, kis, writer, "running")
        except StoreError as error:
            log.debug("no heartbeat: %s", error)


async def _store_status(
    store: Store, stats: DayStatistics, kis: KisClient, writer: Writer, status: str
) -> None:
    """Store how collecting, asking KIS and storing go, for `just status` and the dashboard."""
    last = max((bar["timestamp"] for bar in stats.last_bar.values()), default=None)
    collected = f"{stats.day}: {stats.bars} bars, {stats.snapshots} snapshots"
    await record_heartbeat(store, "collector", status, collected, stats.rows.inserted, last)
    pace = f"{kis.per_second:.1f} calls/s, {kis.calls} calls, {kis.refusals} refused"
    await record_heartbeat(store, "kis", status, pace, kis.calls, None)
    batches, size = writer.spooled
    await record_heartbeat(
        store, "spool", status, f"{batches} batches, {size} bytes", batches, None
    )
