"""A line an hour while a session is collected: whoever reads the log sees that all is well."""

from __future__ import annotations

import logging
from datetime import timedelta

from engine.history.completeness import figures
from pipelines.day.parts import DayParts

log = logging.getLogger(__name__)

_HOUR = timedelta(hours=1)
_LATER = timedelta(seconds=30)  # the bars of the hour's last minute are on their way


async def log_each_hour(day: DayParts) -> None:
    """Log once an hour, shortly after it is full, how the day goes, until the last bar is due."""
    last = max(session.last_stamp for session in day.plan.sessions)
    while True:
        now = day.clock.now()
        until = now.replace(minute=0, second=0, microsecond=0) + _LATER
        while until <= now:
            until += _HOUR
        if until > last:
            return
        await day.clock.sleep_until(until)
        _log_standing(day)


def _log_standing(day: DayParts) -> None:
    stats, now = day.stats, day.clock.now()
    counts = figures(stats.minutes_until(now))
    missing = int(counts["missing"].sum())
    parts = [f"{stats.bars:,} bars", f"{stats.snapshots:,} snapshots"]
    if stats.feed:
        parts.append(stats.feed.line())
    if stats.slowest:
        parts.append(f"at most {stats.slowest[1]:.1f} s late")
    done = ", ".join(parts)
    if not missing:
        log.info("✅ all is well, nothing is missing: %s", done)
        return
    worst = counts.sort("missing", "symbol", descending=[True, False]).row(0, named=True)
    lacking = int((counts["missing"] > 0).sum())
    others = f" and {lacking - 1} more" if lacking > 1 else ""
    where = f"{worst['symbol']}{others}"
    log.warning("⚠️ %s minutes are missing today (%s): %s", f"{missing:,}", where, done)
