"""The figures of a day: how many bars are missing, and which minute was slowest."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from io import StringIO

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, RenderableType

from engine.history.completeness import figures
from engine.history.delays import live_delay, live_delays
from engine.market.symbols import parse_chain
from engine.store import MergeCounts
from pipelines.day.statistics import CommittedBars, DayStatistics
from pipelines.day.summary import summary
from pipelines.day_plan import plan
from pipelines.feed import Feed
from pipelines.texts import Texts
from tests.engine.store.data import OPEN, futures_bars

DAY = date(2025, 9, 1)
MINUTE = timedelta(minutes=1)


def stats() -> DayStatistics:
    return DayStatistics(plan(Feed(futures=("A01",)), DAY), simulated=True)


def count(day: DayStatistics, number: int, start: datetime, now: datetime) -> None:
    bars = futures_bars([1.0] * number, start=start, fetched=now)
    day.count_bars([CommittedBars(bars, now, MergeCounts(inserted=number))])


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


def test_a_bar_that_was_stored_already_is_not_late() -> None:
    """The comparison after the close brings all bars once more."""
    day = stats()
    count(day, 1, OPEN, OPEN + timedelta(seconds=3))
    count(day, 1, OPEN, OPEN + 2 * MINUTE)
    assert day.slowest == (OPEN, 3.0)


def test_a_bar_of_yesterday_has_no_delay() -> None:
    """Backfilled bars were shown with a usual delay of 97,200 s."""
    bars = pl.DataFrame(
        {
            "symbol": ["101W09"] * 3,
            "timestamp": [OPEN, OPEN + MINUTE, OPEN + 2 * MINUTE],
            "fetched_at": [OPEN + timedelta(hours=27)] * 2 + [OPEN + timedelta(minutes=2.05)],
            "committed_at": [OPEN + timedelta(hours=27)] * 2 + [OPEN + timedelta(minutes=2.1)],
        }
    )
    bars = bars.with_columns(since=pl.lit(None, pl.Datetime("us")))
    assert live_delays(bars).rows() == [("101W09", OPEN + 2 * MINUTE, 6.0)]


def test_a_bar_that_was_over_when_the_collector_set_out_is_not_late() -> None:
    """A day begun at 15:36 said: slowest minute 15:35, committed 96.2 s after its end."""
    late, last = datetime(2025, 9, 1, 15, 34), datetime(2025, 9, 1, 15, 45)
    for since, expected in (
        (late + 2 * MINUTE, (last, 5.0)),
        (late, (late, 125.0)),  # a collector was there: it should have had it
    ):
        day = stats()
        day.since = since
        count(day, 2, late - MINUTE, late + timedelta(minutes=2, seconds=5))
        count(day, 1, last, last + MINUTE + timedelta(seconds=5))
        assert day.slowest == max(expected, (last, 5.0), key=lambda found: found[1])
        assert min(day.delays) == expected[0]


@given(
    waited=st.integers(-2, 200),
    committed=st.integers(0, 9_000_000),
    begun=st.none() | st.integers(-90, 90),
    stamp=st.sampled_from([datetime(2025, 9, 1, 15, 34), datetime(2025, 9, 1, 15, 45)]),
)
def test_the_delay_of_one_bar_is_that_among_many(
    waited: int, committed: int, begun: int | None, stamp: datetime
) -> None:
    """The day counts a bar as it comes; status and page read many of them from the database."""
    day = stats()
    [bars] = day.plan.bars
    since = None if begun is None else stamp + timedelta(seconds=begun)
    fetched = stamp + timedelta(seconds=waited)
    stored = fetched + timedelta(microseconds=committed)
    frame = pl.DataFrame(
        {"symbol": [bars.symbol], "timestamp": [stamp], "fetched_at": [fetched]}
    ).with_columns(committed_at=pl.lit(stored), since=pl.lit(since, pl.Datetime("us")))
    among_many = live_delays(frame)["delay"].to_list()
    alone = live_delay(bars.session.finished_at(stamp), fetched, stored, since)
    assert among_many == ([] if alone is None else [pytest.approx(alone, abs=1e-9)])


def test_a_newer_bar_does_not_hide_a_missing_one() -> None:
    day = stats()
    count(day, 3, OPEN, OPEN + 3 * MINUTE)
    count(day, 2, OPEN + 4 * MINUTE, OPEN + 6 * MINUTE)  # 08:49 is missing, 08:51 is the newest
    assert missing(day) == [0, 0, 0, 0, 1, 1, 1, 2]


def test_what_was_stored_before_a_restart_is_not_missing() -> None:
    day = stats()
    [bars] = day.plan.bars
    for stamp in (OPEN, OPEN + MINUTE):
        day.mark_stored(bars.symbol, stamp)
    count(day, 1, OPEN + 2 * MINUTE, OPEN + 3 * MINUTE)
    assert missing(day) == [0, 0, 0, 0, 1, 2, 3, 4]
    assert day.bars == 3


def test_a_day_that_is_stored_already_is_shown_as_its_bars_come() -> None:
    day = stats()
    [bars] = day.plan.bars
    count(day, 1, OPEN, OPEN + timedelta(seconds=3))
    for stamp in bars.session.stamps():
        day.mark_stored(bars.symbol, stamp)
    count(day, 1, OPEN + MINUTE, OPEN + MINUTE + timedelta(seconds=3))
    assert day.last_bar[bars.symbol]["timestamp"] == OPEN + MINUTE
    assert day.slowest == (OPEN, 3.0)


def test_a_snapshot_that_was_missed_keeps_the_day_from_being_complete() -> None:
    """The summary said "is complete" above 802 missing minutes of the chain."""
    feed = Feed(futures=("A01",), option_chains=(parse_chain("front"),))
    day = DayStatistics(plan(feed, DAY), simulated=True)
    [bars], [chain] = day.plan.bars, day.plan.chains
    for stamp in bars.session.stamps():
        day.mark_stored(bars.symbol, stamp)
    for stamp in chain.session.minute_grid()[5:]:
        day.mark_stored(chain.underlying_symbol, stamp)
    evening = datetime(2025, 9, 1, 18)
    day.end({}, evening)
    assert (day.missing, day.complete, day.bars) == (5, False, 411)
    day.minutes = day.minutes_until(evening)
    assert not day.complete
    assert "5 minutes are missing" in text(summary(day, Texts("en")))
    for stamp in chain.session.minute_grid():
        day.mark_stored(chain.underlying_symbol, stamp)
    day.minutes = None
    day.minutes = day.minutes_until(evening)
    assert (day.missing, day.complete) == (0, True)
    assert "🎉 2025-09-01 is complete" in text(summary(day, Texts("en")))
    day.interrupted = True
    assert not day.complete


def test_a_day_of_which_batches_wait_in_the_spool_is_not_complete() -> None:
    """The summary said "is complete", and the command ended with 0."""
    day = DayStatistics(plan(Feed(futures=("A01",)), DAY), simulated=True)
    [bars] = day.plan.bars
    for stamp in bars.session.stamps():
        day.mark_stored(bars.symbol, stamp)
    day.minutes = day.minutes_until(datetime(2025, 9, 1, 18))
    assert day.complete
    day.count_spooled(3)
    assert not day.complete
    assert day.as_json()["spooled"] == 3
    words = " ".join(text(summary(day, Texts("en"))).split())
    assert "⚠️ 2025-09-01 is not complete: 3 batches wait in the spool" in words


def text(shown: RenderableType) -> str:
    console = Console(file=StringIO(), width=120)
    console.print(shown)
    return console.file.getvalue()  # type: ignore[attr-defined]


def missing(day: DayStatistics) -> list[int]:
    """Return how many are missing in the first minutes."""
    moments = [OPEN + n * MINUTE for n in range(8)]
    return [figures(day.minutes_until(now))["missing"].sum() for now in moments]
