"""One connection an app key: what it does when KIS, the network or the reader goes wrong."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from engine.clock import VirtualClock
from engine.kis.stream.cipher import StreamKey
from engine.kis.stream.connection import stream_address
from engine.kis.stream.frames import read_frames
from engine.kis.stream.queue import FrameQueue
from tests.engine.kis.stream.connections import MANY, always, most_in_ten_minutes
from tests.engine.kis.stream.sample_frames import FIRST_FUTURE, SECOND_FUTURE, futures
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

PINGPONG = '{"header":{"tr_id":"PINGPONG","datetime":"20261120100512"}}'


async def test_frames_come_in_order_with_their_time_of_receipt(
    server: StreamServer, clock: VirtualClock, tmp_path: Path
) -> None:
    async with open_connection(server, tmp_path) as connection:
        await clock.sleep(1)
        await server.send(FIRST_FUTURE)
        await clock.sleep(2)
        sent_at = clock.now()
        await server.send(SECOND_FUTURE)
        await clock.sleep(0.001)
        frames = await connection.take()
        assert [text for _, text in frames] == [FIRST_FUTURE, SECOND_FUTURE]
        assert frames[1][0] == sent_at
        rows = read_frames(frames)
        connection.state.note(rows)
        state = connection.state
        assert (state.frames, state.records, state.rejected, state.dropped) == (2, 2, 0, 0)
        assert state.newest == rows.newest
        assert state.registered == (FUTURE,)
        assert (state.doing, state.connections, state.reconnects) == ("connected", 1, 0)


async def test_registrations_are_paced_and_carry_the_approval_key(
    server: StreamServer, clock: VirtualClock, tmp_path: Path
) -> None:
    async with open_connection(server, tmp_path, *MANY[:10]) as connection:
        await clock.sleep(5)
        assert connection.state.registered == tuple(MANY[:10])
    assert server.registrations() == MANY[:10]
    gaps = [(b.when - a.when).total_seconds() for a, b in pairwise(server.heard)]
    assert min(gaps) >= 0.05
    header = server.heard[0].asked["header"]
    assert header == {
        "approval_key": "approval-1",
        "custtype": "P",
        "tr_type": "1",
        "content-type": "utf-8",
    }


async def test_pingpong_is_echoed_as_it_is_and_no_ping_of_ours_is_sent(
    server: StreamServer, clock: VirtualClock, tmp_path: Path
) -> None:
    async with open_connection(server, tmp_path):
        for _ in range(20):
            await clock.sleep(10)
            await server.send(PINGPONG)
        await clock.sleep(1)
    assert [heard.text for heard in server.heard[1:]] == [PINGPONG] * 20
    assert (server.pings, len(server.connections)) == (0, 1)


async def test_the_second_of_two_is_told_so_and_takes_over_when_the_first_ends(
    server: StreamServer, clock: VirtualClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_connection(server, tmp_path) as first:
        await clock.sleep(1)
        async with open_connection(server, tmp_path) as second:
            await clock.sleep(300)
            assert second.state.held_elsewhere
            assert first.state.connected_since is not None
            assert len(server.connections) == 1
            assert caplog.text.count("another process has the connection") == 1
            await first.close()
            await clock.sleep(60)
            assert not second.state.held_elsewhere
            assert second.state.connected_since is not None
    assert len(server.connections) == 2
    assert len(server.approvals) == 1


async def test_the_limit_is_learnt_from_the_refusal_and_remembered(
    server: StreamServer, clock: VirtualClock, tmp_path: Path
) -> None:
    taken: list[int] = []

    def code(_heard: Heard) -> str:
        taken.append(len(server.connections))
        return "OPSP0000" if taken.count(taken[-1]) <= 3 else "OPSP0008"

    server.code = code
    async with open_connection(server, tmp_path, *MANY) as connection:
        await clock.sleep(300)
        assert connection.state.registered == tuple(MANY[:3])
        assert connection.state.limit == 3
    asked = len(server.heard)
    assert asked == 4
    async with open_connection(server, tmp_path, *MANY) as connection:
        assert connection.state.limit == 3
        await clock.sleep(300)
        assert len(server.heard) == asked + 3  # nothing beyond the limit is tried again


async def test_where_another_has_all_registrations_kis_is_asked_ever_less_often(
    server: StreamServer, clock: VirtualClock, tmp_path: Path
) -> None:
    server.code = lambda _heard: "OPSP0008"
    async with open_connection(server, tmp_path, *MANY) as connection:
        await clock.sleep(3600)
        assert (connection.state.registered, connection.state.limit) == ((), 41)
    assert len(server.heard) < 12
    assert len(server.connections) == 1


async def test_no_more_than_41_are_registered(
    server: StreamServer, clock: VirtualClock, tmp_path: Path
) -> None:
    async with open_connection(server, tmp_path, *MANY) as connection:
        await clock.sleep(60)
        assert connection.state.registered == tuple(MANY[:41])
    assert len(server.heard) == 41


async def feed(server: StreamServer, clock: VirtualClock, seconds: float, count: int) -> None:
    for _ in range(count):
        await server.send(FIRST_FUTURE)
        await clock.sleep(seconds)


async def test_a_connection_that_falls_silent_is_found_by_its_own_rate(
    server: StreamServer, clock: VirtualClock, tmp_path: Path
) -> None:
    async with open_connection(server, tmp_path, trading=always) as connection:
        await clock.sleep(1)
        await feed(server, clock, 0.5, 200)
        last = clock.now()
        assert len(server.connections) == 1
        await clock.sleep(29)
        assert connection.state.reconnects == 0
        await clock.sleep(10)
        assert connection.state.reconnects == 1
        assert server.connections[1] - last < timedelta(seconds=40)


async def test_registered_and_yet_no_data_is_found_within_a_minute(
    server: StreamServer, clock: VirtualClock, tmp_path: Path
) -> None:
    async with open_connection(server, tmp_path, trading=always):
        await clock.sleep(70)
        assert len(server.connections) == 2
        await clock.sleep(3600)
    # A market that is really silent is not connected to again and again.
    assert len(server.connections) < 12
    assert most_in_ten_minutes(server.connections) <= 4


async def test_silence_while_nothing_trades_is_no_fault(
    server: StreamServer, clock: VirtualClock, tmp_path: Path
) -> None:
    opens = clock.now() + timedelta(hours=1)
    async with open_connection(
        server, tmp_path, trading=lambda _one, moment: moment >= opens
    ) as connection:
        await clock.sleep(3610)
        assert len(server.connections) == 1
        await clock.sleep(60)
        assert connection.state.reconnects == 1


async def test_one_silent_symbol_is_named_and_the_connection_stays(
    server: StreamServer, clock: VirtualClock, tmp_path: Path
) -> None:
    async with open_connection(server, tmp_path, FUTURE, STOCK, trading=always) as connection:
        await clock.sleep(1)
        await feed(server, clock, 1.0, 120)
        assert connection.state.silent == (STOCK,)
    assert len(server.connections) == 1


async def test_a_reader_that_takes_nothing_blocks_nothing_and_costs_no_more_memory(
    server: StreamServer, clock: VirtualClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_connection(server, tmp_path, queue=FrameQueue(most=100)) as connection:
        await clock.sleep(1)
        texts = [futures({"ACML_VOL": number}) for number in range(1000)]
        for text in texts:
            await server.send(text)
        await server.send(PINGPONG)
        await clock.sleep(1)
        assert server.heard[-1].text == PINGPONG
        assert await take(connection, 100) == texts[-100:]
        assert (connection.state.frames, connection.state.dropped) == (1000, 900)
    assert caplog.text.count("frames wait to be read") == 1


async def test_a_queue_is_bounded_by_characters_too() -> None:
    queue = FrameQueue(most_characters=1000)
    for _ in range(100):
        queue.put((datetime(2026, 11, 20), "x" * 300))
    assert (len(queue), queue.dropped) == (3, 97)
    queue.close()
    assert len(await queue.take()) == 3
    assert await queue.take() == []


async def test_closing_is_tidy(server: StreamServer, clock: VirtualClock, tmp_path: Path) -> None:
    before = len(asyncio.all_tasks())
    async with open_connection(server, tmp_path) as connection:
        await clock.sleep(1)
        await server.send(FIRST_FUTURE)
        await clock.sleep(1)
        await connection.close()
        assert await take(connection, 1) == [FIRST_FUTURE]
        assert await connection.take() == []
        assert connection.state.doing == "closed"
        await connection.close()
    await clock.sleep(1)
    assert server.close_codes == [1000]
    assert len(asyncio.all_tasks()) == before


@pytest.mark.parametrize("text", ["", "{", "[]", "nonsense", b"\xff\x00", '{"header":[1]}'])
async def test_what_nobody_can_read_is_kept_and_ends_nothing(
    server: StreamServer, clock: VirtualClock, tmp_path: Path, text: str | bytes
) -> None:
    async with open_connection(server, tmp_path) as connection:
        await clock.sleep(1)
        await server.send(text)
        await server.send(FIRST_FUTURE)
        await clock.sleep(1)
        rows = read_frames(await connection.take())
    assert len(rows.trades) == 1
    assert rows.rejected.column("reason").to_pylist() == ["not a frame of data"]
    assert len(server.connections) == 1


async def test_a_message_larger_than_any_of_kis_ends_the_connection_and_no_more(
    server: StreamServer, clock: VirtualClock, tmp_path: Path
) -> None:
    async with open_connection(server, tmp_path) as connection:
        await clock.sleep(1)
        with suppress(ConnectionError):
            await server.send("0|" + "x" * (5 << 20))
        await clock.sleep(10)
        assert connection.state.reconnects == 1
        assert connection.state.registered == (FUTURE,)


async def test_what_kis_does_not_know_is_not_asked_for_again(
    server: StreamServer, clock: VirtualClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.code = lambda heard: "OPSP8992" if heard.registration == STOCK else "OPSP0000"
    async with open_connection(server, tmp_path, STOCK, FUTURE) as connection:
        await clock.sleep(600)
        assert connection.state.registered == (FUTURE,)
    assert server.registrations() == [STOCK, FUTURE]
    assert caplog.text.count("is not registered") == 1


@pytest.mark.parametrize("code", ["OPSP0007", None])
async def test_a_registration_that_failed_is_tried_again_a_minute_later(
    server: StreamServer, clock: VirtualClock, tmp_path: Path, code: str | None
) -> None:
    server.code = lambda _heard: code if len(server.heard) == 1 else "OPSP0000"
    async with open_connection(server, tmp_path) as connection:
        await clock.sleep(80)
        assert connection.state.registered == (FUTURE,)
    first, second = (heard.when for heard in server.heard)
    assert second - first >= timedelta(seconds=60)


async def test_data_proves_a_registration_that_was_not_answered(
    server: StreamServer, clock: VirtualClock, tmp_path: Path
) -> None:
    server.code = lambda _heard: None
    async with open_connection(server, tmp_path) as connection:
        await clock.sleep(1)
        await server.send(FIRST_FUTURE)
        await clock.sleep(200)
        assert connection.state.registered == (FUTURE,)
    assert len(server.heard) == 1


async def test_what_is_no_longer_wanted_is_removed_but_not_at_once(
    server: StreamServer, clock: VirtualClock, tmp_path: Path
) -> None:
    async with open_connection(server, tmp_path, FUTURE) as connection:
        await clock.sleep(1)
        server.code = lambda heard: "OPSP0001" if heard.removes else "OPSP0000"
        connection.want([STOCK])
        await clock.sleep(50)
        assert server.registrations(removals=True) == []
        assert connection.state.registered == (FUTURE, STOCK)
        await clock.sleep(20)
        assert connection.state.registered == (STOCK,)
    assert server.registrations(removals=True) == [FUTURE]
    assert server.registrations() == [FUTURE, STOCK]


async def test_the_key_of_encrypted_frames_comes_with_the_answer(
    server: StreamServer, clock: VirtualClock, tmp_path: Path
) -> None:
    server.output = {"key": "k" * 32, "iv": "v" * 16}
    async with open_connection(server, tmp_path) as connection:
        await clock.sleep(1)
        assert connection.keys == {"H0IFCNT0": StreamKey("k" * 32, "v" * 16)}


def texts_of(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text("utf-8") for path in folder.iterdir()}


async def test_nothing_secret_is_written(
    server: StreamServer,
    clock: VirtualClock,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    server.code = lambda _heard: "OPSP0007"
    async with open_connection(server, tmp_path):
        await clock.sleep(100)
    for secret in (KEY, SECRET, "approval-1"):
        assert secret not in caplog.text
    files = texts_of(tmp_path)
    assert not any(KEY in text or SECRET in text for text in files.values())
    assert [name for name, text in files.items() if "approval-1" in text] == ["key-approval.json"]


@pytest.mark.parametrize(
    ("base_url", "address"),
    [
        (
            "https://openapi.koreainvestment.com:9443",
            "ws://ops.koreainvestment.com:21000",
        ),
        (
            "https://openapivts.koreainvestment.com:29443",
            "ws://ops.koreainvestment.com:31000",
        ),
        ("http://127.0.0.1:8080", "ws://127.0.0.1:8080"),
        ("https://example.org/kis", "wss://example.org/kis"),
    ],
)
def test_the_address_follows_from_that_of_rest(base_url: str, address: str) -> None:
    assert stream_address(base_url) == address
