"""The day's numbers: what is missing of it, and which minute was slowest."""

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


def note(day: DayStatistics, count: int, start: datetime, now: datetime) -> None:
    bars = futures_bars([1.0] * count, start=start)
    day.count_bars(bars, MergeCounts(inserted=count), now)


def test_the_slowest_minute_is_of_bars_that_were_waited_for() -> None:
    day, now = stats(), datetime(2025, 9, 1, 13)
    for start in (datetime(2025, 9, 1, 12, 50), datetime(2025, 9, 1, 9)):  # the newest first
        note(day, 10, start, now)
    assert day.bars == 20
    assert day.slowest == (datetime(2025, 9, 1, 12, 59), 60.0)
    note(day, 1, datetime(2025, 9, 1, 13), datetime(2025, 9, 1, 13, 2, 3))
    assert day.slowest == (datetime(2025, 9, 1, 13), 123.0)


def test_the_auctions_minute_ends_a_minute_after_its_stamp() -> None:
    day = stats()
    note(day, 1, datetime(2025, 9, 1, 15, 35), datetime(2025, 9, 1, 15, 35, 4))
    note(day, 1, datetime(2025, 9, 1, 15, 45), datetime(2025, 9, 1, 15, 46, 3))
    assert day.slowest == (datetime(2025, 9, 1, 15, 35), 4.0)


def test_a_newer_bar_does_not_stand_for_one_that_is_missing() -> None:
    day = stats()
    [bars] = day.plan.bars
    note(day, 3, OPEN, OPEN + 3 * MINUTE)
    note(day, 2, OPEN + 4 * MINUTE, OPEN + 6 * MINUTE)  # 08:49 is missing, 08:51 is the newest
    assert missing(day, bars) == [0, 0, 0, 1, 1, 1, 2]


def test_what_was_stored_before_a_restart_is_not_missing() -> None:
    day = stats()
    [bars] = day.plan.bars
    for stamp in (OPEN, OPEN + MINUTE):
        day.mark_stored(bars.symbol, stamp)
    note(day, 1, OPEN + 2 * MINUTE, OPEN + 3 * MINUTE)
    assert missing(day, bars) == [0, 0, 0, 1, 2, 3, 4]
    assert day.bars == 3


def test_a_day_that_is_stored_already_is_shown_as_it_goes_by() -> None:
    day = stats()
    [bars] = day.plan.bars
    for stamp in bars.session.stamps():
        day.mark_stored(bars.symbol, stamp)
    for n in range(2):
        note(day, 1, OPEN + n * MINUTE, OPEN + n * MINUTE + timedelta(seconds=3))
    assert day.last_bar[bars.symbol]["timestamp"] == OPEN + MINUTE
    assert day.slowest == (OPEN, 3.0)


def missing(day: DayStatistics, bars: BarPlan) -> list[int]:
    """How many are missing at each minute from the first stamp on."""
    return [day.missing(bars, OPEN + n * MINUTE) for n in range(7)]
