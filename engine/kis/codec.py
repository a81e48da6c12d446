"""KIS's JSON rows to columns. No input raises an error here, and nothing unreadable becomes zero.

Every value that KIS sends is text. The rows become a frame of text columns in one step; numbers are
read by expressions that accept exactly what KIS writes as a number and give null for the rest:
"", "-", "nan", "1e5", "1_000", full-width digits. A row that lacks a value that it must have is
rejected, with the reason and the row as KIS sent it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import orjson
import polars as pl
import pyarrow as pa

from engine.schemas import REJECTED_ROWS
from engine.text import visible_json

ROW = "row"  # the index of a row in the answer
REASON = "reason"
UNREADABLE, NO_TIME = "unreadable value", "unreadable time"  # reasons of several sources

# A price or volume never has more digits, and more could be too many for the type.
_DIGITS = "[0-9]{1,17}"
_NUMBER = rf"[+-]?(?:{_DIGITS}(?:[.][0-9]{{0,17}})?|[.]{_DIGITS})"
_NUMBER_COLUMN, _WHOLE_COLUMN = rf"^\s*({_NUMBER})\s*$", rf"^\s*([+-]?{_DIGITS})\s*$"
_DAY_COLUMN = r"^\s*([0-9]{8})\s*$"
_HOUR_COLUMN = r"^\s*((?:[0-2][0-9]|30)[0-5][0-9][0-5][0-9])\s*$"


def columns(rows: Sequence[Any], fields: Iterable[str]) -> pl.DataFrame:
    """Return the fields of the rows as text columns, and ROW.

    Anything but text or a number becomes null.
    """
    schema = dict.fromkeys(fields, pl.String)
    try:
        if set(map(type, rows)) - {dict}:  # Polars would read a list of lists as columns
            raise TypeError("rows that are not objects")
        frame = (
            pl.from_dicts(rows, schema=schema, strict=False) if rows else pl.DataFrame([], schema)
        )
    except (pl.exceptions.PolarsError, TypeError):
        # Lists, objects or huge numbers among the values, or rows that are not objects.
        frame = pl.DataFrame(
            {field: [_text(row, field) for row in rows] for field in schema}, schema
        )
    return frame.with_row_index(ROW)


def _text(row: object, field: str) -> str | None:
    value = row.get(field) if isinstance(row, Mapping) else None
    return str(value) if isinstance(value, str | int | float) else None


def number(field: str) -> pl.Expr:
    """Read a column of text as numbers; null where the text is not one."""
    return pl.col(field).str.extract(_NUMBER_COLUMN).cast(pl.Float64, strict=False)


def whole(field: str) -> pl.Expr:
    """Read a column of text as whole numbers; null where the text is not one."""
    return pl.col(field).str.extract(_WHOLE_COLUMN).cast(pl.Int64, strict=False)


def day(field: str) -> pl.Expr:
    """Read a column of dates (YYYYMMDD); null where the text is not one."""
    return pl.col(field).str.extract(_DAY_COLUMN).str.to_date("%Y%m%d", strict=False)


def label(field: str, began: date) -> pl.Expr:
    """Read a column of labels (HHMMSS) as moments (KST) of the session that began on the date.

    Hours go on past midnight: 250000 is one o'clock of the next day. Null if unreadable.
    """
    digits = pl.col(field).str.extract(_HOUR_COLUMN).cast(pl.Int64, strict=False)
    seconds = digits // 10_000 * 3600 + digits // 100 % 100 * 60 + digits % 100
    midnight = (began - date(1970, 1, 1)).days * 86_400
    return ((seconds + midnight) * 1_000_000).cast(pl.Datetime("us"))


def first_reason(*checks: tuple[pl.Expr, str]) -> pl.Expr:
    """Return the reason of the first check that is true; null if the row is good.

    A check that is null (its value could not be read) counts as true.
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


def rejected_rows(marked: pl.DataFrame, rows: Sequence[Any], source: Source) -> pa.RecordBatch:
    """Return the rows of `marked` that have a reason, in REJECTED_ROWS, each as KIS sent it."""
    bad = marked.filter(pl.col(REASON).is_not_null())
    count = len(bad)
    return pa.record_batch(
        [
            pa.array([source.received_at] * count, REJECTED_ROWS.field("received_at").type),
            pa.array([source.tr_id] * count, pa.string()),
            pa.array([source.symbol] * count, pa.string()),
            pa.array(bad[REASON].to_list(), pa.string()),
            pa.array([_as_json(rows[index]) for index in bad[ROW]], pa.string()),
        ],
        schema=REJECTED_ROWS,
    )


def _as_json(row: object) -> str:
    return visible_json(orjson.dumps(row).decode())


def value(record: Mapping[str, Any], field: str) -> float | None:
    """Read one number of a single record; None if the text is not one."""
    text = record.get(field)
    readable = isinstance(text, str) and re.fullmatch(_NUMBER, text.strip())
    return float(readable[0]) if readable else None
