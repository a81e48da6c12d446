"""Never more than four connections in ten minutes, whatever crashes, fails or is damaged."""

from __future__ import annotations

import tempfile
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.clock import VirtualClock
from engine.kis.stream.allowance import Allowance, most_in_ten_minutes
from engine.kis.stream.registrations import MOST

START = datetime(2026, 11, 20, 10, 5, 2)
TEN_MINUTES = timedelta(seconds=600)


def at(moment: datetime) -> VirtualClock:
    return VirtualClock(moment)


@given(st.lists(st.tuples(st.integers(0, 700), st.booleans()), max_size=60))
def test_no_ten_minutes_have_more_than_four(steps: list[tuple[int, bool]]) -> None:
    made: list[datetime] = []
    now = START
    with tempfile.TemporaryDirectory() as folder:
        path, clock = Path(folder) / "stream.json", at(now)
        allowance = Allowance(path, clock)
        for seconds, restarted in steps:
            now += timedelta(seconds=seconds)
            clock._now = now
            allowance = Allowance(path, clock) if restarted else allowance
            if not allowance.wait() and allowance.note_connection():
                made.append(now)
    for first in made:
        assert sum(first <= moment <= first + TEN_MINUTES for moment in made) <= 4
    assert most_in_ten_minutes(made) <= 4


def test_the_most_connections_in_ten_minutes_are_counted_wherever_these_begin() -> None:
    made = [START + timedelta(seconds=second) for second in (0, 500, 600, 1000, 1100, 1101)]
    assert most_in_ten_minutes(made) == 4  # those from 500 to 1100
    assert most_in_ten_minutes(made[:1]) == 1
    assert most_in_ten_minutes([]) == 0


class SetForward(VirtualClock):
    """A machine's clock that is set forward by `ahead`; its seconds know nothing of it."""

    ahead = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self.ahead


def test_a_clock_that_is_set_forward_allows_no_fifth(tmp_path: Path) -> None:
    clock = SetForward(START)
    allowance = Allowance(tmp_path / "stream.json", clock)
    connect(allowance, 4)
    clock.ahead = timedelta(hours=9)  # a machine that had taken UTC for the time in Seoul
    assert allowance.wait() == timedelta(seconds=601)
    clock._now = START + timedelta(seconds=600)
    assert allowance.wait() == timedelta(seconds=1)
    clock._now += timedelta(seconds=1)
    assert allowance.wait() == timedelta(0)


def connect(allowance: Allowance, times: int) -> None:
    for _ in range(times):
        assert allowance.wait() == timedelta(0)
        assert allowance.note_connection()


def test_after_four_there_is_a_pause_that_another_process_knows(tmp_path: Path) -> None:
    path = tmp_path / "stream.json"
    connect(Allowance(path, at(START)), 4)
    later = START + timedelta(seconds=500)
    assert Allowance(path, at(later)).wait() == timedelta(seconds=300)
    assert Allowance(path, at(later + timedelta(seconds=299))).wait() == timedelta(seconds=1)
    assert Allowance(path, at(later + timedelta(seconds=300))).wait() == timedelta(0)


def test_without_need_there_is_no_pause(tmp_path: Path) -> None:
    path = tmp_path / "stream.json"
    connect(Allowance(path, at(START)), 4)
    connect(Allowance(path, at(START + timedelta(seconds=602))), 4)


@pytest.mark.parametrize("content", [b"", b"{", b'{"connections": ["2026-11-20T10:00:00Z"]}'])
def test_a_damaged_file_counts_as_four_connections(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "stream.json"
    path.write_bytes(content)
    assert Allowance(path, at(START)).wait() >= timedelta(seconds=300)
    assert Allowance(path, at(START + timedelta(seconds=602))).wait() == timedelta(0)


def test_a_clock_that_is_set_back_does_not_stop_the_feed_for_long(tmp_path: Path) -> None:
    path = tmp_path / "stream.json"
    connect(Allowance(path, at(START + timedelta(days=30))), 4)
    assert timedelta(0) < Allowance(path, at(START)).wait() <= timedelta(seconds=601)


def test_where_nothing_can_be_written_no_connection_is_made(tmp_path: Path) -> None:
    allowance = Allowance(tmp_path / "missing" / "stream.json", at(START))
    assert not allowance.note_connection()


def test_the_limit_is_believed_for_a_day(tmp_path: Path) -> None:
    path = tmp_path / "stream.json"
    allowance = Allowance(path, at(START))
    assert allowance.limit == MOST == 41
    allowance.note_limit(3)
    assert Allowance(path, at(START + timedelta(hours=23))).limit == 3
    assert Allowance(path, at(START + timedelta(hours=25))).limit == MOST
