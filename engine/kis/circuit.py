"""The circuit breaker: when KIS is down, one probing call at a time instead of all of them."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from engine.clock import Clock
from engine.errors import KisUnreachable

log = logging.getLogger(__name__)

_FAILURES = 5  # unreachable answers in a row …
_SYMBOLS = 3  # … of so many symbols: one symbol's trouble is not KIS's
_FIRST_PROBE, _LONGEST_PROBE = 1.0, 15.0  # seconds between probes: doubled each time


class Circuit:
    """Opens when KIS is down for everybody; while open, calls wait and single ones probe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: set[str] = set()
        self._failing: set[str] = set()
        self._failures = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.Task[None] | None = None
        self._probe_after = _FIRST_PROBE
        self.open = False
        self._probe_free = False

    async def admit(self) -> bool:
        """Wait while KIS is down. True: go and probe it. False: it is back, take a turn again."""
        while self.open:
            if self._probe_free:
                self._probe_free = False
                return True
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            try:
                await future
            except asyncio.CancelledError:
                if self._probe_free:  # it was to be the probe; let another one be it
                    self._wake_next()
                raise
        return False

    def hand_back(self) -> None:
        """Let another call be the probe, a while later: this one was not made."""
        if self.open:
            self._start_timer()

    @asynccontextmanager
    async def watch(self, symbol: str, *, probing: bool) -> AsyncIterator[None]:
        """Run a call and see how it ends."""
        self._known.add(symbol)
        try:
            yield
        except KisUnreachable:
            self._failed(symbol, probing=probing)
            raise
        except asyncio.CancelledError:  # given up by its own deadline: says nothing about KIS
            if probing:
                self.hand_back()
            raise
        except BaseException:
            self._answered()  # a refusal is an answer
            raise
        self._answered()

    def close(self) -> None:
        """Stop the timer of the probes."""
        if self._timer:
            self._timer.cancel()

    def _failed(self, symbol: str, *, probing: bool) -> None:
        self._failures += 1
        self._failing.add(symbol)
        if self.open:
            if probing:
                self._probe_after = min(self._probe_after * 2, _LONGEST_PROBE)
                self._start_timer()
        elif self._failures >= _FAILURES and len(self._failing) >= min(_SYMBOLS, len(self._known)):
            self.open, self._probe_after = True, _FIRST_PROBE
            log.error("❌ KIS is not reachable; calls wait while single ones probe")
            self._start_timer()

    def _answered(self) -> None:
        self._failures = 0
        self._failing.clear()
        if self.open:
            self.open = self._probe_free = False
            self.close()
            log.info("✅ KIS is back; %d calls had waited", len(self._waiting))
            while self._waiting:
                self._wake_next()

    def _start_timer(self) -> None:
        self.close()
        self._timer = asyncio.create_task(self._allow_probe())

    async def _allow_probe(self) -> None:
        await self._clock.sleep(self._probe_after)
        self._probe_free = True
        self._wake_next()

    def _wake_next(self) -> None:
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():  # else its caller gave up
                future.set_result(None)
                return
