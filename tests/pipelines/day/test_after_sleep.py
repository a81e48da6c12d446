"""A machine that was suspended in the middle of a session fetches what it missed when it wakes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from engine.clock import VirtualClock
from engine.errors import KisUnreachable
from engine.kis.client import Priority
from pipelines.day import after_sleep
from pipelines.day.after_sleep import catch_up_after_sleep
from pipelines.day.parts import DayParts
from pipelines.day.patience import Patience
from pipelines.day_plan import plan
from tests.pipelines.day.playing import DAY, STOCK, STOCK_ONLY, at_time
from tests.pipelines.simulated import Desk, desk

SLEPT = timedelta(hours=3)


class Suspended(VirtualClock):
    """A clock that reads three hours more from 10:00 on; nobody was woken meanwhile."""

    def now(self) -> datetime:
        now = super().now()
        return now + SLEPT if now >= at_time("10:00") else now


async def watch(at: Desk, fill: Callable[..., Awaitable[Any]]) -> None:
    """Watch on a clock that is suspended from 10:00 to 13:00, until it has been filled."""
    clock = Suspended(at_time("09:59"))
    day = SimpleNamespace(
        clock=clock, context=at.context, patience=Patience(clock), plan=plan(STOCK_ONLY, DAY)
    )
    filled = asyncio.Event()

    async def fill_and_tell(*given: Any) -> None:
        assert clock.now() >= at_time("13:00")
        filled.set()
        await fill(*given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(after_sleep, "fill_today", fill_and_tell)
        watching = asyncio.create_task(catch_up_after_sleep(cast("DayParts", day)))
        await asyncio.wait_for(filled.wait(), 60)
        await clock.sleep_until(at_time("10:05"))
        assert not watching.done()
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


async def test_what_it_missed_is_fetched_at_once(
    database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with desk(database_url, tmp_path, at_time("13:00")) as at:
        asked = []

        async def fill(context: Any, names: Any, day: Any) -> None:
            asked.append((names, day))
            assert context.priority is Priority.BACKFILL

        await watch(at, fill)
    assert asked == [([STOCK], DAY)]
    assert caplog.text.count("⚠️ this machine slept for 180 minutes") == 1


async def test_a_kis_that_does_not_answer_then_ends_nothing(
    database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def fill(*_: Any) -> None:
        raise KisUnreachable("no network yet")

    async with desk(database_url, tmp_path, at_time("13:00")) as at:
        await watch(at, fill)
    assert "⚠️ what the sleep missed comes at the close: no network yet" in caplog.text
