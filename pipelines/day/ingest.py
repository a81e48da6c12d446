"""From a fetched batch to committed rows: the one path that live data takes.

Bars are committed, then the strategies that watch them are evaluated and their signals committed,
all within the minute. A chain is committed, then its matrix and summary.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import polars as pl
import pyarrow as pa

from engine import schemas
from engine.clock import Clock
from engine.errors import KisKeyRefused
from engine.store import MergeCounts, Writer
from pipelines.chains import chain_matrix, chain_summary, chain_with_greeks, chain_with_underlying
from pipelines.day.alerts import Alerts, SignalNews, refused_key
from pipelines.day.statistics import DayStatistics
from strategies.window import LiveWindow

log = logging.getLogger(__name__)


PATIENCE = 1.0  # seconds that a bar no strategy waits for may wait for others to be committed with


EXPECTED = {"", "incomplete"}  # KIS cuts its board: a chain has a hole between there and the money


class Ingestor:
    """The spec's DataProcessor: where a batch goes once it has been fetched."""

    def __init__(self, writer: Writer, clock: Clock, stats: DayStatistics, alerts: Alerts) -> None:
        self._writer, self._clock, self._tally, self._alerts = writer, clock, stats, alerts
        self._news = SignalNews(clock)
        self.windows: Sequence[LiveWindow] = ()  # none until the warm-up is there
        self._findings: dict[str, str] = {}

    async def put(self, table: str, batch: pa.RecordBatch) -> MergeCounts:
        """Commit a batch of any table; bars of a symbol with the signals that follow from them."""
        if table == "rejected_rows":
            return await self.rejected(batch)
        return await self.bars(table, batch)

    def watches(self, symbol: str) -> bool:
        """Say whether a strategy waits for the symbol's bars."""
        return any(window.watches(symbol) for window in self.windows)

    async def bars(self, table: str, batch: pa.RecordBatch) -> MergeCounts:
        """Commit finished bars of one symbol, then the signals that follow from them."""
        if not batch.num_rows:
            return MergeCounts()
        symbol = batch["symbol"][0].as_py()
        windows = [window for window in self.windows if window.watches(symbol)]
        counts = await self._writer.put(table, batch, patience=0.0 if windows else PATIENCE)
        self._tally.note_bars(batch, counts, self._clock.now())
        for window in windows:
            await self._signals(window, batch)
        return counts

    async def _signals(self, window: LiveWindow, batch: pa.RecordBatch) -> None:
        signals = window.push(pl.DataFrame(batch))
        if signals.is_empty():
            return
        rows = signals.with_columns(created_at=pl.lit(self._clock.now(), pl.Datetime("us")))
        ready = schemas.conform(rows, window.schema)
        counts = await self._writer.put(window.table, ready)
        self._tally.note_signals(window.table, ready, counts)
        for event in self._news.events(window.table.removesuffix("_signal"), signals):
            self._alerts.tell(event)

    async def chain(self, batch: pa.RecordBatch) -> None:
        """Commit one snapshot of a chain, its matrix and its summary."""
        if not batch.num_rows:
            return
        chain = chain_with_underlying(pl.DataFrame(batch))
        with_greeks = chain_with_greeks(chain)
        cells, figures = chain_matrix(with_greeks), chain_summary(with_greeks)
        for table, frame, schema in (
            ("option_chain_raw", chain, schemas.OPTION_CHAIN),
            ("option_matrices", cells, schemas.OPTION_MATRIX),
            ("option_summary", figures, schemas.OPTION_SUMMARY),
        ):
            counts = await self._writer.put(table, schemas.conform(frame, schema))
            self._tally.note_rows(counts)
        self._tell_findings(figures)
        self._tally.snapshots += 1
        self._tally.matrix = cells

    def _tell_findings(self, figures: pl.DataFrame) -> None:
        """Say what is odd about a chain, once until it changes."""
        for symbol, flags in figures.select("underlying_symbol", "flags").iter_rows():
            told = ", ".join(sorted({*(flags or "").split(",")} - EXPECTED))
            if told and told != self._findings.get(symbol):
                log.warning("⚠️ %s: odd chain: %s", symbol, told)
            self._findings[symbol] = told

    def tell_refused_key(self, error: KisKeyRefused) -> None:
        """Have a person hear, once a day, that KIS takes no app key any more."""
        self._alerts.tell(refused_key(self._tally.day, str(error)))

    async def rejected(self, batch: pa.RecordBatch) -> MergeCounts:
        """Keep rows that could not be used, with the reason, where `krt status` shows them."""
        if not batch.num_rows:
            return MergeCounts()
        self._tally.rejected.update(batch["reason"].to_pylist())
        return await self._writer.put("rejected_rows", batch)
