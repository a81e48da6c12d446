"""What every benchmark shares: a row of the table, and clocks that measure in turns."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import psutil

from engine.environment import FOR_LIVE


@dataclass(frozen=True)
class Row:
    """A measurement: its median beside the baseline's, both of one run.

    `ratio` is how many times as fast (or small) as the baseline it is; it holds on any machine.
    `least` is the target for the ratio, `most` that for the median, in `unit` (s or MB). `rows` is
    how much was done: rows of different sizes are not compared.
    """

    what: str
    median: float
    baseline: float | None = None
    rows: int = 1
    least: float | None = None
    most: float | None = None
    unit: str = "s"
    p99: float | None = None
    part: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times as good as the baseline."""
        return None if self.baseline is None else self.baseline / self.median

    @property
    def holds(self) -> bool | None:
        """Say whether the target is met; None where none is set."""
        if self.least is None and self.most is None:
            return None
        enough = self.least is None or (self.ratio is not None and self.ratio >= self.least)
        return enough and (self.most is None or self.median < self.most)

    def as_json(self) -> dict[str, Any]:
        """Return what is kept."""
        return {**asdict(self), "ratio": self.ratio, "holds": self.holds}


def seconds_taken(
    work: Callable[[], object], clock: Callable[[], float] = time.perf_counter
) -> float:
    """Return the seconds that the work takes."""
    start = clock()
    work()
    return clock() - start


def in_turns(
    ways: Mapping[str, Callable[[], object]],
    rounds: int,
    before: Mapping[str, Callable[[], object]] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Return each way's median seconds. They go A B A B, so what slows the machine slows all.

    `before` is done ahead of a way of that name, and not measured. By `time.process_time` the
    seconds are those of CPU, of all threads, whatever else runs on the machine.
    """
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            (before or {}).get(name, lambda: None)()
            took[name].append(seconds_taken(way, clock))
    return {name: statistics.median(seconds) for name, seconds in took.items()}


def in_own_process(module: str, *arguments: object, **environment: str) -> dict[str, Any]:
    """Run a module in a process of its own; return the JSON object that it writes."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    ran = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, env={**os.environ, **environment}
    )
    return dict(json.loads(ran.stdout))


def as_in_a_day(module: str, *arguments: object) -> dict[str, Any]:
    """Run a module in a process of its own, in the environment that `just live` gives itself."""
    return in_own_process(module, *arguments, **FOR_LIVE)


@contextmanager
def memory() -> Iterator[list[float]]:
    """Yield a list that holds this process's memory in MB, looked at every five milliseconds.

    What the system remembers as the peak counts the parent's, from before the program was ours.
    """
    process, done = psutil.Process(), threading.Event()
    seen = [process.memory_info().rss / 1e6]

    def look() -> None:
        while not done.wait(0.005):
            seen.append(process.memory_info().rss / 1e6)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()
