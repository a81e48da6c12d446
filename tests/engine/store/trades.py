"""Trades of a session for tests, like the feed's."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import polars as pl
import pyarrow as pa

from engine import schemas


def trades(
    day: date, symbols: tuple[str, ...] = ("A01612", "005930"), count: int = 50, *, since: int = 0
) -> pa.RecordBatch:
    """Return so many trades a symbol, one every two seconds from nine o'clock on."""
    number = pl.int_range(since, since + count, dtype=pl.Int64)
    opened = datetime(day.year, day.month, day.day, 9)
    frames = [
        pl.select(number=number).select(
            session=pl.lit(day),
            symbol=pl.lit(symbol),
            traded_at=pl.lit(opened) + pl.col("number") * timedelta(seconds=2),
            received_at=pl.lit(opened) + pl.col("number") * timedelta(seconds=2, microseconds=7),
            price=350.0 + pl.col("number") % 40 / 20,
            size=1 + pl.col("number") % 3,
            side=pl.when(pl.col("number") % 3 > 0).then(pl.lit("B")),
            day_volume=10 * (pl.col("number") + 1),
            day_turnover=87_500_000.5 * (pl.col("number") + 1),
            day_bought=pl.col("number"),
            day_sold=pl.lit(None, pl.Int64),
            bid=pl.lit(350.0),
            ask=pl.lit(350.05),
            bid_size=pl.col("number") % 7,
            ask_size=pl.lit(3, pl.Int64),
            open_interest=pl.lit(None, pl.Int64) if symbol.isdigit() else pl.lit(9, pl.Int64),
            limit_state=pl.lit("N"),
        )
        for symbol in symbols
    ]
    return schemas.conform(pl.concat(frames), schemas.TRADES)
