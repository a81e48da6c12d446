"""The writer: each batch is committed, or on disk until it can be."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from engine.clock import ScaledClock
from engine.errors import InputError, KrtError, SchemaMismatch, StoreUnreachable
from engine.store import MergeCounts, Store, Writer
from engine.store.connection import Connection
from engine.store.table_setup import make_partitions, months_ahead
from engine.store.tables import TABLES
from tests.engine.store.data import MINUTE, OPEN, futures_bars, stock_bars
from tests.engine.store.outage import away

CLOSES = "SELECT close FROM futures_1m ORDER BY symbol, timestamp"


@pytest.fixture
def clock() -> ScaledClock:
    return ScaledClock(datetime(2025, 9, 1, 9, 0), speed=50)


@contextmanager
def full_disk() -> Iterator[None]:
    """Keep every file of this process from growing."""
    resource = pytest.importorskip("resource", reason="Windows has no quotas for a process")
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, most))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.arrow"))


async def closes(store: Store) -> list[float]:
    return (await store.query(CLOSES))["close"].to_pylist()


async def test_puts_of_a_minute_share_commits_and_are_counted_each(
    database_url: str, store: Store, clock: ScaledClock, tmp_path: Path
) -> None:
    writer = Writer(database_url, clock, tmp_path)
    batches = [futures_bars([1.0] * 5, symbol=f"A01{n:03}") for n in range(40)]
    counts = await asyncio.gather(*(writer.put("futures_1m", batch) for batch in batches))
    assert counts == [MergeCounts(inserted=5)] * 40
    commits = await store.query("SELECT count(DISTINCT xmin::text) AS n FROM futures_a01")
    assert commits["n"].to_pylist()[0] < 5
    again = await asyncio.gather(*(writer.put("futures_1m", batch) for batch in batches))
    assert again == [MergeCounts(unchanged=5)] * 40
    await writer.close()


async def test_a_table_that_is_locked_holds_up_no_other(
    database_url: str, store: Store, clock: ScaledClock, tmp_path: Path
) -> None:
    writer = Writer(database_url, clock, tmp_path)
    with closing(Connection(database_url, "test")) as other:
        with other.transaction() as cursor:  # who makes a partition keeps others from making one
            table = TABLES["stocks_1m"]
            make_partitions(cursor, table, months_ahead(table, clock.now().date()))
        with other.transaction() as cursor:
            cursor.execute("LOCK TABLE stocks_1m IN ACCESS EXCLUSIVE MODE")
            waiting = [
                asyncio.create_task(writer.put("stocks_1m", stock_bars([price])))
                for price in (1.0, 2.0)
            ]
            for price in (3.0, 4.0):
                counts = await writer.put("futures_1m", futures_bars([price]))
                assert counts.inserted + counts.changed == 1
            assert not any(put.done() for put in waiting)
        # The batches of one table came in the order in which they were put.
        assert sum(await asyncio.gather(*waiting), MergeCounts()).inserted == 1
    assert (await store.query("SELECT close FROM stocks_1m"))["close"].to_pylist() == [2.0]
    assert await closes(store) == [4.0]
    await writer.close()


async def test_few_rows_of_several_tables_are_one_commit(
    database_url: str, store: Store, clock: ScaledClock, tmp_path: Path
) -> None:
    writer = Writer(database_url, clock, tmp_path)
    transactions = (
        "SELECT xmin::text AS id FROM futures_1m UNION ALL SELECT xmin::text FROM stocks_1m"
    )
    for price, expected in ((1.0, MergeCounts(inserted=2)), (2.0, MergeCounts(changed=2))):
        counts = await asyncio.gather(
            writer.put("futures_1m", futures_bars([price, price])),
            writer.put("stocks_1m", stock_bars([price, price])),
        )
        assert counts == [expected, expected]
        assert len(set((await store.query(transactions))["id"].to_pylist())) == 1
    await writer.close()


async def test_what_follows_a_batch_is_stored_with_it_or_later_and_never_without_it(
    database_url: str, store: Store, clock: ScaledClock, tmp_path: Path
) -> None:
    writer = Writer(database_url, clock, tmp_path)
    good = writer.queue("futures_1m", futures_bars([1.0]))
    follows = writer.queue("stocks_1m", stock_bars([1.0]), after=good)
    assert [await good, await follows] == [MergeCounts(inserted=1)] * 2
    both = "SELECT xmin::text AS x FROM futures_1m UNION SELECT xmin::text FROM stocks_1m"
    assert (await store.query(both)).num_rows == 1
    bad_bars = futures_bars([1.0], symbol="A01509\0", start=OPEN + MINUTE)
    bad = writer.queue("futures_1m", bad_bars)
    in_vain = writer.queue("stocks_1m", stock_bars([2.0], start=OPEN + MINUTE), after=bad)
    refused = await asyncio.gather(bad, in_vain, return_exceptions=True)
    assert isinstance(refused[0], KrtError)
    assert refused[1] is refused[0]
    later = writer.queue("futures_1m", futures_bars([2.0], start=OPEN + MINUTE))  # one by one now
    behind = writer.queue("stocks_1m", stock_bars([3.0], start=OPEN + MINUTE), after=later)
    assert [await later, await behind] == [MergeCounts(inserted=1)] * 2
    stocks = "SELECT close FROM stocks_1m ORDER BY timestamp"
    assert (await store.query(stocks))["close"].to_pylist() == [1.0, 3.0]
    with away(database_url):
        spooled = writer.queue("futures_1m", futures_bars([3.0], start=OPEN + 2 * MINUTE))
        too = writer.queue("stocks_1m", stock_bars([4.0], start=OPEN + 2 * MINUTE), after=spooled)
        assert [await spooled, await too] == [MergeCounts(spooled=1)] * 2
    await writer.close()
    again = Store(database_url, clock)
    assert (await again.query(stocks))["close"].to_pylist() == [1.0, 3.0, 4.0]
    await again.close()


async def test_a_batch_that_is_refused_takes_no_other_table_with_it(
    database_url: str, store: Store, clock: ScaledClock, tmp_path: Path
) -> None:
    writer = Writer(database_url, clock, tmp_path)
    bad = stock_bars([1.0], symbol="005930\0")
    refused, counts, more = await asyncio.gather(
        writer.put("stocks_1m", bad),
        writer.put("futures_1m", futures_bars([1.0])),
        writer.put("stocks_1m", stock_bars([2.0])),
        return_exceptions=True,
    )
    assert isinstance(refused, KrtError)
    assert counts == more == MergeCounts(inserted=1)
    await writer.close()


async def test_batches_put_while_the_server_is_away_are_merged_later_in_order(
    database_url: str, store: Store, clock: ScaledClock, tmp_path: Path
) -> None:
    writer = Writer(database_url, clock, tmp_path)
    assert (await writer.put("futures_1m", futures_bars([0.0]))).inserted == 1
    with away(database_url):
        for n in range(1, 6):  # the same bar again and again: only the order tells the last
            counts = await writer.put("futures_1m", futures_bars([float(n), 7.0]))
            assert counts == MergeCounts(spooled=2)
        batches, size = writer.spooled
        assert batches == 5
        assert size > 0
        with pytest.raises(StoreUnreachable):
            await writer.drain()
    await writer.put("futures_1m", futures_bars([8.0], start=OPEN + 2 * MINUTE))
    await writer.drain()
    assert writer.spooled == (0, 0)
    assert await closes(store) == [5.0, 7.0, 8.0]
    replaced = await store.query("SELECT close FROM replaced_bars ORDER BY id")
    assert replaced["close"].to_pylist() == [0.0], "only stored values are replaced"
    await writer.close()


async def test_it_drains_by_itself_when_the_server_is_back(
    database_url: str, store: Store, clock: ScaledClock, tmp_path: Path
) -> None:
    writer = Writer(database_url, clock, tmp_path)
    with away(database_url):
        await writer.put("futures_1m", futures_bars([1.0]))
    async with asyncio.timeout(20):
        while writer.spooled != (0, 0):
            await clock.sleep(1)
    assert await closes(store) == [1.0]
    await writer.close()


async def test_the_spool_survives_the_death_of_its_process(
    database_url: str, store: Store, clock: ScaledClock, tmp_path: Path
) -> None:
    dead = Writer(database_url, clock, tmp_path)
    with away(database_url):
        await dead.put("futures_1m", futures_bars([1.0, 2.0]))
        await dead.close()
    writer = Writer(database_url, clock, tmp_path)
    await writer.put("futures_1m", futures_bars([2.5], start=OPEN + MINUTE))
    await writer.close()
    assert await closes(store) == [1.0, 2.5]


async def test_a_damaged_spool_file_is_set_aside_and_logged_and_the_others_are_merged(
    database_url: str,
    store: Store,
    clock: ScaledClock,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    dead = Writer(database_url, clock, tmp_path)
    with away(database_url):
        for n in range(3):
            await dead.put("futures_1m", futures_bars([float(n)], start=OPEN + n * MINUTE))
        await dead.close()
    first, second, _ = files(tmp_path)
    first.write_bytes(first.read_bytes()[:-100])
    content = bytearray(second.read_bytes())
    content[len(content) // 2] ^= 1
    second.write_bytes(content)
    writer = Writer(database_url, clock, tmp_path)
    caplog.clear()
    assert await writer.drain() == MergeCounts(inserted=1)
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
    assert all(str(tmp_path / "damaged") in message for message in caplog.messages)
    assert len(files(tmp_path / "damaged")) == 2
    assert await closes(store) == [2.0]
    await writer.close()


async def test_a_batch_that_the_server_refuses_is_kept_and_the_others_are_merged(
    database_url: str, store: Store, clock: ScaledClock, tmp_path: Path
) -> None:
    writer = Writer(database_url, clock, tmp_path)
    bad, good = futures_bars([1.0], symbol="A01\0x"), futures_bars([2.0], symbol="A01612")
    refused, stored = await asyncio.gather(
        writer.put("futures_1m", bad), writer.put("futures_1m", good), return_exceptions=True
    )
    assert isinstance(refused, InputError)
    assert stored == MergeCounts(inserted=1)
    assert len(files(tmp_path / "refused")) == 1
    await writer.close()


async def test_a_batch_of_another_schema_is_refused_before_it_is_queued(
    database_url: str, clock: ScaledClock, tmp_path: Path
) -> None:
    writer = Writer(database_url, clock, tmp_path)
    with pytest.raises(SchemaMismatch):
        await writer.put("stocks_1m", futures_bars([1.0]))
    await writer.close()


async def test_with_neither_server_nor_disk_a_batch_waits_until_one_is_back(
    database_url: str, store: Store, clock: ScaledClock, tmp_path: Path, caplog
) -> None:
    writer = Writer(database_url, clock, tmp_path)
    with away(database_url):
        with full_disk():
            put = asyncio.create_task(writer.put("futures_1m", futures_bars([1.0])))
            await clock.sleep(20)
            assert not put.done()
            assert 1 <= caplog.text.count("neither the database nor the disk") <= 6
        assert await put == MergeCounts(spooled=1)
    await writer.drain()
    assert await closes(store) == [1.0]
    await writer.close()


async def test_a_full_disk_does_not_stop_the_spool_from_being_merged(
    database_url: str, store: Store, clock: ScaledClock, tmp_path: Path
) -> None:
    """A batch that could not be spooled waited for the spool to be merged, and the spool for it."""
    writer = Writer(database_url, clock, tmp_path)
    with away(database_url):
        assert await writer.put("futures_1m", futures_bars([1.0])) == MergeCounts(spooled=1)
    with full_disk():
        with away(database_url):
            put = asyncio.create_task(writer.put("futures_1m", futures_bars([2.0])))
            await clock.sleep(5)
            assert not put.done()
        async with asyncio.timeout(20):
            assert await put == MergeCounts(changed=1)
    assert await closes(store) == [2.0]
    await writer.close()


async def test_a_batch_refused_while_the_disk_is_full_raises_the_refusal(
    database_url: str, clock: ScaledClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer = Writer(database_url, clock, tmp_path)
    with full_disk(), pytest.raises(InputError):
        await writer.put("futures_1m", futures_bars([1.0], symbol="A01\0x"))
    assert "does not take a batch that was refused" in caplog.text
    await writer.close()


async def test_a_refused_batch_behind_a_damaged_one_is_the_one_set_aside(
    database_url: str, store: Store, clock: ScaledClock, tmp_path: Path
) -> None:
    dead = Writer(database_url, clock, tmp_path)
    with away(database_url):
        await dead.put("futures_1m", futures_bars([1.0]))
        await dead.put("futures_1m", futures_bars([2.0], symbol="A01\0x"))
        await dead.close()
    first, second = files(tmp_path)
    first.write_bytes(first.read_bytes()[:-100])
    writer = Writer(database_url, clock, tmp_path)
    assert await writer.drain() == MergeCounts()
    assert [path.name for path in files(tmp_path / "damaged")] == [first.name]
    assert [path.name for path in files(tmp_path / "refused")] == [second.name]
    await writer.close()
