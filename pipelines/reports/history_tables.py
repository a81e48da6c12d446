"""The outcome of `just backfill` and `just validate` on the terminal."""

from __future__ import annotations

import json
import sys

import polars as pl
from rich.table import Table
from rich.text import Text

from engine.text import counted
from pipelines.console import PlainConsole
from pipelines.history.backfill import Report
from pipelines.history.importing import ImportReport
from pipelines.history.validate import Validation
from pipelines.reports.terminal import frame_table, print_json

_SHOWN = 200  # findings in the table


def print_plan(calls: pl.DataFrame, per_second: float, *, as_json: bool) -> None:
    """Print what a backfill would ask for, and what that costs in calls and minutes."""
    cost = {
        "calls": calls.height,
        "minutes": round(calls.height / per_second / 60, 2),
        "missing": int(calls["missing"].sum()),
    }
    if as_json:
        sys.stdout.write(json.dumps(cost) + "\n")
        return
    table = Table(title="the plan, newest first", title_justify="left")
    for name in ("symbol", "session", "calls", "missing minutes"):
        table.add_column(name, justify="right" if name in {"calls", "missing minutes"} else "left")
    per_session = calls.group_by("symbol", "session", maintain_order=True).agg(
        calls=pl.len(), missing=pl.sum("missing")
    )
    for row in per_session.iter_rows():
        table.add_row(*map(str, row))
    console = PlainConsole()
    console.print(table)
    console.print(
        f"{cost['calls']:,} calls, about {_span(calls.height / per_second)}"
        f" at {per_second:g} a second"
    )


def _span(seconds: float) -> str:
    """Return a span of time as people say it."""
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    return f"{seconds / 60:.0f} min" if seconds < 5_400 else f"{seconds / 3600:.1f} h"


def print_report(report: Report, *, as_json: bool) -> None:
    """Print what a backfill came to."""
    figures = report.as_json()
    if as_json:
        sys.stdout.write(json.dumps(figures) + "\n")
        return
    table = Table(title="backfill", title_justify="left", show_header=False)
    for name, value in figures.items():
        table.add_row(name.replace("_", " "), f"{value:,}")
    PlainConsole().print(table)


def print_findings(found: Validation, *, as_json: bool) -> None:
    """Print what a validation found, with what each finding means."""
    if as_json:
        print_json(json.dumps(found.as_json(), ensure_ascii=False, indent=2))
        return
    console = PlainConsole()
    if not found.streams.is_empty():
        console.print(frame_table(found.streams.tail(_SHOWN), "told once, minutes"))
    if found.findings.is_empty():
        console.print(f"✅ whole: {counted(found.targets.height, 'session')}, nothing found")
        return
    console.print(frame_table(found.readable().head(_SHOWN), "findings"))
    for name, meaning in sorted(found.explanations().items()):
        console.print(Text.assemble((name, "bold"), f": {meaning}"))
    if found.findings.height > _SHOWN:
        console.print(f"{_SHOWN} of {found.findings.height:,} are shown; --format json has all")
    console.print(
        f"⚠️ {counted(found.findings.height, 'finding')}; `just validate --fix` mends what it can"
    )


def print_import(report: ImportReport, *, as_json: bool) -> None:
    """Print what became of the rows of a file, and why rows were refused."""
    if as_json:
        reasons = dict(report.reasons.iter_rows())
        print_json(json.dumps({**report.figures(), "reasons": reasons}, ensure_ascii=False))
        return
    table = Table(title="import", title_justify="left", show_header=False)
    for name, value in report.figures().items():
        table.add_row(name.replace("_", " "), f"{value:,}")
    console = PlainConsole()
    console.print(table)
    if report.refused:
        console.print(frame_table(report.reasons, "refused: see rejected_rows"))
    if report.kept:
        console.print(f"⚠️ stored with other values, which stay: {counted(report.kept, 'bar')}")
