"""Keeping the history whole from the command line: `krt backfill` and `krt validate`."""

from __future__ import annotations

import json as jsonlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import polars as pl
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from engine.errors import InputError
from engine.store import Store
from engine.store.export import copies
from pipelines.commands.backtest import End, Start, Symbols
from pipelines.commands.look import Which
from pipelines.commands.options import Days
from pipelines.history import backfill as filling
from pipelines.history import repair
from pipelines.history import validate as checking
from pipelines.history.job import Desk, Replay
from pipelines.history.request import BackfillContext

SHOWN = 200  # findings in the table


def backfill(
    *,
    days: Days = None,
    start: Start = None,
    end: End = None,
    symbol: Symbols = (),
    dry_run: bool = False,
    json: bool = False,
    replay: Replay = None,
    database: Which = None,
) -> int:
    """Fetch what the history lacks, by the fewest calls, newest first; may be stopped at any time.

    Ends with 1 if minutes stay open that KIS could not be asked about.

    Parameters
    ----------
    days
        look back so many days from the last date; 5 by default
    start
        the first date
    end
        the last date; today by default
    symbol
        a code, a product (each contract while it is in front), or a chain; may be repeated
    dry_run
        print the plan and what it costs in calls and minutes, and fetch nothing
    json
        print the outcome as one JSON object
    """
    desk = Desk(replay, database, symbol, collects=not dry_run)
    first, last = desk.span(start, end, days)
    symbols = desk.symbols

    async def plan(store: Store) -> int:
        calls = await filling.plan_backfill(store, symbols, first, last, warm_up=desk.warm_up)
        _show_plan(calls, desk.per_second, as_json=json)
        return 0

    async def fetch(context: BackfillContext) -> int:
        with _bar("calls") as moved:
            report = await filling.backfill(
                context, symbols, first, last, warm_up=desk.warm_up, on_fetched=moved
            )
        _show_report(report, as_json=json)
        return report.exit_code

    return desk.look(plan) if dry_run else desk.collect(fetch)


def validate(
    *,
    start: Start = None,
    end: End = None,
    symbol: Symbols = (),
    format: Literal["table", "json"] = "table",  # noqa: A002
    fix: bool = False,
    export: Path | None = None,
    replay: Replay = None,
    database: Which = None,
) -> int:
    """Check the stored history with DuckDB: 0 whole, 1 findings, 2 could not run.

    Parameters
    ----------
    start
        the first date; by default the first that is stored
    end
        the last date; by default the last that is stored
    symbol
        a code, a product or a chain; by default all that are stored; may be repeated
    format
        table or json
    fix
        ask KIS again about what was found, mend it, and validate once more
    export
        a folder that `krt export` wrote; where it is current, bars are read from there; not with
        --fix, which reads what it mends
    """
    if fix and export:
        raise InputError("--export is for looking: --fix reads what it mends, the database")
    if export and not export.is_dir():
        raise InputError(f"--export {export} is no folder; `krt export --to {export}` writes one")
    desk = Desk(replay, database, symbol, collects=fix)

    async def look(store: Store) -> int:
        held = await copies(store, export) if export else None
        with _bar("sessions") as moved:
            found = await checking.validate(
                store,
                store.clock,
                list(symbol),
                start,
                end,
                copies=held,
                on_checked=moved,
            )
        return _shown(found, as_json=format == "json")

    async def mend(context: BackfillContext) -> int:
        with _bar("sessions") as moved:
            fixed = await repair.validate_and_fix(
                context,
                list(symbol),
                start,
                end,
                on_checked=moved,
                on_fetched=moved,
            )
        return _shown(fixed.after, as_json=format == "json")

    return desk.collect(mend) if fix else desk.look(look)


def _shown(found: checking.Validation, *, as_json: bool) -> int:
    _show_findings(found, as_json=as_json)
    return found.exit_code


@contextmanager
def _bar(unit: str) -> Iterator[Any]:
    """Show a progress bar on a terminal; yield how to move it: done, planned so far."""
    columns = [TextColumn(unit), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(unit, total=None)
        yield lambda done, of: progress.update(task, completed=done, total=of)


def _show_plan(calls: pl.DataFrame, per_second: float, *, as_json: bool) -> None:
    cost = {
        "calls": calls.height,
        "minutes": round(calls.height / per_second / 60, 2),
        "missing": int(calls["missing"].sum()),
    }
    if as_json:
        sys.stdout.write(jsonlib.dumps(cost) + "\n")
        return
    table = Table(title="the plan, newest first", title_justify="left")
    for name in ("symbol", "session", "calls", "missing minutes"):
        table.add_column(name, justify="right" if name in {"calls", "missing minutes"} else "left")
    per_session = calls.group_by("symbol", "session", maintain_order=True).agg(
        calls=pl.len(), missing=pl.sum("missing")
    )
    for row in per_session.iter_rows():
        table.add_row(*map(str, row))
    console = Console()
    console.print(table)
    console.print(f"{cost['calls']} calls, about {cost['minutes']} minutes at {per_second:g}/s")


def _show_report(report: filling.Report, *, as_json: bool) -> None:
    figures = report.as_json()
    if as_json:
        sys.stdout.write(jsonlib.dumps(figures) + "\n")
        return
    table = Table(title="backfill", title_justify="left", show_header=False)
    for name, value in figures.items():
        table.add_row(name.replace("_", " "), f"{value:,}")
    Console().print(table)


def _show_findings(found: checking.Validation, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(jsonlib.dumps(found.as_json(), ensure_ascii=False, indent=2) + "\n")
        return
    console = Console()
    if found.findings.is_empty():
        console.print(f"✅ whole: {found.targets.height:,} sessions, nothing found")
        return
    console.print(_findings_table(found))
    for name, says in sorted(found.explanations().items()):
        console.print(f"[bold]{name}[/]: {says}")
    if found.findings.height > SHOWN:
        console.print(f"{SHOWN} of {found.findings.height:,} are shown; --format json has all")
    console.print(f"⚠️ {found.findings.height:,} findings; `just validate --fix` mends what it can")


def _findings_table(found: checking.Validation) -> Table:
    """Return the first findings as a table."""
    rows = found.readable().head(SHOWN)
    table = Table(title="findings", title_justify="left")
    for name in rows.columns:
        table.add_column(name, overflow="fold")
    for row in rows.cast(pl.String).iter_rows():
        table.add_row(*row)
    return table
