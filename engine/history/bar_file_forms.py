"""The forms of a file of bars: Parquet and CSV, read into one table with the columns' own types.

Parquet may be written by `just export`, pandas (whose index is a column of the file), polars or
DuckDB. CSV is UTF-8, with or without Excel's mark at its beginning, UTF-16 or cp949 (Excel in
Korea), separated by commas, semicolons or tabs; everything in it is text here.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from engine.errors import InputError

STAMPS_KEY = "krt.stamps"  # in the file's own metadata
ENDS = "end of minute"
ROW = "row"
_TEXT_FILES = {".csv", ".tsv", ".txt"}
_KOREAN = {  # as HTS and Excel tables name them
    "종목코드": "symbol",
    "일시": "timestamp",
    "시가": "open",
    "고가": "high",
    "저가": "low",
    "종가": "close",
    "거래량": "volume",
}


@dataclass(frozen=True)
class BarTable:
    """The rows of a file as they stand there, with `row`, their number from 0.

    `place` is what people call a row of it, and `first_place` the number of the first.
    """

    path: Path
    rows: pl.DataFrame
    place: str
    first_place: int
    says_ends: bool = False  # `just export` wrote it: its times are the ends of minutes
    all_text: bool = False  # CSV


def read_table(path: Path, columns: Sequence[str]) -> BarTable:
    """Read the columns of a file. Raises InputError, in one line that names the file.

    A header may have capitals or Korean names; where `timestamp` is missing, the index that pandas
    wrote stands for it.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder: name one file of bars in it")
    if not path.is_file():
        raise InputError(f"there is no file {path}: name a Parquet or CSV file of bars")
    is_csv = path.suffix.lower() in _TEXT_FILES
    table = _read_csv(path, columns) if is_csv else _read_parquet(path, columns)
    if table.rows.is_empty():
        raise InputError(f"{path} has no bars")
    return table


def _read_parquet(path: Path, columns: Sequence[str]) -> BarTable:
    try:
        frame = pl.scan_parquet(path, glob=False, hive_partitioning=False)
        schema = frame.collect_schema()
        metadata = pl.read_parquet_metadata(path)
        index = [name for name in _pandas_index(metadata) if name in schema]
        names = _names(path, schema.names(), columns, index)
        rows = frame.select(**{name: pl.col(own) for name, own in names.items()}).collect()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        is_damaged = isinstance(error, pl.exceptions.PanicException)
        reason = "it is damaged" if is_damaged else str(error).partition("\n")[0]
        if path.suffix.lower() != ".parquet":
            reason += f"; CSV has one of the endings {', '.join(sorted(_TEXT_FILES))}"
        raise InputError(f"{path} cannot be read as Parquet: {reason}") from error
    ends = metadata.get(STAMPS_KEY) == ENDS
    return BarTable(path, rows.with_row_index(ROW), "row", 1, says_ends=ends)


def _pandas_index(metadata: Mapping[str, str]) -> list[str]:
    """Return the columns that were the index of a frame of pandas."""
    try:
        index = json.loads(metadata.get("pandas", "{}")).get("index_columns", [])
    except (ValueError, AttributeError):
        return []
    return [name for name in index if isinstance(name, str)]


def _read_csv(path: Path, columns: Sequence[str]) -> BarTable:
    text = _decode(path)
    header = text.partition("\n")[0]
    separator = max(",;\t", key=header.count)
    try:
        # A line with more fields than the header would else be cut.
        rows = pl.read_csv(text.encode(), separator=separator, infer_schema=False)
    except pl.exceptions.NoDataError:
        raise InputError(f"{path} has no bars") from None
    except pl.exceptions.PolarsError as error:
        reason = str(error).partition("\n")[0]
        if "more fields" in reason:
            reason = "a line has more fields than the first; is a comma inside a number?"
        raise InputError(f"{path} cannot be read as CSV: {reason}") from error
    names = _names(path, rows.columns, columns, [""])
    found = rows.with_row_index(ROW).filter(~pl.all_horizontal(pl.exclude(ROW).is_null()))
    return BarTable(
        path,
        found.select(ROW, **{n: pl.col(own) for n, own in names.items()}),
        "line",
        2,
        all_text=True,
    )


def _decode(path: Path) -> str:
    content = path.read_bytes()
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encodings = ["utf-16"]
    else:
        encodings = ["utf-8-sig", "cp949"]
    for encoding in encodings:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise InputError(f"{path} is not text in UTF-8 or cp949: save it as CSV again")


def _names(
    path: Path, found: Sequence[str], wanted: Sequence[str], index: Sequence[str]
) -> dict[str, str]:
    """Return under which name the file has each wanted column."""
    plain = {own: _KOREAN.get(own.strip(), own.strip().lower()) for own in found}
    counts = Counter(plain.values())
    if "timestamp" in wanted and not counts["timestamp"] and len(index) == 1 and index[0] in plain:
        plain[index[0]] = "timestamp"
        counts["timestamp"] = 1
    if missing := [name for name in wanted if not counts[name]]:
        raise InputError(
            f"{path} lacks {', '.join(missing)}; it needs {', '.join(wanted)}"
            f" and has {', '.join(found)}"
        )
    if doubled := [name for name in wanted if counts[name] > 1]:
        raise InputError(f"{path} has several columns for {', '.join(doubled)}: keep one of each")
    return {plain[own]: own for own in found if plain[own] in wanted}
