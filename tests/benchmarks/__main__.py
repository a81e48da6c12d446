"""`just bench`: every comparison side by side, in one run, as ratios.

    just bench [PART …] [--quick] [--save] [--large] [--market] [--long] [--tiny]

--quick  all parts in less than two minutes: smaller sizes, fewer rounds, rougher ratios
--save   keep the result in out/bench with machine and versions; say what got slower since the last
--large  growth goes on to 50 million bars
--market growth: a year of 2,700 stocks with an archive, 250 million bars (an hour, 20 GB)
--long   5,000 trades a second for ten minutes, not one
--tiny   sizes so small that the numbers say nothing: to see that it runs

Each part is shown as soon as it is measured. One that fails says why, the others go on, and the
exit code is 1; Ctrl+C ends it with the table of what there is.

A part is a module bench_PART with `measure(env, …) -> list[Row]`, and in TINY and QUICK (and LARGE,
where it has one) the arguments of that size. Targets in ratios hold on any machine; those in
seconds are for the machine on which they were set, so look at the ratio, too.
"""

from __future__ import annotations

import importlib
import shutil
import sys
import tempfile
import traceback
from collections.abc import Sequence
from dataclasses import replace

from tests.benchmarks.bench_env import BenchEnv, bench_env
from tests.benchmarks.results import description, machine, save
from tests.benchmarks.rows import Row, seconds_taken
from tests.benchmarks.table import console, table

PARTS = (
    "merge",
    "options",
    "surface",
    "strategy",
    "history",
    "research",
    "growth",
    "poll",
    "delay",
    "feed",
    "stream",
    "told_once",
    "trades",
    "peers",
)
BESIDE = {  # measured with it
    "delay": ["feed"],  # the delay by polling beside that by the feed
    "options": ["surface"],  # matrix and greeks beside what is read off the smiles
}
SIZES = {  # the first that is given
    "--tiny": "TINY",
    "--quick": "QUICK",
    "--large": "LARGE",
    "--market": "MARKET",
    "--long": "LONG",
}
OPTIONS = ("--save", *SIZES)
DISK = {  # GB that the histories take, their making included
    "LARGE": 30,
    "MARKET": 20,
    "LONG": 8,
    "": 8,
    "QUICK": 2,
    "TINY": 1,
}
LARGER = "growth to 50 million bars: just bench growth --large (20 minutes, 30 GB of disk)"


def main(arguments: Sequence[str]) -> int:
    """Measure the parts named, or all."""
    options = {word for word in arguments if word.startswith("--")}
    named = [word for word in arguments if word not in options] or list(PARTS)
    parts = [*named, *(p for one in named for p in BESIDE.get(one, ()) if p not in named)]
    if options & {"--help"}:
        sys.stdout.write(f"{__doc__}\nParts: {', '.join(PARTS)}\n")
        return 0
    if unknown := [w for w in arguments if w not in (*PARTS, *OPTIONS)]:
        return _refuse(f"no such benchmark or option: {', '.join(unknown)}; see just bench --help")
    size = next((size for option, size in SIZES.items() if option in options), "")
    if shutil.disk_usage(tempfile.gettempdir()).free < DISK[size] * 1e9:
        return _refuse(f"{tempfile.gettempdir()} has less than {DISK[size]} GB free; see TMPDIR")
    with bench_env() as env:
        rows, failed = measure_parts(env, parts, size)
    console().print(table(rows, description(machine())))
    if not size:
        console().print(LARGER)
    for line in save(rows) if "--save" in options else ():
        console().print(line)
    if failed:
        sys.stderr.write(f"❌ not measured: {', '.join(failed)}\n")
    return 1 if failed else 0


def measure_parts(env: BenchEnv, parts: Sequence[str], size: str) -> tuple[list[Row], list[str]]:
    """Return all rows, each part's shown at once, and the parts that failed or were not reached."""
    rows: list[Row] = []
    failed = list(parts)
    for part in parts:
        try:
            found = measure_part(env, part, size)
        except KeyboardInterrupt:
            break
        except Exception:  # noqa: BLE001 - whatever it is, the other parts can still be measured
            sys.stderr.write(f"❌\n{traceback.format_exc()}")
        else:
            failed.remove(part)
            rows += found
            if len(parts) > 1:
                console().print(table(found, part))
    return rows, failed


def measure_part(env: BenchEnv, part: str, size: str = "") -> list[Row]:
    """Return a part's rows; `size` names a constant of its module that holds its arguments."""
    module = importlib.import_module(f"tests.benchmarks.bench_{part}")
    found: list[Row] = []
    sys.stderr.write(f"🚀 {part} … ")
    sys.stderr.flush()
    seconds = seconds_taken(lambda: found.extend(module.measure(env, **getattr(module, size, {}))))
    sys.stderr.write(f"{seconds:.0f} s\n")
    return [replace(row, part=part) for row in found]


def _refuse(why: str) -> int:
    sys.stderr.write(f"❌ {why}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
