"""Other venues of stocks are collected by the run of the day, each apart from the others."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from engine.clock import VirtualClock
from engine.errors import InputError
from engine.market.symbols import parse
from pipelines.day.costs import calls_a_minute
from pipelines.day.statistics import DayStatistics
from pipelines.day_plan import next_plan, plan, plan_night
from pipelines.feed import DataFeedBuilder, Feed
from pipelines.history.backfill import backfill
from pipelines.history.validate import validate
from tests.pipelines.day.test_night import collect
from tests.pipelines.simulated import Desk, desk

DAY, TABLE = date(2026, 11, 18), "stocks_venue_1m"
SYMBOLS = ["005930_AFTER", "005930_NX", "005930_UN"]
VENUES = ("J", "AFTER", "NX", "UN")
FEED = Feed(stocks=("005930",), venues=VENUES)
WITH_NIGHT = Feed(stocks=("005930",), futures=("A01",), night=True, venues=VENUES)


async def day_is_whole(at: Desk, stats: DayStatistics) -> None:
    """Every bar that the simulator holds of each venue is there, and nothing else."""
    of_day = pl.col("timestamp").dt.date() == DAY
    stored = (await at.bars(TABLE)).filter(of_day).sort("symbol", "timestamp")
    served = pl.concat([at.served(symbol, DAY) for symbol in SYMBOLS])
    assert_frame_equal(stored, served.sort("symbol", "timestamp"))
    regular = (await at.bars("stocks_1m")).filter(of_day)
    assert_frame_equal(regular, at.served("005930", DAY))
    assert stats.bars == stored.height + regular.height
    # Both together are what either has: nothing of one venue stands under another.
    krx = pl.concat([regular, stored.filter(symbol="005930_AFTER")])
    nextrade = stored.filter(symbol="005930_NX")
    both = stored.filter(symbol="005930_UN")
    assert both["volume"].sum() == krx["volume"].sum() + nextrade["volume"].sum()
    assert both["high"].max() == max(krx["high"].max(), nextrade["high"].max())
    beat = await at.frame("SELECT status FROM system_status WHERE component = 'collector'")
    assert beat["status"].to_list() == ["done"]
    assert stats.signals == {}
    await backfill(await at.next_run(), ["005930", *SYMBOLS], DAY, DAY)  # a second answer
    found = await validate(at.store, at.clock, [], DAY, DAY)
    assert found.exit_code == 0
    planned = await at.frame("SELECT symbol FROM collected_symbols ORDER BY 1")
    assert planned["symbol"].to_list() == ["005930", *SYMBOLS]


async def test_the_venues_are_whole_though_the_collector_came_late(
    database_url: str, tmp_path: Path
) -> None:
    """It starts at 19:50: what it missed is filled, the last minutes come live."""
    now = datetime(2026, 11, 18, 19, 50)
    async with desk(database_url, tmp_path, now) as at:
        session = next_plan(FEED, at.clock)
        assert (session.name, session.names) == ("2026-11-18", ["005930", *SYMBOLS])
        stats = await collect(at, database_url, tmp_path, session)
        assert at.clock.now() >= datetime(2026, 11, 18, 20, 5)  # the last session has closed
        await day_is_whole(at, stats)
        stored = await at.bars(TABLE)
        traded = stored.filter(pl.col("timestamp") > now)["timestamp"].unique()
        assert {stamp for stamp in stats.delays if stamp > now} == set(traded)
        assert traded.len() >= 8


@pytest.mark.long
async def test_a_whole_day_of_venues(database_url: str, tmp_path: Path) -> None:
    async with desk(database_url, tmp_path, datetime(2026, 11, 18, 7, 30)) as at:
        stats = await collect(at, database_url, tmp_path, next_plan(FEED, at.clock))
        await day_is_whole(at, stats)


def test_the_default_is_the_regular_session() -> None:
    assert plan(Feed(stocks=("005930",)), DAY).names == ["005930"]
    only = plan(Feed(stocks=("005930", "000660"), venues=("NX",)), DAY)
    assert only.names == ["005930_NX", "000660_NX"]
    assert only.by_feed.bars == ()  # the feed has none of them
    built = DataFeedBuilder().add_stock("005930").add_venue("AFTER").build()
    assert plan(built, DAY).names == ["005930", "005930_AFTER"]
    assert plan(built, date(2026, 9, 11)).skipped == ("005930_AFTER",)
    assert {bars.table for bars in plan(built, DAY).bars} == {"stocks_1m", TABLE}
    with pytest.raises(InputError, match="collect 005930, with NX among the `venues`"):
        plan(Feed(stocks=("005930_NX",)), DAY)


def test_the_run_of_the_night_goes_on_with_the_evening_of_the_venues() -> None:
    """The night begins at 18:00, the venues close at 20:00, and one run is on at a time."""
    of_day, of_night = plan(WITH_NIGHT, DAY), plan_night(WITH_NIGHT, DAY)
    assert of_day.names == ["A01612", "005930"]
    assert [bars.symbol for bars in of_day.handed_on] == SYMBOLS
    assert of_night.names == ["A01612_NIGHT", *SYMBOLS]
    assert of_day.tonight == of_night
    assert of_night.watched(nights=True) == ["A01612_NIGHT"]
    assert of_night.watched(nights=False) == []
    assert calls_a_minute(of_day)["bars"] == 5
    after_close = VirtualClock(datetime(2026, 11, 18, 16))
    assert next_plan(WITH_NIGHT, after_close).night
    # A night that may not be held begins when the venues have closed.
    eve = date(2026, 9, 22)
    doubtful = next(
        day
        for day in (eve + timedelta(days=n) for n in range(5))
        if parse("005930_NX").session(day) and not plan(WITH_NIGHT, day).handed_on
    )
    assert set(SYMBOLS) <= set(plan(WITH_NIGHT, doubtful).names)
    assert not set(SYMBOLS) & set(plan_night(WITH_NIGHT, doubtful).names)


@pytest.mark.long
async def test_the_day_hands_the_venues_on_and_the_night_closes_them(
    database_url: str, tmp_path: Path
) -> None:
    """The day's run ends with the day, the night's has the whole evening in the end."""
    async with desk(database_url, tmp_path, datetime(2026, 11, 18, 15, 44)) as at:
        of_day = next_plan(WITH_NIGHT, at.clock)
        assert not of_day.night
        stats = await collect(at, database_url, tmp_path, of_day)
        assert at.clock.now() < datetime(2026, 11, 18, 16)
        so_far = await at.bars(TABLE)
        assert so_far["timestamp"].max() >= datetime(2026, 11, 18, 15, 45)
        assert set(so_far["symbol"]) == {"005930_NX", "005930_UN"}  # the after-market begins later
        assert stats.minutes is not None
        assert set(stats.minutes["symbol"]) == {"A01612", "005930"}
        planned = await at.frame("SELECT symbol FROM collected_symbols ORDER BY 1")
        assert set(SYMBOLS) < set(planned["symbol"])

        await at.clock.sleep_until(datetime(2026, 11, 19, 5, 46))  # this machine slept
        of_night = next_plan(WITH_NIGHT, at.clock)
        assert of_night.night
        stats = await collect(at, database_url, tmp_path, of_night)
        stored = (await at.bars(TABLE)).filter(pl.col("timestamp").dt.date() == DAY)
        served = pl.concat([at.served(symbol, DAY) for symbol in SYMBOLS])
        assert_frame_equal(stored.sort("symbol", "timestamp"), served.sort("symbol", "timestamp"))
        assert stats.minutes is not None
        assert set(SYMBOLS) < set(stats.minutes["symbol"])
        assert stats.signals == {}
