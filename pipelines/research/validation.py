"""Validation for readers: all checks on the newest sessions, and nothing is written."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta

import polars as pl

from engine.clock import Clock, VirtualClock, WallClock
from engine.market import sessions
from engine.store import Store
from pipelines.history.validate import Validation, validate
from pipelines.reports.queries import last_bars
from pipelines.texts import Texts

SESSIONS = 5
_UNTIL_SEALED = timedelta(hours=1)  # so long after its last bar a session is sealed for certain


def check(url: str, day: date, count: int = SESSIONS, *, simulated: bool) -> Validation:
    """Run the checks of `just validate` on the last `count` sessions until the day.

    Sessions that are not over are left out. A simulated day may lie anywhere in time, so its clock
    stands an hour after the newest bar. Raises InputError if no closed session is stored.
    """
    earlier = sessions.previous_sessions(sessions.Market.STOCKS, day, count - 1)
    with ThreadPoolExecutor(1) as thread:  # a notebook has an event loop of its own running
        job = _check(url, min(earlier, default=day), day, _clock(url, simulated=simulated))
        return thread.submit(asyncio.run, job).result()


def in_words(findings: pl.DataFrame, t: Texts) -> pl.DataFrame:
    """Return findings for people: columns and texts in their language, codes as they are."""
    said = [pl.col("detail").map_elements(t.noted, pl.String)]
    if "what" in findings.columns:
        kinds = {kind: t(f"what_{kind.replace(' ', '_')}") for kind in findings["what"].unique()}
        said.append(pl.col("what").replace(kinds))
    titles = {name: t(f"column_{name}") for name in findings.columns if name}
    return findings.with_columns(said).rename(titles)


def meanings(found: Validation, t: Texts) -> dict[str, str]:
    """Return, by check that found something, the sentence that says what it looks for."""
    return {name: t(f"check_{name}") for name in found.explanations()}


def _clock(url: str, *, simulated: bool) -> Clock:
    newest = last_bars(url)["timestamp"].max()
    if simulated and isinstance(newest, datetime):
        return VirtualClock(newest + _UNTIL_SEALED)
    return WallClock()


async def _check(url: str, first: date, last: date, clock: Clock) -> Validation:
    store = Store(url, clock, component="validation")
    try:
        return await validate(store, clock, [], first, last, keep=False)
    finally:
        await store.close()
