"""The book of futures in Parquet, beside the database: parts that become one file a day.

    FOLDER/{YYYYMMDD}/{first receipt, in microseconds of the day}.parquet    while the day lasts
    FOLDER/book_{YYYYMMDD}.parquet                                           afterwards

A part has the updates of a minute or so. Every file appears whole or not at all, so whoever is
killed loses what had not been written yet and nothing else, and the day can be read at any time.
The file of a day names the parts that are in it: a reader leaves those out, so that a kill between
its writing and the removal of the parts doubles nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import StoreError
from engine.files import atomic_writer, day_of_name, private_folder, remove_unfinished
from engine.schemas import BOOK, conform

FOLDER = "book"  # in the folder of everything that belongs to a kind of data
FRAME = pl.Schema(BOOK)
_PARTS = b"krt.parts"  # the names of the parts that a day's file holds
_ORDER = ["symbol", "received_at"]
_OURS = re.compile(r"(book_)?([0-9]{8})(?(1)\.parquet)", re.ASCII)
_PART = re.compile(r"[0-9]{12,}\.parquet", re.ASCII)


def write_part(folder: Path, session: date, rows: pa.RecordBatch) -> Path:
    """Write rows (BOOK) of a session as a part; return its path. Raises OSError."""
    first = min(rows["received_at"].to_pylist())
    moment = (first - datetime.combine(session, datetime.min.time())) // timedelta(microseconds=1)
    private_folder(folder)
    day = private_folder(folder / f"{session:%Y%m%d}")
    path = day / f"{moment:012d}.parquet"
    _write(path, pl.DataFrame(rows), [])
    return path


def join_parts(folder: Path, session: date) -> int:
    """Make the parts of a session, and the file that it may have, into one file.

    Returns how many rows the file has now; 0 without any. Raises OSError, StoreError.
    """
    day, path = folder / f"{session:%Y%m%d}", _file(folder, session)
    if not day.is_dir():
        return _rows_in(path)
    remove_unfinished(day)
    parts = _parts_in(day)
    if not parts:
        return _rows_in(path)
    known = _names_in(path)
    rows = _read([*([path] if path.is_file() else []), *_new(parts, known)])
    if rows.height:
        _write(path, rows.sort(_ORDER, maintain_order=True), [*known, *(p.name for p in parts)])
    for part in parts:
        part.unlink()
    with suppress(OSError):  # something else lies in it
        day.rmdir()
    return rows.height


def forget_after(folder: Path, session: date, moment: datetime) -> None:
    """Remove what was received after a moment: a simulated day is played again from there.

    Raises OSError, StoreError.
    """
    join_parts(folder, session)
    path = _file(folder, session)
    if not path.exists():
        return
    kept = _read([path]).filter(pl.col("received_at") < moment)
    _write(path, kept, []) if kept.height else path.unlink()


def remove_all(folder: Path) -> None:
    """Remove the files of all sessions: the database that they belong to is emptied."""
    for session in sessions(folder):
        for part in (folder / f"{session:%Y%m%d}").glob("*"):
            part.unlink()
        with suppress(FileNotFoundError):
            (folder / f"{session:%Y%m%d}").rmdir()
        _file(folder, session).unlink(missing_ok=True)


def scan_files(folder: Path) -> pl.LazyFrame:
    """Return everything in the folder as a lazy frame in BOOK, by session, symbol and receipt.

    A day that is not over is there as far as it is written. Raises StoreError.
    """
    files = list(_all_files(folder))
    if not files:
        return pl.LazyFrame(schema=FRAME)
    # one after another: they follow each other in time, and a day has few symbols
    return pl.scan_parquet(files, schema=FRAME, glob=False)


def sessions(folder: Path) -> list[date]:
    """Return the sessions of which the folder has anything, in order."""
    return sorted({day for path in folder.glob("*") if (day := _session_of(path))})


def _all_files(folder: Path) -> Iterator[Path]:
    for session in sessions(folder):
        path = _file(folder, session)
        if path.is_file():
            yield path
        yield from _new(_parts_in(folder / f"{session:%Y%m%d}"), _names_in(path))


def _session_of(path: Path) -> date | None:
    """Return the session of a day's folder or file; None of what is not ours."""
    name = _OURS.fullmatch(path.name)
    is_there = name is not None and (path.is_file() if name[1] else path.is_dir())
    return day_of_name(name[2]) if name is not None and is_there else None


def _parts_in(day: Path) -> list[Path]:
    """Return the parts in a day's folder, in order. What else lies there is not ours."""
    return sorted(p for p in day.glob("*.parquet") if _PART.fullmatch(p.name) and p.is_file())


def _rows_in(path: Path) -> int:
    return pq.read_metadata(path).num_rows if path.is_file() else 0


def _new(parts: list[Path], known: list[str]) -> list[Path]:
    return [path for path in parts if path.name not in known]


def _file(folder: Path, session: date) -> Path:
    return folder / f"book_{session:%Y%m%d}.parquet"


def _names_in(path: Path) -> list[str]:
    if not path.is_file():
        return []
    try:
        metadata = pq.read_schema(path).metadata or {}
        names: list[str] = json.loads(metadata.get(_PARTS, b"[]"))
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        raise StoreError(f"a file of the book cannot be read: {path}: {error}") from error
    return names


def _read(paths: list[Path]) -> pl.DataFrame:
    frames = [FRAME.to_frame()]
    for path in paths:
        try:
            frames.append(pl.read_parquet(path, glob=False).match_to_schema(FRAME))
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            raise StoreError(f"a file of the book cannot be read: {path}: {error}") from error
    return pl.concat(frames)


def _write(path: Path, rows: pl.DataFrame, parts: list[str]) -> None:
    schema = BOOK.with_metadata({_PARTS: json.dumps(parts).encode()})
    with (
        atomic_writer(path, private=True) as file,
        pq.ParquetWriter(file, schema, compression="zstd") as writer,
    ):
        writer.write_batch(conform(rows, BOOK).replace_schema_metadata(schema.metadata))
