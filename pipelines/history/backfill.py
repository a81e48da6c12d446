"""Backfill: every minute that KIS can still serve is fetched, every other one gets its reason.

What to fetch comes from the sessions and the ledger, so a backfill may be interrupted or killed at
any moment and be started again: bars are committed call by call, and a session's ledger right after
its last call. It runs behind a live collector, under the same pace.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from datetime import date

import polars as pl

from engine.concurrency import run_until_first_error
from engine.market.expected import expected_sessions
from engine.store import MergeCounts, Store, ledger
from engine.store.metadata import store_front_months
from pipelines.history.plan import CALLS, plan
from pipelines.history.request import (
    Asked,
    BackfillContext,
    Window,
    answers,
    ask,
    contradicted,
    covers,
)
from pipelines.history.session_status import figures_of, unsettled
from pipelines.history.survey import STORED, Survey, in_parts, survey, write_down

log = logging.getLogger(__name__)

ROUNDS = 3  # the second asks again about what one answer could not settle, the third spares a fault
REFUSALS = 5  # in a row, after which a symbol is not asked for again in this run: it is no slip
AT_A_TIME = 8  # sessions worked on side by side, so that a slow answer leaves no turn unused

Progress = Callable[[int, int], None]  # calls done, calls planned so far


@dataclass
class Report:
    """What a backfill came to: calls without the client's retries, stamps as counted at its end."""

    planned: int = 0
    calls: int = 0
    rows: MergeCounts = field(default_factory=MergeCounts)
    owed: int = 0
    stored: int = 0
    no_trade: int = 0
    unavailable: int = 0
    open: int = 0
    asked: list[Asked] | None = None
    refusals: Counter[str] = field(default_factory=Counter)  # by symbol, in a row

    @property
    def exit_code(self) -> int:
        """Return 0 if every owed minute is stored or explained, else 1."""
        return 1 if self.open else 0

    def as_json(self) -> dict[str, int]:
        """Return the figures for machines."""
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.type == "int"}
        return plain | {"inserted": self.rows.inserted, "corrected": self.rows.changed}


def quiet(_done: int, _planned: int) -> None:
    """Tell nobody."""


async def backfill(
    context: BackfillContext,
    symbols: list[str],
    start: date,
    end: date,
    *,
    warm_up: int = 0,
    progress: Progress = quiet,
) -> Report:
    """Fill what the symbols' sessions from start to end lack, newest first.

    Symbols are codes, products (each contract for its time in front and `warm_up` sessions before)
    or option chains (whose gaps can only be explained).

    Raises InputError, KisKeyRefused, StoreError.
    """
    return await fill(
        context, expected_sessions(symbols, start, end, warm_up=warm_up), progress=progress
    )


async def plan_backfill(
    store: Store, symbols: list[str], start: date, end: date, *, warm_up: int = 0
) -> pl.DataFrame:
    """Return the CALLS that `backfill` would begin with; nothing is fetched or written."""
    wanted = expected_sessions(symbols, start, end, warm_up=warm_up)
    calls = [pl.DataFrame(schema=CALLS)]
    for part in in_parts(await unsettled(store, wanted, store.clock)):
        seen = await survey(store, part, store.clock, give_up=True)
        calls.append(plan(seen.missing, seen.owed, seen.stored, seen.absent))
    return pl.concat(calls)


async def fill(
    context: BackfillContext,
    wanted: pl.DataFrame,
    *,
    again: pl.DataFrame | None = None,
    progress: Progress = quiet,
) -> Report:
    """Fill what targets (symbol, session) lack; fetch the stamps of `again` even if stored.

    The report then has what was `asked`, bars and all.
    """
    report = Report(asked=None if again is None else [])
    await store_front_months(context.store, context.clock)
    todo = wanted if again is not None else await unsettled(context.store, wanted, context.clock)
    for number in range(ROUNDS):
        calls = await _look(context, todo, again if number == 0 else None)
        if calls.is_empty():
            break
        report.planned += calls.height
        await _run(context, calls, report, progress)
    await _count(context, wanted, report)
    return report


