"""The close of a day whose database cannot be reached."""

from datetime import datetime

import polars as pl
import pytest

from engine.clock import VirtualClock
from engine.errors import StoreUnreachable
from pipelines.day.run import DATABASE_WAIT, retry_while_unreachable

CLOSE = datetime(2026, 11, 20, 15, 50)


async def test_the_close_waits_for_the_database():
    clock = VirtualClock(CLOSE)

    async def job() -> pl.DataFrame:
        if clock.now() < CLOSE.replace(hour=16, minute=10):
            raise StoreUnreachable("the database is away")
        return pl.DataFrame({"done_at": [clock.now()]})

    result = await retry_while_unreachable(clock, job)
    assert result["done_at"].to_list() == [CLOSE.replace(hour=16, minute=10)]


async def test_the_close_gives_up_after_two_hours():
    clock = VirtualClock(CLOSE)

    async def job() -> pl.DataFrame:
        raise StoreUnreachable("the database is away")

    with pytest.raises(StoreUnreachable):
        await retry_while_unreachable(clock, job)
    assert clock.now() == CLOSE + DATABASE_WAIT
