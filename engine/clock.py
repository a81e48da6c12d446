"""Time: the KST policy and the clocks. The only module that asks the machine what time it is.

Everything is KST. Inside the engine and in the database a moment is a `datetime` without zone whose
digits are the Seoul wall clock ("KST naive"); zones appear only where data enters or leaves.

Everything that waits does so through a `Clock`, so that a simulated day takes seconds:

- `WallClock`     the real time, for real trading.
- `ScaledClock`   runs freely from a chosen moment, N times as fast; for a simulator on its own.
- `VirtualClock`  stands still while anybody works, jumps to the next wake-up when all wait.
                  Whatever the speed, the same day has the same timestamps.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import time
from collections.abc import AsyncIterator, Callable, Hashable, Iterator
from concurrent.futures import Executor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from datetime import date, datetime, timedelta
from functools import partial
from typing import Protocol, TypeVar
from zoneinfo import ZoneInfo

KST = ZoneInfo("Asia/Seoul")
Result = TypeVar("Result")

_LONGEST_NAP = 1.0  # the wall clock may be set while we sleep; look again this often (seconds)


def to_kst_naive(moment: datetime) -> datetime:
    """Turn any moment into KST without zone. One without zone is taken to be KST already."""
    return moment if moment.tzinfo is None else moment.astimezone(KST).replace(tzinfo=None)


def floor_minute(moment: datetime) -> datetime:
    """Return the minute that the moment lies in."""
    return moment.replace(second=0, microsecond=0)


class Clock(Protocol):
    """What anybody who waits or asks the time is given. All moments are KST without zone."""

    def now(self) -> datetime:
        """Return the moment it is."""
        ...

    async def sleep_until(self, when: datetime) -> None:
        """Return when it is `when` or later."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return `seconds` of this clock later."""
        ...

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[object]:
        """Bound the block to `seconds` of this clock; raises TimeoutError beyond."""
        ...

    def busy(self, key: Hashable) -> AbstractAsyncContextManager[None]:
        """Declare that work the event loop cannot see (a request, a thread) is under way.

        Virtual time stands still meanwhile. `key` names the work, so that whoever serves it can
        say with `parked` that it is waiting for time to pass.
        """
        ...

    def parked(self, key: Hashable) -> AbstractAsyncContextManager[None]:
        """Declare that the work `key` waits for this clock itself, so that time may go on."""
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
    """What the clocks whose time goes by on its own have in common: nobody has to tell them."""

    @asynccontextmanager
    async def busy(self, _key: Hashable) -> AsyncIterator[None]:
        yield

    parked = busy

    async def thread(
        self, function: Callable[..., Result], *args: object, executor: Executor | None = None
    ) -> Result:
        return await asyncio.get_running_loop().run_in_executor(executor, partial(function, *args))


class WallClock(_RunningClock):
    """The time in Seoul."""

    def now(self) -> datetime:
        """Return the time in Seoul, without zone."""
        return datetime.now(KST).replace(tzinfo=None)  # noqa: TID251

    def now_kst(self) -> datetime:
        """Return the time in Seoul, with its zone, for whoever has to tell it to the outside."""
        return datetime.now(KST)  # noqa: TID251

    async def sleep_until(self, when: datetime) -> None:
        """Return at `when`, also when the machine's clock is set meanwhile."""
        while (left := (when - self.now()).total_seconds()) > 0:
            await asyncio.sleep(min(left, _LONGEST_NAP))  # noqa: TID251

    async def sleep(self, seconds: float) -> None:
        """Return `seconds` later."""
        await asyncio.sleep(seconds)  # noqa: TID251

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[object]:
        """Bound the block to `seconds`."""
        return asyncio.timeout(seconds)


class ScaledClock(_RunningClock):
    """Time from `start` on, `speed` times as fast as on the wall, whether anybody waits or not."""

    def __init__(self, start: datetime, speed: float = 1.0) -> None:
        self._start, self._speed, self._anchor = start, speed, time.monotonic()

    def now(self) -> datetime:
        """Return the scaled moment."""
        passed = (time.monotonic() - self._anchor) * self._speed
        return self._start + timedelta(seconds=passed)

    async def sleep_until(self, when: datetime) -> None:
        """Return when the scaled time is `when`."""
        await self.sleep(max(0.0, (when - self.now()).total_seconds()))

    async def sleep(self, seconds: float) -> None:
        """Return `seconds` of scaled time later."""
        await asyncio.sleep(seconds / self._speed)  # noqa: TID251

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[object]:
        """Bound the block to `seconds` of scaled time."""
        return asyncio.timeout(seconds / self._speed)


