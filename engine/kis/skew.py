"""Whether this machine's clock agrees with KIS's.

If our clock is ahead, a minute that is still running at KIS would count as finished. KIS dates its
answers to the second, so an answer itself tells what time it can be. Where the clocks differ by
more than a minute, one of them is wrong: such an answer settles no missing minute
(`engine.history.evidence`).
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

log = logging.getLogger(__name__)

_WORTH_A_LINE = timedelta(seconds=3)
AGREE = timedelta(minutes=1)  # beyond that, an answer proves nothing about a missing minute
_SECOND = timedelta(seconds=1)
_A_CLOCK = timedelta(days=1)  # beyond that, the date is not taken for the time of the answer
_NO_CLOCK = timedelta(days=366)  # beyond that, the date is not taken for a time at all


class Skew:
    """Watches how far our clock is from KIS's; logs when that becomes large, small or none.

    `tells_time`: whether the server's dates are the real time, as KIS's are, not a simulator's.
    """

    def __init__(self, *, tells_time: bool = True) -> None:
        self._tells_time = tells_time
        self._kind = ""
        self.trouble: str | None = None  # how far the clocks are apart, if that is worth a line
        self._bounds: tuple[timedelta, timedelta] | None = None  # of `ahead`, by all answers so far

    @property
    def ahead(self) -> timedelta:
        """How far this machine's clock is ahead of KIS's; zero while that is not known."""
        if self._bounds is None:
            return timedelta()
        least, most = self._bounds
        return least + (most - least) / 2

    def note(self, sent_at: datetime, received_at: datetime, dated: datetime | None) -> None:
        """Learn from an answer: it was dated after it was asked for and before it came.

        KIS writes whole seconds, cut off. Many answers together narrow the difference down; an
        answer that contradicts those before it means that a clock was set.
        """
        if not self._tells_time or dated is None:
            return
        least, most = sent_at - dated - _SECOND, received_at - dated
        if self._bounds is not None:
            known_least, known_most = self._bounds
            if max(least, known_least) <= min(most, known_most):
                least, most = max(least, known_least), min(most, known_most)
        self._bounds = least, most

    def as_of(self, sent_at: datetime, dated: datetime | None) -> datetime:
        """Return up to when minutes of an answer count as finished: the earlier of both times."""
        if dated is None or abs(sent_at - dated) > _A_CLOCK:
            return sent_at
        return min(sent_at, dated)

    def agrees(self, sent_at: datetime, dated: datetime | None) -> bool:
        """Say whether the clocks agree so far that the answer may settle a minute; log changes."""
        if not self._tells_time:
            return True
        self._watch(sent_at, dated)
        return dated is not None and abs(sent_at - dated) <= AGREE

    def _watch(self, sent_at: datetime, dated: datetime | None) -> None:
        ahead = sent_at - dated if dated is not None else timedelta(0)
        kind = "no date" if dated is None else _kind(abs(ahead))
        if kind == self._kind:
            return
        before, self._kind = self._kind, kind
        side = _side(ahead)
        self.trouble = _difference_text(ahead) if kind in ("large", "small") else None
        if kind == "no date":
            log.warning(
                "⚠️ KIS's answers bear no date: no missing minute is settled until they do again"
            )
        elif kind == "large":
            log.error(
                "❌ this machine's clock is %s %s KIS's: minutes end by KIS's clock, and no missing"
                " minute is settled until this one is set (NTP)",
                _rounded(abs(ahead)),
                side,
            )
        elif kind == "small":
            log.warning(
                "⚠️ this machine's clock is %.0f s %s KIS's: bars come late until it is set (NTP)",
                abs(ahead.total_seconds()),
                side,
            )
        elif before:
            log.info("✅ this machine's clock goes with KIS's again")


def wrong_clock(ahead: timedelta) -> str | None:
    """Say how far our clock is from KIS's, if it may give rows another minute; else None."""
    return _difference_text(ahead) if AGREE < abs(ahead) < _NO_CLOCK else None


def _difference_text(ahead: timedelta) -> str:
    return f"this machine's clock is {_rounded(abs(ahead))} {_side(ahead)} KIS's"


def _side(ahead: timedelta) -> str:
    return "ahead of" if ahead > timedelta(0) else "behind"


def _kind(difference: timedelta) -> str:
    if difference > AGREE:
        return "large"
    return "small" if difference > _WORTH_A_LINE else ""


def _rounded(difference: timedelta) -> str:
    """Write a difference: 12 s, 3 min, 6 h 0 min."""
    if difference <= AGREE:
        return f"{difference.total_seconds():.0f} s"
    minutes = round(difference.total_seconds() / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
