"""A server that hangs keeps its connections, and answers nothing until it goes on."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from engine.clock import WallClock
from engine.store import Store, Writer
from engine.store.connection import Connection
from engine.store.spool import Spool
from tests.engine.store.data import futures_bars

pytestmark = pytest.mark.skipif(os.name == "nt", reason="nothing hangs by a signal on Windows")


@contextmanager
def hanging(url: str, component: str) -> Iterator[None]:
    """Stop the server's processes that serve a component; they go on at the end."""
    with closing(Connection(url, "test")) as other:
        found = other.query(
            f"SELECT pid FROM pg_stat_activity WHERE application_name = '{component}'"
        )
    pids = found["pid"].to_pylist()
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def writer_of_a_bar(url: str, spool: Path) -> Writer:
    """Return a writer that is connected and has stored a bar, and has little patience from now."""
    writer = Writer(url, WallClock(), spool, component="hangs")
    assert (await writer.put("futures_1m", futures_bars([350.0]))).inserted == 1
    for store in writer._stores:
        store._longest_merge = 0.5
    return writer


async def test_batches_go_to_the_spool_until_a_server_that_hangs_goes_on(
    database_url: str, tmp_path: Path
) -> None:
    writer = await writer_of_a_bar(database_url, tmp_path)
    with hanging(database_url, "hangs"):
        for symbol in ("101W12", "105W12"):
            counts = await writer.put("futures_1m", futures_bars([351.0, 352.0], symbol=symbol))
            assert counts.spooled == 2
    while writer.spooled[0]:
        await asyncio.sleep(0.05)  # noqa: TID251 - the server goes on in its own time
    store = Store(database_url, WallClock())
    found = pl.DataFrame(
        await store.query("SELECT symbol, count(*) AS bars FROM futures_1m GROUP BY 1")
    )
    await store.close()
    await writer.close()
    assert dict(found.iter_rows()) == {"101W09": 1, "101W12": 2, "105W12": 2}


async def test_a_writer_closes_beside_a_server_that_hangs(
    database_url: str, tmp_path: Path
) -> None:
    writer = await writer_of_a_bar(database_url, tmp_path)
    with hanging(database_url, "hangs"):
        assert (await writer.put("futures_1m", futures_bars([351.0, 352.0]))).spooled == 2
        await writer.close()
        assert writer.spooled[0] == 1


async def test_a_spool_that_is_too_much_for_one_merge_is_merged_in_parts(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.store.writer._LONGEST_MERGE", 1.0)
    merge = Store._merge
    too_much: list[int] = []

    def slow(self: Store, parts: Any, lock_timeout: str) -> Any:
        if (batches := len(parts[0][1])) > 1:
            too_much.append(batches)
            time.sleep(1.5)
        return merge(self, parts, lock_timeout)

    monkeypatch.setattr(Store, "_merge", slow)
    spool = Spool(tmp_path)
    for number in range(4):
        spool.add("futures_1m", futures_bars([350.0], symbol=f"10{number}W12"))
    writer = Writer(database_url, WallClock(), tmp_path)
    await writer.put("futures_1m", futures_bars([350.0]))
    while writer.spooled[0]:
        await asyncio.sleep(0.05)  # noqa: TID251 - it merges in its own time
    await writer.close()
    with closing(Connection(database_url, "test")) as other:
        found = other.query("SELECT count(*) AS bars FROM futures_1m")
    assert found["bars"].to_pylist() == [5]
    assert len(too_much) == 2, "a hundred, then ten, then one by one until all are merged"
