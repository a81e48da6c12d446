"""KIS calls a day closed: it is asked again, and bars that come anyway are believed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from engine.kis.holidays import load_kis_days
from engine.market.sessions import Session
from engine.market.trading_days import is_trading_day, learn_closed_days
from engine.simulator import reference_answers
from engine.simulator.market.synthetic import SyntheticMarket
from pipelines.day_plan import next_plan
from pipelines.feed import Feed
from tests.pipelines.day.playing import DAY, FEED, STOCK, at_time, expected, play, statuses, stored
from tests.pipelines.simulated import desk


class Closed(SyntheticMarket):
    """A market that has no bars on the day: KIS was right."""

    def _bars(self, symbol: str, session: Session) -> pl.DataFrame:
        found = super()._bars(symbol, session)
        return found.clear() if session.date == DAY else found


@pytest.fixture(autouse=True)
def built_in_calendar() -> Iterator[None]:
    """Remove what the test taught the calendar."""
    yield
    learn_closed_days({})


@pytest.fixture
def lies(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often KIS still says that the day is closed; the questions are counted below it."""
    left = [1_000_000]
    honest = reference_answers._day_row

    def row(day: date) -> dict[str, str] | None:
        found = honest(day)
        if found and day == DAY:
            left[0] -= 1
            found["opnd_yn"] = "N" if left[0] >= 0 else "Y"
        return found

    monkeypatch.setattr(reference_answers, "_day_row", row)
    return left


async def test_one_wrong_answer_costs_nothing(
    database_url: str, tmp_path: Path, lies: list[int]
) -> None:
    """KIS is asked again before the open, and then says the truth."""
    lies[0] = 1
    async with desk(database_url, tmp_path, at_time("08:50")) as at:
        played = await play(at, database_url, tmp_path, until=at_time("09:03:30"))
        assert not played.stats.closed
        assert await stored(at, STOCK, "stocks_1m") == expected(at, STOCK, at_time("09:03"))
        assert lies == [-1]
        assert (await statuses(at))["collector"] == "stopped"


@pytest.mark.parametrize("feed", [FEED, Feed((STOCK,))], ids=["future", "stock"])
async def test_bars_that_come_anyway_are_believed(
    database_url: str, tmp_path: Path, lies: list[int], feed: Feed
) -> None:
    start, end = at_time("08:40"), at_time("09:04:30")
    async with desk(database_url, tmp_path, start) as at:
        played = await play(at, database_url, tmp_path, until=end, feed=feed)
        assert not played.stats.closed
        assert await stored(at, STOCK, "stocks_1m") == expected(at, STOCK, at_time("09:04"))
        asked = 1_000_000 - lies[0]
        assert 2 <= asked <= 6, "asked again until the open, with pauses"
    learn_closed_days({})
    load_kis_days(tmp_path / "kis" / "opening_days.json")
    assert is_trading_day(DAY), "validate and backfill must expect the day's bars"


async def test_a_restart_asks_again(database_url: str, tmp_path: Path, lies: list[int]) -> None:
    async with desk(database_url, tmp_path, at_time("08:50")) as at:
        await play(at, database_url, tmp_path, until=at_time("08:50:30"))
        lies[0] = 0
        played = await play(at, database_url, tmp_path, until=at_time("09:02:30"))
        assert not played.stats.closed
        assert await stored(at, STOCK, "stocks_1m") == expected(at, STOCK, at_time("09:02"))


@pytest.mark.usefixtures("lies")
async def test_a_day_without_bars_is_closed(database_url: str, tmp_path: Path) -> None:
    """Nothing is stored, the day ends soon after the open, and a new start turns to the next."""
    async with desk(database_url, tmp_path, at_time("08:50"), market=Closed(3)) as at:
        played = await play(at, database_url, tmp_path)
        assert played.error is None
        assert played.stats.closed
        assert played.stats.as_json()["closed"] is True
        assert played.ended_at < at_time("09:07")
        assert "collector" not in await statuses(at)
        assert not is_trading_day(DAY)
        learn_closed_days({})
        load_kis_days(tmp_path / "kis" / "opening_days.json", doubted=DAY)
        following = next_plan(Feed((STOCK,)), at.clock)
        assert following.day == date(2025, 11, 5)
