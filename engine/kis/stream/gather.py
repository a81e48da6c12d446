"""Bodies of frames to columns, without a step of Python for each record.

All bodies become one text, which is read as one Arrow array of fields; the fields that are kept are
taken from it column by column, and only these are copied. Columns are numpy arrays here: for the
few records that come at a time, a Polars query would take longer than everything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from engine.kis import codec

Numbers = npt.NDArray[np.float64]
Wholes = npt.NDArray[np.int64]

SEPARATOR = "^"
NULL = np.iinfo(np.int64).min  # stands for null among whole numbers; NaN does among others
_MARK = ord(SEPARATOR)
_LONGEST = 17  # digits of a number that fits any type, as in engine.kis.codec
_PLAIN = np.zeros(256, bool)  # of these letters alone, Polars reads the same numbers as our codec
_PLAIN[[*b"0123456789.-"]] = True


@dataclass(frozen=True)
class FieldArrays:
    """The kept fields of all records: in each array a row for each field."""

    wholes: Wholes  # NULL where the text is not a whole number
    numbers: Numbers  # NaN where the text is not a number
    texts: list[pa.StringArray]
    lengths: npt.NDArray[np.int32]  # bytes of each field, in the order wholes, numbers, texts


def gather(
    bodies: Sequence[str],
    width: int,
    wholes: Sequence[int],
    numbers: Sequence[int],
    texts: Sequence[int],
) -> FieldArrays:
    """Return the fields at these places of all records, in order.

    Each body must hold a whole number of records of `width` fields.
    """
    joined = SEPARATOR.join(bodies) + SEPARATOR
    # Postgres takes no NUL in a text, and Arrow no lone surrogate.
    data = np.frombuffer(joined.replace("\0", "\ufffd").encode("utf-8", "replace"), np.uint8)
    ends = np.flatnonzero(data == _MARK) + 1
    bounds = np.concatenate([[0], ends]).astype(np.int32)
    fields = _array(pa.binary(), bounds, data)
    rows = len(ends) // width
    places = np.array([*wholes, *numbers, *texts])
    taken = fields.take(pa.array((places[:, None] + np.arange(0, len(ends), width)).ravel()))
    return _read(taken, rows, len(wholes), len(numbers))


def _read(taken: Any, rows: int, wholes: int, numbers: int) -> FieldArrays:
    """Read the fields, each of which still ends with its separator."""
    bounds = np.frombuffer(taken.buffers()[1], np.int32)[: len(taken) + 1]
    data = np.frombuffer(taken.buffers()[2], np.uint8)[: bounds[-1]]
    letters = data[data != _MARK]
    moved = (bounds - np.arange(len(bounds))).astype(np.int32)
    lengths: npt.NDArray[np.int32] = np.diff(moved)
    digits, first_text = wholes * rows, (wholes + numbers) * rows
    plain = bool(
        _PLAIN[letters[: moved[first_text]]].all()
        and lengths[:first_text].max(initial=0) <= _LONGEST
    )
    strings = _array(pa.string(), moved, letters)
    texts = pl.Series(strings[:first_text], dtype=pl.String)
    whole = _parsed(texts[:digits], plain, pl.Int64)
    number = _parsed(texts[digits:], plain, pl.Float64)
    return FieldArrays(
        wholes=_filled(whole, NULL).reshape(wholes, rows),
        numbers=_filled(number, np.nan).reshape(numbers, rows),
        texts=[strings[start : start + rows] for start in range(first_text, len(strings), rows)],
        lengths=lengths.reshape(-1, rows),
    )


def _parsed(texts: pl.Series, plain: bool, kind: type[pl.Int64 | pl.Float64]) -> pl.Series:
    """Read texts as numbers, as engine.kis.codec does; null where a text is not one."""
    if plain:  # looking at each character once is much quicker than a pattern for each value
        return texts.cast(kind, strict=False)
    read = codec.whole if kind is pl.Int64 else codec.number
    return texts.alias("text").to_frame().select(read("text")).to_series()


def _filled(values: pl.Series, null: float) -> npt.NDArray[Any]:
    return (values.fill_null(null) if values.null_count() else values).to_numpy()


def _array(kind: pa.DataType, bounds: npt.NDArray[np.int32], data: npt.NDArray[np.uint8]) -> Any:
    buffers = [None, pa.py_buffer(bounds), pa.py_buffer(data)]
    return pa.Array.from_buffers(kind, len(bounds) - 1, buffers)
