"""A process that sweeps a market is killed again and again: the next one goes on where it was."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from engine.market.expected import expected_sessions
from pipelines.history.market_sweep import BATCH, BATCHES_AT_ONCE, CALLS_A_STOCK, sweep
from tests.paths import ROOT
from tests.pipelines.history.test_market_sweep import (
    A_CALL_MORE,
    CLOSED,
    DAY,
    MARKET,
    check_whole,
    codes,
)
from tests.pipelines.simulated import desk

SWEEPER = (
    "import sys; from tests.pipelines.history.test_killed_sweep import main; main(*sys.argv[1:])"
)
LATER = timedelta(minutes=5)  # a start after the one before


class Tally(Counter[str]):
    """Counts calls, and writes a byte for each into a file, which a killed process leaves."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._file = file

    def __setitem__(self, tr_id: str, count: int) -> None:
        super().__setitem__(tr_id, count)
        if tr_id.startswith("FH"):
            with self._file.open("ab") as file:
                file.write(b".")


def main(url: str, folder: str, count: str, start: str) -> None:
    asyncio.run(sweep_market(url, Path(folder), int(count), int(start)))


async def sweep_market(url: str, folder: Path, count: int, start: int) -> None:
    targets = expected_sessions(codes(count), DAY, DAY)
    now = CLOSED + start * LATER
    async with desk(url, folder, now, MARKET, calls_per_second=15) as at:
        at.simulator.counts.calls = Tally(folder / "calls")
        await sweep(at.context, targets, DAY)


def calls(folder: Path) -> int:
    file = folder / "calls"
    return file.stat().st_size if file.exists() else 0


def sweep_until(url: str, folder: Path, count: int, start: int, most: int | None) -> int:
    """Sweep in a process of its own, which is killed after so many calls; return its exit code."""
    before = calls(folder)
    command = [sys.executable, "-c", SWEEPER, url, str(folder), str(count), str(start)]
    with subprocess.Popen(command, cwd=ROOT) as child:
        while child.poll() is None:
            if most is not None and calls(folder) - before >= most:
                child.kill()
            time.sleep(0.002)
    return child.returncode


@pytest.mark.parametrize(
    ("count", "kills"), [(24, 2), pytest.param(150, 8, marks=pytest.mark.long)]
)
async def test_a_process_that_is_killed_leaves_nothing_that_the_next_does_not_bring_in(
    database_url: str, tmp_path: Path, count: int, kills: int
) -> None:
    chance = random.Random(count)  # noqa: S311 - when it is killed
    moments = [chance.randint(1, 4 * count // kills) for _ in range(kills)]
    ends = [
        sweep_until(database_url, tmp_path, count, start, most)
        for start, most in enumerate(moments)
    ]
    assert all(ends), "a sweep was done before it was to be killed"
    assert sweep_until(database_url, tmp_path, count, kills, None) == 0
    made = calls(tmp_path)
    async with desk(database_url, tmp_path, CLOSED + LATER * (kills + 1), MARKET) as at:
        fewest = await check_whole(at, codes(count))
        again = await sweep(at.context, expected_sessions(codes(count), DAY, DAY), DAY)
    assert (again.stocks, again.calls) == (0, 0)
    # What a killed process had asked for and not stored yet is asked for again, and no more: of two
    # batches at most, and the closing snapshot if it was not kept yet.
    lost = sum(min(moment, BATCHES_AT_ONCE * BATCH * CALLS_A_STOCK) for moment in moments)
    assert made <= fewest * (1 + A_CALL_MORE) + lost + 8 * kills
