"""The database's disk fills up: nothing is lost, and storing goes on when there is room again."""

from __future__ import annotations

import asyncio
import os
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from engine.clock import ScaledClock
from engine.store import Writer, embedded_server, migrate
from engine.store.connection import Connection
from tests.engine.store.data import OPEN, futures_bars

MEGABYTE = 1 << 20


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A disk of 200 MB; mounting one takes root on Linux."""
    folder = Path(tempfile.gettempdir()) / f"krt-disk-{uuid.uuid4().hex[:8]}"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200m,mode=755", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        folder.rmdir()
        pytest.skip("no small disk can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)
    folder.rmdir()


def fill(disk: Path, leave: int) -> Path:
    filler = disk / "filler"
    left = os.statvfs(disk)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, left.f_bavail * left.f_frsize - leave)
    return filler


def test_a_full_disk_loses_no_batch_and_splits_none(small_disk: Path, tmp_path: Path) -> None:
    with embedded_server(small_disk / "data", durable=False) as url:
        migrate(url)
        asyncio.run(_through_a_full_disk(url, small_disk, tmp_path))
        with closing(Connection(url, "test")) as database:
            stored = database.query(
                "SELECT symbol, count(*)::bigint AS n FROM futures_1m GROUP BY symbol ORDER BY 1"
            )
        assert stored["n"].to_pylist() == [1000] + [20_000] * 5


async def _through_a_full_disk(url: str, disk: Path, spool: Path) -> None:
    clock = ScaledClock(OPEN, speed=20)
    writer = Writer(url, clock, spool)
    counts = await writer.put("futures_1m", futures_bars([1.0] * 1000, symbol="A01000"))
    assert counts.inserted == 1000
    filler = fill(disk, leave=2 * MEGABYTE)
    for n in range(1, 6):
        batch = futures_bars([1.0] * 20_000, symbol=f"A0100{n}")
        await writer.put("futures_1m", batch)
    assert writer.spooled[0] > 0, "the disk was not full"
    filler.unlink()
    async with asyncio.timeout(60):
        while writer.spooled[0]:
            await clock.sleep(1)
    await writer.close()
