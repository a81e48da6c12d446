"""A real database of two days, and the findings of its validation."""

from __future__ import annotations

from datetime import date, datetime

import polars as pl

from engine.market.expected import expected_stamps
from pipelines.history.validate import Validation

EVENING = datetime(2025, 9, 2, 18)
DAYS = date(2025, 9, 1), date(2025, 9, 2)
CONTRACT = "101W09"
CHAIN = "202509_KOSPI200"


def checks(found: Validation) -> set[str]:
    return set(found.findings["check"])


def stamps_found(found: Validation) -> set[tuple[str, str, datetime]]:
    """Return (check, symbol, stamp) of every stamp that a finding covers."""
    rows = found.findings.select("check", "symbol", "session", "first_stamp", "last_stamp")
    single = rows.filter(pl.col("first_stamp") == pl.col("last_stamp"))
    runs = (
        rows.filter(pl.col("first_stamp") < pl.col("last_stamp"))
        .join(expected_stamps(found.targets), on=["symbol", "session"])
        .filter(pl.col("stamp").is_between("first_stamp", "last_stamp"))
    )
    return {
        *single.select("check", "symbol", "first_stamp").rows(),
        *runs.select("check", "symbol", "stamp").rows(),
    }
