"""The circuit breaker: while KIS is down, one call at a time probes it and the others wait."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from engine.backoff import Backoff
from engine.clock import Clock
from engine.errors import KisUnreachable

log = logging.getLogger(__name__)

_FAILURES = 5  # calls in a row without an answer …
_SYMBOLS = 3  # … for so many symbols: trouble with one symbol is not an outage
_BETWEEN_PROBES = Backoff(first=1.0, longest=15.0)


class Circuit:
    """Opens when calls for several symbols get no answer; then one call at a time probes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: set[str] = set()
        self._failing: set[str] = set()
        self._failures = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.Task[None] | None = None
        self._failed_probes = 0
        self.open = False
        self._probe_free = False

    async def admit(self) -> bool:
        """Wait while KIS is down. True: this call is the probe. False: KIS is back."""
        while self.open:
            if self._probe_free:
                self._probe_free = False
                return True
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(future)
            try:
                await future
            except asyncio.CancelledError:
                if self._probe_free:  # this call was chosen as the probe: choose another
                    self._wake_next()
                raise
        return False

    def hand_back(self) -> None:
        """Let another call probe, after the usual wait, since this one was not made."""
        if self.open:
            self._start_timer()

    @asynccontextmanager
    async def watch(self, symbol: str, *, probing: bool) -> AsyncIterator[None]:
        """Run a call and note how it ends."""
        self._known.add(symbol)
        try:
            yield
        except KisUnreachable:
            self._note_failure(symbol, probing=probing)
            raise
        except asyncio.CancelledError:  # its own deadline came: says nothing about KIS
            if probing:
                self.hand_back()
            raise
        except BaseException:
            self._note_answer()  # a refusal is an answer
            raise
        self._note_answer()

    def close(self) -> None:
        """Stop the timer of the probes."""
        if self._timer:
            self._timer.cancel()

    def _note_failure(self, symbol: str, *, probing: bool) -> None:
        self._failures += 1
        self._failing.add(symbol)
        if self.open:
            if probing:
                self._failed_probes += 1
                self._start_timer()
        elif self._failures >= _FAILURES and len(self._failing) >= min(_SYMBOLS, len(self._known)):
            self.open = True
            self._failed_probes = 0
            log.error("❌ KIS is not reachable; calls wait while single ones probe")
            self._start_timer()

    def _note_answer(self) -> None:
        self._failures = 0
        self._failing.clear()
        if self.open:
            self.open = False
            self._probe_free = False
            self.close()
            log.info("✅ KIS is back; %d calls had waited", len(self._waiting))
            while self._waiting:
                self._wake_next()

    def _start_timer(self) -> None:
        self.close()
        self._timer = asyncio.create_task(self._allow_probe())

    async def _allow_probe(self) -> None:
        await self._clock.sleep(_BETWEEN_PROBES.wait_after(1 + self._failed_probes))
        self._probe_free = True
        self._wake_next()

    def _wake_next(self) -> None:
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():  # else its caller has given up
                future.set_result(None)
                return
