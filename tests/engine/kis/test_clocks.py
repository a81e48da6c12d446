"""The clocks of this machine and of KIS: which answers prove that a minute is over."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from engine.kis.transport import Transport
from tests.engine.kis.calls import QUOTE, START
from tests.engine.kis.stub_kis import (
    StubKis,
    StubReply,
    fine,
    open_client,
)


def timed_transport(kis: StubKis) -> Transport:
    """Return a transport that believes the date of an answer, as that of the real KIS does."""
    return Transport(kis.base_url, kis.clock, timeout=5, tells_time=True)


def dated(clock_of_kis: datetime) -> StubReply:
    date = (clock_of_kis - timedelta(hours=9)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    return replace(fine(), headers={"Date": date})


@pytest.mark.parametrize(
    ("ahead", "as_of"),
    [
        (0, START),
        (3, START - timedelta(seconds=3)),
        (-3, START),
        (3600, START - timedelta(hours=1)),
        (-3600, START),
        (3 * 86_400, START),  # the date of a cache, not the time of an answer
    ],
)
async def test_a_minute_is_over_when_it_is_by_both_clocks(
    kis: StubKis, tmp_path: Path, ahead: int, as_of: datetime
) -> None:
    kis.answer = lambda _asked: dated(START - timedelta(seconds=ahead))
    async with open_client(kis, tmp_path, transport=timed_transport(kis)) as client:
        assert (await client.call(QUOTE)).as_of == as_of


async def test_a_wrong_clock_is_logged_once_and_once_when_it_is_right_again(kis, tmp_path, caplog):
    caplog.set_level("INFO")
    async with open_client(kis, tmp_path, transport=timed_transport(kis)) as client:
        for ahead in (0, 5, 6, 5, 0, 1):
            kis.answer = lambda _asked, s=ahead: dated(kis.clock.now() - timedelta(seconds=s))
            await client.call(QUOTE)
    lines = [record.message for record in caplog.records if record.name.endswith("skew")]
    assert [line[0] for line in lines] == ["⚠", "✅"]
    assert "5 s ahead" in lines[0] or "6 s ahead" in lines[0]


@pytest.mark.parametrize(
    ("ahead", "written"),
    [
        (6 * 3600, "6 h 0 min ahead of"),
        (9 * 3600, "9 h 0 min ahead of"),
        (480, "8 min ahead of"),
        (-480, "8 min behind"),
    ],
)
async def test_a_clock_that_is_off_by_minutes_is_said_loudly_and_proves_nothing(
    kis: StubKis, tmp_path: Path, caplog: pytest.LogCaptureFixture, ahead: int, written: str
) -> None:
    """A difference above ten minutes was ignored without a line."""
    kis.answer = lambda _asked: dated(kis.clock.now() - timedelta(seconds=ahead))
    async with open_client(kis, tmp_path, transport=timed_transport(kis)) as client:
        for _ in range(3):
            assert not (await client.call(QUOTE)).clocks_agree
        kis.answer = lambda _asked: dated(kis.clock.now())
        assert (await client.call(QUOTE)).clocks_agree
    (line,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert f"this machine's clock is {written} KIS's" in line.message
    assert "no missing minute is settled" in line.message


async def test_an_answer_without_a_date_proves_nothing(kis: StubKis, tmp_path: Path) -> None:
    kis.answer = lambda _asked: fine()
    async with open_client(kis, tmp_path, transport=timed_transport(kis)) as client:
        answer = await client.call(QUOTE)
        assert (answer.as_of, answer.clocks_agree) == (START, False)


async def test_a_simulator_does_not_tell_the_time(kis: StubKis, tmp_path: Path) -> None:
    kis.answer = lambda _asked: dated(START - timedelta(seconds=30))
    async with open_client(kis, tmp_path) as client:
        assert (await client.call(QUOTE)).as_of == START
