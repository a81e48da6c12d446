"""The page before the open: what will be collected, who will do it, what the last session lacks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from html import unescape

import pytest

from engine.clock import WallClock
from pipelines.read_only import reader_url
from pipelines.reports.dashboard.choice import PageChoice
from pipelines.reports.dashboard.content import Viewer
from pipelines.texts import Texts
from tests.databases import command, fresh_database
from tests.pipelines.conftest import DAY


class At(WallClock):
    """A moment."""

    def __init__(self, moment: str) -> None:
        self._moment = datetime.fromisoformat(moment)

    def now(self) -> datetime:
        return self._moment


@pytest.fixture(scope="module")
def ended(filled_template: str) -> Iterator[str]:
    """The small day, whose collector ended when it was over."""
    with fresh_database(filled_template) as url:
        command(url, "UPDATE system_status SET status = 'done', timestamp = '2026-11-16 15:50'")
        yield url


def said(url: str, moment: str, language: str = "en", **choice: object) -> tuple[str, str]:
    """Return the words of the morning, and those of the events where they usually are."""
    viewer = Viewer(reader_url(url), simulated=False, clock=At(moment))
    parts = viewer.read(PageChoice(**choice)).parts(Texts(language))  # type: ignore[arg-type]
    morning, events = (
        unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", parts[name]))).strip()
        for name in ("morning", "events")
    )
    return morning, events


def test_before_the_open_it_says_what_will_be_collected_and_what_is_amiss(ended: str) -> None:
    morning, events = said(ended, "2026-11-17 08:30")
    assert morning.startswith("Next derivatives market opens 08:45")
    assert "To be collected today · 2026-11-17" in morning
    assert "futures KOSPI200 futures 2026-12 A01612" in morning
    assert "stocks Samsung Electronics 005930" in morning
    assert "option chains KOSPI200 options 2026-12, KOSPI200 options 2027-01" in morning
    assert "shows itself ten minutes before the open" in morning
    assert "missing on 11-16 (minutes) open" in morning
    assert events == ""
    korean, _ = said(ended, "2026-11-17 08:30", "ko")
    assert "선물 코스피200 선물 2026-12 A01612" in korean
    assert "11-16 누락 (분) 미해결" in korean


def test_a_collector_that_is_there_waits_for_the_open(filled_template: str) -> None:
    with fresh_database(filled_template) as url:
        at = "timestamp = '2026-11-17 08:37:50'"
        command(url, f"UPDATE system_status SET status = 'running', {at}")
        assert "collector waits for the open" in said(url, "2026-11-17 08:38")[0]


@pytest.mark.parametrize(("moment", "is_red"), [("08:30", False), ("08:38", True)])
def test_a_collector_that_ought_to_be_there_is_missed(
    moment: str, is_red: bool, ended: str
) -> None:
    morning, _ = said(ended, f"2026-11-17 {moment}")
    assert ("No collector is running · run: just live" in morning) == is_red


@pytest.mark.parametrize(
    ("moment", "choice"),
    [
        ("2026-11-17 08:46", {}),  # the session is on: the banner says what is missing
        ("2026-11-21 08:30", {}),  # a Saturday
        ("2026-11-17 08:30", {"day": DAY}),
    ],
)
def test_at_any_other_time_there_is_no_morning(
    moment: str, choice: dict[str, object], ended: str
) -> None:
    morning, events = said(ended, moment, **choice)
    assert "To be collected" not in morning or choice
    assert events.startswith("Next") or choice
