"""Validation for whoever only reads: all checks on the newest sessions, nothing written."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta

from engine.clock import Clock, VirtualClock, WallClock
from engine.market import sessions
from engine.store import Store
from pipelines.history.validate import Validation, validate
from pipelines.reports.queries import last_bars

SESSIONS = 5
_AFTER = timedelta(hours=1)  # after its last bar a session is sealed


def check(url: str, day: date, count: int = SESSIONS, *, simulated: bool) -> Validation:
    """Run the checks of `krt validate` on the closed ones of the `count` sessions until the day.

    A simulation's day may lie anywhere, so its clock stands an hour after the newest bar. Raises
    InputError where no closed session is stored.
    """
    earlier = sessions.previous_sessions(sessions.Market.STOCKS, day, count - 1)
    with ThreadPoolExecutor(1) as thread:  # a notebook has an event loop of its own running
        job = _check(url, min(earlier, default=day), day, _clock(url, simulated=simulated))
        return thread.submit(asyncio.run, job).result()


def _clock(url: str, *, simulated: bool) -> Clock:
    newest = last_bars(url)["timestamp"].max()
    if simulated and isinstance(newest, datetime):
        return VirtualClock(newest + _AFTER)
    return WallClock()


async def _check(url: str, first: date, last: date, clock: Clock) -> Validation:
    store = Store(url, clock, component="validation")
    try:
        return await validate(store, clock, [], first, last, keep=False)
    finally:
        await store.close()
