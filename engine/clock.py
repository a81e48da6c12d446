"""Time: the KST policy and the clocks. The only module that asks the machine what time it is.

Everything is KST. Inside the engine and in the database a moment is a `datetime` without zone whose
digits are the Seoul wall clock ("KST naive"); zones appear only where data enters or leaves.

Everything that waits does so through a `Clock`, so that a simulated day takes seconds:

- `WallClock`     the real time, for real trading.
- `ScaledClock`   runs freely from a chosen moment, N times as fast; for a simulator on its own.
- `VirtualClock`  stands still while any task works, jumps to the next wake-up when all wait.
                  Whatever the speed, the same day has the same timestamps.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Hashable
from concurrent.futures import Executor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import date, datetime, timedelta
from functools import partial
from typing import Protocol, TypeVar
from zoneinfo import ZoneInfo

KST = ZoneInfo("Asia/Seoul")
Result = TypeVar("Result")

_LONGEST_NAP = 1.0  # seconds; the wall clock may be set while we sleep, so look again this often


def to_kst_naive(moment: datetime) -> datetime:
    """Turn any moment into KST without zone. One without a zone counts as KST already."""
    return moment if moment.tzinfo is None else moment.astimezone(KST).replace(tzinfo=None)


def floor_minute(moment: datetime) -> datetime:
    """Return the minute that the moment lies in."""
    return moment.replace(second=0, microsecond=0)


class Clock(Protocol):
    """What code that waits or needs the time gets. All moments are KST without zone."""

    def now(self) -> datetime:
        """Return the present moment."""
        ...

    def seconds(self) -> float:
        """Return seconds that only go on, from some moment of this process, whoever sets `now`."""
        ...

    async def sleep_until(self, when: datetime) -> None:
        """Return when it is `when` or later."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return `seconds` of this clock later."""
        ...

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[object]:
        """Limit the block to `seconds` of this clock; raises TimeoutError beyond."""
        ...

    def busy(self, key: Hashable) -> AbstractAsyncContextManager[None]:
        """Declare that work the event loop cannot see (a request, a thread) is under way.

        Virtual time stands still meanwhile. `key` names the work, so that the side that serves it
        can declare with `parked` that it is waiting for time to pass.
        """
        ...

    def parked(self, key: Hashable) -> AbstractAsyncContextManager[None]:
        """Declare that the work `key` itself waits for this clock, so that time may go on."""
        ...

    def announce(self, key: Hashable) -> None:
        """Declare that a message is under way to whoever receives by `key`.

        Virtual time stands still until `receive(key)`. The event loop cannot see a message that
        is between two sockets, so a clock that goes on meanwhile would deliver it too late.
        """
        ...

    def receive(self, key: Hashable) -> None:
        """Declare that one message arrived, when what follows from it has begun."""
        ...

    def forget(self, key: Hashable) -> None:
        """Declare that nobody receives by `key` any more: the connection has ended."""
        ...

    async def thread(
        self, function: Callable[..., Result], *args: object, executor: Executor | None = None
    ) -> Result:
        """Run a blocking function in a thread; virtual time stands still until it returns."""
        ...


def today(clock: Clock) -> date:
    """Return the date in Seoul."""
    return clock.now().date()


class _RunningClock:
    """What clocks have in common whose time passes on its own: work needs no declaring."""

    @asynccontextmanager
    async def busy(self, _key: Hashable) -> AsyncIterator[None]:
        yield

    parked = busy

    def announce(self, key: Hashable) -> None:
        pass

    receive = forget = announce

    async def thread(
        self, function: Callable[..., Result], *args: object, executor: Executor | None = None
    ) -> Result:
        return await asyncio.get_running_loop().run_in_executor(executor, partial(function, *args))


class WallClock(_RunningClock):
    """The time in Seoul."""

    def now(self) -> datetime:
        """Return the time in Seoul, without zone."""
        return self.now_kst().replace(tzinfo=None)

    def now_kst(self) -> datetime:
        """Return the time in Seoul, with its zone, for data that leaves the engine."""
        return datetime.now(KST)  # noqa: TID251

    def seconds(self) -> float:
        """Return seconds since some moment, also while the machine's clock is set."""
        return time.monotonic()

    async def sleep_until(self, when: datetime) -> None:
        """Return at `when`, even if the machine's clock is set meanwhile."""
        while (left := (when - self.now()).total_seconds()) > 0:
            await asyncio.sleep(min(left, _LONGEST_NAP))  # noqa: TID251

    async def sleep(self, seconds: float) -> None:
        """Return `seconds` later."""
        await asyncio.sleep(seconds)  # noqa: TID251

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[object]:
        """Limit the block to `seconds`."""
        return asyncio.timeout(seconds)


class ScaledClock(_RunningClock):
    """Time from `start` on, `speed` times as fast as on the wall, whether or not tasks wait."""

    def __init__(self, start: datetime, speed: float = 1.0) -> None:
        self._start = start
        self._speed = speed
        self._anchor = time.monotonic()

    def now(self) -> datetime:
        """Return the scaled moment."""
        return self._start + timedelta(seconds=self.seconds())

    def seconds(self) -> float:
        """Return scaled seconds since the clock was made."""
        return (time.monotonic() - self._anchor) * self._speed

    async def sleep_until(self, when: datetime) -> None:
        """Return when the scaled time is `when`."""
        await self.sleep(max(0.0, (when - self.now()).total_seconds()))

    async def sleep(self, seconds: float) -> None:
        """Return `seconds` of scaled time later."""
        await asyncio.sleep(seconds / self._speed)  # noqa: TID251

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[object]:
        """Limit the block to `seconds` of scaled time."""
        return asyncio.timeout(seconds / self._speed)


