"""The book of a future by the feed: what KIS sent is in the files, and each minute is counted."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from pydantic import SecretStr

from engine.errors import InputError
from engine.history import completeness
from engine.settings import AppKey, KisSettings
from engine.store import book_files
from pipelines.day.book_keeping import book_minutes
from pipelines.day.costs import require_pace
from pipelines.day_plan import plan
from pipelines.feed import Feed
from tests.pipelines.day.playing import DAY, FUTURE, at_time, play
from tests.pipelines.simulated import desk

FEED = Feed((), (FUTURE,), streams=("book",))
MINUTE = timedelta(minutes=1)


async def test_the_book_is_kept_as_the_market_has_it_and_missed_minutes_are_in_the_ledger(
    database_url: str, tmp_path: Path
) -> None:
    """The last minutes of trading, from a late start on."""
    async with desk(database_url, tmp_path, at_time("15:30:30")) as at:
        played = await play(at, database_url, tmp_path, feed=FEED, stream=True)
        assert played.error is None
        hub = at.simulator.stream
        session = plan(FEED, DAY).bars[0].session
        sent = [
            frame.text.split("|")[3].split("^")
            for block in range(hub.frames.blocks(FUTURE, session))
            for frame in hub.frames.block("H0IFASP0", FUTURE, session, block)
        ]
        minutes = await at.frame("SELECT * FROM book_minutes ORDER BY timestamp")
        gaps = await at.frame(
            "SELECT first_stamp::time::text, last_stamp::time::text, state FROM gaps"
            f" WHERE symbol = 'BOOK_{FUTURE}'"
        )
    book = book_files.scan_files(tmp_path / "book").collect()
    assert [path.name for path in (tmp_path / "book").iterdir()] == ["book_20251104.parquet"]
    first = book["told_at"][0]
    expected = [fields for fields in sent if fields[1] > f"{first:%H%M%S}"]
    kept = book.filter(pl.col("told_at") > first)
    assert kept["told_at"].dt.strftime("%H%M%S").to_list() == [row[1] for row in expected]
    for column, place in (("ask1", 2), ("ask5", 6), ("bid1", 7), ("bid5", 11)):
        assert kept[column].to_list() == [float(row[place]) for row in expected]
    for column, place in (("ask_orders1", 12), ("bid_size5", 31), ("bid_size1", 27)):
        assert kept[column].to_list() == [int(row[place]) for row in expected]
    assert minutes["updates"].sum() == book.height
    assert session.continuous_end in minutes["timestamp"]
    assert gaps.rows() == [("08:46:00", "15:30:00", "unavailable")]
    figures = completeness.figures(played.stats.final_minutes)
    counts = figures.filter(symbol=f"BOOK_{FUTURE}").row(0, named=True)
    assert (counts["stored"], counts["open"]) == (5, 0)


def test_a_minute_of_the_book_tells_its_longest_pause() -> None:
    ends = datetime(2026, 11, 18, 9, 1)
    seconds = [-50, -20, -19, 1]  # the last one came after the minute
    updates = pl.DataFrame(
        {
            "symbol": "A01612",
            "timestamp": [ends] * 4,
            "received_at": [ends + timedelta(seconds=one) for one in seconds],
        }
    )
    (row,) = book_minutes(updates).iter_rows(named=True)
    assert (row["updates"], row["longest_pause"]) == (4, 30.0)
    assert row["fetched_at"] == ends + timedelta(seconds=1)
    (alone,) = book_minutes(updates[1:2]).iter_rows(named=True)
    assert (alone["updates"], alone["longest_pause"]) == (1, 40.0)


def test_the_book_without_the_feed_is_refused_before_the_day() -> None:
    key = AppKey(app_key=SecretStr("key"), app_secret=SecretStr("secret"))
    with pytest.raises(InputError, match="set `stream` to true"):
        require_pace(plan(FEED, DAY), KisSettings(app_keys=(key,)))
    require_pace(plan(FEED, DAY), KisSettings(app_keys=(key,), stream=True))
