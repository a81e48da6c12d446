"""Calls spread evenly under one budget, shared by all processes of this machine.

One small file per budget holds the time from which the next call may go out and the interval that
KIS accepts at present. A caller takes that time under a file lock, only when it is about to call.
Turns are never reserved ahead, so a live caller never waits behind a queue of backfill: within a
process callers wait in order of priority; between processes live callers leave a mark in the file,
and backfill lets them go first.

The interval grows at once when KIS refuses (EGW00201), and shrinks slowly with calls that it takes,
to that of the settings: additive increase, multiplicative decrease (Chiu and Jain, 1989).
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import IntEnum
from io import FileIO
from pathlib import Path

import portalocker
from portalocker import LOCK_EX, LOCK_NB

from engine.clock import Clock
from engine.errors import KisUnreachable

log = logging.getLogger(__name__)

_EPOCH = datetime(1970, 1, 1)
_SECOND = 1_000_000  # the file counts microseconds: whole numbers compare exactly, floats do not
_SLOWEST = 2 * _SECOND
_SLOWER = 1.5  # factor of the interval after a refusal
_STEP = 0.025  # share of the ceiling gained back by _CLEAN calls without a refusal
_CLEAN = 20
_LIVE_GRACE = _SECOND // 20  # how late a live process may wake up and still go first
_LOCK_POLL = 0.002  # seconds; others hold the lock for a tenth of a millisecond
_AT_ONCE = LOCK_EX | LOCK_NB
_LAYOUT = struct.Struct("<5q")
FIRST_IN_LINE = -1  # `failures` of a call that has waited its turn at another pace


class Priority(IntEnum):
    """Which call goes first: the smaller number."""

    SIGNALS = 0  # bars that a strategy waits for
    LIVE = 1  # bars
    CHAINS = 2
    FLOWS = 3
    OTHERS = 4  # the rest: of what is told once, of option chains, widened price limits
    SNAPSHOT = 5  # the whole market, about once a minute
    BACKFILL = 6


@dataclass
class _State:
    """What the processes share; times in microseconds of the clock (KST) since 1970."""

    free_at: int = 0  # when the next call may go out
    interval: int = 0  # between two calls; 0: that of the settings
    live_until: int = 0  # until then backfill lets live callers go first
    slowed_at: int = 0  # when the last refusal came that counted
    clean: int = 0  # calls without a refusal since the interval last changed


class Pace:
    """One budget of calls, `per_second` at most, kept in the file `path`. Close it when done."""

    def __init__(self, path: Path, per_second: float, clock: Clock) -> None:
        self._clock = clock
        self._much_slower = False
        self._alone: _State | None = None  # the file cannot be written: the state is ours alone
        self._fastest = math.ceil(_SECOND / per_second)
        self._file = _open_private(path)
        self._lock = _open_private(path.with_suffix(".lock"))
        self._waiting: list[tuple[int, int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._serving: asyncio.Task[None] | None = None

    @property
    def per_second(self) -> float:
        """The present pace, in calls a second."""
        return _SECOND / max(self._read().interval, self._fastest)

    async def wait_turn(self, priority: Priority, failures: int = 0) -> None:
        """Wait until the caller may call. Raises KisUnreachable if the file cannot be used.

        Within a priority, callers with fewer `failures` go first, so that a second try for one
        symbol delays no first try; `FIRST_IN_LINE` goes before all of them.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (priority, failures, next(self._order), future))
        if self._serving is None or self._serving.done():
            self._serving = asyncio.create_task(self._serve())
        await future

    def slow_down(self) -> None:
        """Slow down after a refusal by KIS. The refusals of one second count as one."""
        with self._locked():
            now = self._now()
            state = self._read()
            if abs(now - state.slowed_at) < _SECOND:
                return
            before = max(state.interval, self._fastest)
            state.interval = min(int(before * _SLOWER), _SLOWEST)
            state.slowed_at = now
            state.clean = 0
            state.free_at = max(state.free_at, now + state.interval)
            self._write(state)
        self._log_pace(state.interval)

    def postpone(self) -> None:
        """Let the interval begin now: the call whose turn it was goes out only now."""
        with self._locked():
            state = self._read()
            state.free_at = self._now() + max(state.interval, self._fastest)
            self._write(state)

    def close(self) -> None:
        """Close the files. No call may be waiting."""
        if self._serving:
            self._serving.cancel()
        self._file.close()
        self._lock.close()

    async def _serve(self) -> None:
        """Hand out turns until no call waits."""
        try:
            while self._next_waiting():
                taken, wait = self._take_turn()
                if taken:
                    heapq.heappop(self._waiting)[-1].set_result(None)
                if wait and self._next_waiting():
                    await self._clock.sleep(wait)
        except (OSError, portalocker.LockException) as error:
            # Every waiting call must get the error; each tries again by itself.
            for *_, future in self._waiting:
                if not future.done():
                    future.set_exception(KisUnreachable(f"the pace file cannot be used: {error}"))
            self._waiting.clear()

    def _next_waiting(self) -> bool:
        while self._waiting and self._waiting[0][-1].done():  # gave up meanwhile
            heapq.heappop(self._waiting)
        return bool(self._waiting)

    def _take_turn(self) -> tuple[bool, float]:
        """Take the turn for the first in line, if it is free.

        Return whether it was, and the seconds until it is worth while to look again.
        """
        try:
            with self._locked(_AT_ONCE):
                live = self._waiting[0][0] < Priority.BACKFILL
                taken, wait = self._take_turn_locked(live=live)
                return taken, wait / _SECOND
        except portalocker.AlreadyLocked:
            return False, _LOCK_POLL

    def _take_turn_locked(self, *, live: bool) -> tuple[bool, int]:
        now = self._now()
        state = self._read()
        interval = max(state.interval, self._fastest)
        # Beyond these bounds, the clock was set back or the file is from an earlier simulation.
        state.free_at = min(state.free_at, now + max(interval, _SLOWEST))
        state.live_until = min(state.live_until, state.free_at + _LIVE_GRACE)
        if live and state.free_at > now:
            state.live_until = state.free_at + _LIVE_GRACE
        free_for_us = state.free_at if live else max(state.free_at, state.live_until)
        if free_for_us > now:
            self._write(state)
            return False, free_for_us - now
        # A turn that is taken a little late does not delay the next, or the pace would never be
        # reached; one taken after idle time does, or the idle time would be saved up for a burst.
        on_time = now - state.free_at <= interval // 4
        state.free_at = (state.free_at if on_time else now) + interval
        state.live_until = state.free_at + _LIVE_GRACE if self._another_live_waits() else 0
        self._speed_up(state)
        self._write(state)
        return True, state.free_at - now

    def _another_live_waits(self) -> bool:
        return any(entry[0] < Priority.BACKFILL for entry in self._waiting[1:3])  # the heap's next

    def _speed_up(self, state: _State) -> None:
        if state.interval <= self._fastest:
            return
        state.clean += 1
        if state.clean >= _CLEAN:
            rate = 1 / state.interval + _STEP / self._fastest
            state.interval = max(self._fastest, math.ceil(1 / rate))
            state.clean = 0
            self._log_pace(state.interval)

    def _log_pace(self, interval: int) -> None:
        """Log when the pace is much below the ceiling, and when it has reached it again.

        A refusal now and then is how the pace is found: it is not logged.
        """
        if not self._much_slower and interval > 2 * self._fastest:
            self._much_slower = True
            log.warning("⚠️ KIS refuses the pace (EGW00201) again and again; slower for a while")
        elif self._much_slower and interval <= self._fastest:
            self._much_slower = False
            log.info("✅ KIS takes the full pace again")

    @contextmanager
    def _locked(self, flags: portalocker.LockFlags = LOCK_EX) -> Iterator[None]:
        """Hold the lock between processes, on a file that stays open: every call takes it.

        filelock, used elsewhere for what is locked seldom, opens its file each time: 0.2 ms.
        """
        portalocker.lock(self._lock, flags)
        try:
            yield
        finally:
            portalocker.unlock(self._lock)

    def _now(self) -> int:
        return (self._clock.now() - _EPOCH) // timedelta(microseconds=1)

    def _read(self) -> _State:
        if self._alone:
            return replace(self._alone)
        self._file.seek(0)
        raw = self._file.read(_LAYOUT.size)
        state = _State(*_LAYOUT.unpack(raw)) if len(raw) == _LAYOUT.size else _State()
        state.interval = min(max(state.interval, 0), _SLOWEST)  # a damaged file may say anything
        return state

    def _write(self, state: _State) -> None:
        fields = (state.free_at, state.interval, state.live_until, state.slowed_at, state.clean)
        if self._alone:
            self._alone = state
            return
        try:
            self._file.seek(0)
            self._file.write(_LAYOUT.pack(*fields))
        except OSError as error:  # a full disk must not end the day
            log.warning("⚠️ the pace is not shared with other processes any more: %s", error)
            self._alone = state


def _open_private(path: Path) -> FileIO:
    """Open a file that only its owner can read, for reading and writing; created if missing."""
    path.touch(mode=0o600)
    return FileIO(path, "r+")
