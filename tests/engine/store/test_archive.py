"""Old months of bars leave the database for files, are read as before, and never get lost."""

from __future__ import annotations

import hashlib
import itertools
import subprocess
import sys
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
from polars.testing import assert_frame_equal

from engine.clock import WallClock
from engine.errors import StoreError
from engine.history.gaps import find_gaps
from engine.history.parquet import scan_parquet
from engine.history.queries import read_bars, read_date_range, read_spans, read_stamps
from engine.history.scan import scan
from engine.history.snapshots import snapshot
from engine.schemas import FEED, FILE, KEPT_SESSIONS, REST
from engine.store import MergeCounts, Store, archive
from engine.store.archive import BarArchive, file_of
from engine.store.connection import Connection
from engine.store.export import copies, export
from tests.databases import LONG
from tests.engine.store.data import MINUTE, batch, stock_bars
from tests.paths import ROOT

MONTHS = [date(2025, 9, 1), date(2025, 10, 1), date(2025, 11, 1)]
SYMBOLS = ["000660", "005930", "0009K0"]
BARS = 40  # of each symbol and month
TODAY, NOW = date(2025, 11, 28), datetime(2025, 11, 28, 16)
MOMENTS = ["before the drop", "in the drop"]
if LONG:
    MOMENTS += ["reading", "while writing", "before the proof"]
# Kills itself at the moment that its argument names, as SIGKILL would.
MOVER = """
import os, signal, sys
from datetime import date, datetime
from pathlib import Path
from engine.store import archive
url, folder, moment = sys.argv[1:]
def die(*args, **named):
    os.kill(os.getpid(), signal.SIGKILL)
calls = {"reading": "_rows", "before the proof": "_figures_in_file", "before the drop": "_drop"}
if moment == "in the drop":
    kept = archive.stored_months
    seen = []
    archive.stored_months = lambda cursor: die() if seen else seen.append(1) or kept(cursor)
elif moment == "while writing":
    archive.schemas.conform = die
else:
    setattr(archive, calls[moment], die)
archive.BarArchive(Path(folder), 1).move(url, date(2025, 11, 28), datetime(2025, 11, 28, 16))
"""


def start(month: date) -> datetime:
    return datetime(month.year, month.month, 3, 9, 1)


async def seal(store: Store, months: list[date] = MONTHS, *, validated: bool = True) -> None:
    counts = dict.fromkeys(("owed", "stored", "no_trade", "unavailable", "refused", "open"), 0)
    rows = [
        {"symbol": symbol, "session": start(month).date(), "market": "stocks", **counts}
        | {"stored": BARS, "validated": validated, "updated_at": NOW}
        for symbol, month in itertools.product(SYMBOLS, months)
    ]
    await store.merge("kept_sessions", batch(pl.DataFrame(rows), KEPT_SESSIONS))


@pytest.fixture
async def filled(store: Store) -> Store:
    for symbol, month in itertools.product(SYMBOLS, MONTHS):
        prices = [float(1000 + n) for n in range(BARS)]
        source = FEED if symbol == SYMBOLS[0] else REST
        bars = stock_bars(prices, symbol=symbol, start=start(month), source=source)
        await store.merge("stocks_1m", bars)
    await seal(store)
    return store


async def move(store: Store, folder: Path, keep: int = 1) -> dict[date, int]:
    return await store.clock.thread(BarArchive(folder, keep).move, store.url, TODAY, NOW)


def read(store: Store) -> pl.DataFrame:
    return scan("stocks_1m", store.url).collect()


async def partitions(store: Store) -> list[str]:
    found = await store.query(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits"
        " WHERE inhparent = 'stocks_1m'::regclass ORDER BY name"
    )
    return found["name"].to_pylist()


