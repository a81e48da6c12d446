"""The figures of a day: how many bars are missing, and which minute was slowest."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from engine.store import MergeCounts
from pipelines.day.statistics import DayStatistics
from pipelines.feed import BarPlan, Feed, plan
from tests.engine.store.data import OPEN, futures_bars

DAY = date(2025, 9, 1)
MINUTE = timedelta(minutes=1)


def stats() -> DayStatistics:
    return DayStatistics(plan(Feed(futures=("A01",)), DAY), simulated=True)


def count(day: DayStatistics, number: int, start: datetime, now: datetime) -> None:
    bars = futures_bars([1.0] * number, start=start)
    day.count_bars(bars, MergeCounts(inserted=number), now)


def test_bars_fetched_afterwards_are_not_the_slowest_minute() -> None:
    day = stats()
    now = datetime(2025, 9, 1, 13)
    for start in (datetime(2025, 9, 1, 12, 50), datetime(2025, 9, 1, 9)):  # the newest first
        count(day, 10, start, now)
    assert day.bars == 20
    assert day.slowest == (datetime(2025, 9, 1, 12, 59), 60.0)
    count(day, 1, datetime(2025, 9, 1, 13), datetime(2025, 9, 1, 13, 2, 3))
    assert day.slowest == (datetime(2025, 9, 1, 13), 123.0)


def test_the_auctions_minute_ends_a_minute_after_its_stamp() -> None:
    day = stats()
    count(day, 1, datetime(2025, 9, 1, 15, 35), datetime(2025, 9, 1, 15, 35, 4))
    count(day, 1, datetime(2025, 9, 1, 15, 45), datetime(2025, 9, 1, 15, 46, 3))
    assert day.slowest == (datetime(2025, 9, 1, 15, 35), 4.0)


def test_a_newer_bar_does_not_hide_a_missing_one() -> None:
    day = stats()
    [bars] = day.plan.bars
    count(day, 3, OPEN, OPEN + 3 * MINUTE)
    count(day, 2, OPEN + 4 * MINUTE, OPEN + 6 * MINUTE)  # 08:49 is missing, 08:51 is the newest
    assert missing(day, bars) == [0, 0, 0, 1, 1, 1, 2]


def test_what_was_stored_before_a_restart_is_not_missing() -> None:
    day = stats()
    [bars] = day.plan.bars
    for stamp in (OPEN, OPEN + MINUTE):
        day.mark_stored(bars.symbol, stamp)
    count(day, 1, OPEN + 2 * MINUTE, OPEN + 3 * MINUTE)
    assert missing(day, bars) == [0, 0, 0, 1, 2, 3, 4]
    assert day.bars == 3


def test_a_day_that_is_stored_already_is_shown_as_its_bars_come() -> None:
    day = stats()
    [bars] = day.plan.bars
    for stamp in bars.session.stamps():
        day.mark_stored(bars.symbol, stamp)
    for n in range(2):
        count(day, 1, OPEN + n * MINUTE, OPEN + n * MINUTE + timedelta(seconds=3))
    assert day.last_bar[bars.symbol]["timestamp"] == OPEN + MINUTE
    assert day.slowest == (OPEN, 3.0)


def missing(day: DayStatistics, bars: BarPlan) -> list[int]:
    """Return how many are missing at each of the first minutes."""
    return [day.missing(bars, OPEN + n * MINUTE) for n in range(7)]
