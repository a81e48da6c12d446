"""`just plan`: what the settings cost, and what does not fit."""

from __future__ import annotations

import json as jsonlib
from dataclasses import asdict

import polars as pl

from engine.clock import WallClock, today
from engine.settings import load_settings
from pipelines.console import PlainConsole
from pipelines.databases import load_kis_holidays
from pipelines.day.budget import Budget, configured_budget, span_text
from pipelines.reports.terminal import frame_table, print_json


def plan(*, json: bool = False) -> int:
    """Print what the settings cost: calls a minute, the sweep's time, rows and bytes a year.

    It is about the session that is on or comes next. Ends with 1 if something does not fit: more
    calls than the pace allows, a snapshot that takes longer than a minute, a sweep that does not
    end before the next session.

    Parameters
    ----------
    json
        print it as one JSON object
    """
    settings, clock = load_settings(), WallClock()
    load_kis_holidays(settings, doubted=today(clock))
    found = configured_budget(settings, clock)
    if json:
        print_json(jsonlib.dumps(_as_json(found)))
    else:
        _show(found)
    return 1 if found.troubles else 0


def _as_json(found: Budget) -> dict[str, object]:
    spans = {name: getattr(found, name).total_seconds() for name in ("sweep_takes", "sweep_has")}
    sums = {name: getattr(found, name) for name in ("calls", "grows", "stays")}
    return asdict(found) | spans | {"parts": found.parts.to_dicts()} | sums


def _show(found: Budget) -> None:
    console = PlainConsole()
    parts = found.parts.rename(lambda name: name.replace("_", " ").replace("megabytes", "MB"))
    numbers = parts.columns[1:]
    shown = parts.with_columns(pl.col(numbers).map_elements("{:,}".format, pl.String))
    console.print(frame_table(shown, "what the settings cost", numbers))
    console.print(
        f"{found.calls} of {found.most:.0f} calls a minute, which is a pace of"
        f" {found.calls / 60:.1f} calls a second"
    )
    stays = f", beside {found.stays:,} MB that stay" if found.stays else ""
    console.print(f"the database grows by {found.grows:,} MB a year{stays}")
    if found.sweep_calls:
        console.print(
            f"the sweep: at most {found.sweep_calls:,} calls in {span_text(found.sweep_takes)},"
            f" {span_text(found.sweep_has)} are there for it"
        )
    for trouble in found.troubles:
        console.print(f"❌ {trouble}")
