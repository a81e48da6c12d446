"""The book's files: whole at any moment, also after a kill, and nothing is in them twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from engine.errors import StoreError
from engine.schemas import BOOK, conform
from engine.store import book_files
from tests.paths import ROOT

DAY = date(2026, 11, 18)
NINE = datetime(2026, 11, 18, 9)
# Writes a part and is killed where its argument says, as by SIGKILL.
WRITER = """
import os, signal, sys
from datetime import date
from pathlib import Path
from engine.store import book_files
from tests.engine.store.test_book_files import book
folder, moment = Path(sys.argv[1]), sys.argv[2]
def die(*args, **named):
    os.kill(os.getpid(), signal.SIGKILL)
book_files.write_part(folder, date(2026, 11, 18), book(0, 5))
book_files.write_part(folder, date(2026, 11, 18), book(5, 9))
if moment == "writing":
    book_files.conform = die
    book_files.write_part(folder, date(2026, 11, 18), book(9, 12))
if moment == "joining":
    Path.unlink = die
    book_files.join_parts(folder, date(2026, 11, 18))
die()
"""


def book(first: int, last: int, symbol: str = "A01612") -> pa.RecordBatch:
    """Return updates number `first` to `last`, a fifth of a second after each other."""
    numbers = pl.DataFrame({"number": range(first, last)})
    received = pl.lit(NINE) + timedelta(milliseconds=200) * pl.col("number")
    values = {
        name: pl.lit(1100.0).cast(kind) + pl.col("number").cast(kind)
        for name, kind in pl.Schema(BOOK).items()
        if kind.is_numeric()
    }
    frame = numbers.with_columns(
        session=pl.lit(DAY),
        symbol=pl.lit(symbol),
        told_at=received.dt.truncate("1s"),
        received_at=received,
        **values,
    )
    return conform(frame, BOOK)


def read(folder: Path) -> pl.DataFrame:
    return book_files.scan_files(folder).collect()


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.integers(0, 5))
def test_whatever_was_written_is_read_in_order_and_once(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], joined_after: int
) -> None:
    folder = tmp_path_factory.mktemp("book [2]")  # a pattern, to Polars
    begins = 0
    for number, size in enumerate(sizes):
        book_files.write_part(folder, DAY, book(begins, begins + size))
        begins += size
        if number == joined_after:
            assert book_files.join_parts(folder, DAY) == begins
    whole = pl.DataFrame(book(0, begins))
    assert_frame_equal(read(folder), whole)
    assert book_files.join_parts(folder, DAY) == begins
    assert book_files.join_parts(folder, DAY) == begins
    assert_frame_equal(read(folder), whole)
    assert [path.name for path in folder.iterdir()] == ["book_20261118.parquet"]
    book_files.forget_after(folder, DAY, NINE + timedelta(milliseconds=300))
    assert read(folder).height == min(begins, 2)


@pytest.mark.parametrize(("moment", "joined"), [("between", 0), ("writing", 0), ("joining", 1)])
def test_a_killed_writer_leaves_a_day_that_can_be_read(
    tmp_path: Path, moment: str, joined: int
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WRITER, str(tmp_path), moment], cwd=ROOT, check=False
    )
    assert done.returncode == -signal.SIGKILL if os.name != "nt" else done.returncode
    whole = pl.DataFrame(book(0, 9))
    assert len(list(tmp_path.glob("book_*.parquet"))) == joined
    assert_frame_equal(read(tmp_path), whole)
    assert book_files.sessions(tmp_path) == [DAY]
    assert book_files.join_parts(tmp_path, DAY) == 9
    assert_frame_equal(read(tmp_path), whole)


def test_a_file_that_is_none_is_told_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "book_20261118.parquet").write_bytes(b"not parquet")
    with pytest.raises(StoreError, match=r"book_20261118\.parquet"):
        read(tmp_path)


def test_an_empty_folder_has_an_empty_book(tmp_path: Path) -> None:
    assert read(tmp_path / "none").is_empty()
    book_files.write_part(tmp_path, DAY, book(0, 1))
    book_files.remove_all(tmp_path)
    assert read(tmp_path).schema == pl.Schema(BOOK)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes in folders")
def test_what_is_not_ours_in_the_folder_stops_nothing_and_stays(tmp_path: Path) -> None:
    """A name of eight digits that are not a day ended in a ValueError, a pipe never."""
    day = book_files.write_part(tmp_path, DAY, book(0, 5)).parent
    (tmp_path / "99999999").mkdir()
    for name in ("book_99999999.parquet", "book_20261119.parquet", "20261120/000000000001.parquet"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        os.mkfifo(tmp_path / name)
    (day / "notes.parquet").write_text("mine")
    assert book_files.sessions(tmp_path) == [DAY, date(2026, 11, 20)]
    assert book_files.scan_files(tmp_path).collect().height == 5
    assert book_files.join_parts(tmp_path, DAY) == 5
    assert book_files.join_parts(tmp_path, DAY) == 5
    assert book_files.join_parts(tmp_path, date(2026, 11, 20)) == 0
    assert book_files.scan_files(tmp_path).collect().height == 5
    assert [path.name for path in day.iterdir()] == ["notes.parquet"]
