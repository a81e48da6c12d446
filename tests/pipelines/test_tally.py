"""The day's numbers: a bar that the start fetched for a time before it did not come late."""

from datetime import date, datetime

from engine.store import MergeCounts
from pipelines.day.feed import Feed, plan
from pipelines.day.tally import Tally
from tests.store.data import futures_bars

DAY = date(2025, 9, 1)


def test_the_slowest_minute_is_of_bars_that_were_waited_for():
    tally, now = Tally(plan(Feed(futures=("A01",)), DAY), simulated=True), datetime(2025, 9, 1, 13)
    for start in (datetime(2025, 9, 1, 12, 50), datetime(2025, 9, 1, 9)):  # the newest first
        bars = futures_bars([1.0] * 10, start=start)
        tally.note_bars(bars, MergeCounts(inserted=10), now)
    assert tally.bars == 20
    assert tally.slowest == (datetime(2025, 9, 1, 12, 59), 60.0)
    late = futures_bars([1.0], start=datetime(2025, 9, 1, 13))
    tally.note_bars(late, MergeCounts(inserted=1), datetime(2025, 9, 1, 13, 2, 3))
    assert tally.slowest == (datetime(2025, 9, 1, 13), 123.0)
