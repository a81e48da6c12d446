"""`just bench`: every comparison side by side, in one run, as ratios.

    just bench [PART …] [--save]

Parts: merge, options, strategy, history, research. `--save` keeps the result under out/bench with
the machine and the versions, and says what got slower since the last one kept.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from engine.clock import WallClock

PARTS = ("merge", "options", "strategy", "history", "research")
KEPT = Path(__file__).resolve().parents[2] / "out" / "bench"
LIBRARIES = ("polars", "duckdb", "pyarrow", "adbc-driver-postgresql")
SLOWER = 1.25  # noise of a shared machine stays below this


def main(arguments: list[str]) -> int:
    """Measure the parts named, or all."""
    parts = [word for word in arguments if word != "--save"] or list(PARTS)
    if unknown := set(parts) - set(PARTS):
        sys.stderr.write(
            f"❌ no such benchmark: {', '.join(sorted(unknown))}; {', '.join(PARTS)}\n"
        )
        return 2
    rows: list[dict[str, Any]] = []
    for part in parts:
        module = importlib.import_module(f"tests.benchmarks.bench_{part}")
        rows += [{"part": part, **row} for row in module.measure()]
    Console().print(table(rows))
    if "--save" in arguments:
        save(rows)
    return 0


def table(rows: list[dict[str, Any]]) -> Table:
    """Draw the rows; each benchmark names its own columns."""
    drawn = Table(title=f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores")
    columns = list(dict.fromkeys(name for row in rows for name in row))
    for name in columns:
        drawn.add_column(name)
    for row in rows:
        drawn.add_row(*(_text(row.get(name)) for name in columns))
    return drawn


def _text(value: object) -> str:
    return "" if value is None else f"{value:,.4g}" if isinstance(value, float) else str(value)


def save(rows: list[dict[str, Any]]) -> None:
    """Keep the result, and compare it with the last one kept."""
    KEPT.mkdir(parents=True, exist_ok=True)
    earlier = sorted(KEPT.glob("*.json"))
    if earlier:
        before = {(r["part"], r["what"]): r for r in json.loads(earlier[-1].read_text())["rows"]}
        for row in rows:
            was = before.get((row["part"], row["what"]))
            if was and row["seconds"] > SLOWER * was["seconds"]:
                Console().print(f"⚠️ {row['what']}: {row['seconds'] / was['seconds']:.2f} × as long")
    machine = {"cores": os.cpu_count(), "system": platform.platform(), "python": sys.version}
    result = {"machine": machine, "versions": {n: version(n) for n in LIBRARIES}, "rows": rows}
    name = f"{WallClock().now():%Y%m%d-%H%M%S}.json"
    (KEPT / name).write_text(json.dumps(result, ensure_ascii=False, indent=1, default=str))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
