"""The simulator's process as the collector has it: started, told what to serve, ended."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import orjson

from tests.soak.coupled_clocks import LeadingClock, Line
from tests.soak.orders import Orders

LEAVING = 30.0  # seconds that its end may take
MODULE = "tests.soak.simulator_process"


class SimulatorLost(Exception):
    """The simulator's process has ended, or never begun."""


class OwnSimulator:
    """A running process. `clock` is the one that it follows."""

    def __init__(self, start: datetime, line: Line) -> None:
        self.clock = LeadingClock(start, line, self._hear)
        self.is_lost = False
        self._line = line
        self._answer: asyncio.Future[str] | None = None

    @asynccontextmanager
    async def serving(self, number: int) -> AsyncIterator[dict[str, Any]]:
        """Serve a session while the block runs; the figures that are yielded are filled after it.

        Raises SimulatorLost.
        """
        figures: dict[str, Any] = {}
        await self._ask(f"serve {number}")
        try:
            yield figures
        finally:
            figures |= orjson.loads((await self._ask("stop")).removeprefix("stopped "))

    async def _ask(self, order: str) -> str:
        """Give an order and return the answer; time stands still meanwhile."""
        if self.is_lost:
            raise SimulatorLost
        self._answer = asyncio.get_running_loop().create_future()
        async with self.clock.busy(self):
            self._line.say(order)
            return await self._answer

    def _hear(self, answer: str) -> None:
        """Take an answer of the process."""
        if self._answer and not self._answer.done():
            self._answer.set_result(answer)

    def note_loss(self) -> None:
        """Note that the process has ended: nobody will answer, and time goes on without it."""
        self.is_lost = True
        self.clock.let_go()
        if self._answer and not self._answer.done():
            self._answer.set_exception(SimulatorLost())


@asynccontextmanager
async def own_simulator(orders: Orders) -> AsyncIterator[OwnSimulator]:
    """Run the simulator while the block runs.

    If its process ends before, the block is cancelled and SimulatorLost is raised. What the process
    has to say about it is on our standard error.
    """
    line = Line()
    server = await asyncio.get_running_loop().create_server(lambda: line, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    process = _start(port, orders)
    try:
        while not line.made.done():
            await asyncio.wait({line.made}, timeout=0.1)
            if process.poll() is not None:
                raise SimulatorLost(f"the simulator's process has ended with {process.returncode}")
        server.close()
        simulator = OwnSimulator(orders.start, line)
        block = asyncio.current_task()
        assert block is not None

        def lost() -> None:
            simulator.note_loss()
            block.cancel()

        line.lost = lost
        try:
            yield simulator
        except BaseException:
            if simulator.is_lost:
                code = process.wait(LEAVING)
                raise SimulatorLost(f"the simulator's process has ended with {code}") from None
            raise
        line.lost = lambda: None
        line.close()
        await simulator.clock.thread(process.wait, LEAVING)
    finally:
        line.lost = lambda: None
        process.kill()
        process.wait()


def _start(port: int, orders: Orders) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", MODULE, str(port), orders.model_dump_json()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,  # ours is read to its end by the parent
    )
