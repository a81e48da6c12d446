"""The child: collects session after session on a virtual clock until it is ended.

    python -m tests.soak.collector ORDERS (JSON)

It reads the orders for a session as a line of JSON (`SessionOrders`), writes one message a line
and, where it needs an answer, stops its clock until a line comes:

    minute MOMENT    a minute of the session has begun
    mark MOMENT      something is to happen now (SessionOrders.marks); waits
    done FIGURES     the session has come to its end; waits for the next one

KIS is played by a process of its own (`tests.soak.own_simulator`), so what this one uses and holds
is the collector's alone.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
import time
from typing import Any
from urllib.parse import urlsplit

import orjson
import psutil
from pydantic import SecretStr

import engine.kis.client
from engine.clock import Clock
from engine.errors import KisError, StoreUnreachable
from engine.kis.transport import Transport
from engine.log import setup_logging
from engine.settings import KIS_MASTER, AppKey, KisSettings
from engine.store.trade_files import TradeFiles
from pipelines.day.run import DayPaths, run_day
from pipelines.day.statistics import DayStatistics
from tests.soak.clocks import SteppedClock
from tests.soak.orders import KEY, MINUTE, SECRET, Orders, SessionOrders
from tests.soak.own_simulator import OwnSimulator, SimulatorLost, own_simulator

KEEP_TRADES = 2  # days, so that sessions leave for files in a short season
AGAIN_AFTER = 60.0  # virtual seconds until the service is started again
log = logging.getLogger("pipelines.soak")


class TimedTransport(Transport):
    """Believes the date of an answer over http, too: this simulator lives in our time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs, tells_time=True)


def say(word: str, what: str) -> None:
    sys.stdout.write(f"{word} {what}\n")
    sys.stdout.flush()


async def ask(clock: Clock, word: str, what: str) -> None:
    """Say something and hold time still until the parent has done what is to be done."""
    say(word, what)
    await clock.thread(sys.stdin.readline)


async def live(orders: Orders) -> None:
    """Collect session after session; the clock goes on from one to the next."""
    async with own_simulator(orders) as simulator:
        clock = simulator.clock
        while line := await clock.thread(sys.stdin.readline):
            session = SessionOrders.model_validate_json(line)
            figures = await _play(orders, session, simulator)
            say("done", orjson.dumps(figures).decode())


async def _play(orders: Orders, session: SessionOrders, simulator: OwnSimulator) -> dict[str, Any]:
    """Collect a session, tell the parent how it goes, and return its figures."""
    clock = simulator.clock
    began = time.process_time()
    _set_zone(session.zone)
    await clock.sleep_until(max(session.starts, clock.now()))
    async with simulator.serving(session.number) as served:
        telling = asyncio.create_task(_tell(session, clock))
        try:
            stats, tries = await _collect(orders, session, clock)
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)
    gc.collect()  # what holds itself in a circle is freed at some time, and not held
    return (
        _figures(stats, tries)
        | served
        | {
            "seconds": time.process_time() - began,
            # by the database: this process has seen its own alone, and not those before a kill
            "bars by the feed": stats.origins.by_feed if stats.origins else 0,
        }
    )


async def _tell(session: SessionOrders, clock: Clock) -> None:
    marks = [moment for moment in session.marks if moment > clock.now()]
    minute = session.starts
    while True:
        if marks and marks[0] < minute:
            await clock.sleep_until(marks[0])
            await ask(clock, "mark", f"{marks.pop(0)}")
        else:
            await clock.sleep_until(minute)
            if minute >= clock.now():
                say("minute", f"{minute}")
            minute += MINUTE


async def _collect(
    orders: Orders, session: SessionOrders, clock: Clock
) -> tuple[DayStatistics, int]:
    """Collect the day; begin again, as a service is started again, while the database is away."""
    host = SteppedClock(clock, session.steps)
    here = orders.folder / "live"
    logs = here / "logs" / f"live-{session.day}.log"
    setup_logging(clock=host, secrets=[SECRET], file=logs)
    settings = _settings(orders, session)
    trades = TradeFiles(here / "trades", KEEP_TRADES)
    paths = DayPaths(orders.url, here / "spool", here / "kis", trades)
    tries = 0
    while True:
        stats = DayStatistics(session.plan, simulated=False)
        tries += 1
        try:
            await run_day(session.plan, settings, host, paths, stats)
        except (KisError, StoreUnreachable) as error:
            log.error("❌ the day ended: %s", error)
            await host.sleep(AGAIN_AFTER)
        else:
            return stats, tries


def _settings(orders: Orders, session: SessionOrders) -> KisSettings:
    base = f"http://127.0.0.1:{orders.port}"
    key = AppKey(app_key=SecretStr(KEY), app_secret=SecretStr(SECRET))
    return KisSettings(
        base_url=base,
        master_url=base + urlsplit(KIS_MASTER).path,
        app_keys=(key,),
        polling_interval=session.polling,
        stream=session.stream,
    )


def _figures(stats: DayStatistics, tries: int) -> dict[str, Any]:
    """Return the figures of the day, and what the process still holds after it."""
    me = psutil.Process()
    return {
        "tries": tries,
        "corrections": stats.corrections,
        "calls": stats.calls["calls"],
        "memory": me.memory_info().rss / 2**20,
        "files": me.num_fds() if hasattr(me, "num_fds") else me.num_handles(),
        "connections": len(me.net_connections("all")),
        "tasks": len(asyncio.all_tasks()),
        "threads": me.num_threads(),
    }


def _set_zone(zone: str) -> None:
    os.environ["TZ"] = zone
    if hasattr(time, "tzset"):
        time.tzset()


def main() -> int:
    orders = Orders.model_validate_json(sys.argv[1])
    engine.kis.client.Transport = TimedTransport  # type: ignore[misc]
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        asyncio.run(live(orders))
    except KeyboardInterrupt:
        return 130
    except SimulatorLost as error:
        sys.stderr.write(f"{error}\n")
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
