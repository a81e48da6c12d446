"""Kill the collector and the server at random moments; no batch may be lost or stored in part.

Run it for long by `python -m tests.engine.store.kill_loop SECONDS [SEED]`, and briefly as a test.
"""

from __future__ import annotations

import asyncio
import logging
import random
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import polars as pl
import psutil

from engine.clock import WallClock
from engine.store import Store, Writer, embedded_server, migrate
from tests.engine.store.collector import BARS, numbered_bars
from tests.paths import ROOT


class CollectorProcess:
    """The process to be killed; its acknowledgements are read while it lives."""

    def __init__(self, url: str, spool: Path, first: int) -> None:
        self.acknowledged: list[int] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.engine.store.collector", url, spool, str(first)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        for line in self._process.stdout:
            if line.endswith("\n"):
                self.acknowledged.append(int(line))

    def wait_for(self, batches: int) -> None:
        """Wait until so many of its batches have been acknowledged."""
        while len(self.acknowledged) < batches:
            assert self._process.poll() is None, "the collector ended by itself"
            time.sleep(0.01)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()


def kill_server(folder: Path, *, alone: bool) -> None:
    """SIGKILL the server, alone or with all its processes."""
    pid = int((folder / "postgres-18" / "postmaster.pid").read_text().split("\n")[0])
    postmaster = psutil.Process(pid)
    victims = [postmaster, *([] if alone else postmaster.children(recursive=True))]
    for victim in victims:
        victim.kill()
    while any(map(_is_alive, victims)):
        time.sleep(0.01)


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def kill_repeatedly(seconds: float, seed: int, report: Callable[[str], object] = print) -> int:
    """Kill and restart for so many seconds; return how many batches were acknowledged.

    Raises AssertionError if an acknowledged batch is missing, or any batch is stored in part.
    """
    chance = random.Random(seed)  # noqa: S311
    report(f"seed {seed}")
    folder = Path(tempfile.gettempdir()) / f"krt-kills-{uuid.uuid4().hex[:8]}"
    with tempfile.TemporaryDirectory() as spool, embedded_server(folder, temporary=True) as url:
        migrate(url)
        acknowledged: list[int] = []
        end = time.monotonic() + seconds
        first = 0
        while time.monotonic() < end:
            collector = CollectorProcess(url, Path(spool), first)
            try:
                collector.wait_for(5)
                for _ in range(chance.randrange(3)):
                    time.sleep(chance.random())
                    kill_server(folder, alone=chance.random() < 0.5)
                    time.sleep(chance.random() / 2)
                    with embedded_server(folder):  # the next process starts it again
                        report("🔄 the server was killed")
                time.sleep(chance.random() / 2)
            finally:
                collector.kill()
            report(f"🔄 the collector was killed after {len(collector.acknowledged)} batches")
            acknowledged += collector.acknowledged
            first = max(acknowledged) + 10
        asyncio.run(assert_nothing_lost(url, Path(spool), acknowledged))
    return len(acknowledged)


async def assert_nothing_lost(url: str, spool: Path, acknowledged: list[int]) -> None:
    """Merge the spool, then look for batches that are missing or stored in part."""
    writer = Writer(url, WallClock(), spool)
    await writer.drain()
    assert writer.spooled == (0, 0)
    await writer.close()
    assert not (spool / "damaged").exists()
    store = Store(url, WallClock())
    stored = pl.DataFrame(await store.query("SELECT timestamp, volume FROM futures_1m"))
    await store.close()
    present = stored["volume"].unique().to_list()
    # Applying every present batch once, in order, must give exactly what is stored.
    bars = pl.concat(numbered_bars(n).select("timestamp", "volume") for n in sorted(present))
    expected = bars.unique("timestamp", keep="last").sort("timestamp")
    assert stored.sort("timestamp").equals(expected), "a batch is stored in part"
    missing = set(acknowledged) - set(present)
    assert not missing, f"acknowledged and lost: {sorted(missing)}"
    assert stored.height >= len(acknowledged) * (BARS - 10)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    duration = float(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(2**32)
    print(f"{kill_repeatedly(duration, seed)} batches acknowledged, all stored whole")  # noqa: T201
