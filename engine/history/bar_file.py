"""A Parquet file of recorded bars, such as those that people keep from KIS.

It has the columns symbol, timestamp (KIS's label: the start of the minute), open, high, low, close,
volume. A symbol may be a front month, such as A01_FRONT. A file that `just export` wrote says of
itself that its times are stamps, the ends of minutes: they are read as the labels that they mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from engine.clock import KST
from engine.columns import PRICES
from engine.errors import InputError
from engine.market.symbols import parse

STAMPS_KEY = "krt.stamps"  # in the file's own metadata
_ENDS = "end of minute"
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
    types: dict[str, pl.DataType] = {"volume": pl.Int64()}
    types |= dict.fromkeys(PRICES, pl.Float64())
    bars = frame.select(
        _in_kst(schema) if name == "timestamp" else pl.col(name).cast(types.get(name, pl.String()))
        for name in columns
    )
    return _with_labels(bars) if has_stamps(path) else bars


def has_stamps(path: Path) -> bool:
    """Say whether the file says of itself that its times are stamps: `just export` wrote it."""
    return pl.read_parquet_metadata(path).get(STAMPS_KEY) == _ENDS


def _in_kst(schema: pl.Schema) -> pl.Expr:
    """Return the times as the clock in Seoul shows them; those with a zone say where they are."""
    moment = pl.col("timestamp")
    if getattr(schema["timestamp"], "time_zone", None):
        moment = moment.dt.convert_time_zone(KST.key).dt.replace_time_zone(None)
    return moment.cast(pl.Datetime("us"))


def _with_labels(bars: pl.LazyFrame) -> pl.LazyFrame:
    """Turn the stamps of stored bars into KIS's labels; a row that no session has is left out."""
    read = bars.collect()
    days = read.select("symbol", day=pl.col("timestamp").dt.date()).unique().sort("day", "symbol")
    parts = [read.clear()]
    for symbol, day in days.iter_rows():
        session = parse(symbol).session(day)
        if session is not None:
            own = (pl.col("symbol") == symbol) & (pl.col("timestamp").dt.date() == day)
            label = session.label_of_stamp(pl.col("timestamp")).alias("timestamp")
            parts.append(read.filter(own).with_columns(label).drop_nulls("timestamp"))
    return pl.concat(parts).lazy()


def _check_values(path: Path, frame: pl.LazyFrame, schema: pl.Schema) -> None:
    """Refuse columns of another type, rows without symbol or time, and a file without rows."""
    moment = schema["timestamp"]
    if not isinstance(moment, pl.Datetime):
        raise InputError(f"{path}: timestamp is {moment}; it has to be times")
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
    _check_numbers(path, frame, schema)


def _check_numbers(path: Path, frame: pl.LazyFrame, schema: pl.Schema) -> None:
    """Refuse values that are no numbers, and volumes that are no counts, by their first row."""
    for name in (*PRICES, "volume"):
        value = pl.col(name)
        wrong = value.is_null()
        if schema[name].is_float():
            wrong = wrong | ~value.is_finite()
        if name == "volume":
            wrong = wrong | (value < 0) | (value > 2**53) | (value.cast(pl.Float64) % 1 != 0)
        rows = frame.with_row_index("row").filter(wrong).select("row", name).head(1).collect()
        if rows.height:
            row, found = rows.row(0)
            raise InputError(f"{path}: {name} is {found} in row {row + 1}: leave such rows out")
