"""What each command prints: on a terminal of 80 and of 200 columns, piped, on Korean Windows.

All look at one small day. `just test tests/pipelines/commands/test_snapshots.py --snapshot-update`
writes what is expected anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from rich.cells import cell_len
from syrupy.assertion import SnapshotAssertion

from engine.clock import KST, WallClock
from pipelines.commands.overview import COMMANDS
from pipelines.databases import record_data_kind
from tests.pipelines.commands.screens import Screen, run

NARROW, WIDE, PIPE = Screen(80), Screen(200), Screen()
DUMB, KOREAN = Screen(80, term="dumb"), Screen(encoding="cp949")
DAY = "2026-11-16"
BARS = f"SELECT * FROM futures_1m WHERE timestamp > '{DAY} 15:43' ORDER BY timestamp"
_LINES = 40  # of each are compared
PRINTED = {
    "status": ["status"],
    "calendar": ["calendar", "2026"],
    "calendar of what is unusual": ["calendar", "2026", "--unusual"],
    "signals": ["signals"],
    "signals repeated": ["signals", "--repeated"],
    "trades": ["trades"],
    "trades of many": ["trades", "--contracts", "100000"],
    "backtest": ["backtest", "--from", "2026-11-13"],
    "replay": ["replay"],
    "study": ["study", "gamma"],
    "sweep": ["sweep", "--workers", "1", "--from", "2026-11-13", "--grid", "band_multiplier=1,2"],
    "backfill dry": ["backfill", "--dry-run"],
    "plan": ["plan"],
    "symbols": ["symbols", "삼성"],
    "spool": ["spool"],
    "sql": ["sql", BARS],
    "sql of few columns": ["sql", "SELECT '삼성전자' AS name, 1234567890.125 AS won, true AS well"],
    "sql tables": ["sql", "--tables"],
    "sql columns": ["sql", "--describe", "option_summary"],
    "db-roles": ["db-roles"],
    "commands": ["--help"],
}
# Sizes and estimates of the database.
VARYING = {"sql tables"}
OF_TODAY = {"backfill dry", "plan"}  # they look from now on, or until now: which is made up
NOW = datetime(2026, 11, 17, 10, tzinfo=KST)
# What starts something, waits for the network or writes files: it has tests of its own.
ELSEWHERE = {
    *(
        "live",
        "sim",
        "service",
        "doctor",
        "dashboard",
        "validate",
        "export",
        "import",
        "plot",
        "research",
    ),
    *("db", "migrate", "backup", "restore"),
}


@pytest.fixture(scope="module", autouse=True)
def printing(filled: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Commands look at the small day as at a simulation, whose time stands still."""
    record_data_kind(filled, "simulation")
    folder: Path = tmp_path_factory.mktemp("printing")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KRT_DATABASE_URL", filled)
        patch.setenv("KRT_DATA_FOLDER", "data")
        patch.setenv("KRT_LANGUAGE", "ko")
        patch.chdir(folder)
        yield


def test_every_command_is_printed_here_or_elsewhere() -> None:
    known = {name for held in COMMANDS.values() for name in held}
    here = {arguments[0] for arguments in PRINTED.values()} - {"--help"}
    assert known - here - ELSEWHERE == set()


def printed(screen: Screen, what: str) -> str:
    code, text = run(screen, *PRINTED[what])
    assert code in (0, 1, 2)
    return f"exit code {code}\n{text}"


@pytest.mark.parametrize("what", [one for one in PRINTED if one not in VARYING])
@pytest.mark.parametrize("screen", [NARROW, WIDE, PIPE, KOREAN], ids=["80", "200", "pipe", "cp949"])
def test_what_is_printed(
    screen: Screen, what: str, snapshot: SnapshotAssertion, monkeypatch: pytest.MonkeyPatch
) -> None:
    if what in OF_TODAY:
        monkeypatch.setattr(WallClock, "now_kst", lambda _: NOW)
    assert "\n".join(printed(screen, what).splitlines()[:_LINES]) == snapshot


@pytest.mark.parametrize("what", PRINTED)
def test_a_dumb_terminal_gets_the_same_and_nothing_is_wider_than_it(what: str) -> None:
    plain = printed(DUMB, what)
    assert plain == printed(NARROW, what)
    if what != "db-roles":  # SQL, for psql
        assert max(cell_len(line.rstrip()) for line in plain.splitlines()) <= 80


@pytest.mark.parametrize("what", PRINTED)
def test_no_number_is_cut_at_any_width(what: str) -> None:
    """Each number of the piped table is there whole on terminals of 60, 80 and 200 columns."""
    whole = set(re.findall(r"\d[\d,]{3,}\.?\d*", printed(PIPE, what)))
    for width in (60, 80, 200):
        text = printed(Screen(width), what)
        assert not re.search(r"\d…", text.replace("18:01 …", ""))
        missing = {number for number in whole if number not in text}
        assert missing == set(), width


def test_a_calendar_from_today_on_has_nothing_of_the_past() -> None:
    code, text = run(PIPE, "calendar", "--coming", "--format", "csv")
    days = [line.split(",")[0] for line in text.splitlines()[1:]]
    _, whole = run(PIPE, "calendar", "--format", "csv")
    assert code == 0
    assert all(day >= f"{WallClock().now():%Y-%m-%d}" or day.startswith("7777") for day in days)
    assert len(days) < len(whole.splitlines())
