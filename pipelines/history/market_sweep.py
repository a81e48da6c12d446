"""The sweep: after the close, the exact bars of the day of many stocks, by the fewest calls.

A backfill of one day, made for a whole market. Each stock is paged from its close backwards until
its bars have the volume that KIS gives for the day: a thin stock takes fewer calls than a busy one,
and one without a trade a single call, which has to agree. The most traded stocks come first. Before
its first call every minute that is missing is open in the ledger, and each batch of stocks is
settled as soon as its bars are stored: a sweep may be ended at any moment and begun again, and goes
on where it was.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta

import polars as pl
import pyarrow as pa

from engine.columns import SESSION
from engine.concurrency import run_until_first_error
from engine.fetchers.market_snapshot import calls_of_snapshot
from engine.history import evidence
from engine.history.queries import between_dates
from engine.market.symbols import parse
from engine.schemas import STOCK_BARS
from engine.store import MergeCounts
from engine.store.identifiers import literals
from pipelines.history.backfill import Report, fill
from pipelines.history.closing_volumes import closing_volumes, stocks_text
from pipelines.history.proving import prove
from pipelines.history.request import BackfillContext, RequestResult, Window, request_window
from pipelines.history.session_status import read_status, unsettled_sessions
from pipelines.history.survey import Survey, store_marks, survey, target_parts

log = logging.getLogger(__name__)

BATCH = 30  # stocks whose bars are stored together: some 11,000 rows
BATCHES_AT_ONCE = 2  # while one is stored the other is asked for
STOCKS_AT_ONCE = 8  # of a batch: enough to use the pace while one answer is slow
CALLS_A_STOCK = 4  # of one that trades each minute: 381 bars, 120 an answer
TELL_EVERY = timedelta(minutes=5)


@dataclass
class Sweep:
    """The results of a sweep so far."""

    day: date
    stocks: int = 0  # that were not settled when it began
    swept: int = 0
    calls: int = 0
    rows: MergeCounts = field(default_factory=MergeCounts)
    open: int = 0  # minutes, at its end
    left: int = 0  # stocks, where the time was up
    contradicted: int = 0  # stocks whose volume by KIS cannot be right
    less: int = 0  # stocks whose bars have less than their volume by KIS


def calls_of_sweep(stocks: int) -> int:
    """Return the calls of a sweep of so many stocks at most: their bars, and the day's volumes."""
    return CALLS_A_STOCK * stocks + calls_of_snapshot(stocks)


async def sweep(
    context: BackfillContext, targets: pl.DataFrame, day: date, *, until: datetime | None = None
) -> Sweep:
    """Bring in the day's bars of the targets (SESSIONS of one day), whose session is over.

    `until` is when to end; the next start does the rest. Raises KisKeyRefused, StoreError.
    """
    before = context.client.calls
    wanted = await unsettled_sessions(context.store, targets, context.clock)
    done = Sweep(day, wanted.height)
    if wanted.is_empty():
        return done
    blank = await _write_down(context, wanted)
    told = await closing_volumes(context, wanted["symbol"].to_list(), day)
    order = wanted.join(told, on="symbol", how="left", maintain_order="left").sort(
        "turnover", descending=True, nulls_last=True, maintain_order=True
    )
    _announce(context, order.filter(pl.col("symbol").is_in(blank)), done, until)
    batches = iter([order.slice(n, BATCH) for n in range(0, order.height, BATCH)])
    watch = _Progress(context, done)
    workers = (
        _take_batches(context, batches, blank, done, watch, until) for _ in range(BATCHES_AT_ONCE)
    )
    await run_until_first_error(*workers)
    done.left = done.stocks - done.swept
    if not done.left:
        rest = await _finish(context, wanted, told)
        done.rows += rest.rows
        done.open = rest.open
        await _compare_volumes(context, told, done)
    done.calls = context.client.calls - before
    _tell_end(done)
    return done


