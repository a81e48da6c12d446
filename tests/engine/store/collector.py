"""A collector to be killed: it puts numbered batches and prints which were acknowledged.

    python -m tests.engine.store.collector URL SPOOL FIRST

Batch n is 50 bars of one future, all with volume n. When `put` has returned, n is printed: from
then on the batch must never be lost.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from datetime import timedelta
from pathlib import Path

import polars as pl

from engine.clock import WallClock
from engine.store import Writer
from tests.engine.store.data import FETCHED, OPEN, batch, futures_bars, schemas

BARS = 50


def numbered_bars(n: int) -> pl.DataFrame:
    """Return batch n: ten of its bars correct the batch before, the others are new."""
    start = OPEN + timedelta(minutes=(BARS - 10) * n)
    bars = futures_bars([1.0] * BARS, start=start, fetched=FETCHED + timedelta(seconds=n))
    return pl.DataFrame(pl.from_arrow(bars)).with_columns(volume=pl.lit(n, pl.Int64))


async def collect(url: str, spool: Path, first: int) -> None:
    """Put batch after batch until killed, four at a time."""
    writer = Writer(url, WallClock(), spool, component="victim")

    async def put(n: int) -> None:
        await writer.put("futures_1m", batch(numbered_bars(n), schemas.FUTURES_BARS))
        sys.stdout.write(f"{n}\n")
        sys.stdout.flush()

    n = first
    while True:
        await asyncio.gather(*(put(n + ahead) for ahead in range(4)))
        n += 4


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    asyncio.run(collect(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
