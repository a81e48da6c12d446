"""Validation: is the history whole, and does it contradict itself?

The checks of `sql/checks` read the history part by part, so that memory stays bounded however long
it is. Missing stamps are written into the ledger on the way. Exit codes: 0 whole, 1 findings. An
error keeps a session from the export; a warning (something odd that KIS gave) does not.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from engine.clock import Clock
from engine.columns import SESSION
from engine.features.missing_trades import MISSING_TRADES
from engine.history.checks import FINDINGS, ORDER, Check, all_checks, run_checks
from engine.history.queries import read_date_range, read_spans
from engine.market.expected import expected_stamps
from engine.market.told_once import NAMES
from engine.store import Store
from pipelines.history.check_inputs import check_relations, parts
from pipelines.history.scope import sessions_to_validate
from pipelines.history.session_status import mark_validated
from pipelines.json_rows import json_rows

log = logging.getLogger(__name__)

OnChecked = Callable[[int, int], None]  # sessions done, sessions in all


@dataclass(frozen=True)
class Validation:
    """What the checks found. `targets` (symbol, session) are the sessions that were checked."""

    targets: pl.DataFrame
    findings: pl.DataFrame  # FINDINGS
    checks: list[Check]
    missing_trades: pl.DataFrame  # MISSING_TRADES

    @property
    def exit_code(self) -> int:
        """Return 0 if nothing was found, else 1."""
        return 1 if self.findings.height else 0

    def readable(self) -> pl.DataFrame:
        """Return the findings as a table for people: what, where, when, how many bars, why."""
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

    @property
    def streams(self) -> pl.DataFrame:
        """Return how complete each stream is that KIS tells only once, day by day.

        Columns: session, symbol, expected, stored, missing (minutes).
        """
        told = self.targets.filter(pl.col("symbol").str.contains(NAMES))
        expected = expected_stamps(told).group_by(SESSION).agg(expected=pl.len())
        lost = self.findings.filter(pl.col("check") == "unavailable")
        missing = lost.group_by(SESSION).agg(missing=pl.col("bars").sum())
        return (
            expected.join(missing, on=SESSION, how="left")
            .with_columns(pl.col("missing").fill_null(0))
            .select(
                "session",
                "symbol",
                "expected",
                stored=pl.col("expected").cast(pl.Int64) - pl.col("missing"),
                missing="missing",
            )
            .sort("session", "symbol")
        )

    def explanations(self) -> dict[str, str]:
        """Return, by check that found something, the sentence that says what it looks for."""
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
            "findings": json_rows(self.findings.drop("fix")),
            "streams": json_rows(self.streams),
            "missing_trades": json_rows(self.missing_trades),
        }


async def validate(
    store: Store,
    clock: Clock,
    symbols: list[str],
    start: date | None = None,
    end: date | None = None,
    *,
    copies: pl.DataFrame | None = None,
    on_checked: OnChecked | None = None,
    keep: bool = True,
) -> Validation:
    """Check the closed sessions of symbols from start to end.

    Symbols are codes, products or option chains as `backfill` takes them; an empty list means all
    that are stored. Without a date the span is that of the symbol's sessions which have bars or
    stand in the ledger. Bars are read from the Parquet export where `copies` (engine.store.export)
    says that it is current: it holds what the merges wrote; rows changed by hand since then are
    seen in Postgres alone. Findings are kept in the ledger and in `kept_sessions`; with `keep`
    False nothing is written, so that a user who may only read can validate. `on_checked` is called
    after each part. Raises InputError if there is nothing to check, StoreError.
    """
    checks = all_checks()
    known = await read_spans(store)
    wanted = sessions_to_validate(known, symbols, start, end, sealed_by=clock.now())
    stored = await read_date_range(store) or (None, None)
    found, missing = [FINDINGS.to_frame()], [MISSING_TRADES.to_frame()]
    done = 0
    for part in parts(wanted, start or stored[0], end or stored[1]):
        relations = await check_relations(store, part, clock, copies, keep=keep)
        found.append(await clock.thread(run_checks, checks, relations))
        if "missing_trades" in relations:
            missing.append(relations["missing_trades"].select(list(MISSING_TRADES)))
        done += part.targets.height
        if on_checked:
            on_checked(done, wanted.height)
    findings = pl.concat(found).sort(ORDER)
    # What is merely odd (a warning) stays reported; it is what KIS gave, so it is not a fault.
    bad = findings.filter(pl.col("severity") == "error").select(SESSION).unique()
    good = wanted.join(bad, on=SESSION, how="anti")
    if keep:
        await mark_validated(store, good, bad, clock.now())
    return Validation(
        wanted, findings, checks, pl.concat(missing).sort("session", "symbol", "after")
    )
