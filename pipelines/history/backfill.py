"""Backfill: every minute that KIS can still serve is fetched, every other one gets its reason.

What to fetch follows from the expected stamps and the ledger, so a backfill may be interrupted or
killed at any moment and started again: bars are committed call by call, and a session's ledger
right after its last call. Beside a live collector it keeps to the same pace and lets it go first.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date

import polars as pl

from engine import columns
from engine.concurrency import run_until_first_error
from engine.errors import StoreUnreachable
from engine.history import evidence
from engine.store import MergeCounts, Store
from engine.store.metadata import store_front_months
from pipelines.history.adjustments import settle_adjustments
from pipelines.history.plan import CALLS, plan_calls
from pipelines.history.proving import prove
from pipelines.history.request import (
    BackfillContext,
    RequestResult,
    Window,
    covers,
    request_window,
)
from pipelines.history.session_status import COUNTS, read_status, unsettled_sessions
from pipelines.history.survey import store_marks, survey, target_parts
from pipelines.history.universes import named_sessions

log = logging.getLogger(__name__)

ROUNDS = 3  # the second asks again what one answer did not settle, the third allows for a fault
REFUSALS = 5  # after so many in a row a symbol is not asked for again in this run
CONCURRENT_SESSIONS = 8  # enough to use every call that the pace allows while one answer is slow

OnFetched = Callable[[int, int], None]  # calls done, calls planned so far


@dataclass
class Report:
    """The outcome of a backfill: calls without the client's retries, stamps as at its end."""

    planned: int = 0
    calls: int = 0
    rows: MergeCounts = field(default_factory=MergeCounts)
    owed: int = 0  # stamps that are expected
    stored: int = 0
    no_trade: int = 0
    refused: int = 0
    unavailable: int = 0
    open: int = 0
    spooled: int = 0  # batches that wait in the spool
    results: list[RequestResult] | None = None  # kept only where the caller compares them
    refusals: Counter[str] = field(default_factory=Counter)  # of requests, by symbol, in a row

    @property
    def exit_code(self) -> int:
        """Return 0 if every expected minute is stored or has its reason, else 1."""
        return 1 if self.open or self.spooled else 0

    def as_json(self) -> dict[str, int]:
        """Return the counts for machines."""
        return {
            "planned": self.planned,
            "calls": self.calls,
            "owed": self.owed,
            "stored": self.stored,
            "no_trade": self.no_trade,
            "refused": self.refused,
            "unavailable": self.unavailable,
            "open": self.open,
            "inserted": self.rows.inserted,
            "corrected": self.rows.changed,
            "spooled": self.spooled,
        }

    def __add__(self, later: Report) -> Report:
        """Return both as one, `later` having worked on the same targets: its stamps count."""
        return replace(
            later,
            planned=self.planned + later.planned,
            calls=self.calls + later.calls,
            rows=self.rows + later.rows,
            results=[*(self.results or []), *(later.results or [])],
        )


async def backfill(
    context: BackfillContext,
    symbols: list[str],
    start: date,
    end: date,
    *,
    warm_up: int = 0,
    again: bool = False,
    on_fetched: OnFetched | None = None,
) -> Report:
    """Fill what the symbols' sessions from start to end lack, newest first.

    Symbols are codes, products (each contract for its time as front month, and `warm_up` sessions
    before), universes (the stocks of each day) or option chains (whose gaps can only be explained).
    With `again` KIS is asked once more about what was settled. `on_fetched` is called after each
    session.

    Raises InputError, KisKeyRefused, StoreError.
    """
    wanted = await named_sessions(context.store, symbols, start, end, warm_up=warm_up)
    if again:
        for part in target_parts(wanted):
            found = await survey(context.store, part, context.clock, give_up=True, reopen=True)
            await store_marks(context.store, found, found.marks, context.clock)
    report = await fill(context, wanted, on_fetched=on_fetched)
    await settle_adjustments(context)
    return report


async def plan_backfill(
    store: Store,
    symbols: list[str],
    start: date,
    end: date,
    *,
    warm_up: int = 0,
    again: bool = False,
) -> pl.DataFrame:
    """Return the CALLS that `backfill` would begin with; nothing is fetched or written."""
    wanted = await named_sessions(store, symbols, start, end, warm_up=warm_up)
    unsettled = wanted if again else await unsettled_sessions(store, wanted, store.clock)
    calls = [pl.DataFrame(schema=CALLS)]
    for part in target_parts(unsettled):
        found = await survey(store, part, store.clock, give_up=True, reopen=again)
        calls.append(plan_calls(found.missing, found.expected, found.stored, found.absent))
    return pl.concat(calls)


