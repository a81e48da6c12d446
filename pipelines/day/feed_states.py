"""Which symbols come by the feed now, since when, and why the others do not."""

from __future__ import annotations

from datetime import date, datetime

import polars as pl

from engine.history.feed_standing import FEED_SYMBOLS, STREAM_OFF
from engine.settings import KisSettings
from pipelines.day_plan import DayPlan


def why_no_feed(settings: KisSettings, plan: DayPlan, *, counted: bool) -> str | None:
    """Return why the feed is not used on a day, None if it is.

    `counted`: connections can be counted in the folder of this machine. KIS blocks who makes many.
    """
    if not settings.stream:
        return STREAM_OFF
    if not plan.by_feed.bars:
        return "no symbol with bars is collected"
    return None if counted else "connections cannot be counted: the folder kis takes no file"


class FeedStates:
    """The state of each symbol with bars of a day; begins with none by the feed."""

    def __init__(self, day: date, now: datetime) -> None:
        self._day = day
        self._begun = now
        self._known: dict[str, tuple[bool, datetime, str | None]] = {}

    def note(self, reasons: dict[str, str | None], now: datetime) -> pl.DataFrame:
        """Note why each symbol does not come by the feed (None: it does); return FEED_SYMBOLS.

        `since` is when a symbol last changed between the feed and polling, whatever the reasons.
        """
        for symbol, reason in reasons.items():
            by_feed = reason is None
            before, since, _ = self._known.get(symbol, (False, self._begun, None))
            self._known[symbol] = by_feed, since if by_feed == before else now, reason
        rows = [(self._day, symbol, *state) for symbol, state in self._known.items()]
        return pl.DataFrame(rows, FEED_SYMBOLS, orient="row")
