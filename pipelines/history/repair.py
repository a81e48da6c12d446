"""`just validate --fix`: validate, repair what was found, validate again.

Missing and odd bars are fetched again where KIS still serves them. Rows at stamps that no session
expects are removed, and so are odd bars that KIS, as its answers prove, does not have; all removed
rows are kept in `removed_bars`. Where one answer is not proof, the bar stays until a second one, of
another run and hours later, lacks it as well. An odd bar that KIS gives again unchanged is right:
it is confirmed, and the checks do not report it any more. Matrices and signals are computed again.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import polars as pl

from engine import schemas
from engine.columns import BARS, SESSION, STAMP
from engine.fetchers.pages import Page
from engine.history import evidence
from engine.history.queries import read_bars, symbols_by_table
from engine.market.expected import expected_stamps
from engine.market.symbols import OptionChain, parse
from engine.store import table_repair
from engine.store.identifiers import literal
from engine.store.tables import TABLES, Table, table_of
from pipelines.history.backfill import OnFetched, Report, fill
from pipelines.history.derived import recompute_chains, recompute_signals
from pipelines.history.proving import known_of
from pipelines.history.request import BackfillContext, RequestResult
from pipelines.history.session_status import session_span
from pipelines.history.signal_inputs import has_table
from pipelines.history.survey import survey
from pipelines.history.validate import OnChecked, Validation, validate
from strategies.registry import STRATEGIES

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RepairResult:
    """What was found, the report of fetching again (None: nothing was found), and what is left."""

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
    on_checked: OnChecked | None = None,
    on_fetched: OnFetched | None = None,
) -> RepairResult:
    """Validate, repair, validate. Arguments and errors are those of `validate` and `repair`."""

    async def check() -> Validation:
        return await validate(
            context.store, context.clock, symbols, start, end, on_checked=on_checked
        )

    before = await check()
    if before.findings.is_empty():
        return RepairResult(before, None, before)
    report = await repair(context, before, on_fetched)
    return RepairResult(before, report, await check())


async def repair(
    context: BackfillContext, found: Validation, on_fetched: OnFetched | None = None
) -> Report:
    """Repair what a validation found; return the report of fetching again.

    Raises KisKeyRefused, and StoreError if the tables belong to another user of the database.
    """
    findings = found.findings
    await _remove_duplicates(context, findings)
    for (check,), runs in findings.filter(pl.col("fix") == "remove").group_by("check"):
        await _remove_bars(context, runs, str(check))
    again = findings.filter(pl.col("fix") == "recompute").select(SESSION).unique()
    are_chains = pl.Series([_is_chain(symbol) for symbol in again["symbol"]], dtype=pl.Boolean)
    await recompute_chains(context.store, again.filter(are_chains))
    report = await _fetch_again(context, findings, on_fetched)
    await recompute_signals(context.store, context.clock, again.filter(~are_chains))
    return report


def _is_chain(symbol: str) -> bool:
    return isinstance(parse(symbol), OptionChain)


async def _remove_duplicates(context: BackfillContext, findings: pl.DataFrame) -> None:
    """Leave the latest row of each key, and restore the tables' keys, which the merge needs."""
    for table, runs in _by_table(findings):
        if not await has_table(context.store, table.name):
            continue
        doubled = runs.filter(pl.col("check") == "doubled")
        if gone := await table_repair.remove_duplicates(context.store, table, doubled):
            log.info("✅ %s: %d duplicate rows removed", table.name, gone)
        if await table_repair.restore_primary_key(context.store, table):
            log.info("✅ %s: primary key restored", table.name)


def _by_table(runs: pl.DataFrame) -> Iterator[tuple[Table, pl.DataFrame]]:
    """Yield the tables that may hold rows of the runs, each with its runs."""
    chains = [symbol for symbol in runs["symbol"].unique() if _is_chain(symbol)]
    if chains:
        for name in ("option_chain_raw", "option_matrices"):
            yield TABLES[name], runs.filter(pl.col("symbol").is_in(chains))
    codes = symbols_by_table(runs["symbol"].unique().to_list())
    for name, symbols in codes.items():
        yield TABLES[name], runs.filter(pl.col("symbol").is_in(symbols))
    if codes:
        bars = runs.filter(~pl.col("symbol").is_in(chains))
        for strategy in STRATEGIES.values():
            yield table_of(strategy.table, strategy.schema), bars


async def _remove_bars(context: BackfillContext, runs: pl.DataFrame, reason: str) -> None:
    """Remove the bars at the stamps of the runs from their tables, and keep them aside."""
    for table, symbols in symbols_by_table(runs["symbol"].unique().to_list()).items():
        rows = runs.filter(pl.col("symbol").is_in(symbols))
        if gone := await table_repair.remove_bars(context.store, table, rows, reason):
            log.warning("⚠️ %s: %d bars removed (%s), kept in removed_bars", table, gone, reason)


