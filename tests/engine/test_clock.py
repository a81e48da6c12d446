"""The clocks: a virtual day is like a real one, except that it is short."""

import asyncio
import itertools
import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.clock import ScaledClock, VirtualClock, WallClock, floor_minute, to_kst_naive

OPEN = datetime(2025, 9, 1, 8, 45)


def test_aware_moments_become_seoul_wall_time():
    assert to_kst_naive(datetime(2025, 9, 1, 0, 0, tzinfo=UTC)) == datetime(2025, 9, 1, 9, 0)


@given(st.datetimes(min_value=datetime(2015, 1, 1), max_value=datetime(2028, 1, 1)))
def test_naive_moments_are_kst_already(moment):
    assert to_kst_naive(moment) == moment
    assert floor_minute(moment) <= moment < floor_minute(moment) + timedelta(minutes=1)


async def test_a_virtual_day_passes_in_no_time_and_in_order():
    clock = VirtualClock(OPEN)
    ticks: list[tuple[str, datetime]] = []

    async def every(name: str, seconds: float, times: int) -> None:
        for _ in range(times):
            await clock.sleep(seconds)
            ticks.append((name, clock.now()))

    started = time.monotonic()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(every("minute", 60, 421))
        tasks.create_task(every("hour", 3600, 7))
    assert clock.now() == OPEN + timedelta(minutes=421)
    assert [moment for _, moment in ticks] == sorted(moment for _, moment in ticks)
    assert len(ticks) == 428
    assert time.monotonic() - started < 60  # seven virtual hours did not take seven hours


async def test_time_stands_still_while_a_message_is_between_two_sockets():
    clock = VirtualClock(OPEN)
    received: list[tuple[bytes, datetime]] = []
    ended = asyncio.Event()

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number in range(200):
            await clock.sleep(0.25)
            clock.announce("reader")
            writer.write(b"%03d" % number)
        writer.close()
        ended.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    async with clock.busy("connecting"):
        reader, writer = await asyncio.open_connection(*address)
    for _ in range(200):
        received.append((await reader.readexactly(3), clock.now()))
        clock.receive("reader")
    expected = [(b"%03d" % n, OPEN + timedelta(seconds=(n + 1) / 4)) for n in range(200)]
    assert received == expected
    await ended.wait()
    writer.close()
    server.close()


async def test_time_goes_on_when_nobody_receives_any_more():
    clock = VirtualClock(OPEN)
    clock.announce("gone")
    clock.announce("gone")
    sleeping = asyncio.create_task(clock.sleep(1))
    await clock.thread(time.sleep, 0.02)
    assert not sleeping.done()
    clock.forget("gone")
    await sleeping
    clock.receive("gone")  # more than were announced: nothing to wait for
    await clock.sleep(1)
    assert clock.now() == OPEN + timedelta(seconds=2)
    running = ScaledClock(OPEN, 1000)
    for declare in (running.announce, running.receive, running.forget):
        declare("anyone")


async def test_time_stands_still_while_a_thread_works():
    clock = VirtualClock(OPEN)
    moments: list[datetime] = []

    async def wait() -> None:
        await clock.sleep(1)
        moments.append(clock.now())

    def work() -> datetime:
        time.sleep(0.05)
        return clock.now()

    waiting = asyncio.create_task(wait())
    assert await clock.thread(work) == OPEN
    assert moments == []
    await waiting
    assert moments == [OPEN + timedelta(seconds=1)]


async def test_time_goes_on_when_the_side_that_serves_waits_for_it():
    clock = VirtualClock(OPEN)
    answered: asyncio.Future[datetime] = asyncio.get_running_loop().create_future()

    async def serve() -> None:
        async with clock.parked("request"):
            await clock.sleep(3)
        answered.set_result(clock.now())

    serving = asyncio.create_task(serve())
    async with clock.busy("request"):
        assert await answered == OPEN + timedelta(seconds=3)
    await serving


async def test_a_timeout_is_virtual_and_leaves_nothing_behind():
    clock = VirtualClock(OPEN)
    with pytest.raises(TimeoutError):
        async with clock.timeout(5):
            await clock.sleep(3600)
    assert clock.now() == OPEN + timedelta(seconds=5)
    async with clock.timeout(5):
        pass
    await clock.sleep(1)  # a timeout that was left behind would end this sleep
    await clock.sleep(60)
    assert clock.now() == OPEN + timedelta(seconds=66)


async def test_a_cancelled_sleeper_does_not_pull_time_forward():
    clock = VirtualClock(OPEN)
    sleeper = asyncio.create_task(clock.sleep(10))
    await clock.sleep(1)
    sleeper.cancel()
    await clock.sleep(60)
    assert clock.now() == OPEN + timedelta(seconds=61)


async def test_tasks_that_still_have_steps_to_make_hold_time_back():
    """A chain of tasks takes no virtual time, however long it is."""
    clock = VirtualClock(OPEN)
    queues: list[asyncio.Queue[int]] = [asyncio.Queue() for _ in range(50)]

    async def hand_on(left: asyncio.Queue[int], right: asyncio.Queue[int]) -> None:
        await right.put(await left.get() + 1)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(clock.sleep(1))
        for left, right in itertools.pairwise(queues):
            tasks.create_task(hand_on(left, right))
        await queues[0].put(0)
        assert await queues[-1].get() == 49
        assert clock.now() == OPEN


async def test_speed_bounds_how_fast_virtual_time_goes():
    clock = VirtualClock(OPEN, speed=600)
    started = time.monotonic()
    await clock.sleep(60)
    assert time.monotonic() - started >= 0.09
    assert clock.now() == OPEN + timedelta(seconds=60)


async def test_the_scaled_clock_runs_by_itself():
    clock = ScaledClock(OPEN, speed=1000)
    await clock.sleep(20)
    assert clock.now() >= OPEN + timedelta(seconds=20)


def test_the_wall_clock_tells_the_time_in_seoul():
    wall = WallClock()
    assert abs(wall.now() - wall.now_kst().replace(tzinfo=None)) < timedelta(seconds=5)
    assert wall.now_kst().utcoffset() == timedelta(hours=9)
