"""Validation: is the history whole, and does it contradict itself?

The checks of `sql/checks` look at the history part by part, so that memory stays bounded however
long it is. What is missing is written into the ledger on the way. Exit codes: 0 whole, 1 findings.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from engine.clock import Clock
from engine.history.checks import FINDINGS, ORDER, Check, all_checks, run_checks
from engine.history.queries import read_date_range, read_spans
from engine.store import Store
from pipelines.history.check_inputs import parts, relations
from pipelines.history.scope import scope
from pipelines.history.session_status import mark_validated

log = logging.getLogger(__name__)

Progress = Callable[[int, int, date], None]  # sessions done, sessions in all, the last one done
_SESSION = ["symbol", "session"]


@dataclass(frozen=True)
class Validation:
    """What the checks found. `targets` (symbol, session) is what was looked at."""

    targets: pl.DataFrame
    findings: pl.DataFrame  # FINDINGS
    checks: list[Check]

    @property
    def exit_code(self) -> int:
        """Return 0 if nothing was found, else 1."""
        return 1 if self.findings.height else 0

    def legible(self) -> pl.DataFrame:
        """Return the findings as a person reads them: when, what, how many, why."""
        first, last = pl.col("first_stamp"), pl.col("last_stamp")
        until = pl.when(first != last).then(pl.format("-{}", last.dt.strftime("%H:%M")))
        return self.findings.select(
            pl.when(pl.col("severity") == "error")
            .then(pl.lit("❌"))
            .otherwise(pl.lit("⚠️"))
            .alias(""),
            "check",
            "symbol",
            "session",
            pl.format("{}{}", first.dt.strftime("%H:%M"), until.fill_null("")).alias("minutes"),
            "bars",
            "detail",
        )

    def explained(self) -> dict[str, str]:
        """Return what each check that found something looks for, in a sentence."""
        found = set(self.findings["check"])
        return {check.name: check.says for check in self.checks if check.name in found}

    def as_json(self) -> dict[str, Any]:
        """Return what was found for machines: the same history gives the same text."""
        counts = dict(self.findings["check"].value_counts().iter_rows())
        days = self.targets["session"]
        return {
            "whole": self.findings.is_empty(),
            "from": str(days.min()) if len(days) else None,
            "to": str(days.max()) if len(days) else None,
            "symbols": self.targets["symbol"].unique().sort().to_list(),
            "sessions": self.targets.height,
            "checks": [
                {
                    "check": check.name,
                    "severity": check.severity,
                    "says": check.says,
                    "findings": counts.get(check.name, 0),
                }
                for check in self.checks
            ],
            "findings": [_plain(row) for row in self.findings.drop("fix").iter_rows(named=True)],
        }


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {k: v.isoformat() if isinstance(v, date) else v for k, v in row.items()}


def quiet(_done: int, _of: int, _day: date) -> None:
    """Tell nobody."""


async def validate(
    store: Store,
    clock: Clock,
    symbols: list[str],
    start: date | None = None,
    end: date | None = None,
    *,
    copies: pl.DataFrame | None = None,
    progress: Progress = quiet,
    keep: bool = True,
) -> Validation:
    """Check the closed sessions of symbols from start to end.

    Symbols are codes, products or option chains as `backfill` takes them; none means all that are
    stored. What no date bounds is bounded by what is known: from the first to the last session of
    the symbol that has bars or stands in the ledger. Bars are read from the Parquet export where
    `copies` (engine.store.export) says that it is current: as all merges left the database; what
    a hand changed in it since is seen in Postgres alone. What is found is kept in the ledger and in
    `kept_sessions`, unless `keep` is false: then nothing is written, and a reader may do it. Raises
    InputError where there is nothing to check, StoreError.
    """
    chosen = all_checks()
    known = await read_spans(store)
    wanted = scope(known, symbols, start, end, sealed_by=clock.now())
    stored = await read_date_range(store) or (None, None)
    found, done = [FINDINGS.to_frame()], 0
    for part in parts(wanted, start or stored[0], end or stored[1]):
        evidence = await relations(store, part, clock, copies, keep=keep)
        found.append(await clock.thread(run_checks, chosen, evidence))
        done += part.targets.height
        progress(done, wanted.height, part.last)
    findings = pl.concat(found).sort(ORDER)
    bad = findings.select(_SESSION).unique()
    good = wanted.join(bad, on=_SESSION, how="anti")
    if keep:
        await mark_validated(store, good, bad, clock.now())
    return Validation(wanted, findings, chosen)
