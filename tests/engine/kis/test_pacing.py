"""Calls are spread evenly under one budget that all processes of the machine share."""

from __future__ import annotations

import asyncio
import struct
import subprocess
import sys
from datetime import datetime, timedelta
from io import FileIO
from itertools import pairwise
from pathlib import Path

import pytest

from engine.clock import VirtualClock
from engine.errors import KisUnreachable
from engine.kis.pacing import Pace, Priority

START = datetime(2026, 11, 20, 10, 5)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(START)


async def turns(
    pace: Pace, clock: VirtualClock, count: int, priority: Priority = Priority.LIVE
) -> list[datetime]:
    """Let so many callers wait at the same time; return when each got its turn."""

    async def one() -> datetime:
        await pace.wait_turn(priority)
        return clock.now()

    return list(await asyncio.gather(*(one() for _ in range(count))))


def gaps(moments: list[datetime]) -> set[float]:
    return {(b - a).total_seconds() for a, b in pairwise(sorted(moments))}


async def test_turns_are_spread_evenly_and_not_in_bursts(tmp_path: Path, clock) -> None:
    pace = Pace(tmp_path / "a.pace", 10, clock)
    assert gaps(await turns(pace, clock, 50)) == {0.1}


async def test_an_interval_of_a_fraction_of_a_microsecond_is_rounded_up(tmp_path, clock) -> None:
    pace = Pace(tmp_path / "a.pace", 3, clock)
    assert gaps(await turns(pace, clock, 10)) == {0.333334}


async def test_idle_time_is_not_saved_up(tmp_path: Path, clock) -> None:
    pace = Pace(tmp_path / "a.pace", 10, clock)
    await turns(pace, clock, 3)
    await clock.sleep(60)
    assert gaps(await turns(pace, clock, 5)) == {0.1}


async def test_a_file_that_cannot_be_written_leaves_a_pace_of_our_own(
    tmp_path: Path, clock, caplog: pytest.LogCaptureFixture
) -> None:
    pace = Pace(tmp_path / "a.pace", 10, clock)
    await turns(pace, clock, 2)
    pace._file = FileIO(tmp_path / "a.pace", "r")
    assert gaps(await turns(pace, clock, 20)) <= {0.1}
    pace.slow_down()
    assert pace.per_second < 10
    assert gaps(await turns(pace, clock, 5)) == {0.15}
    assert caplog.text.count("not shared") == 1


async def test_live_goes_before_backfill_that_has_waited_longer(tmp_path: Path, clock) -> None:
    pace = Pace(tmp_path / "a.pace", 10, clock)
    backfill = asyncio.create_task(turns(pace, clock, 20, Priority.BACKFILL))
    await clock.sleep(0.55)
    live = await turns(pace, clock, 5)
    # Waiting since 0.55, so from the very next turn on.
    assert live == [START + timedelta(seconds=s) for s in (0.6, 0.7, 0.8, 0.9, 1.0)]
    assert gaps(live + await backfill) == {0.1}


async def test_bars_that_a_strategy_waits_for_go_before_everything_else(tmp_path, clock) -> None:
    pace = Pace(tmp_path / "a.pace", 10, clock)
    live, (watched,) = await asyncio.gather(
        turns(pace, clock, 20), turns(pace, clock, 1, Priority.SIGNALS)
    )
    assert watched < min(live)


async def test_second_tries_come_after_all_first_tries(tmp_path: Path, clock) -> None:
    pace = Pace(tmp_path / "a.pace", 10, clock)
    order: list[str] = []

    async def call(name: str, failures: int) -> None:
        await pace.wait_turn(Priority.LIVE, failures)
        order.append(name)

    await asyncio.gather(call("first", 0), call("again", 1), call("b", 0), call("c", 0))
    assert order == ["first", "b", "c", "again"]


async def test_a_cancelled_caller_costs_no_turn(tmp_path: Path, clock) -> None:
    pace = Pace(tmp_path / "a.pace", 1, clock)
    first, given_up = (asyncio.create_task(turns(pace, clock, 1)) for _ in range(2))
    await first
    given_up.cancel()
    assert await turns(pace, clock, 1) == [START + timedelta(seconds=1)]


async def test_two_processes_share_one_budget(tmp_path: Path, clock) -> None:
    one, two = (Pace(tmp_path / "a.pace", 10, clock) for _ in range(2))
    a, b = await asyncio.gather(turns(one, clock, 20), turns(two, clock, 20))
    assert len(a) == len(b) == 20
    assert min(gaps(a + b)) >= 0.1
    assert max(a + b) - START <= timedelta(seconds=39 * 0.1 + 0.2)


async def test_backfill_of_another_process_gives_way_to_live(tmp_path: Path, clock) -> None:
    ours, theirs = (Pace(tmp_path / "a.pace", 10, clock) for _ in range(2))
    backfill = asyncio.create_task(turns(theirs, clock, 50, Priority.BACKFILL))
    await clock.sleep(1.01)
    live = await turns(ours, clock, 10)
    # One turn may have been handed out before the mark of the live ones was seen.
    assert live[-1] - START <= timedelta(seconds=1.01 + 10 * 0.1 + 0.1)
    assert min(gaps(live + await backfill)) >= 0.1


