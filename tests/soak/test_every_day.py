"""A month and a half of `just live --every-day`, in one process and with processes that are killed.

From the week of a CSAT day over an expiry, Christmas and the end of a year. The sessions are begun
in the afternoon and fetch what was before. Nights are not among them yet.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import date
from statistics import median
from typing import Any

import pytest

from engine.market.sessions import Market, session_dates
from tests.e2e.conftest import Desk, new_desk
from tests.paths import ROOT
from tests.soak.report import MOST_GROWTH, SETTLING, slope

FIRST, LAST = date(2025, 11, 10), date(2026, 1, 6)
DAYS = session_dates(Market.DERIVATIVES, FIRST, LAST)
KILLS = 6
SEED = 18
HELD = ("memory", "files", "connections", "threads", "processes")


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")  # for docs/reliability.md: pytest -s


@pytest.fixture
def desk() -> Iterator[Desk]:
    with new_desk() as one:
        yield one


def live(desk: Desk, first: date, sessions: int, life: float | None = None) -> list[dict[str, Any]]:
    """Collect sessions; the process is killed after the seconds of its `life`, if that is given."""
    command = [sys.executable, "-m", "tests.soak.every_day_child", str(first), str(sessions)]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=desk.environment | {"KRT_CONFIG_FOLDER": str(desk.folder)},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as child:
        killing = threading.Timer(life, child.send_signal, [signal.SIGKILL]) if life else None
        if killing:
            killing.start()
        out, err = child.communicate()
        if killing:
            killing.cancel()
    assert child.returncode == 0 or (life and child.returncode == -signal.SIGKILL), err[-2000:]
    return [json.loads(line) for line in out.splitlines()]


def findings(desk: Desk) -> Any:
    done = desk.krt("validate", "--format", "json")
    found = json.loads(done.stdout)
    return found["findings"]


@pytest.mark.long
def test_a_month_and_a_half_in_one_process_is_whole_and_nothing_grows(desk: Desk) -> None:
    assert {date(2025, 11, 13), date(2025, 12, 11), date(2026, 1, 2)} <= set(DAYS)
    evenings = live(desk, FIRST, len(DAYS))
    assert [evening["day"] for evening in evenings] == [str(day) for day in DAYS]
    assert all(evening["complete"] for evening in evenings)
    figures = {held: [evening[held] for evening in evenings] for held in HELD}
    growth = {held: slope(values[SETTLING:]) for held, values in figures.items()}
    for held, values in figures.items():
        say(f"{held}: {values[0]:.0f}, {median(values):.0f}, {values[-1]:.0f}, {growth[held]:+.2f}")
    say(f"CPU: {evenings[-1]['seconds']:.0f} s")
    assert findings(desk) == []
    assert {held for held in HELD if growth[held] > MOST_GROWTH.get(held, 0.0)} == set()


@pytest.mark.long
def test_processes_that_are_killed_at_random_leave_the_month_whole(desk: Desk) -> None:
    chance = random.Random(SEED)  # noqa: S311
    left, lives = list(DAYS[:12]), 0
    while left:
        life = chance.uniform(5, 40) if lives < KILLS else None
        evenings = live(desk, left[0], len(left), life)
        left = left[len(evenings) :]
        lives += 1
    assert lives > KILLS
    assert findings(desk) == []