async def _write_down(context: BackfillContext, wanted: pl.DataFrame) -> set[str]:
    """Write what is missing into the ledger; return the stocks of which nothing is stored."""
    blank: set[str] = set()
    for part in target_parts(wanted):
        found = await survey(context.store, part, context.clock, give_up=True)
        await store_marks(context.store, found, found.marks, context.clock)
        blank |= set(part["symbol"]) - set(found.stored["symbol"])
    return blank


async def _take_batches(
    context: BackfillContext,
    batches: Iterator[pl.DataFrame],
    blank: set[str],
    done: Sweep,
    watch: _Progress,
    until: datetime | None,
) -> None:
    for batch in batches:
        if until and context.clock.now() >= until:
            return
        await _sweep_batch(context, batch, blank, done)
        done.swept += batch.height
        watch.tell()


async def _sweep_batch(
    context: BackfillContext, batch: pl.DataFrame, blank: set[str], done: Sweep
) -> None:
    """Ask for the stocks of a batch (symbol, session, volume), store their bars, settle them.

    What has come is stored even if it ends early: the calls are not made again.
    """
    gathered: list[pa.RecordBatch] = []
    results: list[RequestResult] = []

    async def gather(_table: str, bars: pa.RecordBatch) -> MergeCounts:
        gathered.append(bars)
        return MergeCounts()

    asking = replace(context, store_bars=gather)
    to_ask = batch.filter(pl.col("symbol").is_in(blank))
    stocks = to_ask.select("symbol", "session", "volume").iter_rows()

    async def take_stocks() -> None:
        for symbol, day, volume in stocks:
            results.append(await request_window(asking, _whole_day(symbol, day, volume)))

    try:
        await run_until_first_error(*(take_stocks() for _ in range(STOCKS_AT_ONCE)))
    finally:
        if gathered:
            bars = pa.Table.from_batches(gathered, STOCK_BARS).combine_chunks().to_batches()[0]
            done.rows += await context.writer.put("stocks_1m", bars)
    await _settle(context, batch, results)


def _whole_day(symbol: str, day: date, volume: int | None) -> Window:
    session = parse(symbol).session(day)
    assert session is not None  # noqa: S101 - of a target
    return Window(symbol, day, session.last_stamp, session.first_stamp, True, volume)


async def _settle(
    context: BackfillContext, batch: pl.DataFrame, results: Sequence[RequestResult]
) -> None:
    """Write down what is proven of the batch's missing minutes: by the volumes, else by answers."""
    waiting = await context.writer.waiting_bars()  # before the survey: bars move from here to there
    found = await survey(context.store, batch.select(SESSION), context.clock)
    complete = await _complete(context, batch, found)
    marks = [evidence.apply_day_volumes(found.marks, complete)]
    if results:
        results_of = {result.window.symbol: result for result in results}
        lacking = set(found.missing["symbol"]) & (results_of.keys() - set(complete))
        marks = [marks[0].filter(~pl.col("symbol").is_in(list(lacking)))]
        for symbol in sorted(lacking):
            marks.append(
                await prove(context, [results_of[symbol]], _of_symbol(found, symbol), waiting)
            )
    await store_marks(context.store, found, pl.concat(marks), context.clock)


def _of_symbol(found: Survey, symbol: str) -> Survey:
    only = pl.col("symbol") == symbol
    frames = (found.expected, found.stored, found.marks, found.rows)
    return Survey(*(frame.filter(only) for frame in frames))


async def _complete(context: BackfillContext, batch: pl.DataFrame, found: Survey) -> list[str]:
    """Return the stocks with something missing whose stored bars have the day's whole volume."""
    lacking = batch.filter(
        pl.col("symbol").is_in(found.missing["symbol"].unique().to_list()), pl.col("volume") > 0
    )
    if lacking.is_empty():
        return []
    sums = await _stored_volumes(context, lacking["symbol"].to_list(), lacking["session"][0])
    known = lacking.join(sums, on="symbol").filter(pl.col("stored") == pl.col("volume"))
    return list(known["symbol"])


