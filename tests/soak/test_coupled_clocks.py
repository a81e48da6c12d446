"""Two clocks over a real connection show one time: that of one clock, whatever crosses.

Each clock has an event loop to itself: two in one loop would take each other for work.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import datetime, timedelta
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from engine.clock import Clock, VirtualClock
from engine.kis.stream.approval import ApprovalKeeper
from engine.kis.stream.connection import StreamConnection
from engine.kis.stream.frames import Frame
from engine.kis.stream.registrations import StreamRegistration
from engine.kis.transport import Transport
from engine.settings import AppKey
from engine.simulator import APP_KEYS, Scenario, Simulator, SyntheticMarket, serve
from tests.soak.coupled_clocks import FollowingClock, LeadingClock, Line

OPEN = datetime(2026, 11, 20, 9, 0)
There = Callable[[Coroutine[Any, Any, Any]], "asyncio.Future[Any]"]
Clocks = Callable[[], AbstractAsyncContextManager[tuple[Clock, Clock, There]]]
((APP_KEY, APP_SECRET),) = APP_KEYS.items()
WANTED = [
    StreamRegistration("H0IFCNT0", "A01612"),
    StreamRegistration("H0IFASP0", "A01612"),
    StreamRegistration("H0STCNT0", "005930"),
]


def after(seconds: float) -> datetime:
    return OPEN + timedelta(seconds=seconds)


@asynccontextmanager
async def coupled() -> AsyncIterator[tuple[LeadingClock, FollowingClock, There]]:
    """The clock of who asks and, in the event loop of another thread, of who is asked.

    What is given to the last that is yielded runs there.
    """
    loop = asyncio.get_running_loop()
    mine = Line()
    server = await loop.create_server(lambda: mine, "127.0.0.1", 0)
    others = asyncio.new_event_loop()
    thread = threading.Thread(target=others.run_forever)
    thread.start()

    def there(work: Coroutine[Any, Any, Any]) -> asyncio.Future[Any]:
        return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, others))

    async def connect() -> FollowingClock:
        _, line = await others.create_connection(Line, *server.sockets[0].getsockname())
        return FollowingClock(OPEN, line, pytest.fail)

    other = await there(connect())
    await mine.made
    server.close()
    yield LeadingClock(OPEN, mine, pytest.fail), other, there
    mine.close()
    await there(others.shutdown_default_executor())
    others.call_soon_threadsafe(others.stop)
    thread.join()
    others.close()


@asynccontextmanager
async def one() -> AsyncIterator[tuple[Clock, Clock, There]]:
    clock = VirtualClock(OPEN)
    yield clock, clock, asyncio.ensure_future


def moments(seed: int) -> list[datetime]:
    """When `sleep_and_note` wakes."""
    chance = random.Random(seed)  # noqa: S311
    spans = (timedelta(seconds=chance.choice([0, 0.004, 1, 2, 2, 60])) for _ in range(60))
    return list(accumulate(spans, initial=OPEN))[1:]


async def sleep_and_note(clock: Clock, seed: int, noted: list[tuple[datetime, int]]) -> None:
    now = OPEN
    for moment in moments(seed):
        await clock.sleep((moment - now).total_seconds())
        now = clock.now()
        noted.append((now, seed))


async def test_sleepers_of_both_sides_wake_in_the_order_of_time() -> None:
    noted: list[tuple[datetime, int]] = []
    async with coupled() as (mine, other, there):
        async with mine.busy("until all have begun"):
            theirs = [there(sleep_and_note(other, seed, noted)) for seed in (1, 3, 5)]
            ours = [asyncio.create_task(sleep_and_note(mine, seed, noted)) for seed in (0, 2, 4)]
            await there(asyncio.sleep(0))  # noqa: TID251
        await asyncio.gather(*ours, *theirs)
    woken = [moment for moment, _ in noted]
    assert woken == sorted(woken)
    assert sorted(noted) == sorted((moment, seed) for seed in range(6) for moment in moments(seed))


async def test_what_is_sent_is_heard_when_it_was_sent_and_answered_then() -> None:
    """Also where two are sent at one moment, and when the reader has something to do then."""
    sent_at = sorted(after(n // 2 if n % 3 else n / 2) for n in range(1, 150))
    heard: list[tuple[str, datetime]] = []
    answered: list[tuple[str, datetime]] = []
    async with coupled() as (mine, other, there):

        async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            async def send() -> None:
                for number, moment in enumerate(sent_at):
                    await other.sleep_until(moment)
                    other.announce("reader")
                    writer.write(b"%03d\n" % number)

            sending = asyncio.create_task(send())
            for _ in sent_at:
                answered.append(((await reader.readline()).decode(), other.now()))
                other.receive("reader-to-server")
            await sending
            writer.close()

        async def begin() -> asyncio.Server:
            return await asyncio.start_server(serve_one, "127.0.0.1", 0)

        server = await there(begin())
        async with mine.busy("connecting"):
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        ticking = asyncio.create_task(sleep_and_note(mine, 1, []))
        for _ in sent_at:
            line = await reader.readline()
            heard.append((line.decode(), mine.now()))
            mine.announce("reader-to-server")
            writer.write(line)
            mine.receive("reader")
        await reader.read()
        await ticking
        writer.close()
        server.get_loop().call_soon_threadsafe(server.close)
    assert [moment for _, moment in heard] == sent_at
    assert answered == heard


async def note_in_a_second(clock: Clock, noted: list[datetime]) -> None:
    await clock.sleep(1)
    noted.append(clock.now())


async def test_no_side_goes_on_while_the_other_one_works() -> None:
    noted: list[datetime] = []
    async with coupled() as (mine, other, there):
        async with mine.busy("we"):
            sleeper = there(note_in_a_second(other, noted))
            await asyncio.wait({sleeper}, timeout=0.05)
            assert noted == []
        await sleeper
    assert noted == [after(1)]
    async with coupled() as (mine, other, there):
        async with mine.busy("until it has begun"):
            work = there(other.thread(time.sleep, 0.1))
            await there(asyncio.sleep(0))  # noqa: TID251
        sleeper = asyncio.create_task(note_in_a_second(mine, noted))
        await work
        assert noted == [after(1)]
        await sleeper
    assert noted == [after(1), after(1)]


async def test_an_answer_that_waits_for_time_lets_it_go_on_and_arrives_at_its_moment() -> None:
    noted: list[tuple[datetime, int]] = []
    async with coupled() as (mine, other, there):

        async def serve_one(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            async with other.parked("request"):
                await other.sleep(3.5)
            writer.write(b"answer")
            writer.close()

        async def begin() -> asyncio.Server:
            return await asyncio.start_server(serve_one, "127.0.0.1", 0)

        server = await there(begin())
        ticking = asyncio.create_task(sleep_and_note(mine, 1, noted))
        async with mine.busy("request"):
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            assert await reader.read() == b"answer"
            assert mine.now() == after(3.5)
        await ticking
        writer.close()
        server.get_loop().call_soon_threadsafe(server.close)
    assert [moment for moment, _ in noted] == moments(1)


async def test_time_waits_for_what_is_heard_before_it_is_announced() -> None:
    async with coupled() as (mine, other, there):

        async def announce() -> None:
            other.announce("link")

        mine.receive("link")
        sleeper = asyncio.create_task(mine.sleep(1))
        await asyncio.wait({sleeper}, timeout=0.05)
        assert not sleeper.done()
        await there(announce())
        await sleeper
        mine.forget("link")  # and an announcement that crosses with that holds nobody up
        await there(announce())
        await mine.sleep(1)
        assert mine.now() == after(2)


async def test_the_leader_goes_on_alone_when_the_follower_is_lost() -> None:
    async with coupled() as (mine, other, there):

        async def announce() -> None:
            other.announce("never heard")

        await there(announce())
        sleeper = asyncio.create_task(mine.sleep(1))
        await asyncio.wait({sleeper}, timeout=0.05)
        assert not sleeper.done()
        mine.let_go()
        await sleeper
        assert mine.now() == after(1)


@asynccontextmanager
async def served(
    other: Clock, there: There, rules: list[dict[str, Any]]
) -> AsyncIterator[Simulator]:
    """Serve a KIS in the other's event loop."""
    faults = Scenario.model_validate({"seed": 1, "rule": rules})
    kis = serve(SyntheticMarket(7), other, faults=faults)
    yield await there(kis.__aenter__())
    await there(kis.__aexit__(None, None, None))


