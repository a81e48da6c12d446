"""A month and a half of `just live --every-day`, in one process and with processes that are killed.

From the week of a CSAT day over an expiry, Christmas and the end of a year, days and nights, with
an option chain. The days are begun in the afternoon, the nights before their end, and fetch what
was before. Where a manager of systemd can run, the killed ones are started again by the service.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from engine.environment import FOR_LIVE
from pipelines.service import manager
from pipelines.service.job import Job
from pipelines.service.systemd import UNIT, systemd_plan
from tests.e2e.conftest import Desk, new_desk
from tests.paths import ROOT
from tests.pipelines.service.managers import (
    ask,
    main_process,
    own_manager,
    quick_to_restart,
    wait_for,
)
from tests.soak.every_day_child import planned, played
from tests.soak.report import MOST_GROWTH, SETTLING, slope

FIRST, LAST = date(2025, 11, 10), date(2026, 1, 6)
SOME = date(2025, 11, 14)  # the last day with processes that are killed
KILLS = 5
CHILD = ("-m", "tests.soak.every_day_child")
SEED = 18
HELD = ("memory", "files", "connections", "tasks", "threads", "processes")


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")  # for docs/reliability.md: pytest -s
    sys.stdout.flush()


@pytest.fixture
def desk() -> Iterator[Desk]:
    with new_desk() as one:
        yield one


def told(desk: Desk) -> Path:
    return desk.folder / "told.jsonl"


def live(desk: Desk, last: date, life: float | None = None) -> int:
    """Collect the sessions that are left; the process is killed after the seconds of its `life`."""
    with subprocess.Popen(
        [sys.executable, *CHILD, str(FIRST), str(last), str(told(desk))],
        cwd=ROOT,
        env=desk.environment | {"KRT_CONFIG_FOLDER": str(desk.folder)} | FOR_LIVE,
        stderr=(desk.folder / "log").open("ab"),
    ) as child:
        try:
            return child.wait(life)
        except subprocess.TimeoutExpired:
            child.kill()
            return child.wait()


def findings(desk: Desk) -> list[dict[str, Any]]:
    """What validation finds, but for the minutes of chains before the sessions were begun."""
    done = desk.krt("validate", "--format", "json")
    found: list[dict[str, Any]] = json.loads(done.stdout)["findings"]
    return [row for row in found if row["check"] != "unavailable"]


@pytest.mark.long
def test_a_month_and_a_half_in_one_process_is_whole_and_nothing_grows(desk: Desk) -> None:
    names = [name for _, name in planned(FIRST, LAST)]
    special = {"2025-11-13", "2025-12-11", "2026-01-02"}
    assert special <= set(names)
    assert live(desk, LAST) == 0, (desk.folder / "log").read_text()[-2000:]
    evenings = played(told(desk))
    figures = {held: [evening[held] for evening in evenings] for held in HELD}
    growth = {held: slope(values[SETTLING:]) for held, values in figures.items()}
    for held, values in figures.items():
        say(f"{held}: {values[0]:.0f}, {median(values):.0f}, {values[-1]:.0f}, {growth[held]:+.2f}")
    bars, snapshots = (sum(evening[what] for evening in evenings) for what in ("bars", "snapshots"))
    say(f"{len(evenings)} sessions, {bars} bars, {snapshots} snapshots")
    say(f"CPU: {evenings[-1]['seconds']:.0f} s")
    assert [evening["day"] for evening in evenings] == names
    assert {evening["day"]: evening["lacking"] for evening in evenings if evening["lacking"]} == {}
    few = {evening["day"] for evening in evenings if evening["snapshots"] < 3}
    assert few == {"2025-12-11"}  # on its last day a chain ends at 15:20, before we begin
    assert findings(desk) == []
    assert {held for held in HELD if growth[held] > MOST_GROWTH.get(held, 0.0)} == set()


@pytest.mark.long
def test_processes_that_are_killed_at_random_leave_the_month_whole(desk: Desk) -> None:
    chance = random.Random(SEED)  # noqa: S311
    lives = [chance.uniform(5, 25) for _ in range(KILLS)]
    assert [live(desk, SOME, life) for life in lives] != [0] * KILLS
    assert live(desk, SOME) == 0
    some_days_are_whole(desk)


def some_days_are_whole(desk: Desk) -> None:
    assert {one["day"] for one in played(told(desk))} == {name for _, name in planned(FIRST, SOME)}
    assert findings(desk) == []


@pytest.mark.long
def test_the_service_starts_killed_processes_again_and_the_month_is_whole(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The unit of `just service` on a real systemd, which ends Postgres with the process."""
    chance = random.Random(SEED)  # noqa: S311
    with own_manager(monkeypatch):
        variables = {name: desk.environment[name] for name in ("PATH", "KRT_DATA_FOLDER")}
        variables |= {"KRT_CONFIG_FOLDER": str(desk.folder), "PYTHONPATH": str(ROOT)} | FOR_LIVE
        command = (sys.executable, *CHILD, str(FIRST), str(SOME), str(told(desk)))
        plan = quick_to_restart(systemd_plan(Job(command, ROOT, variables, "nobody")))
        manager.install(replace(plan, optional=()))
        try:
            for _ in range(KILLS):
                time.sleep(chance.uniform(5, 25))
                killed = main_process(UNIT)
                assert killed, "all was collected before it had been killed so often"
                os.kill(killed, signal.SIGKILL)
                wait_for(lambda killed=killed: main_process(UNIT) not in (0, killed))
            wait_for(lambda: ask("is-active", UNIT) in ("inactive", "failed"), 3600)
            restarts = int(ask("show", "--value", "--property=NRestarts", UNIT))
        finally:
            manager.remove(plan)
    say(f"{restarts} restarts by systemd")
    assert restarts == KILLS
    some_days_are_whole(desk)
