"""How fast research reads: one symbol and month out of ten million bars, and the whole table.

Side by side in one run, in turns. The whole table is read as quickly
as we can (no order asked for), so the ratio favours neither. What is read in a stream is read in a
process of its own, whose peak memory is measured.
"""

from __future__ import annotations

import json
import sys
import time
from datetime import datetime
from functools import partial

import polars as pl

from engine.history.parquet import scan_parquet
from engine.history.scan import scan
from tests.benchmarks.bench_env import BenchEnv
from tests.benchmarks.rows import Row, in_own_process, in_turns, memory

SYMBOL = "000002"
MONTH = (datetime(2026, 10, 1), datetime(2026, 11, 1))
TARGET = 40
TINY = {"rounds": 1, "symbols": 2, "days": 5}
QUICK = {"rounds": 1, "symbols": 10, "days": 22}
CEILING = 600  # MB that a stream over ten million bars may take, Python and Polars included


def measure(env: BenchEnv, *, rounds: int = 3, symbols: int = 60, days: int = 440) -> list[Row]:
    """Read in turns and see that all give the same; 440 sessions of 60 stocks are ten million."""
    history = env.history(symbols, days)
    url, folder = history.url, env.export_folder(history)
    ways: dict[str, pl.LazyFrame] = {
        "whole": scan("stocks_1m", url, order_by=()),
        "by key": scan("stocks_1m", url),
        "month": of_month(scan("stocks_1m", url)),
        "head": scan("stocks_1m", url).head(1000),
        "whole export": scan_parquet("stocks_1m", folder, order_by=()),
        "month of the export": of_month(scan_parquet("stocks_1m", folder)),
    }
    rows: dict[str, int] = {}

    def read(name: str) -> None:
        rows[name] = ways[name].collect().height

    took = in_turns({name: partial(read, name) for name in ways}, rounds)
    assert rows["month"] == rows["month of the export"] > 0
    assert rows["whole"] == rows["by key"] == rows["whole export"] == history.rows
    whole = took["whole"]

    def row(what: str, name: str, least: float | None = None) -> Row:
        return Row(f"{what} vs the whole table", took[name], whole, rows[name], least=least)

    return [
        row("one symbol and month", "month", TARGET),
        row("all of it by its key", "by key"),
        row("the first 1,000 by key", "head"),
        row("all of it, Parquet", "whole export"),
        row("one symbol and month, Parquet", "month of the export"),
        *stream_rows(url, whole, history.rows),
    ]


def of_month(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Return one symbol and month of the frame."""
    month = pl.col("timestamp") >= MONTH[0], pl.col("timestamp") < MONTH[1]
    return frame.filter(pl.col("symbol") == SYMBOL, *month)


def stream_rows(url: str, whole: float, rows: int) -> list[Row]:
    """Sum the volume of each symbol in a process of its own; return its time and memory."""
    found = in_own_process(__spec__.name, url)
    return [
        Row("summed in a stream vs the whole table", found["seconds"], whole, rows),
        Row(
            "peak memory of the process that streams",
            found["peak"],
            None,
            rows,
            most=CEILING,
            unit="MB",
        ),
    ]


def stream(url: str) -> dict[str, float]:
    """Sum in a stream; return seconds and the most memory (MB) seen meanwhile."""
    with memory() as seen:
        begin = time.perf_counter()
        frame = scan("stocks_1m", url, order_by=())
        frame.group_by("symbol").agg(pl.col("volume").sum()).collect(engine="streaming")
        seconds = time.perf_counter() - begin
    return {"seconds": seconds, "peak": max(seen)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(stream(sys.argv[1])))
