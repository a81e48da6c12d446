"""How fast research reads: one symbol and month out of ten million bars, and the whole table.

Side by side in one run, in turns; ratios between rows of the table hold on any machine. The whole
table is read as quickly as we can (no order asked for), so the ratio flatters nobody. What is read
in a stream is read in a process of its own, whose peak memory is measured.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path

import polars as pl
import psutil

from engine import sessions
from engine.history.parquet import scan_parquet
from engine.history.scan import scan
from engine.sessions import Market
from engine.store import embedded_server, migrate
from engine.store.connection import Connection
from engine.store.export import export
from engine.store.identifiers import literal

LAST = date(2026, 10, 30)
SYMBOL, MONTH = "000017", (datetime(2026, 3, 1), datetime(2026, 4, 1))
TARGET = 40
CEILING = 600  # MB that a stream over ten million bars may take, Python and Polars included


def measure(*, rounds: int = 3, symbols: int = 60, days: int = 440) -> list[dict[str, object]]:
    """Return the table: what, rows, seconds (median), rows per second, ratio, target, met.

    440 sessions of 60 stocks are ten million bars. The last row's ratio is the ceiling of 600 MB
    over the peak memory.
    """
    place = Path(tempfile.gettempdir()) / f"krt-bench-{uuid.uuid4().hex[:8]}"
    with embedded_server(place, durable=False, temporary=True) as url:
        migrate(url)
        wanted = fill(url, symbols, days)
        with tempfile.TemporaryDirectory() as folder:
            export(url, Path(folder), wanted)
            return compare(url, Path(folder), rounds)


def fill(url: str, symbols: int, days: int) -> pl.DataFrame:
    """Store whole sessions of stocks, minute by minute as they come in; return symbol, session."""
    dates = sessions.previous_sessions(Market.STOCKS, LAST, days - 1)
    owed = sessions.owed_stamps(["005930"], min(dates, default=LAST), LAST)
    connection = Connection(url, "bench")
    with connection.transaction() as cursor:
        for month in owed["stamp"].dt.strftime("%Y%m").unique().sort():
            cursor.execute(f"SELECT make_partition('stocks_1m', {literal(month)})")
            cursor.fetchall()
    with connection.transaction() as cursor:
        cursor.execute("CREATE TEMP TABLE owed (stamp timestamp) ON COMMIT DROP")
        cursor.adbc_ingest("owed", owed.select("stamp").to_arrow(), mode="append", temporary=True)
        cursor.execute(
            "INSERT INTO stocks_1m SELECT stamp, to_char(n, 'FM000000'), '1m',"
            f" n, n + 2, n - 1, n + 1, n * 7, stamp, stamp FROM owed, generate_series(1, {symbols})"
            " AS n ORDER BY stamp, n"
        )
    for statement in ("VACUUM ANALYZE stocks_1m", "CHECKPOINT"):
        connection.alone(statement)
    connection.close()
    names = pl.DataFrame({"symbol": [f"{n:06}" for n in range(1, symbols + 1)]})
    return names.join(owed.select("session").unique(), how="cross")


def compare(url: str, folder: Path, rounds: int) -> list[dict[str, object]]:
    """Read in turns, check that all give the same, and return the table."""

    def part(frame: pl.LazyFrame) -> int:
        month = pl.col("timestamp") >= MONTH[0], pl.col("timestamp") < MONTH[1]
        return frame.filter(pl.col("symbol") == SYMBOL, *month).collect().height

    def whole(frame: pl.LazyFrame) -> int:
        return frame.collect().height

    ways: dict[str, Callable[[], int]] = {
        "the whole table": lambda: whole(scan("stocks_1m", url, order_by=())),
        "the whole table, by its key": lambda: whole(scan("stocks_1m", url)),
        "one symbol and month": lambda: part(scan("stocks_1m", url)),
        "the first 1,000 by key": lambda: scan("stocks_1m", url).head(1000).collect().height,
        "the whole export": lambda: whole(scan_parquet("stocks_1m", folder, order_by=())),
        "one symbol and month of the export": lambda: part(scan_parquet("stocks_1m", folder)),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    rows: dict[str, int] = {}
    for _ in range(rounds):
        for name, way in ways.items():
            begin = time.perf_counter()
            rows[name] = way()
            taken[name].append(time.perf_counter() - begin)
    assert rows["one symbol and month"] == rows["one symbol and month of the export"] > 0
    base = statistics.median(taken["the whole table"])
    table = [line(name, rows[name], statistics.median(taken[name]), base) for name in ways]
    return [*table, streamed(url, rows["the whole table"])]


def line(name: str, rows: int, seconds: float, base: float) -> dict[str, object]:
    target = TARGET if name == "one symbol and month" else None
    ratio = base / seconds
    return {
        "what": name, "rows": rows, "seconds": round(seconds, 4),
        "rows per second": round(rows / seconds), "ratio": round(ratio, 2),
        "target": target, "met": None if target is None else ratio >= target,
    }  # fmt: skip


def streamed(url: str, rows: int) -> dict[str, object]:
    """Sum the volume of each symbol in a process of its own; return its time and memory."""
    command = [sys.executable, __file__, url]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    return {
        "what": f"summed in a stream, {found['peak']} MB at most", "rows": rows,
        "seconds": round(found["seconds"], 4),
        "rows per second": round(rows / found["seconds"]),
        "ratio": round(CEILING / found["peak"], 2), "target": 1, "met": found["peak"] <= CEILING,
    }  # fmt: skip


def stream(url: str) -> dict[str, float]:
    """Sum in a stream; return seconds and the most memory (MB) seen meanwhile."""
    with most_memory() as seen:
        begin = time.perf_counter()
        frame = scan("stocks_1m", url, order_by=())
        frame.group_by("symbol").agg(pl.col("volume").sum()).collect(engine="streaming")
        seconds = time.perf_counter() - begin
    return {"seconds": seconds, "peak": round(max(seen) / 1e6)}


@contextmanager
def most_memory() -> Iterator[list[int]]:
    """Yield this process's memory, looked at every five milliseconds.

    What the system remembers as the peak counts the parent's, from before the program was ours.
    """
    process, done = psutil.Process(), threading.Event()
    seen = [process.memory_info().rss]

    def look() -> None:
        while not done.wait(0.005):
            seen.append(process.memory_info().rss)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(stream(sys.argv[1])))