async def _stored_volumes(
    context: BackfillContext, symbols: Sequence[str], day: date
) -> pl.DataFrame:
    """Return symbol, stored: the shares in the day's bars, of those that have bars."""
    sums = await context.store.query(
        "SELECT symbol, sum(volume)::bigint AS stored FROM stocks_1m"  # noqa: S608
        f" WHERE {between_dates(day, day)} AND symbol IN ({literals(symbols)}) GROUP BY symbol"
    )
    return pl.DataFrame(sums).cast({"symbol": pl.String(), "stored": pl.Int64()})


async def _finish(context: BackfillContext, wanted: pl.DataFrame, told: pl.DataFrame) -> Report:
    """Ask once more about what one answer did not bring, and settle what that completes."""
    left = await unsettled_sessions(context.store, wanted, context.clock)
    report = await fill(context, left, repeats=True, anchor=True)
    if report.open and not told.is_empty():
        known = left.join(told, on="symbol", how="left", maintain_order="left")
        for part in target_parts(known):
            await _settle(context, part, [])
        report.open = int((await read_status(context.store, left))["open"].sum())
    return report


async def _compare_volumes(context: BackfillContext, told: pl.DataFrame, done: Sweep) -> None:
    """Say for how many stocks KIS's volume of the day and the bars do not agree.

    A larger volume may come from trades outside the session; a smaller one is a contradiction.
    """
    if told.is_empty():  # of a past day KIS does not say it
        return
    stored = await _stored_volumes(context, told["symbol"].to_list(), done.day)
    both = told.join(stored, on="symbol", how="left").sort("symbol")
    bars = pl.col("stored").fill_null(0)
    wrong = both.filter(pl.col("volume").is_null() | (bars > pl.col("volume")))["symbol"].to_list()
    less = both.filter(bars < pl.col("volume"))["symbol"].to_list()
    done.contradicted, done.less = len(wrong), len(less)
    if wrong:
        log.warning(
            "⚠️ KIS's volume of %s is too low for its bars or its prices, of %d stocks: %s;"
            " it proves nothing about them",
            done.day,
            len(wrong),
            stocks_text(wrong),
        )
    if less:
        log.info(
            "🔄 %d stocks have a larger volume of %s by KIS than their bars (trades outside of the"
            " session, or bars that KIS lacks): %s",
            len(less),
            done.day,
            stocks_text(less),
        )


class _Progress:
    """Says now and then how far a sweep is."""

    def __init__(self, context: BackfillContext, done: Sweep) -> None:
        self._clock = context.clock
        self._done = done
        self._began = self._told = context.clock.now()

    def tell(self) -> None:
        """Say it if that is due."""
        now, done = self._clock.now(), self._done
        if now - self._told < TELL_EVERY or done.swept >= done.stocks:
            return
        self._told = now
        ends = self._began + (now - self._began) * done.stocks / done.swept
        log.info(
            "🔄 %d of %d stocks of %s are swept; done at about %s",
            done.swept,
            done.stocks,
            done.day,
            f"{ends:%H:%M}",
        )


def _announce(
    context: BackfillContext, blank: pl.DataFrame, done: Sweep, until: datetime | None
) -> None:
    """Say what the sweep costs at most, and when it ends."""
    traded = blank.filter(~pl.col("untraded").fill_null(value=False)).height
    calls = CALLS_A_STOCK * traded + blank.height - traded
    ends = context.clock.now() + timedelta(seconds=calls / context.client.per_second)
    log.info(
        "🔄 sweeping %d stocks of %s: at most %d calls, done at about %s",
        done.stocks,
        done.day,
        calls,
        f"{ends:%H:%M}",
    )
    if until and ends > until:
        log.warning(
            "⚠️ the sweep of %s takes longer than until %s; the rest comes after that",
            done.day,
            f"{until:%H:%M}",
        )


def _tell_end(done: Sweep) -> None:
    if done.left:
        log.warning(
            "⚠️ the time is up with %d of %d stocks of %s left to sweep; the next start goes on",
            done.left,
            done.stocks,
            done.day,
        )
        return
    log.info(
        "✅ %s is swept: %d stocks, %d bars new, %d calls, %d minutes open",
        done.day,
        done.stocks,
        done.rows.inserted,
        done.calls,
        done.open,
    )
