"""Whether this machine's clock agrees with KIS's.

With a clock that is ahead, a minute that is still running at KIS would count as finished. KIS dates
its answers to the second, so the answer itself says how late it can be.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

log = logging.getLogger(__name__)

_WORTH_A_LINE = timedelta(seconds=3)
_BELIEVABLE = timedelta(minutes=10)  # beyond that the date is a cache's or a proxy's, not KIS's


class Skew:
    """Watches the difference of the clocks; logs once when it is large, once when it is gone."""

    def __init__(self) -> None:
        self._large = False

    def as_of(self, sent_at: datetime, dated: datetime | None) -> datetime:
        """Return up to when minutes of an answer count as finished: the earlier of both clocks."""
        if dated is None or abs(sent_at - dated) > _BELIEVABLE:
            return sent_at
        self._watch(sent_at - dated)
        return min(sent_at, dated)

    def _watch(self, ahead: timedelta) -> None:
        large = abs(ahead) > _WORTH_A_LINE
        if large and not self._large:
            side = "ahead of" if ahead > timedelta(0) else "behind"
            log.warning(
                "⚠️ this machine's clock is %.0f s %s KIS's: bars come late until it is set (NTP)",
                abs(ahead.total_seconds()),
                side,
            )
        elif self._large and not large:
            log.info("✅ this machine's clock goes with KIS's again")
        self._large = large
