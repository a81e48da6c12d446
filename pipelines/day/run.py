"""One trading day, from the wait for the open to the summary after the close.

    before the open   before_open.py   wait, holidays; the catching up goes on beside the collecting
    the session       polling.py       each symbol and chain on its own
    the close         closing.py       the comparison with KIS
    after it          market_sweep.py  the bars of stocks that were not followed

In each phase a database that is away is waited for (patience.py) while the spool takes what comes,
and each phase has an end: the whole day is over CLOSING_LIMIT after its sessions are sealed.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from engine.clock import Clock
from engine.concurrency import run_until_first_error, run_with_helpers
from engine.errors import KrtError, StoreError, StoreLoginRefused
from engine.fetchers.registry import FETCHERS, STREAM_FETCHERS
from engine.files import private_folder, write_atomically
from engine.kis.client import KisClient, Priority
from engine.settings import KisSettings
from engine.store import Gate, Store, Writer
from engine.store.archive import BarArchive
from engine.store.market_snapshots import drop_old_snapshots
from engine.store.spool import any_table
from engine.store.trade_files import TradeFiles
from pipelines.collector_lock import hold_collector_lock
from pipelines.day.after_sleep import catch_up_after_sleep
from pipelines.day.alerts import Contact, no_spool, open_alerts, stopped_component
from pipelines.day.before_open import catch_up, exchange_opens, wait_for_open
from pipelines.day.book_keeping import BookKeeper
from pipelines.day.closing import close_day
from pipelines.day.costs import costs_text
from pipelines.day.each_hour import log_each_hour
from pipelines.day.feed_states import why_no_feed
from pipelines.day.first_trades import FirstTrades
from pipelines.day.heartbeats import Heartbeats
from pipelines.day.ingest import Ingestor
from pipelines.day.machine import watch_machine
from pipelines.day.market_snapshots import follow_snapshots
from pipelines.day.market_sweep import sweep_after_close, sweep_what_is_left
from pipelines.day.messages import tell_evening, tell_morning
from pipelines.day.parts import DayParts
from pipelines.day.patience import Patience
from pipelines.day.polling import PollingManager
from pipelines.day.price_limits import LimitWatch
from pipelines.day.restarting import begin_again
from pipelines.day.statistics import DayStatistics
from pipelines.day.streaming import open_feed
from pipelines.day.told_once import StreamPolling
from pipelines.day.trade_keeping import TradeKeeper, is_not_trades, is_trades
from pipelines.day_plan import DayPlan
from pipelines.history.request import BackfillContext

log = logging.getLogger(__name__)

_NAMED = 20  # symbols in a line of the log

CLOSING_LIMIT = timedelta(hours=2)  # after the sealing, for a database or a KIS that is away

_LAST_STATUS = 10.0  # seconds for the status of a day that ends early


@dataclass(frozen=True)
class DayPaths:
    """Where a day is collected: the URL of the database, and folders of this collector alone."""

    url: str
    spool: Path
    kis: Path  # tokens, the pace of the calls, the holidays that KIS announced
    trades: TradeFiles | None = None  # of old sessions; without them all stay in the database
    book: Path | None = None  # of the book's files; without it the book is not kept
    archive: BarArchive | None = None  # of old months of stock bars; without it all stay
    keep_snapshot_days: int = 30  # older ones of the market are dropped at the close


async def run_day(
    plan: DayPlan,
    settings: KisSettings,
    clock: Clock,
    paths: DayPaths,
    stats: DayStatistics,
    *,
    contact: Contact | None = None,
    prepare: Callable[[], None] | None = None,
) -> None:
    """Collect the plan's day into the database; `stats` counts it.

    `contact` hears of trouble and of trade signals, of what it was told already only once.
    `prepare` brings a database that was away up to date; until it has, the spool takes everything.

    Ends when every session of the plan is sealed. Cancelled (Ctrl+C), it commits what it has.
    Raises KisError if KIS refuses the app key, StoreError if the database refuses to work or is
    still away CLOSING_LIMIT after the close, InputError if another collector runs with the same
    spool folder or the database holds another kind of data.
    """
    async with AsyncExitStack() as stack:
        stack.enter_context(hold_collector_lock(paths.spool))
        log.info("⏱️ %s", costs_text(plan, settings))
        stats.since = clock.now()
        kis_folder = stack.enter_context(usable_folder(paths.kis))
        alerts = await stack.enter_async_context(open_alerts(contact or Contact(), clock))
        gate = Gate("it is not checked yet") if prepare else Gate()
        store = Store(paths.url, clock, component="collector", gate=gate)
        stack.push_async_callback(store.close)
        stats.feed_off = why_no_feed(settings, plan, counted=kis_folder == paths.kis)
        streams = stats.feed_off is None
        open_writer = partial(Writer, paths.url, clock, paths.spool, gate=gate)
        trade_writer = open_writer(component="trades", takes=is_trades) if streams else None
        writer = open_writer(component="writer", takes=is_not_trades if streams else any_table)
        writers = [writer, *([trade_writer] if trade_writer else [])]
        # once they are closed
        stack.callback(lambda: stats.count_spooled(sum(one.spooled[0] for one in writers)))
        for one in writers:
            stack.push_async_callback(one.close)
        if writer.spool_trouble:
            log.error("❌ nothing can be spooled: %s", writer.spool_trouble)
            alerts.tell(no_spool(alerts.t, plan.day, writer.spool_trouble))
        kis = KisClient(settings, clock, folder=kis_folder)
        stack.push_async_callback(kis.close)
        ingestor = Ingestor(writer, clock, stats, alerts)
        fetchers = {name: source(kis) for name, source in FETCHERS.items()}
        day = DayParts(
            plan,
            stats,
            clock,
            store,
            writer,
            kis,
            kis_folder,
            ingestor,
            PollingManager(clock, ingestor, fetchers, settings.polling_interval),
            BackfillContext(
                store,
                ingestor.store_bars,
                ingestor.store_rejected,
                kis,
                clock,
                writer,
                Priority.LIVE,
            ),
            alerts,
            Patience(clock),
            StreamPolling(
                clock,
                ingestor,
                {name: source(kis) for name, source in STREAM_FETCHERS.items()},
                settings.polling_interval,
            ),
            [
                *(partial(each.move, paths.url) for each in (paths.trades, paths.archive) if each),
                partial(drop_old_snapshots, paths.url, paths.keep_snapshot_days),
            ],
            trade_writer,
        )
        day.polling.ask_for_states(plan.subjects("state"))
        day.polling.limits = LimitWatch(kis, store, ingestor)
        if trade_writer:
            keeper = TradeKeeper(
                trade_writer,
                ingestor.store_rejected,
                clock,
                stats,
                first_trades=FirstTrades(store),
            )
            halts = settings.stream_halts or bool(plan.subjects("state"))
            books = _book_keeper(plan, paths.book, ingestor, clock, simulated=stats.simulated)
            day.polling.feed = await stack.enter_async_context(
                open_feed(plan.by_feed, kis, ingestor, keeper, clock, books, halts=halts)
            )
        stack.callback(lambda: stats.end(kis.counts, clock.now()))
        heartbeats = Heartbeats(day)
        try:
            watch = partial(watch_machine, day, paths.spool, settings.base_url)
            await run_with_helpers(
                _collect(day, heartbeats, watch),
                *([_open_gate(day, gate, prepare)] if prepare else []),
            )
        except BaseException as error:  # Ctrl+C too: the status must not go on saying `running`
            if isinstance(error, Exception):
                alerts.tell(stopped_component(alerts.t, "collector", clock.now(), str(error)))
            with suppress(TimeoutError):  # a table may be locked
                async with clock.timeout(_LAST_STATUS):
                    await heartbeats.stop()
            await _write_last_reasons(day)
            raise


async def _write_last_reasons(day: DayParts) -> None:
    """Have the ledger know why minutes were missed that are told once, before we forget it."""
    with suppress(TimeoutError):
        async with day.clock.timeout(_LAST_STATUS):
            try:
                await day.streams.write_last(day.store, day.plan.streams)
            except KrtError as error:
                log.warning("⚠️ the ledger of what is told once: %s", error)


def _book_keeper(
    plan: DayPlan, folder: Path | None, ingestor: Ingestor, clock: Clock, *, simulated: bool
) -> BookKeeper | None:
    contracts = plan.subjects("book")
    if folder is None or not contracts:
        return None
    return BookKeeper(folder, plan.day, contracts, ingestor, clock, simulated=simulated)


@contextmanager
def usable_folder(folder: Path) -> Iterator[Path]:
    """Yield the folder, or a temporary one if nothing can be written into it. Raises OSError."""
    try:
        probe = private_folder(folder) / f".probe-{os.getpid()}"
        write_atomically(probe, bytes(4096), private=True)
        probe.unlink()
    except OSError as error:
        log.error("❌ tokens and paces are not kept: %s: %s", folder, error.strerror)
        with TemporaryDirectory(prefix="krt-") as elsewhere:
            yield Path(elsewhere)
        return
    yield folder


async def _open_gate(day: DayParts, gate: Gate, prepare: Callable[[], None]) -> None:
    """Let the database be used once it has been brought up to date, however long that takes.

    Raises StoreError, InputError if that is refused.
    """

    async def check() -> None:
        try:
            await day.clock.thread(prepare)
        except StoreLoginRefused as error:  # waiting does not heal that
            raise StoreError(str(error)) from error

    await day.patience.retry("the check of the database", check)
    gate.open()


async def _collect(
    day: DayParts, heartbeats: Heartbeats, watch: Callable[[], Coroutine[Any, Any, None]]
) -> None:
    keep = partial(begin_again, day.clock, day.alerts)
    left = [partial(sweep_what_is_left, day)] if day.plan.sweep else []
    await run_with_helpers(
        _collect_and_sweep(day, heartbeats, watch),
        *(keep("the sweep", job, ends_the_day=()) for job in left),
    )


async def _collect_and_sweep(
    day: DayParts, heartbeats: Heartbeats, watch: Callable[[], Coroutine[Any, Any, None]]
) -> None:
    await wait_for_open(day)
    keep = partial(begin_again, day.clock, day.alerts)
    async with day.patience.until(max(day.sealed_at, day.clock.now()) + CLOSING_LIMIT):
        await run_with_helpers(
            _collect_session(day, heartbeats),
            keep("the heartbeat", heartbeats.send),
            keep("the watch over the token", heartbeats.watch_token),
            keep("the watch over sleep", partial(catch_up_after_sleep, day)),
            keep("the watch over the machine", watch),
        )
    if not day.stats.closed:
        await sweep_after_close(day)


async def _collect_session(day: DayParts, heartbeats: Heartbeats) -> None:
    day.stats.closed = not await exchange_opens(day)
    if day.stats.closed:
        return
    names = day.plan.names
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    log.info("🚀 collecting %s%s", ", ".join(names[:_NAMED]), more)
    keep, plan, feed = partial(begin_again, day.clock, day.alerts), day.plan, day.polling.feed
    follow = day.polling.follow_bars
    bars = [keep(b.symbol, partial(follow, b)) for b in plan.bars]
    bars += [keep(b.symbol, partial(follow, b, day.sealed_at)) for b in plan.handed_on]
    chains = (keep(c.underlying_symbol, partial(day.polling.follow_chain, c)) for c in plan.chains)
    streams = (keep(s.code, partial(day.streams.follow, s)) for s in plan.streams)
    await run_with_helpers(
        run_until_first_error(
            keep("the catching up", partial(catch_up, day, heartbeats)),
            *(*bars, *chains, *streams),
        ),
        keep("the message of the morning", partial(tell_morning, day), ends_the_day=()),
        keep("the line of each hour", partial(log_each_hour, day), ends_the_day=()),
        *([keep("the feed", feed.run, ends_the_day=())] if feed else []),
        *(
            [keep("the watch over price limits", day.polling.limits.run)]
            if day.polling.limits
            else []
        ),
        keep(
            "the ledger of what is told once",
            partial(day.streams.write_down, day.store, plan.streams),
        ),
        *(
            [keep("the snapshot of the market", partial(follow_snapshots, day), ends_the_day=())]
            if plan.snapshot
            else []
        ),
    )
    await close_day(day, heartbeats)
    tell_evening(day)
