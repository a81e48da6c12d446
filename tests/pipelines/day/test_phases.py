"""The table of docs/reliability.md: in each phase of a day, everything that can go wrong.

A cell is played on a short piece of a simulated day, with one stock: the trouble begins when the
phase is reached, and is over two minutes later. Cells that another test plays name it. Each run
plays every row and every column, the long tests all cells.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from engine.errors import InputError
from engine.settings import AppKey, KisSettings
from engine.simulator.endpoints import MASTER_PATH
from engine.store.spool import Spool
from pipelines.collector_lock import hold_collector_lock
from pipelines.commands import main
from pipelines.day import before_open, closing
from pipelines.day.run import DayPaths, run_day
from pipelines.day.statistics import DayStatistics
from pipelines.day_plan import plan
from tests.paths import ROOT
from tests.pipelines.day.playing import (
    DAY,
    STOCK,
    STOCK_ONLY,
    at_time,
    expected,
    play,
    statuses,
    stored,
)
from tests.pipelines.day.troubles import TROUBLES
from tests.pipelines.simulated import KEY, SECRET, Desk, desk
from tests.soak.clocks import SteppedClock

LASTS = 120.0  # seconds of trouble
PHASES = {  # when the collector is started, and ended as by Ctrl+C (None: by itself)
    "waiting": ("08:38", "09:02:30"),
    "asking": ("08:49", "09:02:30"),
    "catching up": ("08:49", "09:02:30"),
    "collecting": ("08:55", "09:05:30"),
    "closing": ("15:28", None),
}
MARKS = {"waiting": "08:40", "collecting": "09:01:30"}  # reached by the clock, the others when …
CALLS = {  # … this is called
    "asking": (before_open, "learn_opening_days"),
    "catching up": (before_open, "fill_before_open"),
    "closing": (closing, "reconcile"),
}
SIGNALS = {"SIGINT": "Ctrl+C", "SIGTERM": "SIGTERM", "SIGHUP": "SIGHUP", "SIGBREAK": "CTRL_BREAK"}
STARTS = ("second process", "second machine")
CONTAINERS = "tests/engine/store/test_containers.py"
ENDED = "tests/e2e/test_ended.py"
NO_DISK = "tests/pipelines/day/test_no_disk.py"
UNFINISHED = "tests/pipelines/history/test_unfinished.py"
ELSEWHERE = (  # other tests that play cells of several columns: real processes, whole days
    f"{ENDED}::test_a_signal_ends_the_collector_and_its_server",
    f"{ENDED}::test_a_closed_terminal_ends_the_collector_and_its_server",
    f"{CONTAINERS}::test_a_second_container_is_refused_in_one_line_and_nothing_is_lost",
    "tests/soak/test_soak.py::test_a_short_season_keeps_every_promise",
    f"{NO_DISK}::test_the_day_is_collected_and_says_what_it_does_without",
    "tests/pipelines/day/test_database_away.py::test_without_a_database_the_day_ends_two_hours_aft",
    "tests/pipelines/day/test_no_token.py::test_a_day_without_a_token_tells_so_and_ends",
    "tests/pipelines/day/test_day_in_trouble.py::test_a_key_refused_in_the_session_gives_an_alert",
    "tests/pipelines/history/test_proof.py::test_an_evening_of_empty_answers_settles_nothing",
    "tests/pipelines/history/test_proof.py::test_a_clock_that_is_ahead_settles_nothing",
    f"{UNFINISHED}::test_days_without_any_collector_are_finished_too",
    f"{UNFINISHED}::test_its_bars_and_signals_are_completed_for_the_symbols",
)
FAILURES = [*TROUBLES, "clock off", *SIGNALS.values(), *STARTS, "second container"]
# Nothing is asked of KIS, and nothing written, before the day's work begins.
QUIET = {("waiting", failure) for failure in TROUBLES if not failure.startswith("database")}
CELLS = [
    (phase, failure) for phase in PHASES for failure in TROUBLES if (phase, failure) not in QUIET
]


def played_always(cell: int, phase: str) -> bool:
    """Whether each run plays the cell: all of the collecting, of the other phases every third."""
    return phase == "collecting" or cell % 3 == 0


def long_unless(always: bool, *cell: str) -> Any:
    """The cell, for the long tests alone unless it is always played."""
    return pytest.param(*cell, marks=() if always else pytest.mark.long)


class Reached:
    """The phase, as an event: `begun` says that the trouble is there, and the phase may go on."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.begun = asyncio.Event()


@contextmanager
def when_reached(phase: str, at: Desk, cue: Reached) -> Iterator[asyncio.Task[None] | None]:
    """Set the cue when the phase is reached, and hold the collector until the trouble is there."""
    if phase in MARKS:

        async def wait() -> None:
            await at.clock.sleep_until(at_time(MARKS[phase]))
            cue.reached.set()

        yield asyncio.create_task(wait())
        return
    module, name = CALLS[phase]
    original = getattr(module, name)

    async def hooked(*given: Any, **named: Any) -> Any:
        cue.reached.set()
        await cue.begun.wait()
        return await original(*given, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, name, hooked)
        yield None


