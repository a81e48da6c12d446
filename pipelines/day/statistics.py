"""The figures of a day so far: for the view, for `--json` and for the closing summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from typing import Any

import polars as pl
import pyarrow as pa

from engine.market.sessions import Session
from engine.store import MergeCounts
from pipelines.feed import BarPlan, DayPlan
from pipelines.json_rows import json_rows


@dataclass
class DayStatistics:
    """Counts of one day's run; `simulated` says that its data is not real. Times are KST."""

    plan: DayPlan
    simulated: bool
    rows: MergeCounts = field(default_factory=MergeCounts)
    snapshots: int = 0
    # the trade signal (1, 0, -1) by strategy, and by symbol and stamp
    signal_rows: dict[str, dict[tuple[str, datetime], int]] = field(default_factory=dict)
    corrections: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    refused: int = 0  # calls that a simulated KIS refused: our mistake, such as too many a second
    delays: dict[datetime, float] = field(default_factory=dict)  # seconds, by the bar's stamp
    stored: dict[str, set[datetime]] = field(default_factory=dict)  # stamps, by symbol
    last_bar: dict[str, dict[str, Any]] = field(default_factory=dict)
    last_signal: dict[str, dict[str, Any]] = field(default_factory=dict)
    matrix: pl.DataFrame | None = None
    gaps: pl.DataFrame | None = None  # the day's rows of the ledger; None before the close
    closed: bool = False  # KIS says that the exchange does not open on the day
    complete: bool = True  # False if Ctrl+C ended the day

    @property
    def day(self) -> date:
        """The session's date."""
        return self.plan.day

    def count_rows(self, counts: MergeCounts) -> None:
        """Count rows of any table."""
        self.rows += counts

    def count_snapshot(self, matrix: pl.DataFrame) -> None:
        """Count one snapshot of an option chain; the newest matrix is shown."""
        self.snapshots += 1
        self.matrix = matrix

    def count_rejected(self, reasons: Iterable[str]) -> None:
        """Count rows that could not be used, by reason."""
        self.rejected.update(reasons)

    def count_bars(self, batch: pa.RecordBatch, counts: MergeCounts, now: datetime) -> None:
        """Count committed bars of the day, and how long after its end the newest one came."""
        frame = pl.DataFrame(batch).filter(pl.col("timestamp").dt.date() == self.day)
        self.count_rows(counts)
        self.corrections += counts.changed
        if frame.is_empty():
            return
        newest = frame.sort("timestamp").row(-1, named=True)
        symbol = newest["symbol"]
        stamp = newest["timestamp"]
        last = self.last_bar.get(symbol)
        # A late start fetches the day so far from its end backwards: those bars did not come late.
        if last is None or stamp > last["timestamp"]:
            session = self._sessions.get(symbol)
            finished_at = session.finished_at(stamp) if session else stamp
            delay = (now - finished_at).total_seconds()
            self.delays[stamp] = max(delay, self.delays.get(stamp, 0.0))
            self.last_bar[symbol] = newest
        self.stored.setdefault(symbol, set()).update(frame["timestamp"])

    @cached_property
    def _sessions(self) -> dict[str, Session]:
        return {bars.symbol: bars.session for bars in self.plan.bars}

    def mark_stored(self, symbol: str, stamp: datetime) -> None:
        """Remember a bar of the day that was stored before this run began."""
        self.stored.setdefault(symbol, set()).add(stamp)

    def count_signals(self, table: str, batch: pa.RecordBatch, counts: MergeCounts) -> None:
        """Count committed signals of the day, by strategy; the newest of each symbol is shown."""
        frame = pl.DataFrame(batch).filter(pl.col("timestamp").dt.date() == self.day)
        self.count_rows(counts)
        if frame.is_empty():
            return
        strategy = table.removesuffix("_signal")
        rows = frame.select("symbol", "timestamp", "trade_signal").iter_rows()
        self.signal_rows.setdefault(strategy, {}).update({(s, t): trade for s, t, trade in rows})
        newest = frame.sort("timestamp").row(-1, named=True)
        self.last_signal[f"{strategy} {newest['symbol']}"] = newest

    @property
    def bars(self) -> int:
        """How many bars of the day are stored, those of an earlier run included."""
        return sum(map(len, self.stored.values()))

    @property
    def signals(self) -> Counter[str]:
        """How many signals each strategy has given."""
        return Counter({strategy: len(rows) for strategy, rows in self.signal_rows.items()})

    @property
    def trade_signals(self) -> Counter[str]:
        """How many of the signals are trade signals, by strategy."""
        traded = {name: sum(map(bool, rows.values())) for name, rows in self.signal_rows.items()}
        return Counter(traded)

    def missing(self, bars: BarPlan, until: datetime) -> int:
        """Count the expected stamps up to a moment whose bar is not stored."""
        stored = self.stored.get(bars.symbol, set())
        return sum(stamp <= until and stamp not in stored for stamp in bars.session.stamps())

    def minutes_in_state(self, state: str) -> int:
        """Return how many minutes of the day the ledger has in a state."""
        stamps = self._ledger().filter(pl.col("state") == state)["stamps"]
        return sum(stamps.to_list())

    def _ledger(self) -> pl.DataFrame:
        columns = ["symbol", "first_stamp", "last_stamp", "stamps", "state", "reason"]
        empty = pl.DataFrame(schema=dict.fromkeys(columns))
        return empty if self.gaps is None else self.gaps.select(columns)

    @property
    def slowest(self) -> tuple[datetime, float] | None:
        """The minute whose bar was committed latest after its end, and the seconds it took."""
        return max(self.delays.items(), key=lambda item: item[1], default=None)

    def as_json(self) -> dict[str, Any]:
        """Return the summary for machines. Times are KST; seconds are those of the run's clock."""
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
            "gaps": self.minutes_in_state("open") + self.minutes_in_state("unavailable"),
            "no_trade": self.minutes_in_state("no_trade"),
            "gap_list": json_rows(self._ledger()),
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
