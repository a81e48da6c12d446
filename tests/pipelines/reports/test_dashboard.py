"""The page: what it says of a day, of components, of a database that is away."""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import polars as pl
import pytest

from engine.clock import WallClock
from engine.history.scan import query
from engine.market.sessions import Market
from engine.store import Store
from engine.store.metadata import record_heartbeat
from pipelines.read_only import reader_url
from pipelines.reports.dashboard import board, cards
from pipelines.reports.dashboard.content import Viewer
from pipelines.reports.dashboard.health import HeartbeatWatch
from pipelines.reports.dashboard.page import app
from pipelines.reports.dashboard.shared import SharedViewer
from pipelines.reports.environment import READER_SIMULATED, READER_URL
from strategies.registry import STRATEGIES

NOON = datetime(2026, 11, 16, 12, 0)


class Noon(WallClock):
    """Noon of the day that is stored."""

    def now(self) -> datetime:
        return NOON


@pytest.fixture
def viewer(filled: str) -> Viewer:
    return Viewer(reader_url(filled), simulated=False, clock=Noon())


def test_the_page_shows_the_last_price_and_what_is_missing(viewer: Viewer) -> None:
    look = viewer.read()
    assert look.board is not None
    html = look.top()
    closes = dict(look.board.symbols.select("symbol", "close").iter_rows())
    assert f'data-symbol="A01612">{closes["A01612"]:,.2f}<' in html
    assert f'data-symbol="005930">{closes["005930"]:,.0f}<' in html
    shown = dict(re.findall(r'data-krt="(\w+)"><b>[^<]*</b><span class="[^"]*">([^<]*)<', html))
    table = html[html.index("<tr><th>종목") :]
    titles = re.findall("<th>([^<]*)</th>", table)
    cells = re.findall("<td[^>]*>([^<]*)</td>", table)
    row = dict(zip(titles, cells[cells.index("A01612") :], strict=False))
    assert (row["누락"], row["저장 / 있어야 할"], row["마지막"]) == ("2", "193 / 195", "12:00")
    assert shown["clock"] == "12:00:00"
    assert shown["session"] == "정규장"
    # two bars, and of each of two chains the 195 minutes until 11:59 without the twelve snapshots
    assert shown["missing"] == f"{2 + 2 * (194 - 12):,}"
    assert "banner" not in shown


def test_bars_expected_by_now_are_counted(viewer: Viewer) -> None:
    board = viewer.read().board
    assert board is not None
    expected = dict(board.symbols.select("symbol", "expected").iter_rows())
    chains = dict.fromkeys(["202612_KOSPI200", "202701_KOSPI200"], 194)
    assert expected == {"005930": 180, "A01612": 195, **chains}  # 12:00 is stored, so it counts
    missing = dict(board.symbols.select("symbol", "missing").iter_rows())
    assert missing == {"005930": 0, "A01612": 2, **dict.fromkeys(chains, 182)}
    assert board.symbol == "A01612"


def test_t11_nothing_of_the_future_is_on_the_page(viewer: Viewer) -> None:
    """T11. A day that was played again showed 15:45's signal at 10:11."""
    board = viewer.read().board
    assert board is not None
    frames = [board.chart_bars, *board.chart_signals.values(), *board.last_turns.values()]
    assert all(frame["timestamp"].max() <= NOON for frame in frames)
    assert board.chart_signals["dolpha1"].height == 193
    assert board.symbols["timestamp"].max() == NOON


def test_t11_only_bars_collected_live_have_a_delay(viewer: Viewer) -> None:
    """T11. Bars that a backfill brought showed 97,200 s as the usual delay."""
    look = viewer.read()
    assert look.board is not None
    delays = look.board.symbols.select("symbol", "delay", "usual_delay").drop_nulls()
    # committed by the wall clock, days later: the delay itself is real, of bars fetched in time
    assert set(delays["symbol"]) == {"005930", "A01612"}


def test_options_and_signals_are_shown(viewer: Viewer) -> None:
    look = viewer.read()
    assert "202612_KOSPI200" in look.bottom()
    assert "band_cross" in look.bottom()
    assert "breakout_" in look.bottom()
    picture = look.matrix()
    assert picture is not None
    assert len(next(iter(picture.to_dict()["datasets"].values()))) == 42
    assert [picture.to_dict()["title"] for picture in look.prices()] == [
        f"코스피200 선물 A01612 · {strategy}" for strategy in ("dolpha1", "opening_range")
    ]


def test_a_database_that_is_away_is_shown_and_comes_back(
    filled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = Viewer(f"{filled}&port=1", simulated=True)
    look = viewer.read()
    assert look.board is None
    assert 'data-krt="trouble"' in look.top()
    assert (look.bottom(), look.prices(), look.matrix()) == ("", [], None)
    back = Viewer(filled, simulated=True)
    assert back.read().board is not None


async def test_an_empty_database_is_a_page_too(database_url: str) -> None:
    look = Viewer(database_url, simulated=True).read()
    assert "아직 없음" in look.top()
    assert "옵션 스냅샷이 없습니다" in look.bottom()
    for strategy in STRATEGIES:
        assert f"최근 신호 ({strategy})" in look.bottom()
    assert look.prices() == []


async def test_what_comes_from_outside_is_escaped(store: Store, database_url: str) -> None:
    await record_heartbeat(store, "<script>x</script>", "running", "<img src=x onerror=y>", 0, None)
    html = Viewer(database_url, simulated=True).read().top()
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
    assert cards.session_state(Market.DERIVATIVES, datetime.fromisoformat(at)) == said


def test_the_marimo_page_runs_headless(filled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(READER_URL, filled)
    monkeypatch.setenv(READER_SIMULATED, "1")
    _, defined = app.run()
    assert defined["content"].board is not None


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
        query = "SELECT count(*) AS n FROM pg_stat_activity WHERE application_name = 'dashboard'"
        found = pl.DataFrame(await store.query(query))["n"][0]
        await store.close()
        return int(found)

    return asyncio.run(count())


def test_s4_a_question_of_the_page_is_given_up_after_seconds(
    filled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert board.QUESTION_TIMEOUT == "10s"
    monkeypatch.setattr(board, "QUESTION_TIMEOUT", "1ms")
    slow = "SELECT current_setting('statement_timeout') AS found, pg_sleep(60)::text AS slept"
    monkeypatch.setattr(board, "sql_text", lambda *_, **__: slow)
    look = Viewer(reader_url(filled), simulated=False, clock=Noon()).read()
    assert look.board is None
    assert "statement timeout" in look.top()


def test_s2_all_who_watch_share_one_connection_and_one_reading(filled: str) -> None:
    """S2. Twenty viewers took twenty of the database's sixty connections."""

    def connections() -> set[int]:
        named = "SELECT pid FROM pg_stat_activity WHERE application_name = 'dashboard'"
        return set(query(filled, named)["pid"])

    before = connections()
    shared = SharedViewer(Viewer(reader_url(filled), simulated=False, clock=Noon()), fresh=3600.0)
    with ThreadPoolExecutor(20) as threads:
        seen = list(threads.map(lambda _: shared.read(), range(20)))
    assert len({id(content) for content in seen}) == 1
    assert len(connections() - before) == 1
    shared.fresh = 0.0
    assert shared.read() is not seen[0]
