"""Patience with a database that is away, and its end."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from engine.clock import VirtualClock
from engine.errors import KisUnreachable, StoreError, StoreUnreachable
from pipelines.day.patience import Patience

CLOSE = datetime(2026, 11, 20, 15, 50)
BACK = CLOSE + timedelta(minutes=20)
END = CLOSE + timedelta(hours=2)


class AwayUntil:
    """A job whose database is back at a moment."""

    def __init__(self, clock: VirtualClock, back: datetime) -> None:
        self._clock = clock
        self._back = back
        self.tries = 0

    async def __call__(self) -> datetime:
        self.tries += 1
        if self._clock.now() < self._back:
            raise StoreUnreachable("the database is away")
        return self._clock.now()


async def test_a_job_waits_for_the_database_and_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "pipelines")
    clock = VirtualClock(CLOSE)
    job = AwayUntil(clock, BACK)
    done = await Patience(clock).retry("the comparison", job)
    assert BACK <= done <= BACK + timedelta(minutes=1)
    assert job.tries < 30
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "⚠️ the comparison waits for the database: the database is away",
        "✅ the database is back: the comparison goes on",
    ]


async def test_patience_ends_with_the_day_and_says_what_waited() -> None:
    clock = VirtualClock(CLOSE)
    patience = Patience(clock)
    with pytest.raises(StoreUnreachable, match="the comparison had no database until 17:50: the"):
        async with patience.until(END):
            await patience.retry("the comparison", AwayUntil(clock, END + timedelta(days=1)))
    assert clock.now() == END


async def test_a_refusal_is_not_waited_for() -> None:
    clock = VirtualClock(CLOSE)

    async def refused() -> None:
        raise StoreError("permission denied")

    with pytest.raises(StoreError, match="permission denied"):
        await Patience(clock).retry("the comparison", refused)
    assert clock.now() == CLOSE


async def test_a_close_without_kis_ends_too() -> None:
    clock = VirtualClock(CLOSE)
    with pytest.raises(KisUnreachable, match="could not be compared with KIS until 17:50"):
        async with Patience(clock).until(END):
            await clock.sleep(86_400)
    assert clock.now() == END