async def test_old_months_leave_and_are_read_as_before(filled: Store, tmp_path: Path) -> None:
    before = read(filled)
    assert before.height == 9 * BARS
    assert await move(filled, tmp_path) == {MONTHS[0]: 3 * BARS}
    assert await move(filled, tmp_path) == {}
    assert "stocks_1m_202509" not in await partitions(filled)
    assert_frame_equal(read(filled), before)
    left = pl.DataFrame(await filled.query("SELECT * FROM archived_months")).row(0, named=True)
    file = file_of(tmp_path, MONTHS[0])
    day = start(MONTHS[0]).date()
    assert left == {
        "table_name": "stocks_1m",
        "month": MONTHS[0],
        "rows": 3 * BARS,
        "bytes": file.stat().st_size,
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "first_session": day,
        "last_session": day,
        "folder": str(tmp_path),
        "archived_at": NOW,
    }
    lake = scan_parquet("stocks_1m", tmp_path).collect()
    old = before.filter(pl.col("timestamp") < datetime(2025, 10, 1))
    assert_frame_equal(lake.select(old.columns), old)
    statistics = pq.read_metadata(file).row_group(0).column(1).statistics
    assert (statistics.min, statistics.max) == (min(SYMBOLS), max(SYMBOLS))


async def test_without_the_setting_nothing_leaves(filled: Store, tmp_path: Path) -> None:
    keep_all = BarArchive(tmp_path, None)
    assert await filled.clock.thread(keep_all.move, filled.url, TODAY, NOW) == {}
    assert names(tmp_path) == []


async def test_queries_give_the_same_of_both(filled: Store, tmp_path: Path) -> None:
    whole = read(filled).lazy()
    gaps = await all_reads(filled)
    await move(filled, tmp_path)
    late = stock_bars([5.0, 6.0], symbol="005930", start=start(MONTHS[0]) + BARS * MINUTE)
    await filled.merge("stocks_1m", late)  # is in the database again, beside the file
    added = read(filled).join(whole.collect(), on=["symbol", "timestamp"], how="anti")
    assert added["close"].to_list() == [5.0, 6.0]
    whole = pl.concat([whole, added.lazy()]).sort("symbol", "timestamp", "timeframe")
    frame = scan("stocks_1m", filled.url)
    span = pl.col("timestamp").is_between(datetime(2025, 9, 3, 9, 30), datetime(2025, 10, 5))
    for query in (
        lambda f: f.filter(pl.col("symbol") == "005930", span).select("close", "volume"),
        lambda f: f.filter(pl.col("close") * 2 > 2050.5).select("symbol", "timestamp"),
        lambda f: f.head(130).filter(pl.col("symbol") == "0009K0"),
        lambda f: f.head(130).select("timestamp"),
        lambda f: f.group_by("symbol").agg(pl.len(), pl.col("volume").sum()).sort("symbol"),
        lambda f: f.select("close").head(3),
        lambda f: f.tail(3),
    ):
        assert_frame_equal(query(frame).collect(), query(whole).collect())
    unordered = scan("stocks_1m", filled.url, order_by=())
    assert_frame_equal(unordered.sort("symbol", "timestamp").collect(), whole.collect())
    assert unordered.head(200).collect().height == 200
    newest = scan("stocks_1m", filled.url, order_by=["timestamp"], descending=True).head(2)
    assert newest.collect()["timestamp"].to_list() == [start(MONTHS[2]) + 39 * MINUTE] * 2
    found = await all_reads(filled)
    old = found["bars"].filter(pl.col("close") >= 1000)
    assert_frame_equal(old, gaps["bars"])
    assert found["bars"].height == old.height + 2
    assert found["stamps"].height == gaps["stamps"].height + 2
    assert_frame_equal(found["spans"], gaps["spans"])
    assert found["range"] == gaps["range"]
    missing = [frame["bars"].sum() for frame in (found["gaps"], gaps["gaps"])]
    assert missing[0] == missing[1] - 2


