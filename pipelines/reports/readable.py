"""The answer to any query in columns that can be printed, written as CSV and as JSON.

A query may return two columns of one name, arrays, JSON, bytes or times beyond the calendar. Each
is shown as psql would, or refused in one line that says how to ask for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import orjson
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from engine.errors import InputError

# The years 1 to 9999, which Python, Polars and every reader of CSV agree on.
_CALENDAR = {"date32": (-719_162, 2_932_896), "timestamp": (-62_135_596_800, 253_402_300_799)}
_UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def readable(table: pa.Table) -> pl.DataFrame:
    """Return the answer as a frame of numbers, texts, times and lists of them.

    A second column of the same name gets a number behind it. Raises InputError for types without a
    text here (inet, ranges, points, whole rows, infinite times): they must be cast.
    """
    names = list(_unique_names(table.column_names))
    columns = map(_column, table.column_names, table.columns)
    return pl.DataFrame(
        [pl.Series(n, pl.from_arrow(c)) for n, c in zip(names, columns, strict=True)]
    )


def without_lists(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame with each list as a JSON text, for formats that have only cells."""
    lists = [name for name, kind in frame.schema.items() if isinstance(kind, pl.List)]
    return frame.with_columns(
        pl.Series(name, [_json(cell) for cell in frame[name].to_list()], pl.String)
        for name in lists
    )


def _unique_names(names: Iterable[str]) -> Iterator[str]:
    """Yield a, a_2, a_3 for a, a, a, without using the name of another column."""
    original = list(names)
    used: set[str] = set()
    for name in original:
        number = 1
        own = name
        while own in used or (number > 1 and own in original):
            number += 1
            own = f"{name}_{number}"
        used.add(own)
        yield own


def _column(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:  # noqa: PLR0911 - one a type
    kind = column.type
    if isinstance(kind, pa.OpaqueType):
        return _opaque(name, column)
    if isinstance(kind, pa.UuidType):
        return _texts(column, str)
    if isinstance(kind, pa.BaseExtensionType):  # JSON: its text
        return column.cast(kind.storage_type)
    if pa.types.is_binary(kind):
        return _texts(column, lambda value: rf"\x{value.hex()}")
    if pa.types.is_list(kind):
        return _list(name, column)
    if pa.types.is_nested(kind):
        raise InputError(f"column {name} is a whole row: name its columns, or cast it to text")
    if pa.types.is_interval(kind):
        raise InputError(f"column {name} is a list of intervals: cast it to text[]")
    if pa.types.is_duration(kind):
        shown = pl.Series(pl.from_arrow(column)).dt.to_string("polars")
        return pa.chunked_array([shown.to_arrow().cast(pa.string())])
    return _within_calendar(name, column)


def _opaque(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type.type_name
    if kind == "void":  # the result of a function that returns nothing
        return pa.chunked_array([pa.nulls(len(column), pa.string())])
    if kind == "numeric":  # within a list
        return column.cast(pa.string()).cast(pa.float64())
    raise InputError(f"column {name} has a type ({kind}) that cannot be shown: cast it to text")


def _list(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    whole = column.combine_chunks()
    members = _column(name, pa.chunked_array([whole.flatten()])).combine_chunks()
    ends = pc.cumulative_sum(pc.fill_null(pc.list_value_length(whole), 0))
    offsets = pa.concat_arrays([pa.array([0], ends.type), ends])
    return pa.chunked_array([pa.ListArray.from_arrays(offsets, members, mask=pc.is_null(whole))])


def _within_calendar(name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the column if its times are in the years 1 to 9999; the driver garbles `infinity`."""
    kind = column.type
    if not (pa.types.is_date32(kind) or pa.types.is_timestamp(kind)):
        return column
    timed = pa.types.is_timestamp(kind)
    first, last = _CALENDAR["timestamp" if timed else "date32"]
    unit = _UNITS[kind.unit] if timed else 1
    found = pc.min_max(column.cast(pa.int64() if timed else pa.int32()))
    least, most = found["min"].as_py(), found["max"].as_py()
    if least is not None and not first * unit <= least <= most < (last + 1) * unit:
        raise InputError(f"column {name} holds a time outside the years 1 to 9999: cast it to text")
    return column


def _texts(column: pa.ChunkedArray, shown: Callable[[Any], str]) -> pa.ChunkedArray:
    cells = (None if cell is None else shown(cell) for cell in column.to_pylist())
    return pa.chunked_array([list(cells)], pa.string())


def _json(cell: object) -> str | None:
    return None if cell is None else orjson.dumps(cell, default=str).decode()
