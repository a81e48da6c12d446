"""Old trades leave the database for files, are read as before, and never get lost on the way."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from datetime import date, datetime
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from engine.clock import WallClock
from engine.errors import StoreError, StoreUnreachable
from engine.history import trades as history_trades
from engine.history.snapshots import snapshot
from engine.history.trades import ORDER, scan_trades
from engine.store import Store, trade_files
from engine.store.connection import Connection, Cursor
from engine.store.merge import complete_rows, merge_tables
from engine.store.trade_files import TradeFiles, file_of, sessions_in_files
from tests.databases import LONG
from tests.engine.store.trades import trades
from tests.paths import ROOT

DAYS = [date(2025, 9, day) for day in (1, 2, 3)]
TODAY = date(2025, 10, 2)  # 30 days after the second of them
NOW = datetime(2025, 10, 2, 16)
# Kills itself at the moment that its argument names, as SIGKILL would.
MOVER = """
import os, signal, sys
from datetime import date, datetime
from pathlib import Path
from engine.store import trade_files
url, folder, moment = sys.argv[1:]
def die(*args, **named):
    os.kill(os.getpid(), signal.SIGKILL)
calls = {"reading": "_rows", "before the file": "_sums_in_file", "before the drop": "_drop"}
if moment == "in the drop":
    trade_files.literal = lambda value: die() if value == str(Path(folder)) else kept(value)
    from engine.store.identifiers import literal as kept
elif moment == "while writing":
    trade_files.schemas.conform = die
else:
    setattr(trade_files, calls[moment], die)
