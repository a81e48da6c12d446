"""What a viewer wants to see: an instrument, an option chain, a day, a strategy, a language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time

from strategies.registry import STRATEGIES

_LONGEST = 40  # letters of a name


@dataclass(frozen=True)
class PageChoice:
    """None is the page's own choice: today, and of the others what is most used."""

    symbol: str | None = None
    chain: str | None = None  # an underlying_symbol: 202612_KOSPI200
    day: date | None = None  # of a session; None is now
    strategy: str | None = None
    all_strikes: bool = False

    def moment(self, now: datetime) -> datetime:
        """Return the moment that is shown: now, or the end of an earlier day."""
        if self.day is None or self.day >= now.date():
            return now
        return datetime.combine(self.day, time.max)

    def is_past(self, now: datetime) -> bool:
        """Say whether an earlier day is shown."""
        return self.moment(now) != now


def read_choice(query: Mapping[str, str]) -> PageChoice:
    """Return what the parameters of an address choose; what cannot be read is not chosen."""
    strategy = query.get("strategy", "")
    return PageChoice(
        _name(query.get("symbol")),
        _name(query.get("chain")),
        _day(query.get("day")),
        strategy if strategy in STRATEGIES else None,
        query.get("strikes") == "all",
    )


def _name(text: str | None) -> str | None:
    return text if text and len(text) <= _LONGEST else None


def _day(text: str | None) -> date | None:
    try:
        return date.fromisoformat(text or "")
    except ValueError:
        return None
