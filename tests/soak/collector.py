"""The child: collects session after session on a virtual clock until it is ended.

    python -m tests.soak.collector ORDERS (JSON)

It writes one message a line and, where it needs an answer, stops its clock until a line comes:

    minute MOMENT    a minute of the session has begun
    mark MOMENT      something is to happen now (SessionPlan.marks); waits
    done FIGURES     the session has come to its end; waits
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import psutil
from pydantic import BaseModel, SecretStr

import engine.kis.client
from engine.clock import VirtualClock
from engine.errors import KisError, StoreUnreachable
from engine.kis.transport import Transport
from engine.log import setup_logging
from engine.settings import AppKey, KisSettings
from engine.simulator.endpoints import MASTER_PATH
from engine.simulator.exchange import SimulatedExchange
from engine.simulator.market.data import MarketData
from engine.simulator.server import serve
from engine.store.trade_files import TradeFiles
from pipelines.day.run import DayPaths, run_day
from pipelines.day.statistics import DayStatistics
from tests.soak.clocks import SteppedClock
from tests.soak.plan import MINUTE, Season, SessionPlan

KEY = "PSsoak-app-key-that-must-not-be-seen"
SECRET = "soak-app-secret-that-must-not-be-seen"
REGULATED = timedelta(minutes=10)  # KIS blocks who makes many connections in it
KEEP_TRADES = 2  # days, so that sessions leave for files in a short season
AGAIN_AFTER = 60.0  # virtual seconds until the service is started again
log = logging.getLogger("pipelines.soak")


class Orders(BaseModel):
    """What the parent tells a child."""

    seed: int
    days: tuple[date, ...]
    first: int  # the number of the season's first session
    one_life: bool
    number: int  # the session to begin with
    start: datetime
    url: str
    folder: Path
    port: int

    @property
    def season(self) -> Season:
        return Season(self.seed, self.days, self.first, self.one_life)


class Connections(Counter[str]):
    """What the WebSocket counts, and the moments of its connections."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock
        self._moments: list[datetime] = []

    def __setitem__(self, what: str, count: int) -> None:
        super().__setitem__(what, count)
        if what == "connections":
            self._moments.append(self._clock.now())

    def most_within(self, span: timedelta) -> int:
        """Return how many connections came within any such span at most."""
        return max(
            (sum(m <= n < m + span for n in self._moments) for m in self._moments), default=0
        )


class TimedTransport(Transport):
    """Believes the date of an answer over http, too: this simulator lives in our time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs, tells_time=True)


def say(word: str, what: str) -> None:
    sys.stdout.write(f"{word} {what}\n")
    sys.stdout.flush()


async def ask(clock: VirtualClock, word: str, what: str) -> None:
    """Say something and hold time still until the parent has done what is to be done."""
    say(word, what)
    await clock.thread(sys.stdin.readline)


async def live(orders: Orders) -> None:
    """Collect session after session; the clock goes on from one to the next."""
    clock = VirtualClock(orders.start)
    for number in range(orders.number, orders.season.last + 1):
        session = orders.season[number]
        began = time.process_time()
        # Anew: it keeps what it made, and is not ours. The simulator moves today's itself.
        market = orders.season.market(but=session.day)
        _set_zone(session.zone)
        await clock.sleep_until(max(session.starts, clock.now()))
        async with _kis(orders, session, clock, market) as connections:
            stats, tries = await _collect(orders, session, clock)
            crowded = connections.most_within(REGULATED)
        del market
        gc.collect()  # what holds itself in a circle would be taken for what the collector holds
        figures = _figures(stats, tries) | {
            "seconds": time.process_time() - began,
            "feed connections in ten minutes": crowded,
            # by the database: this process has seen its own alone, and not those before a kill
            "bars by the feed": stats.origins.by_feed if stats.origins else 0,
        }
        await ask(clock, "done", orjson.dumps(figures).decode())


@asynccontextmanager
async def _kis(
    orders: Orders, session: SessionPlan, clock: VirtualClock, market: MarketData
) -> AsyncIterator[Connections]:
    """Serve the session's KIS, and tell the parent how the day goes; yield what the feed counts."""
    async with serve(
        market, clock, faults=session.scenario, app_keys={KEY: SECRET}, port=orders.port
    ) as kis:
        # Earlier sessions are served as their own scenario left them.
        kis.exchange = SimulatedExchange(orders.season.market(), orders.season.add_faults)
        connections = Connections(clock)
        kis.stream.counts = connections
        telling = asyncio.create_task(_tell(session, clock))
        try:
            yield connections
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)


async def _tell(session: SessionPlan, clock: VirtualClock) -> None:
    marks = [moment for moment, _ in session.marks if moment > clock.now()]
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
    orders: Orders, session: SessionPlan, clock: VirtualClock
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


def _settings(orders: Orders, session: SessionPlan) -> KisSettings:
    base = f"http://127.0.0.1:{orders.port}"
    key = AppKey(app_key=SecretStr(KEY), app_secret=SecretStr(SECRET))
    return KisSettings(
        base_url=base,
        master_url=base + MASTER_PATH,
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
    return 0


if __name__ == "__main__":
    sys.exit(main())
