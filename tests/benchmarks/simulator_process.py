"""The simulator in a process of its own, so that its work is not counted as ours."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from engine.clock import ScaledClock
from engine.simulator.market.synthetic import SyntheticMarket
from engine.simulator.server import serve

NOON = datetime(2026, 11, 20, 12, 0, 2)
KEYS = {f"bench-key-{n}": f"bench-secret-{n}" for n in range(4)}
NO_LIMIT = 1e6  # calls a second


@contextmanager
def run_simulator() -> Iterator[str]:
    """Run the simulator from NOON on; yield its address."""
    command = [sys.executable, "-m", __spec__.name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdin
        try:
            yield process.stdout.readline().decode().strip()
        finally:
            process.stdin.close()  # which ends it


async def _serve() -> None:
    clock = ScaledClock(NOON)
    market = SyntheticMarket(3)
    async with serve(market, clock, app_keys=KEYS, calls_per_second=NO_LIMIT) as simulator:
        sys.stdout.write(f"{simulator.base_url}\n")
        sys.stdout.flush()
        await clock.thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve())