def span(phase: str) -> tuple[datetime, datetime | None]:
    start, end = PHASES[phase]
    return at_time(start), at_time(end) if end else None


def last_stamp(phase: str) -> datetime:
    """The last minute whose bar has come when the piece of the day ends."""
    _, end = span(phase)
    return end.replace(second=0) if end else at_time("15:40")


def assert_tidy(folder: Path) -> None:
    """Nothing waits, and the next collector may start."""
    assert Spool(folder / "live").empty
    with hold_collector_lock(folder / "live"):
        pass


@pytest.mark.parametrize(
    ("phase", "failure"),
    [long_unless(played_always(cell, where[0]), *where) for cell, where in enumerate(CELLS)],
)
async def test_no_trouble_of_two_minutes_costs_a_bar(
    database_url: str, tmp_path: Path, phase: str, failure: str
) -> None:
    start, end = span(phase)
    cue = Reached()

    async def trouble(at: Desk) -> None:
        await cue.reached.wait()
        with TROUBLES[failure](database_url):
            cue.begun.set()
            await at.clock.sleep(LASTS)

    async with desk(database_url, tmp_path, start) as at:
        with when_reached(phase, at, cue):
            played = await play(at, database_url, tmp_path, until=end, trouble=trouble)
        assert played.error is None
        assert await stored(at, STOCK, "stocks_1m") == expected(at, STOCK, last_stamp(phase))
        wanted = "stopped" if end else "done"
        assert await statuses(at) == dict.fromkeys(("collector", "kis", "spool"), wanted)
        if end is None:
            assert played.stats.complete
            assert played.ended_at < at_time("16:00")
    assert_tidy(tmp_path)


@pytest.mark.parametrize(
    "phase", [long_unless(phase in ("asking", "collecting", "closing"), phase) for phase in PHASES]
)
async def test_a_clock_that_is_set_costs_no_bar(
    database_url: str, tmp_path: Path, phase: str
) -> None:
    start, end = span(phase)
    moment = at_time(MARKS.get(phase, "15:41" if phase == "closing" else "08:50:01"))
    ahead = timedelta(seconds=20)
    steps = [(moment, ahead), (moment + timedelta(seconds=LASTS), timedelta())]
    async with desk(database_url, tmp_path, start) as at:
        host = SteppedClock(at.clock, steps)
        played = await play(at, database_url, tmp_path, until=end, clock=host)
        assert played.error is None
        assert await stored(at, STOCK, "stocks_1m") == expected(at, STOCK, last_stamp(phase))
    assert_tidy(tmp_path)


@pytest.mark.parametrize(
    "phase", [long_unless(phase in ("waiting", "collecting"), phase) for phase in PHASES]
)
async def test_a_second_process_is_refused_and_the_first_goes_on(
    database_url: str, tmp_path: Path, phase: str
) -> None:
    start, end = span(phase)
    cue = Reached()
    refused: list[InputError] = []

    async def trouble(at: Desk) -> None:
        await cue.reached.wait()
        second = await play(at, database_url, tmp_path)
        assert isinstance(second.error, InputError)
        refused.append(second.error)
        cue.begun.set()

    async with desk(database_url, tmp_path, start) as at:
        with when_reached(phase, at, cue):
            played = await play(at, database_url, tmp_path, until=end, trouble=trouble)
        assert "another collector is running" in str(refused[0])
        assert played.error is None
        assert await stored(at, STOCK, "stocks_1m") == expected(at, STOCK, last_stamp(phase))


@pytest.mark.parametrize("phase", ["waiting", pytest.param("closing", marks=pytest.mark.long)])
async def test_two_machines_on_one_database_store_nothing_twice(
    database_url: str, tmp_path: Path, phase: str
) -> None:
    """From the waiting on they ask, catch up and collect together, and they close together."""
    start, end = span(phase)
    async with desk(database_url, tmp_path, start) as at:
        first, second = await asyncio.gather(
            *(play(at, database_url, tmp_path / name, until=end) for name in ("one", "two"))
        )
        assert first.error is second.error is None
        assert await stored(at, STOCK, "stocks_1m") == expected(at, STOCK, last_stamp(phase))
        assert (await at.frame("SELECT count(*) AS n FROM replaced_bars")).item() == 0


