"""KIS's JSON rows to columns. Nothing that KIS may send raises here, and nothing becomes a zero.

Every value KIS sends is text. The rows become a frame of text columns in one step; numbers are
read by expressions that know exactly what a number of KIS looks like and give null for the rest:
"", "-", "nan", "1e5", "1_000", full-width digits. A row that lacks what it must have is rejected,
with the reason and the row as KIS sent it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import polars as pl
import pyarrow as pa

from engine.schemas import REJECTED_ROWS

ROW = "row"  # the place of a row in the answer
REASON = "reason"

_NUMBER = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)$"
_WHOLE = r"^[+-]?[0-9]+$"


def columns(rows: Sequence[Any], fields: Iterable[str]) -> pl.DataFrame:
    """Return the fields of the rows as text columns, and ROW; what is no text or number is null."""
    schema = dict.fromkeys(fields, pl.String)
    try:
        frame = (
            pl.from_dicts(rows, schema=schema, strict=False) if rows else pl.DataFrame([], schema)
        )
    except (pl.exceptions.PolarsError, TypeError):
        # Lists, objects or huge numbers among the values, or rows that are no objects.
        frame = pl.DataFrame(
            {field: [_text(row, field) for row in rows] for field in schema}, schema
        )
    return frame.with_row_index(ROW)


def _text(row: object, field: str) -> str | None:
    value = row.get(field) if isinstance(row, Mapping) else None
    return str(value) if isinstance(value, str | int | float) else None


def number(field: str) -> pl.Expr:
    """Read a column of text as numbers; null where it is none."""
    text = pl.col(field).str.strip_chars()
    value = pl.when(text.str.contains(_NUMBER)).then(text).cast(pl.Float64, strict=False)
    return pl.when(value.is_finite()).then(value).alias(field)


def whole(field: str) -> pl.Expr:
    """Read a column of text as whole numbers; null where it is none or too big for 64 bits."""
    text = pl.col(field).str.strip_chars()
    return pl.when(text.str.contains(_WHOLE)).then(text).cast(pl.Int64, strict=False).alias(field)


def label(day: str, hour: str) -> pl.Expr:
    """Read a date (YYYYMMDD) and an hour (HHMMSS, 24-30 at night) as a moment; null if unreadable.

    Night rows carry the date on which the night began: hour 25 is one o'clock of the next day.
    """
    date = _matching(day, r"^[0-9]{8}$").str.to_date("%Y%m%d", strict=False)
    digits = _matching(hour, r"^([0-2][0-9]|30)[0-5][0-9][0-5][0-9]$")
    hours, minutes, seconds = (
        digits.str.slice(start, 2).cast(pl.Int64, strict=False) for start in (0, 2, 4)
    )
    past = pl.duration(hours=hours, minutes=minutes, seconds=seconds, time_unit="us")
    return (date.cast(pl.Datetime("us")) + past).alias("label")


def _matching(field: str, pattern: str) -> pl.Expr:
    text = pl.col(field).str.strip_chars()
    return pl.when(text.str.contains(pattern)).then(text)


def first_reason(*checks: tuple[pl.Expr, str]) -> pl.Expr:
    """Return the reason of the first check that holds; null, so the row is good, if none does.

    A check that is null (of a value that could not be read) counts as holding.
    """
    chain: Any = pl
    for bad, reason in checks:
        chain = chain.when(bad.fill_null(value=True)).then(pl.lit(reason))
    return chain.otherwise(pl.lit(None, pl.String)).alias(REASON)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Source:
    """Where rows come from, for the record of rejected ones."""

    tr_id: str
    symbol: str
    received_at: datetime


def rejected(marked: pl.DataFrame, rows: Sequence[Any], source: Source) -> pa.RecordBatch:
    """Return the rows of `marked` that have a reason, in REJECTED_ROWS, each as KIS sent it."""
    bad = marked.filter(pl.col(REASON).is_not_null())
    count = len(bad)
    return pa.record_batch(
        [
            pa.array([source.received_at] * count, REJECTED_ROWS.field("received_at").type),
            pa.array([source.tr_id] * count, pa.string()),
            pa.array([source.symbol] * count, pa.string()),
            pa.array(bad[REASON].to_list(), pa.string()),
            pa.array([raw_text(rows[place]) for place in bad[ROW]], pa.string()),
        ],
        schema=REJECTED_ROWS,
    )


def raw_text(row: object) -> str:
    """Return a row as JSON text that Postgres takes: it knows no NUL character."""
    return orjson.dumps(row).decode().replace("\\u0000", "\\ufffd")


def value(record: Mapping[str, Any], field: str) -> float | None:
    """Read one number of a single record; None where it is none."""
    found = columns([record], [field]).select(number(field)).item()
    return None if found is None or math.isnan(found) else float(found)


def to_batch(frame: pl.DataFrame, schema: pa.Schema) -> pa.RecordBatch:
    """Return the frame in exactly this schema, a single batch."""
    table = frame.select(schema.names).to_arrow().cast(schema).combine_chunks()
    batches = table.to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=schema)
