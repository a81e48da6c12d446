"""The simulator's process: it serves in the collector's time, and neither outlives the other."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import psutil
import pytest

from engine.kis.transport import Transport
from engine.simulator.endpoints import MASTER_PATH
from tests.paths import ROOT
from tests.soak.__main__ import FROM
from tests.soak.orders import Orders, SeasonKind
from tests.soak.own_simulator import SimulatorLost, own_simulator
from tests.soak.plan import plan_season
from tests.soak.play import free_port

START = datetime(2025, 11, 3, 8, 30)
ENDS_WITHIN = 60.0  # seconds
LEADER = """
import asyncio, sys
from tests.soak.orders import Orders
from tests.soak.own_simulator import own_simulator

async def lead():
    async with own_simulator(Orders.model_validate_json(sys.argv[1])) as simulator:
        async with simulator.serving(1):
            print("serving", flush=True)
            await simulator.clock.thread(sys.stdin.readline)

asyncio.run(lead())
"""


@pytest.fixture
def orders(tmp_path: Path) -> Orders:
    season = plan_season(1, FROM, 2)
    return Orders(
        seed=season.seed,
        days=season.days,
        first=season.first,
        kind=SeasonKind(),
        start=START,
        url="",
        folder=tmp_path,
        port=free_port(),
    )


def simulators() -> list[psutil.Process]:
    """The simulators that we have started."""
    return [
        child
        for child in psutil.Process().children(recursive=True)
        if "tests.soak.simulator_process" in child.cmdline()
    ]


async def test_a_simulator_of_its_own_answers_in_our_time_session_after_session(
    orders: Orders,
) -> None:
    async with own_simulator(orders) as simulator:
        (process,) = simulators()
        kis = Transport(
            f"http://127.0.0.1:{orders.port}", simulator.clock, timeout=5, tells_time=True
        )
        for number in (1, 2):
            async with simulator.serving(number) as figures:
                reply = await kis.send("GET", MASTER_PATH)
                assert (reply.status, reply.dated) == (200, simulator.clock.now())
                assert len(reply.body) > 1000
            assert figures["simulator's memory"] > 50
            assert figures["feed connections in ten minutes"] == 0
            await simulator.clock.sleep_until(START + timedelta(days=number))
        await kis.close()
    assert not process.is_running()


async def test_when_the_simulator_dies_the_collector_ends_with_an_error(orders: Orders) -> None:
    async def kill_while_it_serves() -> None:
        async with own_simulator(orders) as simulator, simulator.serving(1):
            simulators()[0].kill()
            while True:
                await simulator.clock.sleep(60)

    with pytest.raises(SimulatorLost, match="has ended with"):
        await kill_while_it_serves()


async def test_a_simulator_that_cannot_begin_ends_the_collector(orders: Orders) -> None:
    with pytest.raises(SimulatorLost, match="has ended with 1"):
        async with own_simulator(orders) as simulator, simulator.serving(3 + len(orders.days)):
            pytest.fail("there is no such session")


def test_a_collector_that_is_killed_leaves_no_simulator_behind(orders: Orders) -> None:
    """The next one has its port, which tokens are kept by."""
    for _ in range(2):
        with subprocess.Popen(
            [sys.executable, "-c", LEADER, orders.model_dump_json()],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as leader:
            assert leader.stdout is not None
            assert leader.stdout.readline() == b"serving\n" or leader.wait()
            (simulator,) = simulators()
            leader.kill()
            simulator.wait(ENDS_WITHIN)


def test_the_collector_has_no_part_of_the_simulator() -> None:
    said = "import sys, tests.soak.collector; print([m for m in sys.modules if 'simulator' in m])"
    done = subprocess.run(
        [sys.executable, "-c", said], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "['tests.soak.own_simulator']"
