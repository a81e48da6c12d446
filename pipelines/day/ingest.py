"""From a fetched batch to committed rows: the one path that live data takes.

The strategies that watch a symbol are evaluated when its bars come; bars and signals are committed
together. A chain is committed, then its matrix, and once the last of its minute has come, their
surface and summaries.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple

import polars as pl
import pyarrow as pa

from engine import schemas
from engine.clock import Clock
from engine.columns import BARS
from engine.errors import KisKeyRefused, KrtError
from engine.market.nights import session_of
from engine.store import MergeCounts, Writer
from pipelines.chains import (
    chain_figures,
    chain_matrix,
    chain_summary,
    chain_surface,
    chain_with_greeks,
)
from pipelines.day.alerts import Alerts, SignalNews, refused_key
from pipelines.day.chain_minutes import ChainMinutes
from pipelines.day.statistics import CommittedBars, DayStatistics
from strategies.base import signal_batch
from strategies.window import LiveWindow

log = logging.getLogger(__name__)

# Seconds that a bar may wait to be committed together with others, if no strategy needs it.
LONGEST_BATCHING = 1.0

# One strategy after another: two threads would take the interpreter from each other.
_EVALUATING = ThreadPoolExecutor(1, thread_name_prefix="strategies")

PATIENCE_FOR_STRATEGIES = 0.25  # seconds that bars wait for their signals to share a commit

PATIENCE = 3.0  # seconds that a surface waits for further chains of its minute

# Not worth a warning: KIS cuts its board, so a chain has a hole between the cut and the money, and
# far from the money there are always options that nobody traded or quotes today, of which KIS's
# greeks of a weekly are old.
USUAL_FLAGS = {"", "incomplete", "old_vendor", "stale_price"}


class _EvaluatedBars(NamedTuple):
    """Bars of a symbol, and the rows that each strategy gives for them; None where it fails."""

    bars: pl.DataFrame
    rows: Sequence[tuple[LiveWindow, pl.DataFrame | None]]
    new_by_rest: set[datetime]


@dataclass
class _Coming:
    """Bars of a symbol on their way to the database, and the signals that follow from them."""

    batch: pa.RecordBatch
    bars: asyncio.Future[MergeCounts]
    evaluating: asyncio.Task[_EvaluatedBars] | None
    at: datetime  # when the bars were queued, then when they were committed
    signals: dict[LiveWindow, tuple[pa.RecordBatch, asyncio.Future[MergeCounts]]] = field(
        default_factory=dict
    )

    def note_end(self, at: datetime) -> None:
        """Note when the bars were committed, or refused."""
        self.at = at

    def all_of_it(self) -> list[asyncio.Future[MergeCounts]]:
        """Return what is to be waited for."""
        return [self.bars, *(done for _, done in self.signals.values())]


class Ingestor:
    """Commits a batch once it has been fetched, and what is computed from it."""

    def __init__(self, writer: Writer, clock: Clock, stats: DayStatistics, alerts: Alerts) -> None:
        self._writer = writer
        self._clock = clock
        self._stats = stats
        self._alerts = alerts
        self._news = SignalNews(clock, alerts.t)
        self.windows: Sequence[LiveWindow] = ()  # empty until the warm-up is complete
        self._early_bars: list[pl.DataFrame] | None = []  # of futures, until then
        # Stamps of bars by REST, of symbols that strategies watch: it stands against the feed.
        self._by_rest: defaultdict[str, set[datetime]] = defaultdict(set)
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)  # of those symbols
        self._last_flags: dict[str, str] = {}  # what was last found odd, by chain
        self._minutes = ChainMinutes()

    def is_watched(self, symbol: str) -> bool:
        """Say whether a strategy waits for the symbol's bars."""
        return any(window.watches(symbol) for window in self.windows)

    async def store_bars(self, table: str, batch: pa.RecordBatch) -> MergeCounts:
        """Commit finished bars of one symbol, and the signals that follow from them.

        Bars that no strategy watches may wait for others to share their commit.
        """
        if not batch.num_rows:
            return MergeCounts()
        patience = 0.0 if self.is_watched(_symbol(batch)) else LONGEST_BATCHING
        (result,) = await self._commit_bars([(table, batch)], patience)
        self._stats.count_bars([result])
        if result.error:
            raise result.error
        return result.counts

    async def store_bars_at_once(
        self, batches: Mapping[str, Sequence[pa.RecordBatch]]
    ) -> dict[str, KrtError]:
        """Commit finished bars by table, a batch a symbol, and the signals that follow from them.

        Returns by symbol why its bars, or signals, were refused.
        """
        parts = [(table, batch) for table, held in batches.items() for batch in held]
        if not parts:
            return {}
        results = await self._commit_bars(parts)
        counting = iter(results)  # after all commits: a trader waits for them
        for held in batches.values():
            self._stats.count_bars(list(itertools.islice(counting, len(held))))
        return {one.symbol: one.error for one in results if one.error}

    async def _commit_bars(
        self, parts: Sequence[tuple[str, pa.RecordBatch]], patience: float = 0.0
    ) -> list[CommittedBars]:
        """Commit bars, a batch a symbol, and their signals; each symbol is refused on its own.

        Strategies are evaluated first, so that bars and signals are in the database with one
        commit; where they take long, their signals come in another. Bars of a symbol that
        strategies watch come one batch after another.
        """
        if self._early_bars is not None:
            followed = self._stats.plan.watched(nights=True)
            watched = [batch for _, batch in parts if _symbol(batch) in followed]
            self._early_bars += map(pl.DataFrame, watched)
        windows = self.windows  # those that come meanwhile hold the early bars
        evaluating: dict[str, asyncio.Task[_EvaluatedBars]] = {}
        async with AsyncExitStack() as turns:
            for _, batch in parts:
                symbol = _symbol(batch)
                if watching := [one for one in windows if one.watches(symbol)]:
                    await turns.enter_async_context(self._turns[symbol])
                    evaluating[symbol] = asyncio.create_task(self._evaluate(watching, batch))
                    with suppress(TimeoutError):
                        async with self._clock.timeout(PATIENCE_FOR_STRATEGIES):
                            await asyncio.shield(evaluating[symbol])
            coming = [
                self._queue_bars(table, batch, evaluating.get(_symbol(batch)), patience)
                for table, batch in parts
            ]
            await asyncio.wait([done for one in coming for done in one.all_of_it()])
            return [await self._committed(one) for one in coming]

    async def _evaluate(
        self, watching: Sequence[LiveWindow], batch: pa.RecordBatch
    ) -> _EvaluatedBars:
        """Let the strategies of a symbol say what follows from its bars; they stay as they are."""
        # Both may be on their way at once, the feed's behind those of REST: the table keeps REST's.
        bars, by_rest = pl.DataFrame(batch), self._by_rest[_symbol(batch)]
        stamps = set(bars["timestamp"].to_list())
        new_by_rest: set[datetime] = set()
        if bars["source"][0] != schemas.FEED:
            new_by_rest = stamps - by_rest
        elif known := stamps & by_rest:
            bars = bars.filter(~pl.col("timestamp").is_in(list(known)))
        rows = await self._clock.thread(_prepared, watching, bars, executor=_EVALUATING)
        return _EvaluatedBars(bars, rows, new_by_rest)

    def _queue_bars(
        self,
        table: str,
        batch: pa.RecordBatch,
        evaluating: asyncio.Task[_EvaluatedBars] | None,
        patience: float,
    ) -> _Coming:
        """Queue a symbol's bars, and behind them the signals that are evaluated by now."""
        done = self._writer.queue(table, batch, patience=patience)
        coming = _Coming(batch, done, evaluating, self._clock.now())
        coming.bars.add_done_callback(lambda _: coming.note_end(self._clock.now()))
        for window, rows in evaluating.result().rows if evaluating and evaluating.done() else ():
            if rows is None or rows.is_empty():
                continue
            with suppress(KrtError):  # no table can hold them: said once the bars are stored
                ready = signal_batch(rows, window.schema, self._clock.now())
                done = self._writer.queue(window.table, ready, after=coming.bars)
                coming.signals[window] = ready, done
        return coming

    async def _committed(self, coming: _Coming) -> CommittedBars:
        """Take over what was committed of a symbol; say if its bars, or signals, were refused."""
        if error := coming.bars.exception():
            if not isinstance(error, KrtError):
                raise error
            return CommittedBars(coming.batch, coming.at, error=error)
        committed = CommittedBars(coming.batch, coming.at, coming.bars.result())
        if coming.evaluating is None:
            return committed
        found = await coming.evaluating
        self._by_rest[committed.symbol] |= found.new_by_rest
        for window, prepared in found.rows:
            rows = window.push(found.bars)  # raises what the strategy raised
            try:
                if rows is prepared and window in coming.signals:
                    ready, done = coming.signals[window]
                    self._note_signals(window, rows, ready, done.result())
                else:  # evaluated too late; or other bars came first, those of the warm-up
                    await self._store_signals(window, rows)
            except KrtError as error:
                committed = replace(committed, error=error)
        return committed

    def early_bars(self) -> pl.DataFrame:
        """Return the BARS of futures that came before the windows, in the order in which they did.

        While the database was away, they are not in it yet.
        """
        early = [frame.select(BARS.names()) for frame in self._early_bars or []]
        return pl.concat([BARS.to_frame(), *early])

    async def begin_signals(self, windows: Sequence[LiveWindow]) -> None:
        """Give signals from now on, and those of the day's bars that came before.

        The windows hold the early bars already.
        """
        session = session_of(pl.col("symbol"), pl.col("timestamp"))
        early = self.early_bars().filter(session == self._stats.day)
        self.windows, self._early_bars = windows, None
        for window in windows:
            if any(map(window.watches, early["symbol"].unique())):
                await self._store_signals(window, window.push(early.clear()))

    async def _store_signals(self, window: LiveWindow, rows: pl.DataFrame) -> None:
        if rows.height:
            ready = signal_batch(rows, window.schema, self._clock.now())
            self._note_signals(window, rows, ready, await self._writer.put(window.table, ready))

    def _note_signals(
        self, window: LiveWindow, rows: pl.DataFrame, ready: pa.RecordBatch, counts: MergeCounts
    ) -> None:
        """Count a strategy's signals that are committed, and tell of those that are news."""
        self._stats.count_signals(window.table, ready, counts)
        for event in self._news.events(window.table.removesuffix("_signal"), rows):
            self._alerts.tell(event)

    def count_feed_bars(self, bars: pl.DataFrame) -> None:
        """Count bars (FEED_BARS) that the feed gave, by what is known of them now."""
        for symbol, stamp, complete in bars.select("symbol", "timestamp", "complete").iter_rows():
            self._stats.by_feed.setdefault(symbol, {})[stamp] = complete

    async def store_stream(self, code: str, table: str, batch: pa.RecordBatch) -> None:
        """Commit rows of what KIS tells only once; `code` is its name in the ledger."""
        if not batch.num_rows:
            return
        self._stats.count_rows(await self._writer.put(table, batch, patience=LONGEST_BATCHING))
        for stamp in set(batch["timestamp"].to_pylist()):
            self._stats.mark_stored(code, stamp)

    def tell_feed(
        self, states: pl.DataFrame, message: str, connections: list[list[datetime]]
    ) -> None:
        """Note which symbols come by the feed now (FEED_SYMBOLS); `message` says it in words.

        `connections`: when those of each app key were made.
        """
        self._stats.feed_symbols, self._stats.feed_message = states, message
        self._stats.feed_connections = connections

    def expect_chain(self, minute: datetime, name: str) -> None:
        """Note that a chain is asked for: the minute's surface waits for it, up to PATIENCE."""
        self._minutes.expect(minute, name)

    def give_up_chain(self, minute: datetime, name: str) -> None:
        """Note that a chain will not come for the minute, unless it has come."""
        self._minutes.give_up(minute, name)

    async def store_chain(self, batch: pa.RecordBatch) -> pl.DataFrame | None:
        """Commit one snapshot of a chain and its matrix.

        Return the snapshot with its forward and the model's greeks, for `store_surface`; None if it
        is empty.
        """
        if not batch.num_rows:
            return None
        with_greeks = chain_with_greeks(pl.DataFrame(batch))
        matrix = chain_matrix(with_greeks)
        self._stats.count_rows(await self._writer.put("option_chain_raw", batch))
        await self._put_rows("option_matrices", matrix, schemas.OPTION_MATRIX)
        self._stats.count_snapshot(matrix)
        return with_greeks

    async def store_surface(self, snapshot: pl.DataFrame) -> None:
        """Commit surface and summaries of all maturities of a snapshot's minute.

        Once for all of them, as soon as the last one has come: they hold each other free of
        arbitrage. If others are on their way for more than PATIENCE, what is there is computed
        without them, and again with them.
        """
        minute, name = snapshot["timestamp"][0], snapshot["underlying_symbol"][0]
        self._minutes.add(minute, name, snapshot)
        if self._minutes.is_waiting(minute):
            await self._clock.sleep(PATIENCE)
        together = self._minutes.take(minute, name)
        if together is None:
            return
        figures = chain_figures(together)
        surface = chain_surface(together)
        summaries = chain_summary(figures, surface)
        await asyncio.gather(  # in one commit
            self._put_rows("option_surface", surface, schemas.OPTION_SURFACE),
            self._put_rows("option_summary", summaries, schemas.OPTION_SUMMARY),
        )
        self._log_flags(figures)

    async def _put_rows(self, table: str, frame: pl.DataFrame, schema: pa.Schema) -> None:
        self._stats.count_rows(await self._writer.put(table, schemas.conform(frame, schema)))

    def _log_flags(self, figures: pl.DataFrame) -> None:
        """Warn of what is odd about a chain, once until it changes."""
        for symbol, flags in figures.select("underlying_symbol", "flags").iter_rows():
            flags_text = ", ".join(sorted({*(flags or "").split(",")} - USUAL_FLAGS))
            if flags_text and flags_text != self._last_flags.get(symbol):
                log.warning("⚠️ %s: odd chain: %s", symbol, flags_text)
            self._last_flags[symbol] = flags_text

    def alert_refused_key(self, error: KisKeyRefused) -> None:
        """Send an alert, once a day, that KIS accepts none of the app keys any more."""
        self._alerts.tell(refused_key(self._alerts.t, self._stats.day, str(error)))

    async def store_rejected(self, batch: pa.RecordBatch) -> MergeCounts:
        """Keep rows that could not be used, with the reason, where `just status` shows them."""
        if not batch.num_rows:
            return MergeCounts()
        self._stats.count_rejected(batch["reason"].to_pylist())
        return await self._writer.put("rejected_rows", batch)

    async def store_events(self, batch: pa.RecordBatch) -> MergeCounts:
        """Keep halts, sidecars and circuit breakers (MARKET_EVENTS); they settle no minute."""
        if not batch.num_rows:
            return MergeCounts()
        return await self._writer.put("market_events", batch)

    async def store_confirmed(self, batch: pa.RecordBatch) -> MergeCounts:
        """Remember odd bars that KIS gave twice, so that `just validate` need not ask again."""
        if not batch.num_rows:
            return MergeCounts()
        return await self._writer.put("confirmed_bars", batch)


def _prepared(
    watching: Sequence[LiveWindow], bars: pl.DataFrame
) -> list[tuple[LiveWindow, pl.DataFrame | None]]:
    """Return the rows that each strategy gives for new bars; None where it fails."""
    found: list[tuple[LiveWindow, pl.DataFrame | None]] = []
    for window in watching:
        try:
            found.append((window, window.prepare(bars)))
        except Exception:  # noqa: BLE001 - bars are stored all the same; `push` raises it again
            found.append((window, None))
    return found


def _symbol(batch: pa.RecordBatch) -> str:
    """Return the symbol of a batch of one symbol's bars."""
    return str(batch["symbol"][0])
