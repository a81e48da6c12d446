"""The whole market each minute, roughly: a round over the stocks of `snapshot`, 30 a call.

It has the lowest priority of all that a session asks for: bars, chains and what is told once come
first. Where the pace does not allow a round a minute, the next begins with the first minute after
it. A round is not a set of bars: nothing says what happened between two of them.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime, timedelta

from engine.clock import floor_minute
from engine.errors import InputError, StoreError
from engine.kis.client import Priority
from engine.market.hours import MINUTE
from engine.market.sessions import Market, Session, session
from pipelines.day.parts import DayParts
from pipelines.history.closing_volumes import fetch_snapshot
from pipelines.history.universes import named_sessions

log = logging.getLogger(__name__)

_AFTER_MINUTE = timedelta(seconds=3)  # bars are asked for first


async def follow_snapshots(day: DayParts) -> None:
    """Ask for all stocks minute after minute, to the end of the stocks' session.

    Raises KisKeyRefused.
    """
    held = session(Market.STOCKS, day.plan.day)
    if held is None:
        return
    first, last = _rounds(held)
    await day.clock.sleep_until(first + _AFTER_MINUTE)
    symbols: list[str] = []
    while day.clock.now() <= last + _AFTER_MINUTE:
        symbols = symbols or await _members(day)
        if symbols:
            await _round(day, symbols, floor_minute(day.clock.now()))
        await day.clock.sleep_until(floor_minute(day.clock.now()) + MINUTE + _AFTER_MINUTE)


def _rounds(held: Session) -> tuple[datetime, datetime]:
    """Return the minutes of the first and the last round of a session."""
    return held.first_stamp, held.last_stamp + MINUTE


def count_rounds(held: Session) -> int:
    """Return how many rounds a session has, if each takes less than a minute."""
    first, last = _rounds(held)
    return (last - first) // MINUTE + 1


async def _members(day: DayParts) -> list[str]:
    """Return the stocks of the day; none while the database does not say which those are."""
    named, on = day.plan.snapshot, day.plan.day
    try:
        found = await named_sessions(day.store, named, on, on)
    except (InputError, StoreError):  # the master files are on their way, or the database is away
        return []
    symbols: list[str] = found["symbol"].to_list()
    return symbols


async def _round(day: DayParts, symbols: list[str], minute: datetime) -> None:
    context = replace(day.context, priority=Priority.SNAPSHOT)
    rows, lacking = await fetch_snapshot(context, symbols, minute)
    if lacking:
        log.warning("⚠️ the snapshot of %s lacks %d stocks: %s", f"{minute:%H:%M}", *lacking)
    if rows is not None:
        day.stats.count_rows(await day.writer.put("market_snapshot", rows))
