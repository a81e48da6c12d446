"""A short season, and the parts of a long one: `just soak` plays those."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import polars as pl
import pytest

from engine import schemas
from engine.clock import VirtualClock, WallClock
from engine.market import sessions
from engine.market.sessions import Market
from engine.market.symbols import parse
from engine.simulator.faults.scenario import Scenario
from engine.simulator.faults.stream_rules import StreamRule
from engine.store import Store
from pipelines.feed import Feed
from strategies.registry import STRATEGIES
from tests.soak.__main__ import FROM, BrokenSeason, how_to_repeat, main, soak
from tests.soak.child import Broken
from tests.soak.clocks import SteppedClock
from tests.soak.fault_scenarios import KINDS
from tests.soak.markets import ORDINARY, WILD
from tests.soak.orders import DRAWN_FREELY, SeasonKind
from tests.soak.plan import (
    ENDS_THE_PROCESS,
    LAST_HOUR,
    Season,
    SessionPlan,
    earliest_start,
    plan_season,
)
from tests.soak.play import Outcome, Player
from tests.soak.promise import Promise, sessions_with_bars
from tests.soak.report import Played, rows, slope, what_grows
from tests.soak.server import Disk, Server, disk

ONE_LIFE, LAST_HOURS = SeasonKind(one_life=True), SeasonKind(last_hours=True)
# Two sessions, with the feed. The crash of limit_down, begun at 15:01, in a storm; the collector is
# killed at 15:23, the server at 15:43. In the others: killed at 14:58 and 15:35,
# connections taken away at 15:15; a halted stock; limits widened up and down, with rows that cannot
# be bars.
SEASONS = [
    pytest.param(31282, ["storm", "kill", "server", "limit_down"], 2, id="31282"),
    pytest.param(20906, ["storm", "kill", "away", "kill"], 3, id="20906"),
    pytest.param(20993, ["fine", "kill", "stock halted"], 2, id="20993"),
    pytest.param(27142, ["drawn", "clock", "wide limits"], 1, id="27142"),
    pytest.param(28858, ["second", "kill", "wide limits"], 2, id="28858"),
    pytest.param(48315, ["rough", "server", "kill", "streams", "sweep"], 2, id="48315"),
]


def bars_owed(season: Season) -> int:
    """Count the stamps of all that has bars, of the two sessions of a season."""
    both = [season[number] for number in (season.first, season.last)]
    found = [held for one in both for held in sessions_with_bars(one, one.plan.sweep)]
    return sum(len(session.stamps()) for _, session in found)


@pytest.mark.long
@pytest.mark.parametrize(("seed", "drawn", "lives"), SEASONS)
def test_a_short_season_keeps_every_promise(seed: int, drawn: list[str], lives: int) -> None:
    season = plan_season(seed, FROM, 1)
    assert set(drawn) <= set(season[1].drawn), "the draw is another: find a seed"
    assert "feed" in season[1].drawn
    outcome = soak(season, print)
    assert len(outcome.lives) == lives
    owed = bars_owed(season)
    explained = {gap: n for gap, n in outcome.gaps.items() if gap[0] != "unavailable"}
    assert outcome.counts["bars"] + sum(explained.values()) == owed
    # Open: half proven in the evening, settled by the start after.
    assert {state for state, _ in explained} <= {"no_trade", "halted", "refused", "open"}
    assert outcome.counts["signals"] >= 2 * 411
    shown = dict(rows(Played(seed, FROM, season.days, 1.0), outcome))
    assert shown["processes"].startswith(f"{lives}, the longest ")


@pytest.mark.long
def test_a_night_keeps_every_promise() -> None:
    """Killed at 04:11 and 04:56, by the feed; the day after it is quiet."""
    season = plan_season(40029, FROM, 3, range(3, 4))
    assert {"night", "kill", "feed", "rough"} <= set(season[3].drawn), "the draw is another"
    outcome = soak(season, print)
    assert len(outcome.lives) == 3
    assert outcome.counts["bars"] + sum(outcome.gaps.values()) == bars_owed(season)


def test_a_seed_draws_the_same_for_a_season_of_any_length() -> None:
    long, short = plan_season(7, FROM, 250), plan_season(7, FROM, 40)
    alone, part = (plan_season(7, FROM, 40, only) for only in (range(33, 34), range(20, 31)))
    assert [long[n] for n in range(1, 40)] == [short[n] for n in range(1, 40)]
    assert alone[33] == long[33]
    assert [part[n] for n in range(20, 31)] == [long[n] for n in range(20, 31)]
    assert (alone.last, part.last) == (34, 31)
    assert plan_season(8, FROM, 40)[33] != long[33]


def test_in_one_life_nothing_ends_the_process_and_the_rest_is_as_drawn() -> None:
    drawn, spared = plan_season(7, FROM, 40), plan_season(7, FROM, 40, kind=ONE_LIFE)
    ends = set(ENDS_THE_PROCESS)
    assert any(ends & set(drawn[n].drawn) for n in range(1, 41))
    for number in range(1, 42):
        assert spared[number].drawn == [w for w in drawn[number].drawn if w not in ends]


def test_in_last_hours_each_session_is_begun_in_its_last_hour_and_the_rest_is_as_drawn() -> None:
    drawn, late = plan_season(7, FROM, 40), plan_season(7, FROM, 40, kind=LAST_HOURS)
    for number in range(1, 41):
        session = late[number]
        market = Market.NIGHT if session.night else Market.DERIVATIVES
        held = sessions.session(market, session.day)
        assert held is not None
        assert held.sealed_at - LAST_HOUR <= session.starts < held.sealed_at
        assert all(event.at >= session.starts for event in session.events)
        assert (session.feed, session.stream) == (drawn[number].feed, drawn[number].stream)


@pytest.mark.parametrize("kind", [DRAWN_FREELY, LAST_HOURS])
def test_a_season_of_250_sessions_has_every_special_day_and_fault(kind: SeasonKind) -> None:
    season = plan_season(7, FROM, 250, kind=kind)
    drawn = {what for number in range(1, 251) for what in season[number].drawn}
    assert {"fine", "rough", "storm", "drawn", "kill", "server", "away", "second"} <= drawn
    rules = [rule for number in range(1, 251) for rule in season[number].scenario.rule]
    assert {rule.what for rule in rules if not isinstance(rule, StreamRule)} == set(KINDS)
    assert set(WILD) - {ORDINARY} <= drawn
    assert date(2025, 11, 13) in season.days  # CSAT
    assert date(2026, 1, 2) in season.days  # the first session of a year, at ten
    assert {"101W12", "A01603", "A01606"} <= {
        s for n in range(1, 251) for s in season[n].plan.futures
    }


async def test_a_clock_that_is_set_wakes_its_sleepers_by_its_new_time() -> None:
    start = datetime(2025, 11, 3, 9, 0)
    true = VirtualClock(start)
    ahead, back = start + timedelta(seconds=10), start + timedelta(seconds=60)
    host = SteppedClock(true, [(ahead, timedelta(seconds=70)), (back, timedelta())])
    await host.sleep_until(start + timedelta(seconds=90))
    assert (true.now(), host.now()) == (
        start + timedelta(seconds=20),
        start + timedelta(seconds=90),
    )
    await host.sleep(30)
    assert true.now() == start + timedelta(seconds=50)
    await host.sleep_until(start + timedelta(seconds=131))  # set back before it comes to that
    assert true.now() == start + timedelta(seconds=131)


@pytest.fixture
def one_session() -> SessionPlan:
    """A quiet session of a contract and a stock."""
    feed = Feed(("005930",), ("A01",))
    return SessionPlan(
        1, FROM, earliest_start(FROM), feed, 2.0, "Asia/Seoul", "fine", Scenario(), ()
    )


async def store_all(store: Store, promise: Promise, session: SessionPlan) -> None:
    """Store what the session's KIS serves, and the signals that follow."""
    noon = pl.lit(datetime(2025, 11, 3, 16))
    for bars in session.plan.bars:
        schema = schemas.STOCK_BARS if bars.source == "stock" else schemas.FUTURES_BARS
        truth = promise.truth(bars.symbol, bars.session).with_columns(
            symbol=pl.lit(bars.symbol),
            timeframe=pl.lit("1m"),
            fetched_at=noon,
            source=pl.lit(schemas.REST),
        )
        await store.merge(parse(bars.symbol).table, schemas.conform(truth, schema))
        for strategy in STRATEGIES.values() if bars.source == "deriv" else ():
            signals = strategy.evaluate(truth.lazy(), strategy.params()).collect()
            ready = schemas.conform(signals.with_columns(created_at=noon), strategy.schema)
            await store.merge(strategy.table, ready)


