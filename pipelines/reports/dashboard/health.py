"""Is a component alive? Told from its heartbeat, by the wall clock of whoever looks."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

State = Literal["running", "done", "stopped"]

FINISHED = ("done", "finished", "idle")
ALIVE = ("running", "starting", "waiting", "ok")


@dataclass
class Watch:
    """Remembers when each heartbeat was seen to change.

    A simulated day has its own time, so the age of a heartbeat by its stamp says nothing: what
    counts is for how long, on our clock (seconds), no new one came. `stale_after` is that long.
    """

    stale_after: float
    _seen: dict[str, tuple[object, float]] = field(default_factory=dict)

    def state(
        self, component: str, status: str, beat: datetime, *, at: float, behind: float = 0.0
    ) -> State:
        """Return how a component is, given its heartbeat and the moment `at` of our clock.

        Where heartbeats bear the real time, `behind` tells how old this one is: one look is enough.
        """
        last, since = self._seen.get(component, (None, at))
        if last != (status, beat):
            since = at
            self._seen[component] = ((status, beat), at)
        if status in FINISHED:
            return "done"
        alive = status in ALIVE and max(at - since, behind) <= self.stale_after
        return "running" if alive else "stopped"
