"""A collector of every day in a process of its own: `just live --every-day`, measured each evening.

    python -m tests.soak.every_day_child FIRST-DAY LAST-DAY FILE

Days and nights of a stock, a future and its chain. After each session it adds a line of JSON to the
file: the session, what it lacks, and what the process still holds. Started again, it goes on after
the last session of the file; where that was a day, the day is played again before its night.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
from datetime import date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import psutil

from engine.environment import share_heaps
from engine.history.completeness import MISSING
from engine.market.sessions import Market, session_dates
from engine.market.symbols import parse_chain
from pipelines.commands.main import accept_any_text
from pipelines.day.every_day import EveryDayOptions, run_every_day
from pipelines.day.live import Simulation
from pipelines.day.statistics import DayStatistics
from pipelines.feed import Feed

START, NIGHT_START = time(15, 43), time(5, 56)  # what was before is fetched, as far as KIS has it
FEED = Feed(("005930",), ("A01",), (parse_chain("front"),), night=True)


def planned(first: date, last: date) -> list[tuple[date, str]]:
    """The sessions by date and name, in their order; the last one is a day."""
    days = session_dates(Market.DERIVATIVES, first, last)
    nights = session_dates(Market.NIGHT, first, last - timedelta(days=1))
    return sorted([(day, f"{day}") for day in days] + [(day, f"night of {day}") for day in nights])


def played(file: Path) -> list[dict[str, Any]]:
    """What was told of the sessions so far."""
    lines = file.read_bytes().splitlines() if file.exists() else []
    return [orjson.loads(line) for line in lines]


def lacking(stats: DayStatistics) -> list[str]:
    """What is missing that could be had: chains have no history, so theirs begins with us."""
    begun = datetime.combine(stats.day, START)
    if stats.plan.night:
        begun = datetime.combine(stats.day + timedelta(days=1), NIGHT_START)
    minutes = stats.final_minutes.filter(pl.col("state").is_in(MISSING))
    chains = [chain.underlying_symbol for chain in stats.plan.chains]
    before = pl.col("symbol").is_in(chains) & (pl.col("stamp") <= begun)
    return [f"{row[0]} {row[1]}" for row in minutes.filter(~before)["symbol", "stamp"].iter_rows()]


def tell(file: Path, stats: DayStatistics) -> None:
    gc.collect()
    me = psutil.Process()
    told = {
        "day": stats.plan.name,
        "lacking": lacking(stats),
        "snapshots": stats.snapshots,
        "bars": stats.bars,
        "memory": me.memory_info().rss / 2**20,
        "files": me.num_fds() if hasattr(me, "num_fds") else me.num_handles(),
        "connections": len(me.net_connections("all")),
        "tasks": sum(isinstance(one, asyncio.Task) and not one.done() for one in gc.get_objects()),
        "threads": threading.active_count(),
        "processes": len(me.children(recursive=True)),
        "seconds": sum(me.cpu_times()[:2]),
    }
    with file.open("ab") as lines:
        lines.write(orjson.dumps(told) + b"\n")
        lines.flush()
        os.fsync(lines.fileno())


def main(first: str, last: str, path: str) -> None:
    accept_any_text()
    share_heaps()
    file = Path(path)
    done = {told["day"] for told in played(file)}
    sessions = planned(date.fromisoformat(first), date.fromisoformat(last))
    left = [(day, name) for day, name in sessions if name not in done]
    if not left:
        return
    begin = left[0][0]
    run_every_day(
        FEED,
        simulation=Simulation(date=begin, speed="max", start=START, night_start=NIGHT_START),
        options=EveryDayOptions(
            sum(day >= begin for day, _ in sessions), on_day=partial(tell, file)
        ),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