class VirtualClock:
    """Time that stands still while anybody works and jumps when everybody waits.

    `speed` bounds how fast it may go, as a multiple of the wall's; infinite by default. Work takes
    no virtual time at all, so what a day writes does not depend on the machine or the speed.
    """

    def __init__(self, start: datetime, speed: float = math.inf) -> None:
        self._now = self._start = start
        self._speed, self._anchor = speed, time.monotonic()
        self._wakeups: list[tuple[datetime, int, Callable[[], object], Callable[[], bool]]] = []
        self._order = itertools.count()
        self._working: set[Hashable] = set()
        self._waiting_for_time: set[Hashable] = set()
        self._considering = False

    def now(self) -> datetime:
        """Return the virtual moment."""
        return self._now

    async def sleep_until(self, when: datetime) -> None:
        """Return when virtual time is `when`; gives way to others even if that is now."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._wake_at(when, lambda: future.set_result(None), future.done)
        await future

    async def sleep(self, seconds: float) -> None:
        """Return `seconds` of virtual time later."""
        await self.sleep_until(self._now + timedelta(seconds=seconds))

    @asynccontextmanager
    async def timeout(self, seconds: float) -> AsyncIterator[object]:
        """Bound the block to `seconds` of virtual time; raises TimeoutError beyond."""
        loop, over = asyncio.get_running_loop(), False
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

    @asynccontextmanager
    async def busy(self, key: Hashable) -> AsyncIterator[None]:
        """Hold time still while the block runs; see `Clock.busy`."""
        with self._member(self._working, key):
            yield

    @asynccontextmanager
    async def parked(self, key: Hashable) -> AsyncIterator[None]:
        """Let time go on although `key` is under way; see `Clock.parked`."""
        with self._member(self._waiting_for_time, key):
            yield

    async def thread(
        self, function: Callable[..., Result], *args: object, executor: Executor | None = None
    ) -> Result:
        """Run a blocking function in a thread while time stands still."""
        async with self.busy(object()):
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(executor, partial(function, *args))

    @contextmanager
    def _member(self, keys: set[Hashable], key: Hashable) -> Iterator[None]:
        keys.add(key)
        self._nudge()
        try:
            yield
        finally:
            keys.discard(key)
            self._nudge()

    def _wake_at(
        self, when: datetime, wake: Callable[[], object], no_longer: Callable[[], bool]
    ) -> None:
        entry = (max(when, self._now), next(self._order), wake, no_longer)
        heapq.heappush(self._wakeups, entry)
        self._nudge()

    def _nudge(self) -> None:
        if not self._considering:
            self._considering = True
            asyncio.get_running_loop().call_soon(self._consider)

    def _consider(self) -> None:
        """Let time go on if nobody works. Runs last in its round of the event loop."""
        self._considering = False
        if self._working - self._waiting_for_time:
            return  # whoever works nudges when done
        while self._wakeups and self._wakeups[0][3]():
            heapq.heappop(self._wakeups)
        if not self._wakeups:
            return  # whoever goes to sleep nudges
        loop = asyncio.get_running_loop()
        # Only the loop itself knows whether some task still has a step to make; it has no public
        # way to say so. Every loop of the standard library keeps this queue.
        if loop._ready:  # type: ignore[attr-defined] # noqa: SLF001
            self._nudge()
        elif not self._too_early(self._wakeups[0][0]):
            self._jump(self._wakeups[0][0])

    def _too_early(self, when: datetime) -> bool:
        if math.isinf(self._speed):
            return False
        due = self._anchor + (when - self._start).total_seconds() / self._speed
        if (left := due - time.monotonic()) <= 0:
            return False
        asyncio.get_running_loop().call_later(left, self._nudge)
        return True

    def _jump(self, when: datetime) -> None:
        self._now = when
        while self._wakeups and self._wakeups[0][0] == when:
            _, _, wake, no_longer = heapq.heappop(self._wakeups)
            if not no_longer():
                wake()
        self._nudge()
