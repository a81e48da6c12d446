"""The spool and strangers: nothing in its folder stops it, and no good batch is called damaged."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from engine.clock import ScaledClock
from engine.errors import SchemaMismatch
from engine.schemas import conform
from engine.store import MergeCounts, Store, Writer
from engine.store import spool as spool_module
from engine.store.spool import Spool, SpoolDamaged
from engine.store.tables import TABLES
from tests.engine.features.conftest import MOMENT, board
from tests.engine.store.data import MINUTE, OPEN, futures_bars, stock_bars
from tests.engine.store.outage import away

NAME = "000000000001-futures_1m-00000000.arrow"


@pytest.fixture
def clock() -> ScaledClock:
    return ScaledClock(datetime(2025, 9, 1, 9, 0), speed=50)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def put_foreign(folder: Path, what: str) -> Path:
    """Put something into the folder that no writer of ours made."""
    if what == "a copy":
        place = folder / f"{NAME.removesuffix('.arrow')} - Copy.arrow"
        place.write_bytes(b"x")
    elif what == "a folder":
        (place := folder / NAME).mkdir()
    elif what == "a pipe":
        if sys.platform == "win32":
            pytest.skip("Windows has no named pipes in folders")
        os.mkfifo(place := folder / NAME)
    elif what == "a link":
        (place := folder / NAME).symlink_to(folder / "nowhere")
    else:
        (place := folder / what).write_bytes(b"x")
    return place


FOREIGN = ["x.arrow", "a-b-c.arrow", "1-2.arrow", "a copy", "a folder", "a pipe", "a link"]


@pytest.mark.parametrize("what", FOREIGN)
async def test_a_stray_file_is_named_once_and_left_where_it_is(
    database_url: str, store: Store, clock: ScaledClock, tmp_path: Path, caplog, what: str
) -> None:
    """`x.arrow` was an endless loop, a copy of a batch kept the collector from starting."""
    stray = put_foreign(tmp_path, what)
    writer = Writer(database_url, clock, tmp_path)
    assert await writer.put("futures_1m", futures_bars([1.0])) == MergeCounts(inserted=1)
    with away(database_url):
        counts = await writer.put("futures_1m", futures_bars([2.0], start=OPEN + MINUTE))
        assert counts == MergeCounts(spooled=1)
    async with asyncio.timeout(20):
        while writer.spooled != (0, 0):
            await clock.sleep(1)
    await writer.close()
    assert stray.name in names(tmp_path)
    named = [record for record in caplog.records if stray.name in record.message]
    assert [record.levelno for record in named] == [logging.WARNING]
    assert (await store.query("SELECT close FROM futures_1m"))["close"].to_pylist() == [1.0, 2.0]


@pytest.mark.parametrize("content", [b"", b"ARROW1", b"x" * 1000])
async def test_bytes_that_are_no_batch_are_damaged_whatever_their_sum(
    database_url: str, store: Store, clock: ScaledClock, tmp_path: Path, content: bytes
) -> None:
    """An empty file, whose checksum fits its name, ended the drainer without a word."""
    (tmp_path / f"000000000001-futures_1m-{zlib.crc32(content):08x}.arrow").write_bytes(content)
    writer = Writer(database_url, clock, tmp_path)
    assert await writer.put("futures_1m", futures_bars([1.0])) == MergeCounts(spooled=1)
    await writer.close()
    assert len(list((tmp_path / "damaged").iterdir())) == 1
    assert (await store.query("SELECT close FROM futures_1m"))["close"].to_pylist() == [1.0]


def test_a_file_without_a_batch_in_it_is_damaged(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, futures_bars([1.0]).schema):
        pass
    content = sink.getvalue().to_pybytes()
    path = tmp_path / f"000000000001-futures_1m-{zlib.crc32(content):08x}.arrow"
    path.write_bytes(content)
    (entry,) = spool.entries()
    with pytest.raises(SpoolDamaged):
        spool.read(entry)


@contextmanager
def failing_reads(times: int, code: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    left = [times]
    read = spool_module.read_file

    def failing(path: Path) -> bytes:
        if left[0] > 0:
            left[0] -= 1
            raise OSError(code, os.strerror(code), str(path))
        return read(path)

    with monkeypatch.context() as patch:
        patch.setattr(spool_module, "read_file", failing)
        yield


@pytest.mark.parametrize("code", [errno.EMFILE, errno.EIO, errno.EACCES, errno.ENOMEM])
async def test_a_good_batch_that_could_not_be_read_once_is_not_damaged(
    database_url: str, store: Store, clock: ScaledClock, tmp_path: Path, monkeypatch, code: int
) -> None:
    """One EMFILE set a good batch aside for good."""
    writer = Writer(database_url, clock, tmp_path)
    with failing_reads(4, code, monkeypatch):
        with away(database_url):
            for n in range(3):
                await writer.put("futures_1m", futures_bars([float(n)], start=OPEN + n * MINUTE))
        async with asyncio.timeout(20):
            while writer.spooled != (0, 0):
                await clock.sleep(1)
    await writer.close()
    assert not (tmp_path / "damaged").exists()
    assert (await store.query("SELECT count(*) AS n FROM futures_1m"))["n"].to_pylist() == [3]


async def test_a_batch_that_can_never_be_read_keeps_nothing_else_waiting(
    database_url: str, store: Store, clock: ScaledClock, tmp_path: Path, monkeypatch, caplog
) -> None:
    read = spool_module.read_file

    def failing(path: Path) -> bytes:
        if path.name.startswith("000000000001"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(spool_module, "read_file", failing)
    writer = Writer(database_url, clock, tmp_path)
    with away(database_url):
        for n in range(3):
            await writer.put("futures_1m", futures_bars([float(n)], start=OPEN + n * MINUTE))
    async with asyncio.timeout(20):
        while writer.spooled[0] != 1:
            await clock.sleep(1)
    counts = await writer.put("futures_1m", futures_bars([3.0], start=OPEN + 3 * MINUTE))
    assert counts == MergeCounts(inserted=1), "it does not go behind the one that cannot be read"
    await clock.sleep(200)
    async with asyncio.timeout(10):
        await writer.close()
    (kept,) = names(tmp_path)
    assert kept.startswith("000000000001")
    assert len([m for m in caplog.messages if "cannot be merged now" in m]) == 1
    assert "1 batches" in caplog.messages[-1]
    closes = (await store.query("SELECT close FROM futures_1m ORDER BY timestamp"))["close"]
    assert closes.to_pylist() == [1.0, 2.0, 3.0]


async def test_a_spool_that_cannot_be_listed_does_not_lose_the_batch(
    database_url: str, store: Store, clock: ScaledClock, tmp_path: Path, monkeypatch
) -> None:
    writer = Writer(database_url, clock, tmp_path)

    def out_of_files(*_: object) -> object:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("engine.store.spool.os.scandir", out_of_files)
    assert await writer.put("futures_1m", futures_bars([1.0])) == MergeCounts(inserted=1)
    assert writer.spooled == (0, 0)
    await writer.close()


async def test_a_batch_that_cannot_be_set_aside_keeps_nothing_else_waiting(
    database_url: str, store: Store, clock: ScaledClock, tmp_path: Path
) -> None:
    (tmp_path / "damaged").write_text("a file in the place of the folder")
    (tmp_path / "000000000001-futures_1m-12345678.arrow").write_bytes(b"x")
    writer = Writer(database_url, clock, tmp_path)
    assert (await writer.put("futures_1m", futures_bars([1.0]))).spooled == 1
    async with asyncio.timeout(20):
        while writer.spooled[0] != 1:
            await clock.sleep(1)
        await writer.close()
    assert (await store.query("SELECT close FROM futures_1m"))["close"].to_pylist() == [1.0]


async def test_what_was_set_aside_comes_back(
    database_url: str, store: Store, clock: ScaledClock, tmp_path: Path
) -> None:
    """No command brought refused or damaged batches back."""
    spool = Spool(tmp_path)
    for why in ("refused", "damaged"):
        bars = futures_bars([1.0], symbol="A01612" if why == "refused" else "A01703")
        spool.set_aside(spool.add("futures_1m", bars), why)
    (tmp_path / "damaged" / "x.arrow").write_bytes(b"x")
    assert spool.empty
    assert spool.bring_back() == 2
    writer = Writer(database_url, clock, tmp_path)
    assert await writer.drain() == MergeCounts(inserted=2)
    await writer.close()
    assert names(tmp_path) == {"refused", "damaged"}
    assert names(tmp_path / "damaged") == {"x.arrow"}


@pytest.mark.parametrize("name", ["option_summary", "option_chain_raw"])
async def test_a_batch_of_an_earlier_release_is_merged_when_its_turn_comes(
    database_url: str, store: Store, clock: ScaledClock, tmp_path: Path, name: str
) -> None:
    """It waited in the spool while the release changed, and lacks what was added since."""
    table = TABLES[name]
    assert table.added
    known = board().head(1).with_columns(forward=1061.3)
    missing = {column: None for column in table.schema.names if column not in known.columns}
    now = conform(known.with_columns(**missing), table.schema)
    later = pl.DataFrame(now).with_columns(pl.col("timestamp") + MINUTE)
    spool = Spool(tmp_path)
    spool.add(name, now.drop_columns(list(table.added)))
    spool.add(name, conform(later, table.schema))
    writer = Writer(database_url, clock, tmp_path)
    assert await writer.drain() == MergeCounts(inserted=2 * now.num_rows)
    await writer.close()
    found = await store.query(
        f"SELECT {', '.join(table.added)} FROM {name} WHERE timestamp = '{MOMENT}'"
    )
    assert pl.DataFrame(found).rows() == [(None,) * len(table.added)] * now.num_rows
    with pytest.raises(SchemaMismatch, match="underlying_price is missing"):
        table.rows(now.drop_columns(["underlying_price"]))


def test_columns_that_may_be_missing_are_columns_and_no_part_of_a_key() -> None:
    for table in TABLES.values():
        assert set(table.added) <= set(table.schema.names) - set(table.key)


async def test_a_batch_that_cannot_be_removed_keeps_nothing_else_waiting(
    database_url: str, store: Store, clock: ScaledClock, tmp_path: Path, monkeypatch, caplog
) -> None:
    """A disk that has become read-only, or a program that has the file open (Windows)."""
    writer = Writer(database_url, clock, tmp_path)
    unlink, stuck = Path.unlink, True

    def failing(path: Path, missing_ok: bool = False) -> None:
        if stuck and path.name.startswith("000000000001"):
            raise OSError(errno.EROFS, "Read-only file system", str(path))
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", failing)
    with away(database_url):
        await writer.put("futures_1m", futures_bars([1.0]))
        await writer.put("stocks_1m", stock_bars([2.0]))
    async with asyncio.timeout(20):
        while writer.spooled[0] != 1:
            await clock.sleep(1)
        counts = await writer.put("futures_1m", futures_bars([3.0]))
    assert counts == MergeCounts(changed=1), "it does not go behind what is merged already"
    await clock.sleep(200)
    assert (await store.query("SELECT close FROM stocks_1m"))["close"].to_pylist() == [2.0]
    assert len([m for m in caplog.messages if "cannot be removed" in m]) == 1
    stuck = False
    async with asyncio.timeout(20):
        while writer.spooled[0]:
            await clock.sleep(1)
    await writer.close()
    assert (await store.query("SELECT close FROM futures_1m"))["close"].to_pylist() == [3.0]