async def fill(
    context: BackfillContext,
    wanted: pl.DataFrame,
    *,
    again: pl.DataFrame | None = None,
    repeats: bool = False,
    anchor: bool = False,
    on_fetched: OnFetched | None = None,
) -> Report:
    """Fill what targets (symbol, session) lack; fetch the stamps of `again` even if stored.

    With `again` the report has the `results` of all requests, with their bars. `repeats`: this run
    has filled the same targets before, and leaves out what another run alone can settle. `anchor`:
    the answers have to show what lies around each stamp, from the first call on.
    """
    report = Report(results=None if again is None else [])
    await store_front_months(context.store, context.clock)
    unsettled = wanted
    if again is None:
        unsettled = await unsettled_sessions(context.store, wanted, context.clock)
    for number in range(ROUNDS):
        calls = await _plan_round(
            context,
            unsettled,
            again if number == 0 else None,
            anchor=anchor or number > 0,
            counted=not repeats and number < ROUNDS - 1,
        )
        if calls.is_empty():
            break
        report.planned += calls.height
        await _make_calls(context, calls, report, on_fetched)
    await _bring_in_spooled(context, wanted)
    await _count_stamps(context, wanted, report)
    return report


async def _plan_round(
    context: BackfillContext,
    wanted: pl.DataFrame,
    again: pl.DataFrame | None,
    *,
    anchor: bool,
    counted: bool,
) -> pl.DataFrame:
    """Survey the targets, store what is missing in the ledger, and return calls that cover it.

    With `anchor` a call begins at the next stored bar, so that its answer shows bars on both sides.
    Without `counted`, minutes are left out about which an answer of this run has counted already.
    """
    calls = [pl.DataFrame(schema=CALLS)]
    for part in target_parts(wanted):
        found = await survey(context.store, part, context.clock, give_up=True)
        await store_marks(context.store, found, found.marks, context.clock)
        missing = found.missing
        if not counted:
            known = evidence.asked_in_run(found.marks, context.began)
            missing = missing.join(known, on=columns.STAMP, how="anti")
        if again is not None:
            repeated = again.select(columns.STAMP).join(
                found.expected, on=columns.STAMP, how="semi"
            )
            missing = pl.concat([missing, repeated]).unique()
        calls.append(plan_calls(missing, found.expected, found.stored, found.absent, anchor=anchor))
    return pl.concat(calls)


async def _make_calls(
    context: BackfillContext, calls: pl.DataFrame, report: Report, on_fetched: OnFetched | None
) -> None:
    """Make the calls: those of a session one after the other, several sessions at once."""
    sessions = calls.select("symbol", "session", "until", "since").partition_by(
        columns.SESSION, maintain_order=True
    )
    work = [[Window(*row) for row in part.iter_rows()] for part in sessions]
    waiting = iter(work)

    async def take_sessions() -> None:
        for windows in waiting:
            await _fetch_session(context, windows, report)
            if on_fetched:
                on_fetched(report.calls, report.planned)

    workers = min(CONCURRENT_SESSIONS, len(work))
    await run_until_first_error(*(take_sessions() for _ in range(workers)))


async def _fetch_session(context: BackfillContext, windows: list[Window], report: Report) -> None:
    """Ask for the windows of one session, then store what the answers prove."""
    results: list[RequestResult] = []
    for window in windows:
        if report.refusals[window.symbol] >= REFUSALS:
            report.planned -= 1
            continue
        if any(covers(result, window) for result in results):
            report.planned -= 1  # a thin stock has few bars: one answer may cover several windows
            continue
        result = await request_window(context, window)
        results.append(result)
        report.calls += 1
        report.rows += result.counts
        _count_refusal(result, report)
    if not results:
        return
    if report.results is not None:
        report.results += results
    target = pl.DataFrame({"symbol": [windows[0].symbol], "session": [windows[0].session]})
    waiting = await context.writer.waiting_bars()  # before the survey: bars move from here to there
    found = await survey(context.store, target, context.clock)
    marks = await prove(context, results, found, waiting)
    await store_marks(context.store, found, marks, context.clock)


def _count_refusal(result: RequestResult, report: Report) -> None:
    """Count refusals of a symbol in a row; log when it is not asked for any more."""
    symbol = result.window.symbol
    report.refusals[symbol] = report.refusals[symbol] + 1 if result.refused else 0
    if report.refusals[symbol] == REFUSALS:
        log.warning(
            "⚠️ %s: KIS refused %d times in a row; not asked again in this run", symbol, REFUSALS
        )


async def _bring_in_spooled(context: BackfillContext, wanted: pl.DataFrame) -> None:
    """Try once more to merge what was spooled: what is merged is no longer missing."""
    if not context.writer.spooled[0]:
        return
    try:
        await context.writer.drain()
    except (StoreUnreachable, OSError) as error:
        log.warning(
            "⚠️ %d batches wait in the spool, their minutes stay open: %s",
            context.writer.spooled[0],
            error,
        )
    for part in target_parts(wanted):
        found = await survey(context.store, part, context.clock)
        await store_marks(context.store, found, found.marks, context.clock)


async def _count_stamps(context: BackfillContext, wanted: pl.DataFrame, report: Report) -> None:
    """Count, in the report, which stamps of the targets are stored, settled or still open."""
    report.spooled, _ = context.writer.spooled
    status = await read_status(context.store, wanted)
    for name in COUNTS:
        setattr(report, name, status[name].sum())
    for part in target_parts(wanted.join(status, on=columns.SESSION, how="anti")):
        found = await survey(context.store, part, context.clock)  # sessions that are not closed yet
        report.owed += found.expected.height
        report.stored += found.stored.height
        report.open += found.marks.filter(pl.col("state") == "open").height
        report.refused += found.marks.filter(pl.col("state") == "refused").height