class VirtualClock:
    """Time that stands still while any task works and jumps when all of them wait.

    `speed` limits how fast it may go, as a multiple of the wall's; infinite by default. Work takes
    no virtual time at all, so what a day writes does not depend on the machine or the speed.
    """

    def __init__(self, start: datetime, speed: float = math.inf) -> None:
        self._now = start
        self._start = start
        self._speed = speed
        self._anchor = time.monotonic()
        # (when, order, wake, whether it is no longer wanted), a heap
        self._wakeups: list[tuple[datetime, int, Callable[[], object], Callable[[], bool]]] = []
        self._order = itertools.count()
        self._working: set[Hashable] = set()
        self._waiting_for_time: set[Hashable] = set()
        self._under_way: Counter[Hashable] = Counter()  # messages, by who receives them
        self._consideration_is_due = False

    def now(self) -> datetime:
        """Return the virtual moment."""
        return self._now

    def seconds(self) -> float:
        """Return virtual seconds since the clock's start."""
        return (self._now - self._start).total_seconds()

    async def sleep_until(self, when: datetime) -> None:
        """Return when virtual time is `when`; even if that is now, other tasks run first."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._wake_at(when, lambda: future.set_result(None), future.done)
        await future

    async def sleep(self, seconds: float) -> None:
        """Return `seconds` of virtual time later."""
        await self.sleep_until(self._now + timedelta(seconds=seconds))

    @asynccontextmanager
    async def timeout(self, seconds: float) -> AsyncIterator[object]:
        """Limit the block to `seconds` of virtual time; raises TimeoutError beyond."""
        loop = asyncio.get_running_loop()
        over = False
        async with asyncio.timeout(None) as scope:
            self._wake_at(
                self._now + timedelta(seconds=seconds),
                lambda: scope.reschedule(loop.time()),
                lambda: over,
            )
            try:
                yield scope
            finally:
                over = True

    def busy(self, key: Hashable) -> AbstractAsyncContextManager[None]:
        """Hold time still while the block runs; see `Clock.busy`."""
        return _Member(self._working, key, self._consider_soon)

    def parked(self, key: Hashable) -> AbstractAsyncContextManager[None]:
        """Let time go on although `key` is under way; see `Clock.parked`."""
        return _Member(self._waiting_for_time, key, self._consider_soon)

    def announce(self, key: Hashable) -> None:
        """Hold time still until the message is received; see `Clock.announce`."""
        self._under_way[key] += 1

    def receive(self, key: Hashable) -> None:
        """Let time go on if this was the last message under way; see `Clock.receive`."""
        self._under_way[key] -= 1
        if self._under_way[key] <= 0:
            self.forget(key)

    def forget(self, key: Hashable) -> None:
        """Let time go on although messages were announced; see `Clock.forget`."""
        self._under_way.pop(key, None)
        self._consider_soon()

    async def thread(
        self, function: Callable[..., Result], *args: object, executor: Executor | None = None
    ) -> Result:
        """Run a blocking function in a thread while time stands still."""
        async with self.busy(object()):
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(executor, partial(function, *args))

    def _wake_at(
        self, when: datetime, wake: Callable[[], object], no_longer: Callable[[], bool]
    ) -> None:
        entry = (max(when, self._now), next(self._order), wake, no_longer)
        heapq.heappush(self._wakeups, entry)
        self._consider_soon()

    def _consider_soon(self) -> None:
        if not self._consideration_is_due:
            self._consideration_is_due = True
            asyncio.get_running_loop().call_soon(self._consider)

    def _consider(self) -> None:
        """Let time go on if no task works. Runs last in its round of the event loop."""
        self._consideration_is_due = False
        if self._under_way or self._working - self._waiting_for_time:
            return  # the end of the work, or the message received, leads here again
        while self._wakeups and self._wakeups[0][3]():
            heapq.heappop(self._wakeups)
        if not self._wakeups:
            return  # the next sleeper leads here again
        loop = asyncio.get_running_loop()
        # Only the loop itself knows whether some task still has a step to make, and has no public
        # way to ask. Every loop of the standard library keeps this queue.
        if loop._ready:  # type: ignore[attr-defined] # noqa: SLF001
            self._consider_soon()
        elif not self._too_early(self._wakeups[0][0]):
            self._jump(self._wakeups[0][0])

    def _too_early(self, when: datetime) -> bool:
        if math.isinf(self._speed):
            return False
        due = self._anchor + (when - self._start).total_seconds() / self._speed
        if (left := due - time.monotonic()) <= 0:
            return False
        asyncio.get_running_loop().call_later(left, self._consider_soon)
        return True

    def _jump(self, when: datetime) -> None:
        self._now = when
        while self._wakeups and self._wakeups[0][0] == when:
            _, _, wake, no_longer = heapq.heappop(self._wakeups)
            if not no_longer():
                wake()
        self._consider_soon()


class _Member(AbstractAsyncContextManager[None]):
    """Keeps a key in a set while the block runs; `changed` is told when it has come and gone."""

    def __init__(self, keys: set[Hashable], key: Hashable, changed: Callable[[], None]) -> None:
        self._keys = keys
        self._key = key
        self._changed = changed

    async def __aenter__(self) -> None:
        self._keys.add(self._key)
        self._changed()

    async def __aexit__(self, *_: object) -> None:
        self._keys.discard(self._key)
        self._changed()
