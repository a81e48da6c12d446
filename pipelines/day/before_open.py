"""Before the open: wait, ask KIS whether the exchange opens, catch up with the history.

What this does not finish before the open goes on beside the collecting, which waits for nothing.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta
from itertools import count

import polars as pl

from engine.backoff import Backoff
from engine.errors import KisError, KisKeyRefused
from engine.fetchers.option_chain import OptionChainFetcher
from engine.history.listings import NAMES, learn_names
from engine.history.queries import read_last_snapshot, read_stamps
from engine.kis.client import Priority
from engine.kis.holidays import (
    DAYS_FILE,
    believe_closed,
    believe_open,
    learn_opening_days,
    says_closed,
)
from engine.kis.odd_nights import NIGHTS_FILE, believe_held, believe_not_held
from engine.market.trading_days import is_doubtful_night, why_unlikely_night
from engine.store.metadata import store_collected_symbols, store_strategy_symbols
from pipelines.day.heartbeats import Heartbeats
from pipelines.day.parts import DayParts
from pipelines.day.warm_up import open_windows
from pipelines.history.listings import refresh_listings
from pipelines.history.reconcile import fill_before_open, fill_today, finish_earlier
from pipelines.history.universes import log_not_yet_listed
from strategies.registry import STRATEGIES, warm_up_sessions

log = logging.getLogger(__name__)

BEFORE_OPEN = timedelta(minutes=10)  # the warm-up begins then; its calls need a minute or two
_BETWEEN_QUESTIONS = Backoff(first=60.0, longest=240.0)  # whether the exchange really stays closed


async def wait_for_open(day: DayParts) -> None:
    """Return when the day's work begins."""
    begin = day.plan.begins - BEFORE_OPEN
    if day.clock.now() < begin:
        log.info("⏱️ waiting for the open at %s", f"{day.opens:%Y-%m-%d %H:%M}")
    await day.clock.sleep_until(begin)


async def exchange_opens(day: DayParts) -> bool:
    """Say whether the exchange opens on the day, as far as KIS and its bars tell.

    KIS's word that it stays closed, against the built-in calendar, is asked for again until the
    open, and then the bars decide: a day must not be lost to one wrong answer. Raises
    KisKeyRefused.
    """
    file = day.kis_folder / DAYS_FILE
    for asked in count(1):
        await _ask_for_holidays(day)
        if not says_closed(file, day.plan.day):
            return not day.plan.night or await _night_is_held(day)
        pause = timedelta(seconds=_BETWEEN_QUESTIONS.wait_after(asked))
        if asked == 1:
            log.warning(
                "⚠️ KIS says that the exchange is closed on %s; it is asked again until the open",
                day.plan.day,
            )
        if day.clock.now() + pause >= day.opens:
            break
        await day.clock.sleep(pause.total_seconds())
    if await day.polling.find_first_bars(day.plan):
        log.warning(
            "⚠️ KIS says that the exchange is closed on %s, but gives bars: they are collected",
            day.plan.day,
        )
        believe_open(file, day.plan.day)
        return True
    log.warning("⚠️ KIS says that the exchange is closed on %s, and gives no bars", day.plan.day)
    believe_closed(file, day.plan.day)
    return False


async def _night_is_held(day: DayParts) -> bool:
    """Say whether KIS gives bars of a night of which the calendar is not sure that it is held."""
    night, why = day.plan.day, why_unlikely_night(day.plan.day)
    if not (is_doubtful_night(night) or why):
        return True
    if not await day.polling.find_first_bars(day.plan):
        log.warning(
            "⚠️ KIS gives no bars of the night of %s, before a holiday: it is not held", night
        )
        believe_not_held(night)
        return False
    if why:
        log.warning("⚠️ KIS gives bars of the night of %s (%s): they are collected", night, why)
        believe_held(day.kis_folder / NIGHTS_FILE, night)
    return True


