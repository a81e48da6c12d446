"""How things stand while a night is on, after midnight too: as by day."""

from __future__ import annotations

from datetime import datetime, time, timedelta

import polars as pl
import pytest

from engine import schemas
from engine.clock import VirtualClock
from engine.store import Store
from engine.store.metadata import store_collected_symbols
from pipelines.reports.dashboard.content import Viewer
from pipelines.reports.standing import begin_of_today, night_on
from pipelines.reports.status import feed_lines, sentences
from tests.pipelines.conftest import bars
from tests.pipelines.reports.test_standing import FUTURE, MONDAY, STOCK, beat, collect, stand

NIGHT = "A01612_NIGHT"
DONE = datetime(2026, 11, 16, 15, 55)  # the day's collector
EVENING, AFTER_MIDNIGHT = datetime(2026, 11, 16, 18, 10), datetime(2026, 11, 17, 0, 30)


async def collect_day_and_night(store: Store, until: datetime | None = None) -> None:
    """Store a day, and its night until a moment; without one nobody collects the night."""
    await collect(store, MONDAY)
    await store_collected_symbols(
        store, MONDAY, [FUTURE, STOCK, NIGHT], datetime.combine(MONDAY, time(8))
    )
    if until:
        night = bars([NIGHT], MONDAY, MONDAY, 1050.0).filter(pl.col("timestamp") <= until)
        batch = schemas.conform(night, schemas.FUTURES_BARS)
        await store.merge("futures_night_1m", batch)


def page(url: str, now: datetime) -> str:
    return Viewer(url, simulated=False, clock=VirtualClock(now)).read().html()


@pytest.mark.parametrize(("now", "missing"), [(EVENING, 9), (AFTER_MIDNIGHT, 389)])
async def test_a_night_without_a_collector_is_amiss(
    store: Store, database_url: str, now: datetime, missing: int
) -> None:
    """That the day's collector is done says nothing of the night."""
    await collect_day_and_night(store)
    await beat(database_url, "done", DONE)
    found = stand(database_url, now)
    assert (found.state, found.exit_code, found.lacks_collector) == ("amiss", 1, True)
    assert (found.missing_today, found.missing_since) == (missing, datetime(2026, 11, 16, 18, 1))
    assert sentences(found)[0] == (
        "❌ no collector is running (the last heartbeat: done, 2026-11-16 15:55);"
        f" {missing} minutes are missing since 18:01"
    )
    shown = page(database_url, now)
    assert "수집기가 실행되고 있지 않습니다" in shown
    assert f"18:01부터 누락 {missing:,}분" in shown
    assert NIGHT in shown


@pytest.mark.parametrize(
    ("status", "at", "state"),
    [
        ("running", AFTER_MIDNIGHT - timedelta(seconds=61), "well"),
        ("running", AFTER_MIDNIGHT - timedelta(minutes=5), "amiss"),  # it died
        ("stopped", AFTER_MIDNIGHT - timedelta(seconds=1), "amiss"),
    ],
)
async def test_a_collector_runs_after_midnight_if_its_heartbeat_is_young(
    store: Store, database_url: str, status: str, at: datetime, state: str
) -> None:
    await collect_day_and_night(store, AFTER_MIDNIGHT)
    await beat(database_url, status, at)
    found = stand(database_url, AFTER_MIDNIGHT)
    assert (found.state, found.missing) == (state, 0)
    assert ('data-krt="banner"' in page(database_url, AFTER_MIDNIGHT)) == (state == "amiss")


async def test_between_the_sessions_no_collector_has_to_run(
    store: Store, database_url: str
) -> None:
    await collect_day_and_night(store, datetime(2026, 11, 17, 6))
    await beat(database_url, "done", DONE)
    assert stand(database_url, datetime(2026, 11, 16, 17)).state == "well"
    await beat(database_url, "done", datetime(2026, 11, 17, 6, 5))
    found = stand(database_url, datetime(2026, 11, 17, 7))
    assert (found.state, found.session_is_on) == ("well", False)
    assert found.missing == 0


async def test_a_day_that_nobody_collected_is_amiss_before_its_night_begins(
    store: Store, database_url: str
) -> None:
    """The night's collector ended that morning, so there was a sign of life on the date."""
    await store_collected_symbols(
        store, MONDAY, [FUTURE, STOCK, NIGHT], datetime.combine(MONDAY, time(8))
    )
    await beat(database_url, "done", datetime(2026, 11, 16, 6, 5))
    found = stand(database_url, datetime(2026, 11, 16, 17))
    assert (found.state, found.nobody_collected) == ("amiss", True)


async def test_the_feed_of_a_night_is_told_while_it_is_on(store: Store, database_url: str) -> None:
    await collect_day_and_night(store, datetime(2026, 11, 17, 0, 20))
    since = datetime(2026, 11, 16, 17, 50)
    rows = [(MONDAY, FUTURE, False, DONE, "the feed has ended"), (MONDAY, NIGHT, True, since, None)]
    states = pl.DataFrame(rows, pl.Schema(schemas.FEED_SYMBOLS), orient="row")
    await store.merge("feed_symbols", schemas.conform(states, schemas.FEED_SYMBOLS))
    stamp = datetime(2026, 11, 17, 0, 21)
    at = Store(database_url, VirtualClock(stamp + timedelta(seconds=1)), component="test")
    one = bars([NIGHT], MONDAY, MONDAY, 1050.0).filter(pl.col("timestamp") == stamp)
    told = one.with_columns(source=pl.lit(schemas.FEED), fetched_at=pl.lit(at.now()))
    await at.merge("futures_night_1m", schemas.conform(told, schemas.FUTURES_BARS))
    await at.close()
    found = stand(database_url, AFTER_MIDNIGHT)
    assert feed_lines(found, stream=True) == [
        "1 of 1 symbols by feed, late by p50 1.0 s, p99 1.0 s, last 1.0 s"
    ]
    by_day = stand(database_url, datetime(2026, 11, 16, 16))
    assert feed_lines(by_day, stream=True)[0].startswith("1 of 2 symbols by feed")


def test_which_night_is_on() -> None:
    assert night_on(datetime(2026, 11, 16, 17, 59)) is None
    for now in (datetime(2026, 11, 16, 18), datetime(2026, 11, 17, 5, 59)):
        tonight = night_on(now)
        assert tonight is not None
        assert tonight.date == MONDAY
    assert night_on(datetime(2026, 11, 17, 9)) is None
    assert night_on(datetime(2026, 11, 16, 2)) is None  # Sunday's evening
    assert begin_of_today(AFTER_MIDNIGHT) == datetime(2026, 11, 16, 18)
    assert begin_of_today(EVENING) == datetime(2026, 11, 16)
    assert begin_of_today(datetime(2026, 11, 17, 9)) == datetime(2026, 11, 17)
