"""A Parquet file of recorded bars, such as those that people keep from KIS.

It has the columns symbol, timestamp (KIS's label: the start of the minute), open, high, low, close,
volume. A symbol may be a front month, such as A01_FRONT.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from engine.columns import PRICES
from engine.errors import InputError

COLUMNS = ("symbol", "timestamp", *PRICES, "volume")


def scan_bars(path: Path, columns: Sequence[str] = COLUMNS) -> pl.LazyFrame:
    """Return the columns of the file lazily, in our types.

    Raises InputError, in one line that names the file, if it cannot be read, lacks one of the
    columns, has one of another type, or holds no bars.
    """
    if not path.is_file():
        raise InputError(f"there is no file {path}: name a Parquet file of recorded bars")
    try:
        frame = pl.scan_parquet(path)
        schema = frame.collect_schema()
        missing = [name for name in columns if name not in schema]
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{path} cannot be read as Parquet: {reason}") from error
    if missing:
        raise InputError(f"{path} lacks {', '.join(missing)}; it needs {', '.join(columns)}")
    _check_values(path, frame, schema)
    types: dict[str, pl.DataType] = {"timestamp": pl.Datetime("us"), "volume": pl.Int64()}
    types |= dict.fromkeys(PRICES, pl.Float64())
    return frame.select(pl.col(name).cast(types.get(name, pl.String())) for name in columns)


def _check_values(path: Path, frame: pl.LazyFrame, schema: pl.Schema) -> None:
    """Refuse columns of another type, rows without symbol or time, and a file without rows."""
    moment = schema["timestamp"]
    if not isinstance(moment, pl.Datetime) or moment.time_zone is not None:
        raise InputError(f"{path}: timestamp is {moment}; it has to be times in KST without zone")
    for name in (*PRICES, "volume"):
        if not schema[name].is_numeric():
            raise InputError(f"{path}: {name} is {schema[name]}; it has to be a number")
    if not isinstance(schema["symbol"], pl.String | pl.Categorical | pl.Enum):
        raise InputError(f"{path}: symbol is {schema['symbol']}; it has to be text")
    keys = frame.select("symbol", "timestamp")
    nulls, rows = keys.select(pl.sum_horizontal(pl.all().null_count()), pl.len()).collect().row(0)
    if nulls:
        raise InputError(f"{path}: {nulls} rows lack their symbol or timestamp")
    if not rows:
        raise InputError(f"{path} has no bars")
