"""The figures of a day so far: for the view, for `--json` and for the closing summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from functools import cached_property
from operator import itemgetter
from typing import Any

import polars as pl
import pyarrow as pa

from engine.errors import KrtError
from engine.history import completeness
from engine.history.completeness import COUNTS, MINUTES, figures, gap_runs
from engine.history.delays import DELAYS, live_delay
from engine.history.feed_standing import FeedStanding
from engine.history.origins import Origins
from engine.kis.stream.allowance import most_in_ten_minutes
from engine.market.expected import SESSIONS
from engine.market.hours import MINUTE
from engine.market.nights import session_date
from engine.schemas import FEED
from engine.store import MergeCounts, ledger
from pipelines.day_plan import DayPlan
from pipelines.json_rows import json_rows


@dataclass(frozen=True)
class CommittedBars:
    """A batch of one symbol's bars, and what became of it at that moment.

    `error`: why the bars, or the signals that follow from them, were refused.
    """

    batch: pa.RecordBatch
    at: datetime
    counts: MergeCounts = field(default_factory=MergeCounts)
    error: KrtError | None = None

    @property
    def symbol(self) -> str:
        """Whose bars they are."""
        return str(self.batch["symbol"][0])


@dataclass
class DayStatistics:
    """Counts of one day's run; `simulated` says that its data is not real. Times are KST."""

    plan: DayPlan
    simulated: bool
    rows: MergeCounts = field(default_factory=MergeCounts)
    # when a collector first set out for the day; what was over by then cannot be late
    since: datetime | None = None
    snapshots: int = 0
    # the trade signal (1, 0, -1) by strategy, and by symbol and stamp
    signal_rows: dict[str, dict[tuple[str, datetime], int]] = field(default_factory=dict)
    corrections: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    refused: int = 0  # calls that a simulated KIS refused: our mistake, such as too many a second
    # seconds by stamp, the longest of all symbols; only of bars collected live
    delays: dict[datetime, float] = field(default_factory=dict)
    bar_delays: dict[str, dict[datetime, float]] = field(default_factory=dict)  # by symbol
    # stamps, by symbol; of option chains those of their snapshots
    stored: dict[str, set[datetime]] = field(default_factory=dict)
    # bars that the feed gave, by symbol and stamp: complete (FEED_BARS)
    by_feed: dict[str, dict[datetime, bool | None]] = field(default_factory=dict)
    first_by_feed: dict[str, set[datetime]] = field(default_factory=dict)  # before REST had them
    trades: int = 0  # that the feed gave
    lost_trades: int = 0  # of them, that neither the database nor the disk took
    # symbol, missing, volume of those that lack trades; None before the close
    missing_trades: pl.DataFrame | None = None
    origins: Origins | None = None  # what the database says of feed and REST, after the close
    feed_symbols: pl.DataFrame | None = None  # FEED_SYMBOLS; None without the feed
    feed_message: str = ""  # the same in words
    feed_connections: list[list[datetime]] = field(default_factory=list)  # made, by app key
    feed_off: str | None = None  # why the feed is not used; None if it is
    last_bar: dict[str, dict[str, Any]] = field(default_factory=dict)
    last_signal: dict[str, dict[str, Any]] = field(default_factory=dict)  # "strategy symbol"
    # all rows of them, by stamp
    given: dict[str, dict[datetime, dict[str, Any]]] = field(default_factory=dict)
    matrices: dict[str, pl.DataFrame] = field(default_factory=dict)  # the newest, by chain
    minutes: pl.DataFrame | None = None  # what became of each (MINUTES); None before the close
    closed: bool = False  # KIS says that the exchange does not open on the day
    interrupted: bool = False  # Ctrl+C ended the day
    as_of: datetime | None = None  # when the run ended
    spooled: int = 0  # batches that wait on disk when the day has ended

    @cached_property
    def _auctions(self) -> set[tuple[str, datetime | None]]:
        return {(bars.symbol, bars.session.auction) for bars in self.plan.bars}

    @property
    def day(self) -> date:
        """The session's date."""
        return self.plan.day

    def end(self, calls: Mapping[str, int], now: datetime) -> None:
        """Note when the run ended, and how often it asked KIS for what."""
        self.calls.update(calls)
        self.as_of = now

    def count_rows(self, counts: MergeCounts) -> None:
        """Count rows of any table."""
        self.rows += counts

    def count_snapshot(self, matrix: pl.DataFrame) -> None:
        """Count one snapshot of an option chain; the newest matrix of each is shown."""
        self.snapshots += 1
        for symbol, stamp in set(
            zip(matrix["underlying_symbol"], matrix["timestamp"], strict=True)
        ):
            self.matrices[symbol] = matrix
            self.mark_stored(symbol, stamp)

    def count_spooled(self, batches: int) -> None:
        """Count the batches that could not be written to the database."""
        self.spooled = batches

    def count_rejected(self, reasons: Iterable[str]) -> None:
        """Count rows that could not be used, by reason."""
        self.rejected.update(reasons)

    def count_bars(self, committed: Sequence[CommittedBars]) -> None:
        """Count committed bars of one table, and how late those of the day were that came live."""
        stored = [one for one in committed if one.error is None]
        if not stored:
            return
        for one in stored:
            self.count_rows(one.counts)
            self.corrections += one.counts.changed
        # Rows, not a frame: of the few bars of a poll, Polars would take ten times as long.
        table = pa.Table.from_batches([one.batch for one in stored]).combine_chunks()
        moments = [one.at for one in stored for _ in range(one.batch.num_rows)]
        rows = [
            {**row, "committed_at": moment}
            for row, moment in zip(table.to_pylist(), moments, strict=True)
            if session_date(row["symbol"], row["timestamp"]) == self.day
        ]
        rows.sort(key=itemgetter("timestamp"))
        # In one commit the feed's bar is the first, if REST's came with it.
        newest = {row["symbol"]: row for row in rows}
        first = {one.symbol for one in stored if one.counts.inserted or one.counts.spooled}
        for row in {(row["symbol"], row["fetched_at"]): row for row in rows}.values():
            symbol, stamp = row["symbol"], row["timestamp"]
            finished = stamp + MINUTE if (symbol, stamp) in self._auctions else stamp
            delay = live_delay(finished, row["fetched_at"], row["committed_at"], self.since)
            fed = newest[symbol]["source"] == FEED
            if delay is None or symbol not in first:
                continue
            if fed or stamp not in self.stored.get(symbol, ()):
                self.delays[stamp] = max(delay, self.delays.get(stamp, 0.0))
                self.bar_delays.setdefault(symbol, {})[stamp] = delay
                if fed:
                    self.first_by_feed.setdefault(symbol, set()).add(stamp)
        for symbol, row in newest.items():
            last = self.last_bar.get(symbol)
            if last is None or row["timestamp"] > last["timestamp"]:
                self.last_bar[symbol] = row
        for row in rows:
            self.mark_stored(row["symbol"], row["timestamp"])

    def mark_stored(self, symbol: str, stamp: datetime) -> None:
        """Remember a bar or snapshot of the day, also one stored before this run began."""
        self.stored.setdefault(symbol, set()).add(stamp)

    def count_signals(self, table: str, batch: pa.RecordBatch, counts: MergeCounts) -> None:
        """Count committed signals of the day, by strategy; the newest of each symbol is shown."""
        self.count_rows(counts)
        strategy = table.removesuffix("_signal")
        for row in sorted(batch.to_pylist(), key=itemgetter("timestamp")):
            symbol, stamp = row["symbol"], row["timestamp"]
            if session_date(symbol, stamp) != self.day:
                continue
            self.signal_rows.setdefault(strategy, {})[symbol, stamp] = row["trade_signal"]
            name = f"{strategy} {symbol}"
            given = self.given.setdefault(name, {})
            given[stamp] = row
            self.last_signal[name] = given[max(given)]

    def signals_at(self, now: datetime) -> dict[str, dict[str, Any]]:
        """Return the newest signal of each strategy and symbol that is not later than now."""
        found = {}
        for name, newest in self.last_signal.items():
            so_far = [stamp for stamp in self.given.get(name, {}) if stamp <= now]
            if so_far:
                found[name] = self.given[name][max(so_far)]
            elif name not in self.given:
                found[name] = newest
        return found

    def turn_until(self, name: str, now: datetime) -> dict[str, Any] | None:
        """Return the signal with which a strategy's standing position in a symbol began, if any.

        `name` is the strategy's and the symbol's, as in `signals_at`.
        """
        given = self.given.get(name, {})
        stamps = sorted(stamp for stamp in given if stamp <= now)
        turn = None
        for row in map(given.__getitem__, stamps):
            if row["trade_signal"] and (not turn or row["trade_signal"] != turn["trade_signal"]):
                turn = row
        return turn

    @property
    def bars(self) -> int:
        """How many bars of the day are stored, those of an earlier run included."""
        return sum(len(self.stored.get(bars.symbol, ())) for bars in self.plan.bars)

    @property
    def signals(self) -> Counter[str]:
        """How many signals each strategy has given."""
        return Counter({strategy: len(rows) for strategy, rows in self.signal_rows.items()})

    @property
    def trade_signals(self) -> Counter[str]:
        """How many of the signals are trade signals, by strategy."""
        traded = {name: sum(map(bool, rows.values())) for name, rows in self.signal_rows.items()}
        return Counter(traded)

    @property
    def feed_bars(self) -> Counter[bool | None]:
        """How many bars the feed gave: complete, partial, or (None) without a trade to prove it."""
        return Counter(state for bars in self.by_feed.values() for state in bars.values())

    def minutes_until(self, now: datetime) -> pl.DataFrame:
        """Return MINUTES of the plan by now: after the close the database's, before it our own."""
        if self.minutes is not None:
            return self.minutes
        if self.closed:
            return MINUTES.to_frame()
        pairs = [(symbol, self.day) for symbol in self.plan.kept]
        stored = [(symbol, stamp) for symbol, found in self.stored.items() for stamp in found]
        return completeness.minutes_until(
            now,
            pl.DataFrame(pairs, SESSIONS, orient="row"),
            pl.DataFrame(
                stored, {name: MINUTES[name] for name in ("symbol", "stamp")}, orient="row"
            ),
            pl.DataFrame(schema=ledger.ROWS),
        )

    @property
    def final_minutes(self) -> pl.DataFrame:
        """MINUTES when the run ended; of the whole day if it has not ended."""
        end_of_day = datetime.combine(self.day, time.max)
        sealed = (session.sealed_at for session in self.plan.sessions)
        return self.minutes_until(self.as_of or max(end_of_day, *sealed))

    @property
    def missing(self) -> int:
        """How many expected bars and snapshots were missing when the run ended, all reasons."""
        return int(figures(self.final_minutes)["missing"].sum())

    @property
    def complete(self) -> bool:
        """Whether the day ran to its end, nothing of it is missing, and nothing waits on disk."""
        ended = self.minutes is not None and not (self.closed or self.interrupted or self.spooled)
        return ended and self.missing == 0

    def minutes_in_state(self, state: str) -> int:
        """Return how many minutes of the day are in a state: stored, open, no_trade …"""
        return self.final_minutes.filter(pl.col("state") == state).height

    @property
    def feed(self) -> FeedStanding | None:
        """How the feed does; None without it."""
        if self.feed_symbols is None:
            return None
        rows = [
            (symbol, stamp, delay)
            for symbol, stamps in self.first_by_feed.items()
            for stamp, delay in self.bar_delays.get(symbol, {}).items()
            if stamp in stamps
        ]
        return FeedStanding(self.feed_symbols, pl.DataFrame(rows, DELAYS, orient="row"))

    @property
    def slowest(self) -> tuple[datetime, float] | None:
        """The minute whose bar was committed with the longest delay, and that delay in seconds."""
        return max(self.delays.items(), key=lambda item: item[1], default=None)

    @property
    def feed_says(self) -> list[str]:
        """How the feed does, in words, as `just status` says it; before the day begins nothing."""
        if self.feed_off:
            return [f"no feed today: {self.feed_off}"]
        return self.feed.says() if self.feed else []

    @property
    def reconnects(self) -> int:
        """How often a connection of the feed was made again; its first try does not count."""
        return sum(max(len(made) - 1, 0) for made in self.feed_connections)

    @property
    def most_connections(self) -> int:
        """How many connections of one app key lay within ten minutes at most."""
        return max(map(most_in_ten_minutes, self.feed_connections), default=0)

    def _feed_figures(self) -> dict[str, Any]:
        """Return what the feed gave; what REST said of it is null before the close."""
        counts = self.feed_bars
        return {
            "bars": counts[True],
            "share": round(counts[True] / self.bars, 4) if self.bars else None,
            "partial": counts[False],
            "unproven": counts[None],
            "first": self.origins and self.origins.by_feed,
            "confirmed": self.origins and self.origins.confirmed,
            "replaced": self.origins and self.origins.replaced,
            "restored": self.origins and self.origins.restored,
            "trades": self.trades,
            "missing_trades": None
            if self.missing_trades is None
            else dict(self.missing_trades.select("symbol", "missing").iter_rows()),
            "reconnects": self.reconnects,
            "most_in_ten_minutes": self.most_connections,
            "says": self.feed_says,
            **(self.feed.as_json() if self.feed else {}),
        }

    def as_json(self) -> dict[str, Any]:
        """Return the summary for machines. Times are KST; seconds are those of the run's clock."""
        slowest = self.slowest
        counts = figures(self.final_minutes)
        missing = self.missing
        return {
            "date": self.day.isoformat(),
            **({"night": True} if self.plan.night else {}),
            "simulated": self.simulated,
            "closed": self.closed,
            "interrupted": self.interrupted,
            "complete": self.complete,
            "bars": self.bars,
            "snapshots": self.snapshots,
            "signals": dict(self.signals),
            "trade_signals": dict(self.trade_signals),
            "feed": self._feed_figures(),
            "corrections": self.corrections,
            "corrected_signals": self.origins and self.origins.corrected_signals,
            "minutes": {name: int(counts[name].sum()) for name in COUNTS},
            "gaps": missing,  # minutes, for whatever reason
            "no_trade": int(counts["no_trade"].sum()),
            "gap_list": json_rows(gap_runs(self.final_minutes)),
            "rejected": dict(self.rejected),
            "lost_trades": self.lost_trades,
            "rows": {
                "inserted": self.rows.inserted,
                "changed": self.rows.changed,
                "unchanged": self.rows.unchanged,
            },
            "calls": dict(self.calls),
            "refused": self.refused,
            "spooled": self.spooled,
            "slowest_minute": slowest and slowest[0].isoformat(),
            "slowest_seconds": slowest and round(slowest[1], 3),
        }