async def _fetch_again(
    context: BackfillContext, findings: pl.DataFrame, on_fetched: OnFetched | None
) -> Report:
    """Fetch what is missing or odd; confirm bars that come again, remove those KIS lacks."""
    wanted = findings.filter(pl.col("fix") != "remove").select(SESSION).unique()
    doubtful = findings.filter(pl.col("fix") == "fetch", pl.col("check") != "missing")
    odd = _expected_within(doubtful)
    single = doubtful.filter(pl.col("check") != "doubled")
    before = await _stored_bars_at(context, _expected_within(single))
    report = await fill(context, wanted, again=odd, anchor=True, on_fetched=on_fetched)
    results = report.results or []
    absent = await _find_absent(context, results, odd)
    await _confirm(context, before, results)
    if absent.height:
        runs = absent.select("symbol", first_stamp="stamp", last_stamp="stamp")
        await _remove_bars(context, runs, "KIS has no such bar")
        await fill(context, absent.select(SESSION).unique())
    return report


def _expected_within(runs: pl.DataFrame) -> pl.DataFrame:
    """Return symbol, session, stamp of the expected stamps within findings about bars."""
    expected = expected_stamps(runs.select(SESSION).unique())
    within = pl.col("stamp").is_between("first_stamp", "last_stamp")
    return expected.join(runs, on=SESSION).filter(within).select(STAMP).unique()


async def _stored_bars_at(context: BackfillContext, stamps: pl.DataFrame) -> pl.DataFrame:
    """Return the stored bars (BARS) at stamps, as they are before KIS is asked again."""
    if stamps.is_empty():
        return BARS.to_frame()
    first, last = session_span(stamps)
    found = await read_bars(context.store, stamps["symbol"].unique().to_list(), first, last)
    return found.join(
        stamps, left_on=["symbol", "timestamp"], right_on=["symbol", "stamp"], how="semi"
    )


async def _find_absent(
    context: BackfillContext, results: list[RequestResult], odd: pl.DataFrame
) -> pl.DataFrame:
    """Return those of the stored stamps, of odd bars, that KIS is proven not to have.

    What is half of a proof is remembered for the next run, until KIS gives the bar or a turnover
    that holds it. No answer makes a bar absent that another one of this run has. What is removed is
    kept, and its minute is open.
    """
    pages: dict[tuple[str, date], list[Page]] = defaultdict(list)
    for result in results:
        if not result.failure:
            pages[result.window.symbol, result.window.session] += result.pages
    answers = [
        await _answers_about(context, symbol, day, shown, odd)
        for (symbol, day), shown in pages.items()
    ]
    said = pl.concat([evidence.ANSWERS.to_frame(), *answers])
    if said.is_empty():
        return odd.clear()
    earlier = pl.DataFrame(
        await context.store.query("SELECT symbol, session, stamp, answered_at FROM doubted_bars")
    ).cast(evidence.HALVES)
    given = said.filter(pl.col("says").is_in([evidence.HELD, evidence.LEFT_OUT]))
    await _forget_halves(context, earlier.join(given, on=STAMP, how="semi"))
    absent, halves = evidence.judge_odd_bars(said, earlier, context.began)
    if halves.height:
        await context.store.merge("doubted_bars", schemas.conform(halves, schemas.DOUBTED_BARS))
        log.warning(
            "⚠️ %d odd bars are not in KIS's answers, which prove nothing yet: run it again in two"
            " hours or later",
            halves.height,
        )
    return absent.unique()


async def _forget_halves(context: BackfillContext, halves: pl.DataFrame) -> None:
    """Forget that an answer lacked bars that KIS has after all."""
    for symbol, _, stamp, _ in halves.iter_rows():
        await context.store.execute(
            f"DELETE FROM doubted_bars WHERE symbol = {literal(symbol)}"  # noqa: S608 - quoted
            f" AND stamp = {literal(stamp)}"
        )


async def _answers_about(
    context: BackfillContext, symbol: str, day: date, pages: list[Page], stamps: pl.DataFrame
) -> pl.DataFrame:
    """Return ANSWERS: what a session's pages say together about stored stamps of odd bars.

    The other stored bars must stand in the answers, as always (`engine.history.evidence`), and the
    turnover must not say that there is a bar.
    """
    session = parse(symbol).session(day)
    of_session = (pl.col("symbol") == symbol) & (pl.col("session") == day)
    doubted = stamps.filter(of_session)
    if session is None or doubted.is_empty():
        return evidence.ANSWERS.to_frame()
    waiting = await context.writer.waiting_bars()
    target = pl.DataFrame({"symbol": [symbol], "session": [day]})
    found = await survey(context.store, target, context.clock)
    others = found.stored.join(stamps, on=STAMP, how="anti")
    known = await known_of(context, symbol, session, others, waiting)
    return evidence.weigh(pages, session, doubted, known)


async def _confirm(
    context: BackfillContext, before: pl.DataFrame, results: list[RequestResult]
) -> None:
    """Store, as confirmed, the bars that KIS gave again exactly as they were stored."""
    given = [result.bars.select(list(BARS)) for result in results if result.bars.height]
    same = before.join(pl.concat([before.clear(), *given]), on=list(BARS), how="semi").with_columns(
        confirmed_at=pl.lit(context.clock.now())
    )
    if same.height:
        await context.store.merge("confirmed_bars", schemas.conform(same, schemas.CONFIRMED_BARS))
        log.info("✅ %d odd bars confirmed: KIS gives them unchanged", same.height)