async def all_reads(store: Store) -> dict[str, Any]:
    first, last = date(2025, 9, 1), date(2025, 11, 30)
    targets = pl.DataFrame(
        list(itertools.product(SYMBOLS, [start(month).date() for month in MONTHS[:2]])),
        {"symbol": pl.String, "session": pl.Date},
        orient="row",
    )
    return {
        "bars": (await read_bars(store, SYMBOLS, first, last)).sort("symbol", "timestamp"),
        "stamps": (await read_stamps(store, SYMBOLS, first, last)).sort("symbol", "stamp"),
        "spans": await read_spans(store),
        "range": await read_date_range(store),
        "gaps": await find_gaps(store, targets, store.clock),
    }


async def test_an_export_has_the_months_that_are_in_files_alone(
    filled: Store, tmp_path: Path
) -> None:
    """Also where bars of such a month came late: they must not become the whole month."""
    before = read(filled)
    await move(filled, tmp_path / "archive")
    await filled.merge("stocks_1m", stock_bars([5.0], start=start(MONTHS[0]), fetched=NOW))
    sealed = pl.DataFrame(await filled.query("SELECT symbol, session FROM kept_sessions"))
    for again in (False, True):
        made = export(filled.url, tmp_path / "export", sealed).filter(table="stocks_1m")
        assert made["rows"].to_list() == [3 * BARS] * 3
        assert made["written"].to_list() == [not again] * 3
    lake = scan_parquet("stocks_1m", tmp_path / "export").collect()
    assert_frame_equal(lake.select(before.columns), before)
    await move(filled, tmp_path / "archive")
    made = export(filled.url, tmp_path / "export", sealed).filter(table="stocks_1m")
    assert made["written"].to_list() == [True, False, False]
    lake = scan_parquet("stocks_1m", tmp_path / "export").collect()
    assert_frame_equal(lake.select(before.columns), read(filled))


async def test_bars_of_files_are_read_beside_a_current_export(
    filled: Store, tmp_path: Path
) -> None:
    sealed = pl.DataFrame(await filled.query("SELECT symbol, session FROM kept_sessions"))
    export(filled.url, tmp_path / "export", sealed)
    await move(filled, tmp_path / "archive")
    current = await copies(filled, tmp_path / "export")
    span = SYMBOLS, date(2025, 9, 1), date(2025, 11, 30)
    assert (await read_bars(filled, *span, current)).height == 9 * BARS


@pytest.mark.parametrize("moment", MOMENTS)
async def test_a_kill_at_any_point_loses_nothing(
    filled: Store, tmp_path: Path, moment: str
) -> None:
    before = read(filled)
    assert kill_mover(filled.url, tmp_path, moment) == -9
    assert_frame_equal(read(filled), before)
    assert await move(filled, tmp_path) == {MONTHS[0]: 3 * BARS}
    assert_frame_equal(read(filled), before)
    assert names(file_of(tmp_path, MONTHS[0]).parent) == ["stocks_1m.parquet"]


def kill_mover(url: str, folder: Path, moment: str) -> int:
    command = [sys.executable, "-c", MOVER, url, str(folder), moment]
    return subprocess.run(command, cwd=ROOT, check=False).returncode


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_a_merge_into_a_month_in_a_file_is_as_if_it_had_never_left(
    filled: Store, tmp_path: Path
) -> None:
    """KIS stands, a file gives way, what is replaced is kept, the counts are those of before."""
    await move(filled, tmp_path)
    begin = start(MONTHS[0])
    by_kis = stock_bars([7.0, 1001.0], symbol="005930", start=begin, fetched=NOW)
    assert await filled.merge("stocks_1m", by_kis) == MergeCounts(0, 1, 1)
    by_file = stock_bars([9.0] * 3, symbol="005930", start=begin, source=FILE, fetched=NOW)
    assert await filled.merge("stocks_1m", by_file) == MergeCounts(0, 0, 3)
    confirmed = stock_bars([1000.0], symbol="000660", start=begin, fetched=NOW)
    assert await filled.merge("stocks_1m", confirmed) == MergeCounts(0, 0, 1)
    fresh = stock_bars([3.0], symbol="005930", start=begin - MINUTE, fetched=NOW)
    assert await filled.merge("stocks_1m", fresh) == MergeCounts(inserted=1)
    kept = pl.DataFrame(await filled.query("SELECT close, new_close FROM replaced_bars"))
    assert kept.rows() == [(1000.0, 7.0)]
    before = read(filled)
    of_month = before.filter(symbol="005930").sort("timestamp")["close"].to_list()
    assert of_month[:4] == [3.0, 7.0, 1001.0, 1002.0]
    assert before.filter(symbol="000660")["confirmed_at"].to_list()[:2] == [NOW, None]
    assert await move(filled, tmp_path) == {MONTHS[0]: 3 * BARS + 1}
    assert_frame_equal(read(filled), before)


