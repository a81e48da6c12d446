"""The sweep of the day's stocks after the close; at a start, what an earlier sweep has left."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import date, datetime, timedelta

from engine.errors import InputError
from engine.kis.client import Priority
from engine.market.sessions import Market, previous_sessions, session
from engine.market.trading_days import next_trading_day_from
from pipelines.day.parts import DayParts
from pipelines.day_plan import DayPlan
from pipelines.history.market_sweep import sweep
from pipelines.history.universes import named_sessions

log = logging.getLogger(__name__)

BEFORE_NEXT = timedelta(minutes=30)  # a sweep ends so long before the next session begins
_UNTIL_CHECKED = 5.0  # seconds between two looks at whether the database may be used


async def sweep_after_close(day: DayParts) -> None:
    """Sweep the day's stocks, until the next session is near. Raises KisKeyRefused, StoreError."""
    held = session(Market.STOCKS, day.plan.day)
    if held is None or day.plan.night or not day.plan.sweep:
        return
    await day.clock.sleep_until(held.sealed_at)
    await _sweep(day, day.plan.day, last_moment(day.plan))


async def sweep_what_is_left(day: DayParts) -> None:
    """Sweep the session before, where it was not done: at once, and beside the collecting.

    Raises KisKeyRefused, StoreError.
    """
    while not day.store.may_be_used:  # others wait for that, too, and say so
        await day.clock.sleep(_UNTIL_CHECKED)
    of_evening = day.plan.night and session(Market.STOCKS, day.plan.day)
    before = previous_sessions(Market.STOCKS, day.plan.day, 1)[0]
    await _sweep(day, day.plan.day if of_evening else before, None)


def last_moment(plan: DayPlan) -> datetime:
    """Return when a sweep must end: before tonight's session, or that of the next trading day."""
    if plan.tonight and plan.tonight.sessions:
        return plan.tonight.begins - BEFORE_NEXT
    following = session(Market.DERIVATIVES, next_trading_day_from(plan.day + timedelta(days=1)))
    assert following is not None  # noqa: S101 - of a trading day
    return following.opens - BEFORE_NEXT


async def _sweep(day: DayParts, swept: date, until: datetime | None) -> None:
    context = replace(
        day.context, priority=Priority.BACKFILL, store_bars=day.writer.put
    )  # what a strategy follows was compared at the close

    async def run() -> None:
        targets = await named_sessions(context.store, day.plan.sweep, swept, swept)
        await sweep(context, targets, swept, until=until)

    try:
        await day.patience.retry(f"the sweep of {swept}", run)
    except InputError as error:
        log.warning("⚠️ the sweep of %s: %s", swept, error)
