"""What the parent tells its child: how it collects, and the session that is next.

The collector learns nothing here of what KIS will do, and needs no part of the simulator.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path

from pydantic import BaseModel

from pipelines.day_plan import DayPlan, plan, plan_night
from pipelines.feed import Feed

KEY = "PSsoak-app-key-that-must-not-be-seen"
SECRET = "soak-app-secret-that-must-not-be-seen"
MINUTE = timedelta(minutes=1)


class SeasonKind(BaseModel, frozen=True):
    """In what a season differs from one that is drawn freely."""

    one_life: bool = False  # nothing ends the collector: months of work must not make it grow
    last_hours: bool = False  # each session is begun in its last hour: a year fits into hours
    whole_market: bool = False  # the bars of all stocks come after each close; no nights

    @property
    def options(self) -> str:
        """The options of `just soak` that ask for it."""
        return "".join(f" --{name.replace('_', '-')}" for name, asked in self if asked)


DRAWN_FREELY = SeasonKind()


class Orders(BaseModel):
    """What a child is told when it is started; `seed` to `kind` name the season."""

    seed: int
    days: tuple[date, ...]
    first: int  # the number of the season's first session
    kind: SeasonKind
    start: datetime
    url: str
    folder: Path
    port: int


class SessionOrders(BaseModel):
    """What is collected in a session, and when the parent acts."""

    number: int
    day: date
    night: bool
    starts: datetime
    feed: Feed
    stream: bool
    polling: float
    zone: str
    steps: tuple[tuple[datetime, timedelta], ...]  # from when on the host's clock is how far ahead
    marks: tuple[datetime, ...]

    @property
    def plan(self) -> DayPlan:
        """What is collected, with the contracts of the day."""
        return plan_night(self.feed, self.day) if self.night else plan(self.feed, self.day)