async def test_a_folder_may_have_signs_that_patterns_have(filled: Store, tmp_path: Path) -> None:
    """Polars takes a path for a pattern, and [2] for the sign 2: another folder may be meant."""
    folder = tmp_path / "bars [2]"
    await move(filled, folder / "archive")
    late = stock_bars([5.0], symbol="005930", start=start(MONTHS[0]), fetched=NOW)
    assert await filled.merge("stocks_1m", late) == MergeCounts(changed=1)
    before = read(filled)
    assert await move(filled, folder / "archive") == {MONTHS[0]: 3 * BARS}
    assert_frame_equal(read(filled), before)
    export(filled.url, folder / "export", before.select("symbol", session=pl.col("timestamp")))
    assert_frame_equal(scan_parquet("stocks_1m", folder / "export").collect(), before)
    span = SYMBOLS, MONTHS[0], MONTHS[2]
    current = await copies(filled, folder / "export")
    assert (await read_bars(filled, *span, current)).height == 6 * BARS


async def test_a_store_that_merged_before_a_month_left_merges_into_it_afterwards(
    filled: Store, tmp_path: Path
) -> None:
    other = Store(filled.url, WallClock())
    await move(other, tmp_path)
    late = stock_bars([5.0], symbol="005930", start=start(MONTHS[0]) - MINUTE)
    assert await filled.merge("stocks_1m", late) == MergeCounts(inserted=1)
    known = stock_bars([1000.0], symbol="005930", start=start(MONTHS[0]))
    assert await filled.merge("stocks_1m", known) == MergeCounts(unchanged=1)
    await other.close()


async def test_a_store_that_has_not_seen_a_month_leave_finds_what_it_had(
    filled: Store, tmp_path: Path
) -> None:
    """Another store has made the partition anew: nothing tells that the bars are in a file."""
    other = Store(filled.url, WallClock())
    await move(other, tmp_path)
    late = stock_bars([5.0], symbol="005930", start=start(MONTHS[0]) - MINUTE)
    assert await other.merge("stocks_1m", late) == MergeCounts(inserted=1)
    await other.close()
    before = read(filled)
    by_file = stock_bars([9.0], symbol="005930", start=start(MONTHS[0]), source=FILE, fetched=NOW)
    assert await filled.merge("stocks_1m", by_file) == MergeCounts(unchanged=1)
    assert_frame_equal(read(filled), before)


async def test_a_month_with_a_session_that_is_not_validated_stays(
    filled: Store, tmp_path: Path
) -> None:
    await filled.execute("UPDATE kept_sessions SET validated = false WHERE symbol = '005930'")
    assert await move(filled, tmp_path) == {}
    await filled.execute("UPDATE kept_sessions SET validated = true, open = 3")
    assert await move(filled, tmp_path) == {}
    assert "stocks_1m_202509" in await partitions(filled)


