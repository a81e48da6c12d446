"""After sleep: the machine was suspended in the middle of a session, and catches up at once.

The polls that follow bring the last half hour; what lies before it would come only at the close.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta

from engine.errors import KisError
from engine.kis.client import Priority
from pipelines.day.parts import DayParts
from pipelines.history.reconcile import fill_today

log = logging.getLogger(__name__)

LOOK = 10.0  # seconds between looks at the clock
SLEPT = timedelta(minutes=5)  # a machine that is merely busy comes back sooner


async def catch_up_after_sleep(day: DayParts) -> None:
    """Fetch what was missed whenever the clock went on much further than this process waited."""
    context = replace(day.context, priority=Priority.BACKFILL)
    while True:
        before = day.clock.now()
        await day.clock.sleep(LOOK)
        slept = day.clock.now() - before
        if slept < SLEPT:
            continue
        minutes = slept.total_seconds() / 60
        log.warning("⚠️ this machine slept for %.0f minutes; fetching what it missed", minutes)
        try:
            await day.patience.retry(
                "what the sleep missed", lambda: fill_today(context, day.plan.names, day.plan.day)
            )
        except KisError as error:
            log.warning("⚠️ what the sleep missed comes at the close: %s", error)
