"""What a day has come to so far: the numbers of the view, of `--json` and of the summary."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from typing import Any

import polars as pl
import pyarrow as pa

from engine.market.sessions import Session
from engine.store import MergeCounts
from pipelines.feed import BarPlan, DayPlan


@dataclass
class DayStatistics:
    """Counts of one day's run; `simulated` says whether its data is real. Moments are KST."""

    plan: DayPlan
    simulated: bool
    rows: MergeCounts = field(default_factory=MergeCounts)
    snapshots: int = 0
    given: dict[str, dict[tuple[str, datetime], int]] = field(default_factory=dict)
    corrections: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    refused: int = 0  # calls that a simulated KIS refused because of us
    delays: dict[datetime, float] = field(default_factory=dict)
    seen: dict[str, set[datetime]] = field(default_factory=dict)
    last_bar: dict[str, dict[str, Any]] = field(default_factory=dict)
    last_signal: dict[str, dict[str, Any]] = field(default_factory=dict)
    matrix: pl.DataFrame | None = None
    gaps: pl.DataFrame | None = None  # the day's rows of the ledger; none before the close
    closed: bool = False  # KIS says that the exchange does not open on the day

    @property
    def day(self) -> date:
        """The session's date."""
        return self.plan.day

    def note_rows(self, counts: MergeCounts) -> None:
        """Count rows of any table."""
        self.rows = self.rows + counts

    def note_bars(self, batch: pa.RecordBatch, counts: MergeCounts, now: datetime) -> None:
        """Count committed bars of the day, and how long after its close the newest one came."""
        frame = pl.DataFrame(batch).filter(pl.col("timestamp").dt.date() == self.day)
        self.note_rows(counts)
        self.corrections += counts.changed
        if frame.is_empty():
            return
        newest = frame.sort("timestamp").row(-1, named=True)
        symbol, stamp = newest["symbol"], newest["timestamp"]
        last = self.last_bar.get(symbol)
        # A late start fetches the day so far from its end backwards: those bars did not come late.
        if last is None or stamp > last["timestamp"]:
            session = self._sessions.get(symbol)
            finished_at = session.finished_at(stamp) if session else stamp
            delay = (now - finished_at).total_seconds()
            self.delays[stamp] = max(delay, self.delays.get(stamp, 0.0))
            self.last_bar[symbol] = newest
        self.seen.setdefault(symbol, set()).update(frame["timestamp"])

    @cached_property
    def _sessions(self) -> dict[str, Session]:
        return {bars.symbol: bars.session for bars in self.plan.bars}

    def note_stored(self, symbol: str, stamp: datetime) -> None:
        """Count a bar of the day that was stored before we came."""
        self.seen.setdefault(symbol, set()).add(stamp)

    def note_signals(self, table: str, batch: pa.RecordBatch, counts: MergeCounts) -> None:
        """Count committed signals of the day by strategy; the newest is shown."""
        frame = pl.DataFrame(batch).filter(pl.col("timestamp").dt.date() == self.day)
        self.note_rows(counts)
        if frame.is_empty():
            return
        strategy = table.removesuffix("_signal")
        rows = frame.select("symbol", "timestamp", "trade_signal").iter_rows()
        self.given.setdefault(strategy, {}).update({(s, t): trade for s, t, trade in rows})
        newest = frame.sort("timestamp").row(-1, named=True)
        self.last_signal[f"{strategy} {newest['symbol']}"] = newest

    @property
    def bars(self) -> int:
        """How many bars of the day are stored, whenever they came."""
        return sum(map(len, self.seen.values()))

    @property
    def signals(self) -> Counter[str]:
        """How many bars have a signal, by strategy."""
        return Counter({strategy: len(rows) for strategy, rows in self.given.items()})

    @property
    def trade_signals(self) -> Counter[str]:
        """How many of the signals are to trade, by strategy."""
        traded = {name: sum(map(bool, rows.values())) for name, rows in self.given.items()}
        return Counter(traded)

    def missing(self, bars: BarPlan, until: datetime) -> int:
        """Count the stamps owed until a moment that have not come."""
        seen = self.seen.get(bars.symbol, set())
        return sum(stamp <= until and stamp not in seen for stamp in bars.session.stamps())

    def minutes(self, state: str) -> int:
        """Return how many minutes of the day the ledger has in a state."""
        stamps = self._ledger().filter(pl.col("state") == state)["stamps"]
        return sum(stamps.to_list())

    def _ledger(self) -> pl.DataFrame:
        columns = ["symbol", "first_stamp", "last_stamp", "stamps", "state", "reason"]
        empty = pl.DataFrame(schema=dict.fromkeys(columns))
        return empty if self.gaps is None else self.gaps.select(columns)

    @property
    def slowest(self) -> tuple[datetime, float] | None:
        """The minute whose bar was committed latest after its close, and the seconds it took."""
        return max(self.delays.items(), key=lambda item: item[1], default=None)

    def as_json(self) -> dict[str, Any]:
        """Return the summary for machines; times are KST, seconds are the clock's."""
        slowest = self.slowest
        return {
            "date": self.day.isoformat(),
            "simulated": self.simulated,
            "closed": self.closed,
            "bars": self.bars,
            "snapshots": self.snapshots,
            "signals": dict(self.signals),
            "trade_signals": dict(self.trade_signals),
            "corrections": self.corrections,
            "gaps": self.minutes("open") + self.minutes("unavailable"),
            "no_trade": self.minutes("no_trade"),
            "gap_list": [_plain(gap) for gap in self._ledger().iter_rows(named=True)],
            "rejected": dict(self.rejected),
            "rows": {
                "inserted": self.rows.inserted,
                "changed": self.rows.changed,
                "unchanged": self.rows.unchanged,
            },
            "calls": dict(self.calls),
            "refused": self.refused,
            "slowest_minute": slowest and slowest[0].isoformat(),
            "slowest_seconds": slowest and round(slowest[1], 3),
        }


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {k: v.isoformat() if isinstance(v, datetime) else v for k, v in row.items()}
