"""Connections that are cut and keys that are refused: how often and with what it tries again."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from engine.clock import VirtualClock
from engine.kis.stream import connection as connection_module
from engine.kis.stream.messages import registration_of_frame
from engine.kis.stream.registrations import StreamRegistration
from tests.engine.kis.stream.connections import MANY, most_in_ten_minutes
from tests.engine.kis.stream.sample_frames import FIRST_FUTURE
from tests.engine.kis.stream.stream_server import (
    FUTURE,
    KEY,
    SECRET,
    STOCK,
    Heard,
    StreamServer,
    open_connection,
    take,
)


async def cut_at_once(server: StreamServer) -> None:
    await server.cut()


async def test_a_connection_that_is_always_cut_is_made_four_times_in_ten_minutes(
    server: StreamServer, clock: VirtualClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.opened = cut_at_once
    async with open_connection(server, tmp_path) as connection:
        await clock.sleep(500)
        assert connection.state.paused_until is not None
        assert "pauses until" in connection.state.doing
        await clock.sleep(7200)
    assert most_in_ten_minutes(server.connections) == 4
    assert len(server.connections) > 30
    assert len(server.approvals) == 1
    pauses = [b - a for a, b in pairwise(server.connections) if b - a >= timedelta(seconds=300)]
    assert len(pauses) >= 8
    assert "four connections in ten minutes" in caplog.text


async def test_a_program_that_crashes_and_starts_again_counts_too(
    server: StreamServer, clock: VirtualClock, tmp_path: Path
) -> None:
    for _ in range(60):
        async with open_connection(server, tmp_path):
            await clock.sleep(20)
    assert most_in_ten_minutes(server.connections) == 4


async def test_after_one_cut_the_connection_is_soon_there_again(
    server: StreamServer, clock: VirtualClock, tmp_path: Path
) -> None:
    async with open_connection(server, tmp_path, FUTURE, STOCK) as connection:
        await clock.sleep(100)
        await server.cut()
        await clock.sleep(5)
        assert connection.state.registered == (FUTURE, STOCK)
        assert connection.state.reconnects == 1
        await server.send(FIRST_FUTURE)
        assert await take(connection, 1) == [FIRST_FUTURE]


async def test_a_server_that_is_away_is_waited_for(clock: VirtualClock, tmp_path: Path) -> None:
    server = StreamServer(clock, base_url="http://127.0.0.1:9")
    async with open_connection(server, tmp_path) as connection:
        await clock.sleep(30)
        assert connection.state.connected_since is None
        assert connection.state.connections == 0  # none is made without an approval key


async def test_a_key_in_use_is_waited_for_and_not_renewed(
    server: StreamServer, clock: VirtualClock, tmp_path: Path
) -> None:
    server.code = lambda _heard: "OPSP8996" if len(server.connections) < 3 else "OPSP0000"
    async with open_connection(server, tmp_path) as connection:
        await clock.sleep(30)
        assert "in use" in connection.state.doing
        await clock.sleep(300)
        assert connection.state.registered == (FUTURE,)
    assert len(server.approvals) == 1
    first, second = (b - a for a, b in pairwise(server.connections))
    assert first >= timedelta(seconds=45)
    assert second >= timedelta(seconds=90)


async def test_an_unknown_approval_key_is_renewed_once_on_the_same_connection(
    server: StreamServer, clock: VirtualClock, tmp_path: Path
) -> None:
    async with open_connection(server, tmp_path):
        await clock.sleep(1)
    clock_of_key: dict[str, int] = {}

    def code(heard: Heard) -> str:
        key = heard.asked["header"]["approval_key"]
        clock_of_key[key] = clock_of_key.get(key, 0) + 1
        return "OPSP0011" if key == "approval-1" else "OPSP0000"

    server.code = code
    await clock.sleep(3600)
    async with open_connection(server, tmp_path, *MANY[:5]) as connection:
        await clock.sleep(30)
        assert connection.state.registered == tuple(MANY[:5])
    assert len(server.approvals) == 2
    assert len(server.connections) == 2
    assert clock_of_key["approval-2"] == 5


async def test_an_approval_key_that_stays_unknown_ends_in_a_long_wait(
    server: StreamServer, clock: VirtualClock, tmp_path: Path
) -> None:
    server.code = lambda _heard: "OPSP0011"
    async with open_connection(server, tmp_path) as connection:
        await clock.sleep(3600)
        assert "unknown" in connection.state.doing
    assert len(server.connections) <= 8
    assert len(server.approvals) <= 9


async def test_a_refused_app_key_ends_in_a_long_wait(
    server: StreamServer, clock: VirtualClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    words = {"error_code": "EGW00103", "error_description": f"유효하지 않은 AppKey {KEY} {SECRET}"}
    server.approve = lambda _number: (words, 403)
    async with open_connection(server, tmp_path) as connection:
        await clock.sleep(1200)
        assert "gives no approval key" in connection.state.doing
    assert len(server.approvals) <= 3
    assert server.connections == []
    assert KEY not in caplog.text
    assert SECRET not in caplog.text


async def test_a_crash_in_reading_costs_a_line_and_a_new_connection(
    server: StreamServer,
    clock: VirtualClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nobody waits for the connection's task: an error that nobody foresaw would end it unseen."""
    crashed: list[str] = []

    def crash_once(text: str) -> StreamRegistration | None:
        if not crashed:
            crashed.append(text)
            raise RuntimeError("nobody has foreseen it")
        return registration_of_frame(text)

    monkeypatch.setattr(connection_module, "registration_of_frame", crash_once)
    async with open_connection(server, tmp_path) as connection:
        await clock.sleep(1)
        await server.send(FIRST_FUTURE)
        await clock.sleep(1)
        assert connection.state.why_not(FUTURE) is not None
        await clock.sleep(60)
        assert connection.state.why_not(FUTURE) is None
        assert len(server.connections) == 2
        assert [text for _, text in await connection.take()] == [FIRST_FUTURE]
    assert "feed: the connection crashed: RuntimeError('nobody has foreseen it')" in caplog.text
