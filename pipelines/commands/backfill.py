"""`just backfill`: what the history lacks."""

from __future__ import annotations

from engine.store import Store
from pipelines.commands.options import (
    BarTimesOption,
    DatabaseOption,
    Days,
    End,
    RecordedFile,
    Start,
    Symbols,
    require_file,
)
from pipelines.history import backfill as filling
from pipelines.history.job import HistoryJob
from pipelines.history.request import BackfillContext
from pipelines.reports.history_tables import print_plan, print_report
from pipelines.reports.terminal import progress_bar


def backfill(
    *,
    days: Days = None,
    start: Start = None,
    end: End = None,
    symbol: Symbols = (),
    dry_run: bool = False,
    again: bool = False,
    json: bool = False,
    recorded: RecordedFile = None,
    bar_times: BarTimesOption = None,
    database: DatabaseOption = None,
) -> int:
    """Fetch what the history lacks, by the fewest calls, newest first; may be stopped at any time.

    Ends with 1 if minutes stay open, because KIS did not answer or its answer proves nothing yet,
    or if batches wait in the spool. A minute that one answer does not prove is settled by a second
    run, two hours later or more.

    Parameters
    ----------
    days
        look back so many days from the last date; 5 by default
    start
        the first date
    end
        the last date; today by default
    symbol
        a code, a product (each contract while it is in front), a chain, or a universe (KOSPI200,
        ETF, all …); may be repeated
    dry_run
        print the plan and what it costs in calls and minutes, and fetch nothing
    again
        ask KIS again about minutes that were settled: without a trade, refused, unavailable
    json
        print the outcome as one JSON object
    """
    require_file("--recorded", recorded, bar_times)
    job = HistoryJob(recorded, database, symbol, collects=not dry_run, bar_times=bar_times)
    first, last = job.span(start, end, days)

    async def plan(store: Store) -> int:
        calls = await filling.plan_backfill(
            store, job.symbols, first, last, warm_up=job.warm_up, again=again
        )
        print_plan(calls, job.calls_per_second, as_json=json)
        return 0

    async def fetch(context: BackfillContext) -> int:
        with progress_bar("calls") as on_call:
            report = await filling.backfill(
                context,
                job.symbols,
                first,
                last,
                warm_up=job.warm_up,
                again=again,
                on_fetched=on_call,
            )
        print_report(report, as_json=json)
        return report.exit_code

    return job.read(plan) if dry_run else job.collect(fetch)
