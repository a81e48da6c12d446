"""What is kept of a run, and what it says beside the last one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks.results import save
from tests.benchmarks.rows import Row

ROWS = [
    Row("beside a baseline", 1.0, 2.0, part="merge"),
    Row("alone", 1.0, part="delay"),
    Row("of a size", 1.0, 1.0, 1000, part="growth"),
]


def test_a_run_is_kept_with_machine_and_versions(tmp_path: Path) -> None:
    (line,) = save(ROWS, tmp_path)
    (file,) = tmp_path.glob("*.json")
    kept = json.loads(file.read_text("utf-8"))
    assert str(file) in line
    assert all(kept["machine"][name] for name in ("cpu", "cores", "memory", "system"))
    assert kept["versions"]["polars"].startswith("2.")
    assert kept["rows"][0]["ratio"] == 2.0


def test_an_equal_run_reports_nothing_slower(tmp_path: Path) -> None:
    assert second_run(tmp_path, lambda _kept: None) == [
        "✅ 0 got slower; 2 ratios, 1 medians compared"
    ]


def test_a_ratio_that_was_better_is_reported(tmp_path: Path) -> None:
    def better_before(kept: dict[str, Any]) -> None:
        kept["rows"][0]["ratio"] = 3.0

    assert second_run(tmp_path, better_before) == [
        "⚠️ merge: beside a baseline: 3 × → 2 × the baseline",
        "⚠️ 1 got slower; 2 ratios, 1 medians compared",
    ]


def test_seconds_are_not_compared_where_there_is_a_baseline(tmp_path: Path) -> None:
    def both_faster(kept: dict[str, Any]) -> None:
        kept["rows"][0] |= {"median": 0.1, "baseline": 0.2}

    assert len(second_run(tmp_path, both_faster)) == 1


def test_seconds_alone_are_compared_on_the_same_machine_only(tmp_path: Path) -> None:
    def faster(kept: dict[str, Any]) -> None:
        kept["rows"][1]["median"] = 0.5

    def elsewhere(kept: dict[str, Any]) -> None:
        faster(kept)
        kept["machine"]["cpu"] = "another"

    assert second_run(tmp_path / "here", faster)[0] == "⚠️ delay: alone: 500 ms → 1 s"
    (line,) = second_run(tmp_path / "there", elsewhere)
    assert line.startswith("✅ 0 got slower; 2 ratios, 0 medians compared")


def test_other_sizes_are_not_compared(tmp_path: Path) -> None:
    def larger(kept: dict[str, Any]) -> None:
        kept["rows"][2] |= {"rows": 50_000, "ratio": 9.0}

    assert second_run(tmp_path, larger) == ["✅ 0 got slower; 1 ratios, 1 medians compared"]


def second_run(folder: Path, doctor: Callable[[dict[str, Any]], None]) -> list[str]:
    """Keep a run, change what was kept, keep another; return what it says, file names cut off."""
    save(ROWS, folder)
    (file,) = folder.glob("*.json")
    kept = json.loads(file.read_text("utf-8"))
    doctor(kept)
    file.write_text(json.dumps(kept), "utf-8")
    return [line.partition(" with ")[0] for line in save(ROWS, folder)[1:]]
