"""The simulator in a process of its own, on a clock that follows the collector's.

    python -m tests.soak.simulator_process PORT ORDERS (JSON)

It connects to the port, where it is told what to do (`tests.soak.coupled_clocks`):

    serve NUMBER    serve that session of the season; answered by `serving`
    stop            no longer; answered by `stopped FIGURES`

and ends when the connection does, so that a collector that is killed leaves none behind.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from typing import Any

import orjson
import psutil

from engine.clock import Clock
from engine.simulator.exchange import SimulatedExchange
from engine.simulator.server import Simulator, serve
from tests.soak.coupled_clocks import FollowingClock, Line
from tests.soak.orders import KEY, SECRET, Orders
from tests.soak.plan import Season

REGULATED = timedelta(minutes=10)  # KIS blocks who makes many connections in it
FEW_SYMBOLS, WHOLE_MARKET = 1024, 4096  # sessions of a symbol that are kept written out
TRIES = 300  # to have the port, a tenth of a second apart: the last life's process may still end
Words = asyncio.Queue[str | None]


class Connections(Counter[str]):
    """What the WebSocket counts, and the moments of its connections."""

    def __init__(self, clock: Clock) -> None:
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


async def obey(port: int, orders: Orders) -> None:
    """Serve what is asked for until the connection ends."""
    words: Words = asyncio.Queue()
    loop = asyncio.get_running_loop()
    _, line = await loop.create_connection(Line, "127.0.0.1", port)
    line.lost = lambda: words.put_nowait(None)
    clock = FollowingClock(orders.start, line, words.put_nowait)
    season = Season(orders.seed, orders.days, orders.first, orders.kind)
    # Of a market, the day before is not made up again; of a few symbols all is made anew.
    kept = _exchange(season, WHOLE_MARKET) if season.kind.whole_market else None
    while (order := await words.get()) is not None:
        began = time.process_time()
        exchange = kept or _exchange(season, FEW_SYMBOLS)
        number = int(order.split()[1])
        crowded = await _serve(season, number, exchange, clock, orders.port, words)
        del exchange
        gc.collect()  # a market holds itself in circles
        figures: dict[str, Any] = {
            "feed connections in ten minutes": crowded,
            "simulator's memory": psutil.Process().memory_info().rss / 2**20,
            "simulator's seconds": time.process_time() - began,
        }
        clock.say(f"stopped {orjson.dumps(figures).decode()}")


def _exchange(season: Season, most_kept: int) -> SimulatedExchange:
    """Return an exchange that serves each session as its own scenario leaves it."""
    return SimulatedExchange(season.market(), season.add_faults, most_kept=most_kept)


async def _serve(
    season: Season,
    number: int,
    exchange: SimulatedExchange,
    clock: FollowingClock,
    port: int,
    words: Words,
) -> int:
    """Serve a session's KIS until the next word; return how crowded its connections were."""
    async with AsyncExitStack() as stack:
        kis = await _open(season, number, clock, port, stack)
        kis.exchange = exchange
        kis.stream.counts = connections = Connections(clock)
        clock.say("serving")
        if await words.get() is None:
            words.put_nowait(None)  # that is for our caller, too
        return connections.most_within(REGULATED)


async def _open(
    season: Season, number: int, clock: Clock, port: int, stack: AsyncExitStack
) -> Simulator:
    """Begin to serve. Raises OSError if another process keeps the port."""
    session = season[number]
    # Anew: it keeps what it made. The simulator moves the market of today itself.
    market = season.market(but=session.day)
    for left in reversed(range(TRIES)):
        one = serve(market, clock, faults=session.scenario, app_keys={KEY: SECRET}, port=port)
        try:
            return await stack.enter_async_context(one)
        except OSError:
            if not left:
                raise
            await asyncio.sleep(0.1)  # noqa: TID251
    raise AssertionError


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the collector, whose end is ours
    asyncio.run(obey(int(sys.argv[1]), Orders.model_validate_json(sys.argv[2])))


if __name__ == "__main__":
    main()