@pytest.fixture
def listening(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The signals are heard as the command hears them on a terminal."""
    known = [number for name in SIGNALS if (number := getattr(signal, name, None))]
    before = {number: signal.getsignal(number) for number in known}
    monkeypatch.setattr(main.os, "isatty", lambda _: True)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    main._listen_to_signals()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def sent(name: str, phase: str) -> Any:
    """A signal in a phase, skipped where the system has none of that name."""
    missing = name not in signal.Signals.__members__
    marks = [pytest.mark.skipif(missing, reason=f"no {name} here")]
    if name != "SIGINT" and phase != "collecting":  # they become a SIGINT, whenever they come
        marks.append(pytest.mark.long)
    return pytest.param(name, phase, marks=marks)


@pytest.mark.usefixtures("listening")
@pytest.mark.parametrize(
    ("name", "phase"), [sent(name, phase) for name in SIGNALS for phase in PHASES]
)
def test_a_signal_ends_the_day_with_what_it_has_committed(
    database_url: str, tmp_path: Path, name: str, phase: str
) -> None:
    start, _ = span(phase)
    ends: list[datetime] = []

    async def collect() -> None:
        cue = Reached()
        async with desk(database_url, tmp_path, start) as at:

            async def send() -> None:
                await cue.reached.wait()
                ends.append(at.clock.now())
                signal.raise_signal(signal.Signals[name])

            key = AppKey(app_key=SecretStr(KEY), app_secret=SecretStr(SECRET))
            settings = KisSettings(
                base_url=at.simulator.base_url,
                master_url=at.simulator.base_url + MASTER_PATH,
                app_keys=(key,),
                calls_per_second=15,
            )
            today = plan(STOCK_ONLY, DAY)
            stats = DayStatistics(today, simulated=True)
            paths = DayPaths(database_url, tmp_path / "live", tmp_path / "kis")
            with when_reached(phase, at, cue):
                sending = asyncio.create_task(send())
                try:
                    await run_day(today, settings, at.clock, paths, stats)
                finally:
                    ends.append(at.clock.now())
                    sending.cancel()
            if phase == "waiting":
                assert not at.simulator.counts.calls, "KIS was asked before it was time"

    async def look() -> tuple[list[str], dict[str, str]]:
        async with desk(database_url, tmp_path / "later", ends[0]) as at:
            return await stored(at, STOCK, "stocks_1m"), await statuses(at)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(collect())
    assert ends[1] - ends[0] < timedelta(minutes=1)
    bars, found = asyncio.run(look())
    if phase == "collecting":
        assert bars == ["09:01"]
    if phase == "closing":
        assert len(bars) == 381
    assert found.get("collector") == (None if phase in ("waiting", "asking") else "stopped")
    assert_tidy(tmp_path)


def table() -> list[list[str]]:
    """The rows of the table in the document, cell by cell; the first has the phases."""
    text = (ROOT / "docs" / "reliability.md").read_text("utf-8")
    section = text.split("## What happens when\n")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_the_table_of_the_document_has_each_phase_and_each_failure() -> None:
    heading, _, *rows = table()
    assert heading == ["failure", *PHASES, "after"]
    assert [row[0] for row in rows] == FAILURES
    assert all(len(row) == len(heading) and all(row) for row in rows)


def player(phase: str, failure: str) -> str:
    """Return the name of the test that plays a cell: one of this module, or one of ELSEWHERE."""
    kind = failure.partition(" ")[0]
    if failure == "second container":
        return CONTAINERS
    if phase == "after":
        after = {
            "database": "tests/pipelines/day/test_database_away.py",  # it ends with the next start
            "KIS": "tests/pipelines/history/test_proof.py" if "lying" in failure else UNFINISHED,
            "disk": NO_DISK,
            "clock": "tests/pipelines/history/test_proof.py",
        }
        return after.get(kind, UNFINISHED)
    if (phase, failure) in CELLS:
        return test_no_trouble_of_two_minutes_costs_a_bar.__name__
    if phase == "waiting" and kind == "KIS":  # it counts the calls that were made until then
        return test_a_signal_ends_the_day_with_what_it_has_committed.__name__
    here = {
        "disk": NO_DISK,
        "clock": test_a_clock_that_is_set_costs_no_bar.__name__,
        "second process": test_a_second_process_is_refused_and_the_first_goes_on.__name__,
        "second machine": test_two_machines_on_one_database_store_nothing_twice.__name__,
        **dict.fromkeys(
            SIGNALS.values(), test_a_signal_ends_the_day_with_what_it_has_committed.__name__
        ),
    }
    return here.get(failure) or here[kind]


def test_each_cell_of_the_document_has_a_test_that_plays_it() -> None:
    heading, _, *rows = table()
    files = {name.partition("::")[0] for name in ELSEWHERE}
    for failure, phase in itertools.product([row[0] for row in rows], heading[1:]):
        name = player(phase, failure)
        assert name in files or callable(globals()[name])


@pytest.mark.parametrize("test", ELSEWHERE)
def test_cells_that_another_test_plays_name_one_that_exists(test: str) -> None:
    file, _, name = test.partition("::")
    source = (ROOT / file).read_text("utf-8")
    assert re.search(rf"^(?:async )?def {name}", source, re.MULTILINE)
    document = (ROOT / "docs" / "reliability.md").read_text("utf-8")
    assert file in document.split("## What happens when\n")[1].split("\n## ")[0]