async def _look(
    context: BackfillContext, wanted: pl.DataFrame, again: pl.DataFrame | None
) -> pl.DataFrame:
    """Survey the targets, write down what is missing, and return the calls that would cover it."""
    calls = [pl.DataFrame(schema=CALLS)]
    for part in in_parts(wanted):
        seen = await survey(context.store, part, context.clock, give_up=True)
        await write_down(context.store, seen, seen.marks, context.clock)
        missing = seen.missing
        if again is not None:
            wrong = again.select(list(STORED)).join(seen.owed, on=ledger.STAMP, how="semi")
            missing = pl.concat([missing, wrong]).unique()
        calls.append(plan(missing, seen.owed, seen.stored, seen.absent))
    return pl.concat(calls)


async def _run(
    context: BackfillContext, calls: pl.DataFrame, report: Report, progress: Progress
) -> None:
    """Make the calls, session by session."""
    columns = ["symbol", "session", "until", "since"]
    sessions = calls.partition_by("symbol", "session", maintain_order=True)
    work = [[Window(*row) for row in part.select(columns).iter_rows()] for part in sessions]
    await ask_all(context, work, report, progress)


async def ask_all(
    context: BackfillContext, work: list[list[Window]], report: Report, progress: Progress = quiet
) -> None:
    """Ask for windows, each list those of one session, several sessions side by side."""
    waiting = iter(work)

    async def take() -> None:
        for windows in waiting:
            await _one_session(context, windows, report)
            progress(report.calls, report.planned)

    await run_until_first_error(*(take() for _ in range(min(AT_A_TIME, len(work)))))


async def _one_session(context: BackfillContext, windows: list[Window], report: Report) -> None:
    """Ask for the windows of one session, then write down what the answers prove."""
    asked: list[Asked] = []
    for window in windows:
        if report.refusals[window.symbol] >= REFUSALS:
            report.planned -= 1
            continue
        if any(covers(one, window) for one in asked):
            report.planned -= 1  # of a thin stock, one answer reaches further than its minutes
            continue
        asked.append(await ask(context, window))
        report.calls += 1
        report.rows += asked[-1].counts
        _note_refusal(asked[-1], report)
    if not asked:
        return
    if report.asked is not None:
        report.asked += asked
    target = pl.DataFrame({"symbol": [windows[0].symbol], "session": [windows[0].session]})
    seen = await survey(context.store, target, context.clock)
    await write_down(context.store, seen, _judged(asked, seen, context), context.clock)


def _note_refusal(asked: Asked, report: Report) -> None:
    """Count refusals of a symbol in a row; say when it is enough."""
    symbol = asked.window.symbol
    report.refusals[symbol] = report.refusals[symbol] + 1 if asked.refused else 0
    if report.refusals[symbol] == REFUSALS:
        log.warning("⚠️ %s: KIS said no %d times in a row; not asked again now", symbol, REFUSALS)


def _judged(asked: list[Asked], seen: Survey, context: BackfillContext) -> pl.DataFrame:
    """Return the marks after the answers."""
    today, marks = context.clock.now().date(), seen.marks
    said = pl.concat([answers(one, seen.missing, seen.stored, today) for one in asked])
    once = said.group_by(ledger.STAMP).agg(pl.col("settled").any(), pl.col("gone").first())
    return ledger.apply_reasons(
        ledger.apply_answers(marks, once), pl.concat(list(_failures(asked, seen)))
    )


def _failures(asked: list[Asked], seen: Survey) -> Iterator[pl.DataFrame]:
    """Yield why stamps are still open although they were asked for."""
    yield seen.missing.clear().with_columns(why=pl.lit(""))
    for one in asked:
        why = one.failure
        if contradicted(one, seen.stored):
            why = why or "KIS's answer lacks bars that it gave before"
        if why:
            within = pl.col("stamp").is_between(one.window.since, one.window.until)
            yield seen.missing.filter(within).with_columns(why=pl.lit(why))


async def _count(context: BackfillContext, wanted: pl.DataFrame, report: Report) -> None:
    """Count how the stamps of the targets ended up."""
    known = await figures_of(context.store, wanted)
    for name in ("owed", "stored", "no_trade", "unavailable", "open"):
        setattr(report, name, known[name].sum())
    for part in in_parts(wanted.join(known, on=["symbol", "session"], how="anti")):
        seen = await survey(context.store, part, context.clock)  # sessions that are not closed yet
        report.owed += seen.owed.height
        report.stored += seen.stored.height
        report.open += seen.missing.height
