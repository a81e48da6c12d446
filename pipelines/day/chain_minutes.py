"""Which chains of a minute have come, so that their surface is computed once for all of them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

KEPT = 2  # minutes whose snapshots are kept: a chain may come late


@dataclass
class _Minute:
    """One minute: the chains that are on their way, those that came, and those with a surface."""

    awaited: set[str] = field(default_factory=set)
    snapshots: dict[str, pl.DataFrame] = field(default_factory=dict)
    computed: set[str] = field(default_factory=set)


class ChainMinutes:
    """The last minutes. Not for use by several threads."""

    def __init__(self) -> None:
        self._minutes: defaultdict[datetime, _Minute] = defaultdict(_Minute)

    def expect(self, minute: datetime, name: str) -> None:
        """Note that the chain is asked for."""
        self._minutes[minute].awaited.add(name)
        for old in sorted(self._minutes)[:-KEPT]:
            del self._minutes[old]

    def give_up(self, minute: datetime, name: str) -> None:
        """Note that the chain does not come."""
        if minute in self._minutes:
            self._minutes[minute].awaited.discard(name)

    def add(self, minute: datetime, name: str, snapshot: pl.DataFrame) -> None:
        """Keep what came, prepared and with the model's greeks."""
        one = self._minutes[minute]
        one.awaited.discard(name)
        one.computed.discard(name)
        one.snapshots[name] = snapshot

    def is_waiting(self, minute: datetime) -> bool:
        """Return whether further chains of the minute are on their way."""
        return bool(self._minutes[minute].awaited)

    def take(self, minute: datetime, name: str) -> pl.DataFrame | None:
        """Return all chains of the minute that came so far, to compute their surface.

        None if that was done since this chain came. Older minutes are let go.
        """
        one = self._minutes[minute]
        if name in one.computed or name not in one.snapshots:
            return None
        one.computed |= set(one.snapshots)
        together = pl.concat(one.snapshots.values())
        for old in sorted(self._minutes)[:-KEPT]:
            del self._minutes[old]
        return together
