"""Bars for files: whole sessions, with prices that no two minutes share."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from engine.columns import PRICES
from tests.stamps import session_on

FUTURE, STOCK = "A01612", "005930"
DAY = date(2026, 11, 16)
CSAT, FIRST_OF_YEAR, EXPIRY = date(2026, 11, 19), date(2026, 1, 2), date(2026, 9, 10)


def with_prices(frame: pl.DataFrame) -> pl.DataFrame:
    """Add open, high, low, close and volume, all different in each row, to symbol and timestamp."""
    n = pl.int_range(pl.len())
    return frame.with_columns(
        (1000 + n * 0.05).round(2).alias("open"),
        (1001.1 + n * 0.05).round(2).alias("high"),
        (998.9 + n * 0.05).round(2).alias("low"),
        (1000.55 + n * 0.05).round(2).alias("close"),
        (n + 1).alias("volume"),
    )


def bars_of(symbol: str, day: date = DAY, *, ends: bool = False) -> pl.DataFrame:
    """Return every bar of a session, at its label or at its stamp."""
    session = session_on(symbol, day)
    times = session.stamps() if ends else session.labels()
    return with_prices(pl.DataFrame({"symbol": symbol, "timestamp": times}))


def write(frame: pl.DataFrame, file: Path, **metadata: str) -> Path:
    table = frame.to_arrow()
    pq.write_table(table.replace_schema_metadata(metadata), file)
    return file


def as_read(labels: pl.DataFrame) -> pl.DataFrame:
    """Return bars with labels in the order and types in which a file of them is read."""
    columns = ["symbol", "timestamp", *PRICES, "volume"]
    return labels.select(columns).sort("symbol", "timestamp")
