"""Is a component alive? Judged from its heartbeats, by the wall clock of the page."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

State = Literal["running", "done", "stopped"]


@dataclass
class HeartbeatWatch:
    """Remembers when each component's heartbeat last changed.

    A simulated day has its own time, so the age of a heartbeat by its stamp says nothing: what
    counts is for how long, on our clock, no new one came. After `stale_after` seconds without one
    a component counts as stopped.
    """

    stale_after: float
    _seen: dict[str, tuple[object, float]] = field(default_factory=dict)

    def state(
        self, component: str, status: str, beat: datetime, *, at: float, behind: float = 0.0
    ) -> State:
        """Return the state of a component, given its heartbeat at the moment `at` of our clock (s).

        Where heartbeats bear the real time, `behind` is the age of this one in seconds, so the
        first reading is enough.
        """
        last, since = self._seen.get(component, (None, at))
        if last != (status, beat):
            since = at
            self._seen[component] = ((status, beat), at)
        if status == "done":
            return "done"
        alive = status == "running" and max(at - since, behind) <= self.stale_after
        return "running" if alive else "stopped"
