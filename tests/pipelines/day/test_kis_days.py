"""The holidays that KIS announces are used by every command, not by the collector alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

import pytest

from engine.clock import VirtualClock
from engine.kis.holidays import store_kis_days
from engine.market.trading_days import learn_closed_days
from engine.settings import load_settings
from pipelines.commands.calendar import calendar
from pipelines.databases import load_kis_holidays
from pipelines.day_plan import next_plan
from pipelines.feed import Feed

ANNOUNCED = {date(2026, 11, 24): False, date(2026, 12, 25): True}


@pytest.fixture
def announced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("KRT_DATA_FOLDER", str(tmp_path))
    file = tmp_path / "live" / "kis" / "opening_days.json"
    file.parent.mkdir(parents=True)
    store_kis_days(file, ANNOUNCED)
    yield
    learn_closed_days({})


@pytest.mark.usefixtures("announced")
def test_a_new_holiday_is_closed_in_the_calendar(
    capsys: pytest.CaptureFixture[str],
) -> None:
    calendar(2026, format="json")
    days = {day["date"]: day["derivatives"] for day in json.loads(capsys.readouterr().out)}
    assert days["2026-11-24"] is None
    assert days["2026-12-25"] is not None


@pytest.mark.usefixtures("announced")
def test_a_day_on_which_kis_opens_after_all_is_collected() -> None:
    load_kis_holidays(load_settings())
    plan = next_plan(Feed(futures=("A01",)), VirtualClock(datetime(2026, 12, 25, 8)))
    assert plan.day == date(2026, 12, 25)


@pytest.mark.usefixtures("announced")
def test_a_start_on_a_day_that_kis_called_closed_plans_that_day_and_asks_again() -> None:
    closed = date(2026, 11, 24)
    clock = VirtualClock(datetime(2026, 11, 24, 8))
    load_kis_holidays(load_settings())
    assert next_plan(Feed(futures=("A01",)), clock).day == date(2026, 11, 25)
    load_kis_holidays(load_settings(), doubted=closed)
    assert next_plan(Feed(futures=("A01",)), clock).day == closed
