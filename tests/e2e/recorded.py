"""The bars of recorded files, in the columns that we store."""

from datetime import date
from pathlib import Path

import polars as pl

from engine import columns

BARS = list(columns.BARS)


def recorded(file: Path, day: date, auction: str) -> pl.DataFrame:
    """Return a file's bars of a day, stamped as we store them; `auction` keeps its label."""
    label = pl.col("timestamp")
    kept = label.dt.strftime("%H:%M") == auction
    return (
        pl.read_parquet(file)
        .filter(label.dt.date() == day)
        .with_columns(timestamp=pl.when(kept).then(label).otherwise(label.dt.offset_by("1m")))
        .select(BARS)
        .sort("symbol", "timestamp")
    )
