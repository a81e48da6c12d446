"""Small batches for tests of the store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import polars as pl
import pyarrow as pa

from engine import schemas
from strategies.dolpha1.strategy import DOLPHA1_SIGNAL

OPEN = datetime(2025, 9, 1, 8, 46)
FETCHED = datetime(2025, 9, 1, 9, 0)
MINUTE = timedelta(minutes=1)


def batch(frame: pl.DataFrame, schema: pa.Schema) -> pa.RecordBatch:
    """Return the frame as one batch of exactly the schema."""
    return frame.select(schema.names).to_arrow().cast(schema).combine_chunks().to_batches()[0]


def _bars(
    closes: Sequence[float], symbol: str, start: datetime, fetched: datetime, source: str
) -> pl.DataFrame:
    return pl.DataFrame({"close": closes}, schema={"close": pl.Float64}).with_columns(
        timestamp=pl.lit(start) + pl.int_range(pl.len()) * MINUTE,
        symbol=pl.lit(symbol),
        timeframe=pl.lit("1m"),
        open=pl.col("close"),
        high=pl.col("close") + 1,
        low=pl.col("close") - 1,
        volume=pl.lit(7, pl.Int64),
        fetched_at=pl.lit(fetched),
        source=pl.lit(source),
    )


def futures_bars(
    closes: Sequence[float],
    *,
    symbol: str = "101W09",
    start: datetime = OPEN,
    fetched: datetime = FETCHED,
    source: str = schemas.REST,
) -> pa.RecordBatch:
    """Return consecutive bars of one future with these closes."""
    return batch(_bars(closes, symbol, start, fetched, source), schemas.FUTURES_BARS)


def stock_bars(
    closes: Sequence[float],
    *,
    symbol: str = "005930",
    start: datetime = OPEN,
    fetched: datetime = FETCHED,
    source: str = schemas.REST,
) -> pa.RecordBatch:
    """Return consecutive bars of one stock with these closes."""
    return batch(_bars(closes, symbol, start, fetched, source), schemas.STOCK_BARS)


def signals(
    monitors: Sequence[int],
    *,
    symbol: str = "101W09",
    ub: float | None = 350.0,
    created: datetime = FETCHED,
) -> pa.RecordBatch:
    """Return consecutive dolpha1 signals, each with a trade signal."""
    frame = pl.DataFrame({"monitor_signal": monitors}, schema={"monitor_signal": pl.Int64})
    frame = frame.with_columns(
        timestamp=pl.lit(OPEN) + pl.int_range(pl.len()) * MINUTE,
        symbol=pl.lit(symbol),
        close=pl.lit(351.0),
        trade_signal=pl.col("monitor_signal"),
        reason=pl.lit("test"),
        ub=pl.lit(ub, pl.Float64),
        min_from_open=pl.int_range(pl.len()),
        created_at=pl.lit(created),
    ).with_columns(
        pl.lit(None, pl.Float64).alias(name)
        for name in ("lb", "atr", "move_open", "sigma_open", "vwap")
    )
    return batch(frame, DOLPHA1_SIGNAL)


def listings(market: str = "KOSPI", halted: tuple[str, ...] = (), **names: str) -> pl.DataFrame:
    """What a file lists: names by code, whose first letter is not of the code."""
    codes = [code[1:] for code in names]
    return pl.DataFrame(
        {
            "symbol": codes,
            "name": list(names.values()),
            "market": market,
            "kind": "common",
            "group_code": "ST",
            "sector_large": "0027",
            "sector_medium": None,
            "sector_small": None,
            "index_member": None,
            "halted": [code in halted for code in codes],
            "liquidating": False,
            "managed": False,
            "listed_from": date(2000, 1, 4),
            "standard_code": "KR7005930003",
        },
        schema_overrides=dict.fromkeys(
            ("sector_medium", "sector_small", "index_member"), pl.String
        ),
    )
