"""How often a connection may be made: never more than four times in ten minutes.

KIS blocks the address or the key of a client that connects in a loop (docs/kis.md#connection). The
times are kept in a file and written before the connection is made, so that those of a program that
crashes and starts again count, too. Since the machine's clock may be set forward, a process also
counts the seconds since its own connections. The same file remembers how many registrations KIS
took.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field, NaiveDatetime, ValidationError

from engine.clock import Clock
from engine.files import read_file, write_atomically
from engine.kis.stream.registrations import MOST

log = logging.getLogger(__name__)

_CONNECTIONS = 4
TEN_MINUTES = timedelta(seconds=600)
_WINDOW = TEN_MINUTES + timedelta(seconds=1)  # KIS's patience, and a second for the network
_PAUSE = timedelta(seconds=300)
_LIMIT_HOLDS = timedelta(hours=24)  # then 41 registrations are tried again


class _Remembered(BaseModel):
    """The file; all times KST without zone."""

    connections: list[NaiveDatetime] = []
    paused_until: NaiveDatetime | None = None
    limit: Annotated[int, Field(ge=0)] | None = None
    limit_learned_at: NaiveDatetime | None = None


class Allowance:
    """What one app key may do, remembered in the file `path` across processes."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._known = _Remembered()
        self._made: deque[float] = deque(maxlen=_CONNECTIONS)  # when, in seconds of the clock

    @property
    def limit(self) -> int:
        """How many registrations KIS takes, as far as it has said."""
        known = self._load()
        learned, now = known.limit_learned_at, self._clock.now()
        if known.limit is None or learned is None or abs(now - learned) > _LIMIT_HOLDS:
            return MOST
        return min(known.limit, MOST)

    def note_limit(self, limit: int) -> None:
        """Remember how many registrations KIS took before it refused one."""
        now = self._clock.now()
        self._save(self._load().model_copy(update={"limit": limit, "limit_learned_at": now}))

    def wait(self) -> timedelta:
        """Return how long to wait before a connection; begins a pause after four connections."""
        now, known = self._clock.now(), self._load()
        recent = _recent(known.connections, now)
        until = known.paused_until or now
        if until > now + max(_WINDOW, _PAUSE):  # the clock was set back since
            until = now + _PAUSE
        if until <= now and len(recent) >= _CONNECTIONS:
            until = max(now + _PAUSE, recent[-_CONNECTIONS] + _WINDOW)
            self._save(known.model_copy(update={"paused_until": until}))
        return max(until - now, self._wait_by_seconds())

    def _wait_by_seconds(self) -> timedelta:
        """Return how long to wait after four connections of this process, by seconds passed."""
        if len(self._made) < _CONNECTIONS:
            return timedelta(0)
        passed = timedelta(seconds=self._clock.seconds() - self._made[0])
        return max(_WINDOW - passed, timedelta(0))

    def note_connection(self) -> bool:
        """Count a connection that is about to be made. False: that failed, so make none."""
        now, known = self._clock.now(), self._load()
        recent = [*_recent(known.connections, now), now][-_CONNECTIONS:]
        self._made.append(self._clock.seconds())
        return self._save(known.model_copy(update={"connections": recent, "paused_until": None}))

    def _load(self) -> _Remembered:
        try:
            self._known = _Remembered.model_validate_json(read_file(self._path))
        except FileNotFoundError:
            pass
        except (OSError, ValidationError):
            log.warning("⚠️ %s cannot be read: the feed counts it as four connections", self._path)
            now = self._clock.now()
            self._save(_Remembered(connections=[now] * _CONNECTIONS))
        return self._known

    def _save(self, known: _Remembered) -> bool:
        self._known = known
        try:
            write_atomically(self._path, known.model_dump_json().encode(), private=True)
        except OSError as error:
            log.warning("⚠️ the feed cannot count its connections and makes none: %s", error)
            return False
        return True


def most_in_ten_minutes(connections: Sequence[datetime]) -> int:
    """Return the most of an app key's connections that were made within ten minutes."""
    return max(
        (sum(first <= one <= first + TEN_MINUTES for one in connections) for first in connections),
        default=0,
    )


def _recent(connections: list[datetime], now: datetime) -> list[datetime]:
    """Return the connections that count, ascending.

    A time to come is from before the clock was set back, and counts as now.
    """
    return sorted(min(moment, now) for moment in connections if moment > now - _WINDOW)