async def _ask_for_holidays(day: DayParts) -> None:
    try:
        await learn_opening_days(day.kis, day.kis_folder / DAYS_FILE)
    except KisKeyRefused:
        raise
    except KisError as error:
        log.warning("⚠️ KIS did not give its holidays, the built-in calendar is used: %s", error)


async def catch_up(day: DayParts, heartbeats: Heartbeats) -> None:
    """Finish earlier sessions, fill what the history lacks, and begin to give signals.

    Each step has patience with the database. Raises KisKeyRefused, StoreError if it is refused.
    """
    retry, plan = day.patience.retry, day.plan
    # The collecting beside it goes first.
    context = replace(day.context, priority=Priority.BACKFILL)
    missed = not day.stats.simulated  # which days are simulated is as you like
    await retry("the names of the stocks", lambda: _learn_names(day))
    found = await retry(
        "finishing earlier sessions",
        lambda: finish_earlier(
            context,
            [*plan.names, *plan.nights],
            plan.day + timedelta(days=1) if plan.night else plan.day,
            missed=missed,
        ),
    )

    async def fill_history() -> int:
        # The night is written down with its day: if nobody collects it, it is missing.
        tonight = plan.tonight.names if plan.tonight else []
        day.stats.since = await store_collected_symbols(
            day.store, plan.day, [*plan.kept, *tonight], day.stats.since or day.clock.now()
        )
        for strategy in STRATEGIES.values():
            if followed := plan.watched(nights=strategy.nights):
                await store_strategy_symbols(day.store, strategy.name, followed)
        filled = await fill_before_open(context, plan.names, plan.day, warm_up_sessions())
        inserted = filled.rows.inserted
        if day.clock.now() > min(session.first_stamp for session in plan.sessions):
            inserted += (await fill_today(context, plan.names, plan.day)).rows.inserted
        return inserted

    # Before the day's first row: if this process is killed, the next knows what to finish.
    await retry("the status of the day", heartbeats.begin)
    inserted = found.inserted + await retry("filling the history", fill_history)
    if inserted:
        log.info("✅ %d missing bars of the history added", inserted)
    await retry("counting the stored bars", lambda: _count_stored(day))
    await retry(
        "the warm-up of the strategies", lambda: open_windows(plan, day.store, day.ingestor)
    )
    await retry("the last prices of the options", lambda: _recall_prices(day))
    await retry("the listed stocks", lambda: refresh_listings(context))
    await retry("the stocks that are not listed yet", lambda: _log_not_yet_listed(day))


async def _log_not_yet_listed(day: DayParts) -> None:
    """Say once a day which stocks its universes leave out; a night has none of them."""
    plan = day.plan
    if not plan.night:
        named = (*plan.universes, *plan.sweep, *plan.snapshot)
        await log_not_yet_listed(day.store, named, plan.day)


async def _learn_names(day: DayParts) -> None:
    """Call stocks as the stored listings do until today's are fetched, which is the last step."""
    learn_names(pl.DataFrame(await day.store.query(NAMES)))


async def _recall_prices(day: DayParts) -> None:
    """Tell the fetcher of chains what an earlier run of the day has seen: how old prices are."""
    for chain in day.plan.chains:
        fetcher = day.polling.fetchers[chain.source]
        if isinstance(fetcher, OptionChainFetcher):
            symbol = chain.underlying_symbol
            stored = await read_last_snapshot(day.store, symbol, day.plan.day, day.store.now())
            fetcher.recall_prices(symbol, stored)


async def _count_stored(day: DayParts) -> None:
    """Count the day's bars and snapshots that an earlier run has stored."""
    stored = await read_stamps(day.store, day.plan.kept, day.plan.day, day.plan.day)
    so_far = stored.filter(pl.col("stamp") <= day.store.now())  # a day may be played again
    for symbol, stamp in so_far.select("symbol", "stamp").iter_rows():
        day.stats.mark_stored(symbol, stamp)
