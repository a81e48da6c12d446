"""Two days of which a part was lost before: through live, backfill, validate and export."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.e2e.conftest import Desk, new_desk, started_at
from tests.e2e.recorded import recorded
from tests.paths import CASES, FUTURES_FILE, needs

DAY = date(2025, 10, 30)
CODE = "101W12"
BARS = ["timestamp", "open", "high", "low", "close", "volume"]
IMPOSSIBLE = datetime(2025, 10, 30, 10, 1)  # the stamp of the bar labelled 10:00
pytestmark = needs(CASES, FUTURES_FILE)


@dataclass(frozen=True)
class Played:
    """A case after its day was played, filled, validated and exported."""

    desk: Desk
    file: Path
    summary: dict[str, Any]
    validation: dict[str, Any]

    def truth(self) -> pl.DataFrame:
        """Return the file's bars of the day, as we store them."""
        return recorded(self.file, DAY, "15:45").select(BARS)

    def stored(self) -> pl.DataFrame:
        """Return the day's bars in the database."""
        return self.desk.ask(
            f"SELECT {', '.join(BARS)} FROM futures_1m WHERE timestamp::date = '{DAY}' ORDER BY 1"
        )

    def exported(self) -> pl.DataFrame:
        """Return the day's bars in the exported Parquet."""
        bars = pl.read_parquet(self.desk.folder / "export" / "futures_1m" / "**" / "*.parquet")
        return bars.filter(pl.col("timestamp").dt.date() == DAY).select(BARS).sort("timestamp")

    def findings(self) -> list[tuple[str, str]]:
        """Return severity and check of what `just validate` finds in the day."""
        return [(row["severity"], row["check"]) for row in self.validation["findings"]]


@contextmanager
def played(case: str) -> Iterator[Played]:
    """Play a case's day, then run the commands of the evening."""
    with new_desk() as desk:
        file, summary = play(desk, case)
        with desk.serving():
            yield Played(desk, file, summary, evening(desk, file))


def play(desk: Desk, case: str) -> tuple[Path, dict[str, Any]]:
    file = desk.folder / f"{case}.parquet"
    subprocess.run([sys.executable, CASES / f"{case}.py", file], check=True)
    options = ("--date", f"{DAY}", "--future", "A01", "--fresh", *started_at("15:20"))
    return file, desk.live("--recorded", str(file), *options)


def evening(desk: Desk, file: Path) -> dict[str, Any]:
    """Fill, validate and export the day; return what was found."""
    day = ("--from", f"{DAY}", "--to", f"{DAY}", "--symbol", CODE)
    filled = desk.krt("backfill", "--recorded", str(file), *day)
    assert filled.returncode in (0, 1), filled.stderr[-2000:]
    checked = desk.krt("validate", *day, "--format", "json")
    exported = desk.krt("export", "--to", str(desk.folder / "export"))
    assert exported.returncode == 0, exported.stderr[-2000:]
    validation: dict[str, Any] = json.loads(checked.stdout)
    return validation


@pytest.fixture(scope="module")
def beyond_8_percent() -> Iterator[Played]:
    with played("beyond_8_percent") as found:
        yield found


@pytest.fixture(scope="module")
def impossible_bar() -> Iterator[Played]:
    with played("impossible_bar") as found:
        yield found


@pytest.mark.long
def test_all_411_bars_of_a_day_beyond_8_percent_are_stored(beyond_8_percent: Played) -> None:
    """The limit was widened; 384 of 411 were stored, the others called "without a trade"."""
    found = beyond_8_percent
    assert found.stored().height == 411
    assert found.stored().equals(found.truth())
    assert (found.summary["bars"], found.summary["gaps"], found.summary["no_trade"]) == (411, 0, 0)
    assert found.summary["rejected"] == {}


@pytest.mark.long
def test_a_day_beyond_8_percent_is_validated_and_exported(beyond_8_percent: Played) -> None:
    found = beyond_8_percent
    assert [check for severity, check in found.findings() if severity == "error"] == []
    assert found.exported().equals(found.truth())


@pytest.mark.long
def test_the_row_that_cannot_be_a_bar_is_kept_with_its_reason(impossible_bar: Played) -> None:
    """KIS gives a high below the low for 10:00 and never corrects it."""
    found = impossible_bar
    possible = found.truth().filter(pl.col("timestamp") != IMPOSSIBLE)
    assert found.stored().height == 410
    assert found.stored().equals(possible)
    rows = found.desk.ask("SELECT symbol, reason, raw FROM rejected_rows").rows()
    ((symbol, reason, raw),) = rows
    assert (symbol, reason) == (CODE, "open, high, low, close differ")
    assert json.loads(raw)["stck_cntg_hour"] == "100000"


@pytest.mark.long
def test_its_minute_is_refused_in_ledger_summary_status_and_validate(
    impossible_bar: Played,
) -> None:
    """It was called "no trade: KIS has no bar there"."""
    found = impossible_bar
    reason = "open, high, low, close differ"
    rows = found.desk.ask(
        "SELECT first_stamp, stamps, state, reason FROM gaps"
        f" WHERE state <> 'filled' AND session = '{DAY}'"
    ).rows()
    assert rows == [(IMPOSSIBLE, 1, "refused", reason)]
    minutes = found.summary["minutes"]
    assert (minutes["stored"], minutes["refused"], minutes["no_trade"]) == (410, 1, 0)
    assert ("warning", "refused") in found.findings()
    assert [check for severity, check in found.findings() if severity == "error"] == []
    assert found.exported().equals(found.stored())
    status = found.desk.krt("status")
    assert reason in " ".join(status.stdout.split())