async def test_the_mark_of_a_live_process_that_died_is_forgotten(tmp_path: Path, clock) -> None:
    dead, other = (Pace(tmp_path / "a.pace", 10, clock) for _ in range(2))
    await turns(dead, clock, 1)
    waiting = asyncio.create_task(turns(dead, clock, 1))
    await clock.sleep(0.01)
    dead.close()
    waiting.cancel()
    (moment,) = await turns(other, clock, 1, Priority.BACKFILL)
    assert moment - START < timedelta(seconds=0.3)


async def test_a_refusal_slows_down_at_once_and_success_speeds_up_slowly(tmp_path, clock) -> None:
    pace = Pace(tmp_path / "a.pace", 10, clock)
    pace.slow_down()
    assert pace.per_second == pytest.approx(10 / 1.5, rel=1e-3)
    slow = await turns(pace, clock, 10)
    assert min(gaps(slow)) == pytest.approx(0.15)
    speeds = []
    for _ in range(20):
        await turns(pace, clock, 20)
        speeds.append(pace.per_second)
    assert all(later >= earlier for earlier, later in pairwise(speeds))
    assert max(b - a for a, b in pairwise(speeds)) < 0.3
    assert speeds[-1] == 10


async def test_the_refusals_of_one_second_count_once(tmp_path: Path, clock) -> None:
    pace = Pace(tmp_path / "a.pace", 10, clock)
    for _ in range(5):
        pace.slow_down()
    once = pace.per_second
    await clock.sleep(1.5)
    pace.slow_down()
    assert (once, pace.per_second) == (
        pytest.approx(10 / 1.5, rel=1e-3),
        pytest.approx(4.444, rel=1e-3),
    )


async def test_a_slow_pace_is_known_to_the_other_process_and_the_next(tmp_path, clock) -> None:
    one, two = (Pace(tmp_path / "a.pace", 10, clock) for _ in range(2))
    one.slow_down()
    assert two.per_second == one.per_second < 10
    assert Pace(tmp_path / "a.pace", 10, clock).per_second == one.per_second


async def test_it_never_slows_down_below_one_call_in_two_seconds(tmp_path: Path, clock) -> None:
    pace = Pace(tmp_path / "a.pace", 10, clock)
    for _ in range(40):
        pace.slow_down()
        await clock.sleep(2)
    assert pace.per_second == 0.5


async def test_a_much_slower_pace_and_the_full_one_again_are_logged_once_each(
    tmp_path: Path, clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    pace = Pace(tmp_path / "a.pace", 10, clock)
    pace.slow_down()
    await turns(pace, clock, 400)
    assert not caplog.records  # a refusal now and then is how the pace is found
    for _ in range(3):
        pace.slow_down()
        await clock.sleep(2)
    await turns(pace, clock, 1000)
    assert [record.message[0] for record in caplog.records] == ["⚠", "✅"]


async def test_a_clock_that_was_set_back_does_not_stop_the_calls(tmp_path: Path) -> None:
    evening, morning = VirtualClock(START + timedelta(hours=6)), VirtualClock(START)
    for at in (evening, morning):  # a simulated day again in the same folder is the same case
        (moment,) = await turns(Pace(tmp_path / "a.pace", 10, at), at, 1)
    assert moment - START <= timedelta(seconds=2)


@pytest.mark.parametrize(
    "content", [b"", b"short", b"\xff" * 40, struct.pack("<5q", 2**62, -5, 2**62, -(2**62), 2**40)]
)
async def test_a_damaged_file_does_no_harm(tmp_path: Path, clock, content: bytes) -> None:
    (tmp_path / "a.pace").write_bytes(content)
    pace = Pace(tmp_path / "a.pace", 10, clock)
    moments = await turns(pace, clock, 10, Priority.BACKFILL)
    assert min(gaps(moments)) >= 0.1
    assert moments[-1] - START <= timedelta(seconds=2 + 2 * 9)


async def test_a_file_that_fails_is_an_error_for_every_waiting_call(tmp_path: Path, clock) -> None:
    pace = Pace(tmp_path / "a.pace", 10, clock)
    pace._lock = _BrokenFile()  # type: ignore[assignment]
    results = await asyncio.gather(
        *(pace.wait_turn(Priority.LIVE) for _ in range(3)), return_exceptions=True
    )
    assert [type(result) for result in results] == [KisUnreachable] * 3


class _BrokenFile:
    def fileno(self) -> int:
        return 999_999  # which is open nowhere


PROCESS = """
import asyncio, sys
from pathlib import Path
from engine.clock import WallClock
from engine.kis.pacing import Pace, Priority

async def main():
    clock = WallClock()
    pace = Pace(Path(sys.argv[1]), 100, clock)
    for _ in range(40):
        await pace.wait_turn(Priority.LIVE)
        print(clock.now().isoformat())

asyncio.run(main())
"""


def test_real_processes_stay_within_the_budget_together(tmp_path: Path) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(tmp_path / "a.pace")],
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    outputs = [process.communicate(timeout=60)[0] for process in started]
    moments = sorted(datetime.fromisoformat(line) for out in outputs for line in out.split())
    assert len(moments) == 120
    # 120 turns take 119 intervals of 10 ms on any machine; the first may be printed late.
    assert moments[-1] - moments[0] >= timedelta(seconds=119 * 0.01 * 0.8)
    busiest = max(
        sum(m <= other < m + timedelta(seconds=0.5) for other in moments) for m in moments
    )
    assert busiest <= 60