TAMPERED = {
    "UPDATE stocks_1m SET close = close + 9 WHERE timestamp = '2025-11-03 10:00'": "as KIS serves",
    "UPDATE stocks_1m SET close = close + 9, source = 'feed'"
    " WHERE timestamp = '2025-11-03 10:00'": "as KIS serves",
    "DELETE FROM stocks_1m WHERE timestamp = '2025-11-03 10:00'": "missing in silence",
    "UPDATE stocks_1m SET timestamp = '2025-11-03 15:25'"
    " WHERE timestamp = '2025-11-03 15:20'": "does not expect",
    "UPDATE stocks_1m SET symbol = '000100'": "was not asked for",
    "DELETE FROM dolpha1_signal WHERE timestamp = '2025-11-03 10:00'": "signals of dolpha1",
    "UPDATE opening_range_signal SET ub = ub + 0.05": "signals of opening_range",
    "INSERT INTO system_status VALUES ('x', now(), 'ok', 'PSsoak-app-key-that-must-not-be-seen',"
    " 0, NULL, now())": "a secret stands in system_status",
}


async def test_the_check_finds_each_broken_promise(
    database_url: str, one_session: SessionPlan
) -> None:
    store, promise = (
        Store(database_url, WallClock()),
        Promise(plan_season(1, FROM, 0), database_url),
    )
    for statement, said in TAMPERED.items():
        await store_all(store, promise, one_session)
        found = promise.check(one_session)
        assert (found.broken, found.unfinished, found.waiting) == ([], [], [])
        await store.execute(statement)
        found = promise.check(one_session)
        assert any(said in line for line in [*found.broken, *found.unfinished]), statement
        for table in ("stocks_1m", "futures_1m", "dolpha1_signal", "opening_range_signal"):
            await store.execute(f"DELETE FROM {table}")
    await store.close()


