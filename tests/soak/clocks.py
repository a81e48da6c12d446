"""The host's clock when it is set: KIS's clock goes on, the collector's jumps."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Executor
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import TypeVar

from engine.clock import Clock

Result = TypeVar("Result")


class SteppedClock:
    """A clock that is ahead of the true one by the last of its steps.

    As with the wall clock, setting it wakes sleepers at its new time and leaves timeouts alone.
    """

    def __init__(self, true: Clock, steps: Sequence[tuple[datetime, timedelta]]) -> None:
        self._true = true
        self._steps = steps

    def now(self) -> datetime:
        true = self._true.now()
        passed = [ahead for moment, ahead in self._steps if moment <= true]
        return true + (passed[-1] if passed else timedelta())

    def seconds(self) -> float:
        return self._true.seconds()

    async def sleep_until(self, when: datetime) -> None:
        while True:
            true = self._true.now()
            due = true + (when - self.now())
            set_next = [moment for moment, _ in self._steps if true < moment < due]
            await self._true.sleep_until(min([due, *set_next]))
            if self.now() >= when:
                return

    async def sleep(self, seconds: float) -> None:
        await self._true.sleep(seconds)

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[object]:
        return self._true.timeout(seconds)

    def busy(self, key: Hashable) -> AbstractAsyncContextManager[None]:
        return self._true.busy(key)

    def parked(self, key: Hashable) -> AbstractAsyncContextManager[None]:
        return self._true.parked(key)

    def announce(self, key: Hashable) -> None:
        self._true.announce(key)

    def receive(self, key: Hashable) -> None:
        self._true.receive(key)

    def forget(self, key: Hashable) -> None:
        self._true.forget(key)

    async def thread(
        self, function: Callable[..., Result], *args: object, executor: Executor | None = None
    ) -> Result:
        return await self._true.thread(function, *args, executor=executor)
