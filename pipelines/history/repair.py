"""`--fix`: validate, mend what was found, validate again.

What KIS can say again is asked again. Rows at times that no session owes go, and so do bars that
KIS, asked again, shows not to have; all of them are kept in `removed_bars`. A bar that looks wrong
and that KIS gives again just so is right, and is not found any more. Matrices and signals are
computed again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import polars as pl

from engine import schemas
from engine.columns import BARS
from engine.history.queries import read_bars, symbols_by_table
from engine.market.expected import expected_stamps, is_chain
from engine.store import table_repair
from engine.store.tables import TABLES, Table, table_of
from pipelines.history import validate as validation
from pipelines.history.backfill import Progress, Report, fill, quiet
from pipelines.history.derived import compute_matrices, compute_signals
from pipelines.history.request import Asked, BackfillContext, shown
from pipelines.history.session_status import span_of
from pipelines.history.signal_inputs import has_table
from pipelines.history.validate import Validation
from strategies.registry import STRATEGIES

log = logging.getLogger(__name__)

_SESSION = ["symbol", "session"]
_STAMP = ["symbol", "session", "stamp"]


@dataclass(frozen=True)
class Fixed:
    """What was found, what asking KIS again came to (None: nothing was found), and what is left."""

    before: Validation
    report: Report | None
    after: Validation

    @property
    def exit_code(self) -> int:
        """Return 0 if nothing is left, else 1."""
        return self.after.exit_code


async def validate_and_fix(
    context: BackfillContext,
    symbols: list[str],
    start: date | None = None,
    end: date | None = None,
    *,
    looking: validation.Progress = validation.quiet,
    asking: Progress = quiet,
) -> Fixed:
    """Validate, repair, validate. Arguments and errors are those of `validate` and `repair`."""

    async def look() -> Validation:
        return await validation.validate(
            context.store, context.clock, symbols, start, end, progress=looking
        )

    before = await look()
    if before.findings.is_empty():
        return Fixed(before, None, before)
    report = await repair(context, before, asking)
    return Fixed(before, report, await look())


async def repair(context: BackfillContext, found: Validation, progress: Progress) -> Report:
    """Mend what a validation found; return what asking KIS again came to.

    Raises KisKeyRefused, and StoreError where the tables are somebody else's.
    """
    findings = found.findings
    await _remove_copies(context, findings)
    for (check,), runs in findings.filter(pl.col("fix") == "remove").group_by("check"):
        await _remove(context, runs, str(check))
    again = findings.filter(pl.col("fix") == "recompute").select(_SESSION).unique()
    of_chain = pl.Series([is_chain(symbol) for symbol in again["symbol"]], dtype=pl.Boolean)
    await compute_matrices(context.store, again.filter(of_chain))
    report = await _ask_again(context, findings, progress)
    await compute_signals(context.store, context.clock, again.filter(~of_chain))
    return report


async def _remove_copies(context: BackfillContext, findings: pl.DataFrame) -> None:
    """Leave the latest row a key, and give the tables their keys back: the merge lives on them."""
    for table, runs in _by_table(findings):
        if not await has_table(context.store, table.name):
            continue
        doubled = runs.filter(pl.col("check") == "doubled")
        if gone := await table_repair.remove_duplicates(context.store, table, doubled):
            log.info("✅ %s: %d copies removed", table.name, gone)
        if await table_repair.restore_primary_key(context.store, table):
            log.info("✅ %s has its key again", table.name)


def _by_table(runs: pl.DataFrame) -> Iterator[tuple[Table, pl.DataFrame]]:
    """Yield the tables that may hold rows of the runs, each with the runs that are its."""
    chains = [symbol for symbol in runs["symbol"].unique() if is_chain(symbol)]
    if chains:
        for name in ("option_chain_raw", "option_matrices"):
            yield TABLES[name], runs.filter(pl.col("symbol").is_in(chains))
    codes = symbols_by_table(runs["symbol"].unique().to_list())
    for name, symbols in codes.items():
        yield TABLES[name], runs.filter(pl.col("symbol").is_in(symbols))
    if codes:
        for of in STRATEGIES.values():
            yield table_of(of.table, of.schema), runs.filter(~pl.col("symbol").is_in(chains))


async def _remove(context: BackfillContext, runs: pl.DataFrame, reason: str) -> None:
    for table, symbols in symbols_by_table(runs["symbol"].unique().to_list()).items():
        of_table = runs.filter(pl.col("symbol").is_in(symbols))
        if gone := await table_repair.remove_bars(context.store, table, of_table, reason):
            log.warning("⚠️ %s: %d bars removed (%s), kept in removed_bars", table, gone, reason)


async def _ask_again(
    context: BackfillContext, findings: pl.DataFrame, progress: Progress
) -> Report:
    """Fetch what is missing or looks wrong; confirm what comes again, remove what does not."""
    wanted = findings.filter(pl.col("fix") != "remove").select(_SESSION).unique()
    doubtful = findings.filter(pl.col("fix") == "fetch", pl.col("check") != "missing")
    wrong = _stamps_of(doubtful)
    before = await _bars_at(context, _stamps_of(doubtful.filter(pl.col("check") != "doubled")))
    report = await fill(context, wanted, again=wrong, progress=progress)
    asked = report.asked or []
    absent = pl.concat([wrong.clear(), *(_shown_absent(one, wrong) for one in asked)])
    await _confirm(context, before, asked)
    if absent.height:
        runs = absent.select("symbol", first_stamp="stamp", last_stamp="stamp")
        await _remove(context, runs, "KIS has no such bar")
        await fill(context, absent.select(_SESSION).unique())
    return report


def _stamps_of(runs: pl.DataFrame) -> pl.DataFrame:
    """Return symbol, session, stamp of the owed stamps within findings of bars."""
    due = expected_stamps(runs.select(_SESSION).unique())
    within = pl.col("stamp").is_between("first_stamp", "last_stamp")
    return due.join(runs, on=_SESSION).filter(within).select(_STAMP).unique()


async def _bars_at(context: BackfillContext, stamps: pl.DataFrame) -> pl.DataFrame:
    """Return the stored bars (BARS) at stamps, as they are before KIS is asked again."""
    if stamps.is_empty():
        return BARS.to_frame()
    first, last = span_of(stamps)
    found = await read_bars(context.store, stamps["symbol"].unique().to_list(), first, last)
    return found.join(
        stamps, left_on=["symbol", "timestamp"], right_on=["symbol", "stamp"], how="semi"
    )


def _shown_absent(asked: Asked, wrong: pl.DataFrame) -> pl.DataFrame:
    """Return the stamps that KIS's answer about their window shows to have no bar."""
    window = asked.window
    return wrong.filter(
        pl.col("symbol") == window.symbol,
        pl.col("session") == window.session,
        pl.col("stamp").is_between(window.since, window.until),
        shown(asked),
        ~pl.col("stamp").is_in(asked.bars["timestamp"].implode()),
    )


async def _confirm(context: BackfillContext, before: pl.DataFrame, asked: list[Asked]) -> None:
    """Remember the bars that KIS gave again just as they were stored."""
    given = [one.bars.select(list(BARS)) for one in asked if one.bars.height]
    same = before.join(pl.concat([before.clear(), *given]), on=list(BARS), how="semi").with_columns(
        confirmed_at=pl.lit(context.clock.now())
    )
    if same.height:
        await context.store.merge("confirmed_bars", schemas.conform(same, schemas.CONFIRMED_BARS))
        log.info("✅ %d bars look odd and are as KIS has them", same.height)