trade_files.TradeFiles(Path(folder), 30).move(url, date(2025, 10, 2), datetime(2025, 10, 2, 16))
"""
MOMENTS = ["before the drop"]
if LONG:
    MOMENTS += ["reading", "while writing", "before the file", "in the drop"]


@pytest.fixture
async def filled(store: Store) -> Store:
    for day in DAYS:
        await store.merge("trades", trades(day))
    return store


async def move(store: Store, folder: Path, today: date = TODAY) -> dict[date, int]:
    files = TradeFiles(folder, 30)
    return await store.clock.thread(files.move, store.url, today, NOW)


def read(store: Store, folder: Path) -> pl.DataFrame:
    return scan_trades(store.url, folder).collect()


async def partitions(store: Store) -> list[str]:
    found = await store.query(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits"
        " WHERE inhparent = 'trades'::regclass ORDER BY name"
    )
    return found["name"].to_pylist()


async def test_old_sessions_leave_and_are_read_as_before(filled: Store, tmp_path: Path) -> None:
    before = read(filled, tmp_path)
    assert before.height == 300
    assert await move(filled, tmp_path) == {DAYS[0]: 100}
    assert await move(filled, tmp_path) == {}
    assert await partitions(filled) == ["trades_20250902", "trades_20250903"]
    assert_frame_equal(read(filled, tmp_path), before)
    assert await move(filled, tmp_path, date(2025, 11, 1)) == {DAYS[1]: 100, DAYS[2]: 100}
    assert await partitions(filled) == []
    assert_frame_equal(read(filled, tmp_path), before)
    assert before.equals(before.sort(*ORDER))
    left = pl.DataFrame(await filled.query("SELECT * FROM trade_files ORDER BY session"))
    assert left.rows() == [(day, 100, str(tmp_path), NOW) for day in DAYS]


async def test_queries_give_the_same_of_both(filled: Store, tmp_path: Path) -> None:
    await move(filled, tmp_path)
    frame = scan_trades(filled.url, tmp_path)
    whole = frame.collect()
    hour = pl.col("traded_at").is_between(datetime(2025, 9, 1, 9, 1), datetime(2025, 9, 2, 9, 1))
    for query in (
        lambda f: f.filter(pl.col("symbol") == "A01612", hour).select("price", "size"),
        lambda f: f.filter(pl.col("price") * 2 > 701.5).select("session", "day_volume"),
        lambda f: f.head(130).filter(pl.col("symbol") == "A01612"),
        lambda f: f.head(130).select("traded_at"),
        lambda f: f.group_by("session").agg(pl.len(), pl.col("size").sum()).sort("session"),
        lambda f: f.select("price").head(3),
        lambda f: f.tail(3),
    ):
        assert_frame_equal(query(frame).collect(), query(whole.lazy()).collect())
    newest = scan_trades(filled.url, tmp_path, order_by=["traded_at", "symbol"], descending=True)
    assert newest.head(2).collect()["traded_at"].to_list() == [datetime(2025, 9, 3, 9, 1, 38)] * 2
    assert scan_trades(filled.url, tmp_path, order_by=()).collect().height == 300


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_kill_at_any_point_loses_nothing(
    filled: Store, tmp_path: Path, moment: str
) -> None:
    before = read(filled, tmp_path)
    assert kill_mover(filled.url, tmp_path, moment) == -9
    assert_frame_equal(read(filled, tmp_path), before)
    assert await move(filled, tmp_path) == {DAYS[0]: 100}
    assert_frame_equal(read(filled, tmp_path), before)
    assert names(tmp_path) == {".moving.lock", "trades_20250901.parquet"}


def kill_mover(url: str, folder: Path, moment: str) -> int:
    command = [sys.executable, "-c", MOVER, url, str(folder), moment]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def test_trades_that_come_after_their_session_has_left_are_joined(
    filled: Store, tmp_path: Path
) -> None:
    await move(filled, tmp_path)
    late = trades(DAYS[0], count=60)  # ten more of each, and fifty that came before
    await Store(filled.url, WallClock()).merge("trades", late)
    before = read(filled, tmp_path)
    assert before.height == 320
    assert await move(filled, tmp_path) == {DAYS[0]: 120}
    after = read(filled, tmp_path)
    assert_frame_equal(after, before)
    assert after.filter(session=DAYS[0])["committed_at"].n_unique() == 2


async def test_a_folder_may_have_signs_that_patterns_have(filled: Store, tmp_path: Path) -> None:
    folder = tmp_path / "trades [2]"
    await move(filled, folder)
    await Store(filled.url, WallClock()).merge("trades", trades(DAYS[0], count=60))
    before = read(filled, folder)
    assert await move(filled, folder) == {DAYS[0]: 120}
    assert_frame_equal(read(filled, folder), before)


async def test_a_merge_between_reading_and_dropping_keeps_the_partition(
    filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop = trade_files._drop

    def merge_first(connection, *args: object) -> bool:
        with connection.transaction() as cursor:
            cursor.execute("UPDATE trades SET day_turnover = 1e9 WHERE day_volume = 10")
        return drop(connection, *args)

    monkeypatch.setattr(trade_files, "_drop", merge_first)
    assert await move(filled, tmp_path) == {}
    assert len(await partitions(filled)) == 3
    monkeypatch.undo()
    assert await move(filled, tmp_path) == {DAYS[0]: 100}


async def test_a_merge_that_waits_for_the_drop_does_not_stop_it(
    filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a session trades are merged all the time: `just export` ended in a deadlock."""
    sums, calls = trade_files._sums_stored, []
    waiting = (
        "SELECT 1 FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    with ThreadPoolExecutor(1) as pool, closing(Connection(filled.url, "merge")) as other:
        complete = complete_rows(trade_files.TRADES, [trades(DAYS[2], count=60)], NOW)

        def merge_meanwhile(cursor: Cursor, session: date) -> dict[str, int]:
            found = sums(cursor, session)
            calls.append(session)
            if len(calls) == 2:  # in the drop, which holds the lock of merges
                parts = [(trade_files.TRADES, complete)]
                merged.append(pool.submit(merge_tables, other, parts))
                with closing(Connection(filled.url, "watcher")) as watcher:
                    while not watcher.query(waiting).num_rows:
                        assert not merged[0].done()
            return found

        merged: list[Future[list[pl.DataFrame]]] = []
        monkeypatch.setattr(trade_files, "_sums_stored", merge_meanwhile)
        assert await move(filled, tmp_path) == {DAYS[0]: 100}
        assert merged[0].result()[0]["inserted"].sum() == 20


async def test_a_file_that_is_not_what_was_written_keeps_the_partition(
    filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk lies: what is read back differs."""
    monkeypatch.setattr(trade_files.schemas, "conform", lose_a_row(trade_files.schemas.conform))
    with pytest.raises(StoreError, match="does not hold what was written"):
        await move(filled, tmp_path)
    monkeypatch.undo()
    assert len(await partitions(filled)) == 3
    assert await move(filled, tmp_path) == {DAYS[0]: 100}


async def test_a_file_that_is_not_what_was_written_takes_nothing_from_the_file_before(
    filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing but the file of before has the trades that have left."""
    await move(filled, tmp_path)
    await Store(filled.url, WallClock()).merge("trades", trades(DAYS[0], count=60))
    before = read(filled, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(trade_files.schemas, "conform", lose_a_row(trade_files.schemas.conform))
        with pytest.raises(StoreError, match="does not hold what was written"):
            await move(filled, tmp_path)
    assert_frame_equal(read(filled, tmp_path), before)
    assert await move(filled, tmp_path) == {DAYS[0]: 120}
    assert_frame_equal(read(filled, tmp_path), before)
    assert names(tmp_path) == {".moving.lock", "trades_20250901.parquet"}


async def test_trades_that_leave_while_their_file_is_read_are_read(
    filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were in the database when the file was opened, and in the file when it was asked."""
    await move(filled, tmp_path)
    await Store(filled.url, WallClock()).merge("trades", trades(DAYS[0], count=60))
    before = read(filled, tmp_path)
    stored = history_trades._stored

    def move_first(*arguments: object) -> pl.DataFrame:
        TradeFiles(tmp_path, 30).move(filled.url, TODAY, NOW)
        return stored(*arguments)

    monkeypatch.setattr(history_trades, "_stored", move_first)
    assert_frame_equal(read(filled, tmp_path), before)


def lose_a_row(conform):
    return lambda frame, schema: conform(frame.tail(-1), schema)


async def test_a_reader_of_the_partition_is_not_waited_for(
    filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trade_files, "_LOCK_TIMEOUT", "100ms")
    with (
        snapshot(filled.url, "LOCK TABLE trades IN ACCESS SHARE MODE"),
        pytest.raises(StoreUnreachable, match="lock timeout"),
    ):
        await move(filled, tmp_path)
    assert len(await partitions(filled)) == 3
    assert await move(filled, tmp_path) == {DAYS[0]: 100}


async def test_files_on_another_machine_are_named(
    filled: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await move(filled, tmp_path)
    assert read(filled, tmp_path / "elsewhere").height == 200
    assert "trades of 1 sessions (2025-09-01 to 2025-09-01) are missing here" in caplog.text
    assert str(tmp_path) in caplog.text


async def test_files_are_for_their_owner_and_any_engine(filled: Store, tmp_path: Path) -> None:
    await move(filled, tmp_path)
    path = file_of(tmp_path, DAYS[0])
    assert path.stat().st_mode & 0o077 == 0
    assert sessions_in_files(tmp_path) == DAYS[:1]
    frame = pl.read_parquet(path)
    assert frame.equals(frame.sort("symbol", "day_volume"))
    assert columns(frame) == columns(scan_trades(filled.url, tmp_path).collect())


def columns(frame: pl.DataFrame) -> Sequence[tuple[str, object]]:
    return list(frame.schema.items())


def test_what_is_not_ours_in_the_folder_is_no_session(tmp_path: Path) -> None:
    """Eight digits that are not a day ended in a ValueError."""
    for name in ("trades_99999999.parquet", "trades_20260105 - Copy.parquet", "x.parquet"):
        (tmp_path / name).touch()
    (tmp_path / "trades_20260106.parquet").mkdir()
    (tmp_path / "trades_20260107.parquet").touch()
    assert sessions_in_files(tmp_path) == [date(2026, 1, 7)]
