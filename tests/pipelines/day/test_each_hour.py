"""Whoever reads the log sees once an hour that all is well, or what is not."""

from __future__ import annotations

import asyncio
import logging
from datetime import date, datetime, timedelta
from types import SimpleNamespace

import pytest

from engine.clock import VirtualClock
from pipelines.day.each_hour import log_each_hour
from pipelines.day.statistics import DayStatistics
from pipelines.day_plan import plan
from pipelines.feed import Feed

DAY = date(2026, 11, 24)
FUTURE = "A01612"


async def lines_of(stored: int, caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return what is logged from half past eight on, with so many bars from the open on."""
    caplog.set_level(logging.INFO)
    clock = VirtualClock(datetime(2026, 11, 24, 8, 30))
    stats = DayStatistics(plan(Feed(futures=(FUTURE,)), DAY), simulated=True)
    opens = stats.plan.sessions[0].opens
    for minute in range(1, stored + 1):
        stats.mark_stored(FUTURE, opens + timedelta(minutes=minute))
    day = SimpleNamespace(clock=clock, stats=stats, plan=stats.plan)
    await asyncio.wait_for(log_each_hour(day), 10)  # type: ignore[arg-type]
    return caplog.records


async def test_each_hour_of_a_session_has_a_line(caplog: pytest.LogCaptureFixture) -> None:
    lines = await lines_of(420, caplog)
    assert len(lines) == 7  # 09:00 to 15:00
    assert {line.levelname for line in lines} == {"INFO"}
    assert all("✅ all is well, nothing is missing: " in line.message for line in lines)


async def test_what_is_missing_is_said_each_hour(caplog: pytest.LogCaptureFixture) -> None:
    lines = await lines_of(30, caplog)  # until 09:15; 10:00's bar is still on its way
    assert [line.levelname for line in lines] == ["INFO", *["WARNING"] * 6]
    assert lines[1].message.startswith("⚠️ 44 minutes are missing today (A01612): 30 bars")
