"""The close of a day whose database is away."""

from datetime import datetime

import polars as pl
import pytest

from engine.clock import VirtualClock
from engine.errors import StoreUnreachable
from pipelines.day.run import PATIENCE, patiently

CLOSE = datetime(2026, 11, 20, 15, 50)


async def test_the_close_waits_for_the_database():
    clock = VirtualClock(CLOSE)

    async def settle() -> pl.DataFrame:
        if clock.now() < CLOSE.replace(hour=16, minute=10):
            raise StoreUnreachable("the database is away")
        return pl.DataFrame({"settled": [clock.now()]})

    settled = await patiently(clock, settle)
    assert settled["settled"].to_list() == [CLOSE.replace(hour=16, minute=10)]


async def test_it_gives_up_in_the_end():
    clock = VirtualClock(CLOSE)

    async def settle() -> pl.DataFrame:
        raise StoreUnreachable("the database is away")

    with pytest.raises(StoreUnreachable):
        await patiently(clock, settle)
    assert clock.now() == CLOSE + PATIENCE