async def frames(clocks: Clocks, folder: Path, rules: list[dict[str, Any]]) -> list[Frame]:
    """The frames of ten minutes of the feed of a simulator, by the time of their receipt."""
    key = AppKey(app_key=SecretStr(APP_KEY), app_secret=SecretStr(APP_SECRET))
    found: list[Frame] = []
    async with clocks() as (mine, other, there), served(other, there, rules) as kis:
        transport = Transport(kis.base_url, mine, timeout=5)
        feed = StreamConnection(
            kis.stream_url,
            ApprovalKeeper(transport, key, folder / "key", mine),
            folder / "key",
            mine,
            trading=lambda *_: True,
            chance=random.Random(1),  # noqa: S311
        )
        feed.want(WANTED)
        feed.start()
        with suppress(TimeoutError):
            async with mine.timeout(10 * 60):
                while True:
                    found += await feed.take()
        await feed.close()
        await transport.close()
    return found


@pytest.mark.parametrize(
    "rules",
    [
        [],
        [{"what": "stream_cut", "from": "09:03:00", "limit": 1}],
        [{"what": "maintenance", "from": "09:03:00", "to": "09:05:00"}],
        [{"what": "slow", "seconds": 3.0, "endpoint": "Approval"}],
        [{"what": "held_frames", "seconds": 2.0, "from": "09:04:00", "probability": 0.05}],
    ],
    ids=lambda rules: rules[0]["what"] if rules else "no fault",
)
def test_the_feed_brings_the_same_at_the_same_moments_as_on_one_clock(
    tmp_path: Path, rules: list[dict[str, Any]]
) -> None:
    alone = asyncio.run(frames(one, tmp_path / "one", rules))
    together = asyncio.run(frames(coupled, tmp_path / "two", rules))
    assert len(alone) > 300
    assert together == alone