async def test_a_file_that_is_not_what_was_written_takes_nothing_from_the_database(
    filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read(filled)
    written = archive.schemas.conform

    def bad_disk(rows: pl.DataFrame, schema: object) -> object:
        return written(rows.with_columns(close=pl.col("close").shift(1, fill_value=1.0)), schema)

    with monkeypatch.context() as patch:
        patch.setattr(archive.schemas, "conform", bad_disk)
        with pytest.raises(StoreError, match="check the disk"):
            await move(filled, tmp_path)
    assert_frame_equal(read(filled), before)
    assert "stocks_1m_202509" in await partitions(filled)


async def test_a_file_that_is_not_what_was_written_takes_nothing_from_the_file_before(
    filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing but the file of before has the bars that have left."""
    await move(filled, tmp_path)
    late = stock_bars([5.0], symbol="005930", start=start(MONTHS[0]) - MINUTE)
    await filled.merge("stocks_1m", late)
    before = read(filled)
    written = archive.schemas.conform

    def bad_disk(rows: pl.DataFrame, schema: object) -> object:
        return written(rows.with_columns(close=pl.lit(1.0)), schema)

    with monkeypatch.context() as patch:
        patch.setattr(archive.schemas, "conform", bad_disk)
        with pytest.raises(StoreError, match="check the disk"):
            await move(filled, tmp_path)
    assert_frame_equal(read(filled), before)
    assert await move(filled, tmp_path) == {MONTHS[0]: 3 * BARS + 1}
    assert_frame_equal(read(filled), before)
    assert names(file_of(tmp_path, MONTHS[0]).parent) == ["stocks_1m.parquet"]


async def test_bars_that_come_while_a_month_is_written_keep_it_in_the_database(
    filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop = archive._drop
    url = filled.url

    def drop_late(*arguments: object) -> bool:
        connection = Connection(url, "test")
        connection.execute_alone("UPDATE stocks_1m SET close = close + 1 WHERE symbol = '005930'")
        connection.close()
        return drop(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(archive, "_drop", drop_late)
        assert await move(filled, tmp_path) == {}
    assert await move(filled, tmp_path) == {MONTHS[0]: 3 * BARS}
    assert read(filled).filter(symbol="005930")["close"].to_list()[0] == 1001.0


async def test_a_month_whose_file_is_elsewhere_is_an_error_and_never_silence(
    filled: Store, tmp_path: Path
) -> None:
    await move(filled, tmp_path)
    (tmp_path / "stocks_1m").rename(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="2025-09 have left the database for"):
        read(filled)
    with pytest.raises(StoreError, match="is not here"):
        await read_bars(filled, SYMBOLS, MONTHS[0], MONTHS[1])
    with pytest.raises(StoreError, match="is not here"):
        await filled.merge("stocks_1m", stock_bars([1.0], start=start(MONTHS[0])))
    assert (await read_bars(filled, SYMBOLS, MONTHS[1], MONTHS[2])).height == 3 * BARS
    (tmp_path / "moved").mkdir()
    (tmp_path / "elsewhere").rename(tmp_path / "moved" / "stocks_1m")
    archive.rehome(filled.url, tmp_path / "moved")
    assert read(filled).height == 9 * BARS


async def test_a_scan_made_before_a_month_left_says_so(filled: Store, tmp_path: Path) -> None:
    frame = scan("stocks_1m", filled.url)
    await move(filled, tmp_path)
    with pytest.raises(Exception, match="has just left the database: scan them again"):
        frame.collect()


async def test_a_reader_holds_a_month_back_and_the_next_time_it_leaves(
    filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "_LOCK_TIMEOUT", "100ms")
    with (
        snapshot(filled.url, "LOCK TABLE stocks_1m IN ACCESS SHARE MODE"),
        pytest.raises(StoreError, match="lock timeout"),
    ):
        await move(filled, tmp_path)
    assert await move(filled, tmp_path) == {MONTHS[0]: 3 * BARS}


def test_the_age_of_a_month_counts_months_between(tmp_path: Path) -> None:
    assert archive._age(date(2025, 11, 1), date(2025, 11, 1)) == 0
    assert archive._age(date(2024, 12, 1), date(2025, 1, 31)) == 1
    day = date(2025, 12, 31) + timedelta(days=1)
    assert archive._age(MONTHS[0], day) == 4
