"""A collector of every day in a process of its own: `just live --every-day`, measured each evening.

    python -m tests.soak.every_day_child FIRST-DAY SESSIONS

After each session it writes one line of JSON: the day, and what the process still holds.
"""

from __future__ import annotations

import gc
import sys
import threading
from datetime import date, time

import orjson
import psutil

from pipelines.commands.main import accept_any_text
from pipelines.day.every_day import Wishes, run_every_day
from pipelines.day.live import Simulation
from pipelines.day.statistics import DayStatistics
from pipelines.feed import Feed

START = time(15, 20)  # each session is begun then, and fetches what was before
FEED = Feed(("005930",), ("A01",))


def tell(stats: DayStatistics) -> None:
    gc.collect()
    me = psutil.Process()
    told = {
        "day": stats.day,
        "complete": stats.complete,
        "bars": stats.bars,
        "memory": me.memory_info().rss / 2**20,
        "files": me.num_fds() if hasattr(me, "num_fds") else me.num_handles(),
        "connections": len(me.net_connections("all")),
        "threads": threading.active_count(),
        "processes": len(me.children(recursive=True)),
        "seconds": sum(me.cpu_times()[:2]),
    }
    sys.stdout.write(orjson.dumps(told).decode() + "\n")
    sys.stdout.flush()


def main(first: str, sessions: str) -> None:
    accept_any_text()
    run_every_day(
        FEED,
        simulation=Simulation(date=date.fromisoformat(first), speed="max", start=START),
        wishes=Wishes(int(sessions), quiet=True, on_day=tell),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
