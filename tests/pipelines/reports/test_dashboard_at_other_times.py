"""The page between sessions, without data or database, and what looking costs."""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from html import unescape

import polars as pl
import pytest

from engine.clock import VirtualClock, WallClock
from engine.history.scan import query
from engine.market.sessions import Market
from engine.store import Store
from pipelines.read_only import reader_url
from pipelines.reports.dashboard import board, head
from pipelines.reports.dashboard.choice import PageChoice
from pipelines.reports.dashboard.content import Viewer
from pipelines.reports.dashboard.health import HeartbeatWatch
from pipelines.texts import LANGUAGES, Texts
from tests.heartbeats import record_heartbeat
from tests.pipelines.reports.noon import EN, KO, NOON, Noon, cells


@pytest.mark.parametrize("at", ["2026-11-17 08:10", "2026-11-21 14:00"])
def test_between_sessions_the_last_one_is_shown_beside_what_comes(filled: str, at: str) -> None:
    now = datetime.fromisoformat(at)
    look = Viewer(filled, simulated=False, clock=VirtualClock(now)).read()
    assert look.board is not None
    parts = look.parts(EN)
    assert "last session: 2026-11-16" in parts["kind"]
    assert look.board.chart.bars["timestamp"].max() == datetime(2026, 11, 16, 15, 45)
    assert cells(parts["price"], "A01612", "price") != ""
    assert "data-until" in parts["morning"] + parts["events"]
    assert f"{now:%H:%M:%S}" in parts["health"]
    assert look.now == now


@pytest.mark.parametrize(
    ("at", "first"),
    [
        ("2026-11-16 08:00", "2026-11-16T08:45:00"),
        ("2026-11-16 15:25", "2026-11-16T15:30:00"),
        ("2026-11-16 16:00", "2026-11-17T08:45:00"),
        ("2026-11-20 20:00", "2026-11-23T08:45:00"),  # a Friday
        ("2026-11-19 06:30", "2026-11-19T09:45:00"),  # CSAT
    ],
)
def test_what_comes_next_is_known_around_the_clock(at: str, first: str, filled: str) -> None:
    now = datetime.fromisoformat(at)
    look = Viewer(filled, simulated=False, clock=VirtualClock(now)).read()
    parts = look.parts(EN)
    coming = parts["morning"] + parts["events"]  # before the open they stand first
    assert re.findall(r'data-until="([^"]*)"', coming)[0] == first


def test_a_database_that_is_away_is_shown_and_comes_back(filled: str) -> None:
    viewer = Viewer(f"{filled}&port=1", simulated=True)
    look = viewer.read()
    assert look.board is None
    assert 'data-krt="trouble"' in look.html()
    assert (look.chart, look.now) == ({"bars": []}, None)
    back = Viewer(filled, simulated=True)
    assert back.read().board is not None


@pytest.mark.parametrize("language", LANGUAGES)
async def test_an_empty_database_is_a_page_too(language: str, database_url: str) -> None:
    look = Viewer(database_url, simulated=True).read()
    t = Texts(language)  # type: ignore[arg-type]
    parts = look.parts(t)
    assert t("nothing_yet") in parts["price"]
    assert t("chain_none") in parts["chain"]
    assert t("signal_none") in parts["signals"]
    assert t("flows_none") in unescape(parts["options"])
    assert look.chart["bars"] == []


async def test_what_comes_from_outside_is_escaped(store: Store, database_url: str) -> None:
    await record_heartbeat(store, "<script>x</script>", "running", "<img src=x onerror=y>", 0, None)
    html = Viewer(database_url, simulated=True).read().html()
    assert "<script" not in html
    assert "<img" not in html


def test_a_component_without_new_heartbeats_is_stopped_until_one_comes() -> None:
    watch, beat = HeartbeatWatch(stale_after=10), NOON
    assert watch.state("kis", "running", beat, at=0) == "running"
    assert watch.state("kis", "running", beat, at=10) == "running"
    assert watch.state("kis", "running", beat, at=11) == "stopped"
    assert watch.state("kis", "running", beat + timedelta(minutes=1), at=12) == "running"
    assert watch.state("kis", "done", beat + timedelta(minutes=2), at=500) == "done"
    assert watch.state("kis", "failed", beat + timedelta(minutes=3), at=501) == "stopped"


def test_an_old_heartbeat_of_the_real_clock_tells_at_once() -> None:
    watch = HeartbeatWatch(stale_after=150)
    assert watch.state("kis", "running", NOON, at=0, behind=151) == "stopped"


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ("2026-11-16 08:00", "08:45 개장"),
        ("2026-11-16 12:00", "정규장"),
        ("2026-11-16 15:40", "종가 단일가"),
        ("2026-11-16 16:00", "장 마감"),
        ("2026-11-15 12:00", "휴장"),
        ("2026-11-19 09:00", "09:45 개장"),
    ],
)
def test_the_session_is_told_in_a_word(at: str, said: str) -> None:
    assert head.market_state(KO, Market.DERIVATIVES, datetime.fromisoformat(at)) == said


def test_looking_is_cheap_for_the_database(filled: str) -> None:
    """One look is a handful of statements in one transaction on one kept connection."""
    viewer = Viewer(reader_url(filled), simulated=True)
    viewer.read()
    before = connections(filled)
    for _ in range(3):
        viewer.read()
    assert connections(filled) <= before


def connections(url: str) -> int:
    async def count() -> int:
        store = Store(url, WallClock(), component="test")
        query = (
            "SELECT count(*) AS n FROM pg_stat_activity WHERE application_name = 'dashboard'"
            " AND datname = current_database()"
        )
        found = pl.DataFrame(await store.query(query))["n"][0]
        await store.close()
        return int(found)

    return asyncio.run(count())


def test_a_question_of_the_page_is_given_up_after_seconds(
    filled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert board.QUESTION_TIMEOUT == "10s"
    monkeypatch.setattr(board, "QUESTION_TIMEOUT", "1ms")
    slow = "SELECT current_setting('statement_timeout') AS found, pg_sleep(60)::text AS slept"
    monkeypatch.setattr(board, "sql_text", lambda *_, **__: slow)
    look = Viewer(reader_url(filled), simulated=False, clock=Noon()).read()
    assert look.board is None
    assert "statement timeout" in look.html()


def test_all_who_watch_share_one_connection_and_one_reading(filled: str) -> None:
    """Twenty viewers took twenty of the database's sixty connections."""

    def connections() -> set[int]:
        named = "SELECT pid FROM pg_stat_activity WHERE application_name = 'dashboard'"
        return set(query(filled, f"{named} AND datname = current_database()")["pid"])

    before = connections()
    shared = Viewer(reader_url(filled), simulated=False, clock=Noon(), fresh=3600.0)
    with ThreadPoolExecutor(20) as threads:
        seen = list(threads.map(lambda _: shared.read(), range(20)))
    assert len({id(content) for content in seen}) == 1
    other = shared.read(PageChoice(symbol="005930"))
    assert other.board is not None
    assert seen[0].board is not None
    assert other.board.day is seen[0].board.day  # the day is read once for whatever is chosen
    assert len(connections() - before) == 1
    shared.fresh = 0.0
    assert shared.read() is not seen[0]


def test_options_are_computed_when_a_snapshot_has_come_and_not_at_every_look(filled: str) -> None:
    viewer = Viewer(reader_url(filled), simulated=False, clock=Noon(), fresh=0.0)
    first, second = viewer.read().board, viewer.read().board
    assert first is not None
    assert second is not None
    assert second.day is not first.day
    assert second.options is first.options