async def test_a_night_brings_in_what_is_left_of_its_days_sweep(
    database_url: str, one_session: SessionPlan
) -> None:
    store = Store(database_url, WallClock())
    promise = Promise(plan_season(1, FROM, 0), database_url)
    await store_all(store, promise, one_session)
    await store.close()
    feed = Feed((), ("A01",), night=True)
    night = replace(one_session, feed=feed, night=True)
    swept = replace(night, feed=replace(feed, sweep=("005930",)))
    broken, whole = (" ".join(promise.check(plan).broken) for plan in (night, swept))
    assert "rows of 005930, which was not asked for" in broken
    assert "rows of 005930" not in whole


def test_a_promise_found_broken_in_the_end_names_its_session(
    database_url: str, tmp_path: Path
) -> None:
    season = plan_season(1, FROM, 2)  # of which nothing is stored
    server = cast("Server", SimpleNamespace(url=database_url))
    player = Player(season, server, Disk(tmp_path, "1m", mounted=False), 0, print)
    player.at = season.last  # it has just been played
    with pytest.raises(Broken, match=r"looked at again in the end: .* missing in silence"):
        player.look_back()
    assert player.at == 1
    assert how_to_repeat(season, 1) == f"--only 1 (or the whole season): {season[1]}"
    assert how_to_repeat(season, 3).startswith("--only 2 "), "the quiet one comes after it there"
    assert how_to_repeat(plan_season(1, FROM, 2, only=range(2, 3)), 3).startswith("--only 2 ")


def test_growth_from_session_to_session_is_reported() -> None:
    flat = {"memory": 300.0, "files": 20, "connections": 2, "tasks": 1, "threads": 9}
    steady = [flat | {"memory": 300.0 + (7 if n % 3 else 0)} for n in range(30)]
    leaking = [flat | {"memory": 300.0 + 2 * n, "files": 20 + n} for n in range(30)]
    assert what_grows(Outcome(lives=[steady])) == []
    assert [line.split()[0] for line in what_grows(Outcome(lives=[leaking]))] == ["memory", "files"]
    assert slope([1.0, 2.0, 30.0, 4.0, 5.0]) == 1.0


def test_a_disk_that_is_written_to_while_it_is_filled_is_full_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with disk(tmp_path / "disk", "16m") as on:
        if not on.mounted:
            pytest.skip("no disk can be mounted here")
        (on.folder / "before").write_bytes(b"x" * 2**20)
        used = [on._used_bytes()]
        (on.folder / "since").write_bytes(b"x" * 2**20)
        now = Disk._used_bytes
        monkeypatch.setattr(Disk, "_used_bytes", lambda self: used.pop() if used else now(self))
        on.fill()
        assert shutil.disk_usage(on.folder).free == 0
        on.empty()
        assert shutil.disk_usage(on.folder).free > 2**20


def test_a_broken_season_prints_its_report_and_how_to_repeat_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def break_off(season: Season, say: object) -> Outcome:
        outcome = Outcome(counts=Counter(bars=822))
        raise BrokenSeason(f"{how_to_repeat(season, 2)}: 3 bars are given up", outcome, 2)

    monkeypatch.setattr("tests.soak.__main__.soak", break_off)
    report = tmp_path / "soak.md"
    assert main(["--sessions", "5", "--seed", "7", "--report", str(report)]) == 1
    told = capsys.readouterr().out
    assert "822 bars" in told
    assert "❌ --sessions 5 --seed 7 --from 2025-11-03 --only 2 (or the whole season)" in told
    assert "3 bars are given up" in told
    assert "| sessions | 2, 2025-11-03 to 2025-11-04 |" in report.read_text("utf-8")
    assert "| seed | 7, played on" in report.read_text("utf-8")


def test_a_wrong_option_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--sessions", "many"])
    assert "--sessions" in capsys.readouterr().err
