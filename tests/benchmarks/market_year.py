"""A year of the whole market: 250 million bars, all but the last days of them in an archive.

Beside a database of a million bars, the same is done with both: a swept day is merged, a symbol's
month is read, a minute of all symbols, and the missing minutes of a month are found, each from the
archive. At last everything is validated, and the last session as an evening does it; as in a
history that is looked after, the ledger says that nothing was traded in the minutes without a bar.
A baseline is the small database's time, where there is more to do as many times as that. Each
reading has a process of its own, whose memory is looked at.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from engine import schemas
from engine.clock import WallClock
from engine.history.gaps import find_gaps
from engine.history.scan import scan
from engine.market.expected import expected_sessions, expected_stamps
from engine.market.sessions import Market, previous_sessions
from engine.store import Store, ledger
from engine.store.archive import FILE_SCHEMA, FRAME, file_of
from engine.store.connection import Connection
from engine.store.identifiers import literal, literals
from engine.store.merge import complete_rows, merge_tables
from engine.store.tables import TABLES
from pipelines.history.validate import validate
from tests.benchmarks.bench_env import LAST, LOST, BenchEnv, History, fill
from tests.benchmarks.rows import Row, in_own_process, memory, seconds_taken

STOCKS = TABLES["stocks_1m"]
CEILING = 1500  # MB of a process that reads a market's month
MERGED = 10.0  # seconds for a swept day
VALIDATED = 600.0  # seconds for everything
SLOWER = 3  # times, at most, of one symbol's month
_AT_ONCE = 60  # symbols in memory


@dataclass(frozen=True)
class MarketYear:
    """How large a market: stocks, sessions in the archive, sessions in the database."""

    stocks: int
    archived: int
    stored: int
    small_stocks: int
    small_sessions: int


FULL = MarketYear(2_700, 258, 5, 60, 44)
SMALL = MarketYear(6, 24, 2, 3, 24)


def measure_market(env: BenchEnv, size: MarketYear, rounds: int) -> list[Row]:
    """Make both databases and measure them in turns."""
    small = env.history(size.small_stocks, size.small_sessions)
    large, bars = make_market(env, size)
    sys.stderr.write(f"{bars:,} bars … ")
    urls = {"small": small.url, "large": large.url}
    explain_stored(small)
    newest = pl.col("session") >= LAST.replace(day=1)
    small.targets.filter(newest).write_parquet(env.folder / "small-targets.parquet")
    months = {"small": _month_of(small), "large": _month_of(large)}
    took: dict[tuple[str, str], list[float]] = {}
    peaks: dict[str, float] = {}
    rows: dict[tuple[str, str], int] = {}
    for turn in range(rounds):
        for way in READINGS if turn else [*READINGS, *VALIDATIONS]:
            for name, url in urls.items():
                arguments = (way, url, months[name], env.folder / f"{name}-targets.parquet")
                said = in_own_process(__spec__.name, *arguments)
                took.setdefault((way, name), []).append(said["seconds"])
                rows[way, name] = said["rows"]
                peaks[way] = max(peaks.get(way, 0.0), said["peak"])
    merged = {
        name: statistics.median(_merge_day(url, size.stocks, n) for n in range(rounds))
        for name, url in urls.items()
    }
    found = [
        Row(
            f"a swept day of {size.stocks} stocks merged",
            merged["large"],
            merged["small"],
            size.stocks * 381,
            most=MERGED,
        )
    ]
    for way, (text, least) in (READINGS | VALIDATIONS).items():
        more = 1.0 if way == "month" else rows[way, "large"] / rows[way, "small"]
        seconds = {name: statistics.median(took[way, name]) for name in urls}
        baseline = seconds["small"] * more
        most = VALIDATED if way == "year" else None
        found.append(Row(text, seconds["large"], baseline, bars, least=least, most=most))
        found.append(Row(f"{text}: memory", peaks[way], None, bars, most=CEILING, unit="MB"))
    return found


def make_market(env: BenchEnv, size: MarketYear) -> tuple[History, int]:
    """Make the archive by vectors and the days after it in the server; return it and its bars."""
    history = fill(env.database(), size.stocks, size.stored)
    explain_stored(history)
    first = history.targets["session"].min()
    days = previous_sessions(Market.STOCKS, first, size.archived)  # type: ignore[arg-type]
    # A month is in files or in the database: those of the first stored one stay out of the archive.
    days = [day for day in days if (day.year, day.month) != (first.year, first.month)]  # type: ignore[union-attr]
    symbols = [f"{n:06}" for n in range(1, size.stocks + 1)]
    folder, bars = env.folder / "archive", history.rows
    connection = Connection(history.url, "bench")
    months = pl.DataFrame({"day": days}).with_columns(month=pl.col("day").dt.truncate("1mo"))
    for (month,), part in months.partition_by("month", as_dict=True).items():
        path = file_of(folder, month)  # type: ignore[arg-type]
        rows = _write_month(path, symbols, part["day"].to_list(), history.url)
        row = [
            "stocks_1m",
            month,
            rows,
            path.stat().st_size,
            "",
            *part["day"].sort().gather([0, -1]),
        ]
        values = literals([*row, str(folder), datetime.combine(LAST, datetime.min.time())])
        connection.execute_alone(f"INSERT INTO archived_months VALUES ({values})")
        bars += rows
    connection.close()
    newest = max(months["month"])
    of_month = [day for day in days if day >= newest]
    targets = expected_sessions(symbols, of_month[0], of_month[-1])
    targets.write_parquet(env.folder / "large-targets.parquet")
    return History(history.url, targets, bars), bars


def explain(url: str, lost: pl.DataFrame) -> None:
    """Write into the ledger that nothing was traded in minutes (EXPECTED_STAMPS)."""
    if lost.is_empty():
        return
    told = {"state": "no_trade", "reason": "nothing was traded", "attempts": 1}
    at = lost["stamp"].max()
    marks = lost.with_columns(
        **{name: pl.lit(value) for name, value in told.items()},
        opened_at=pl.lit(at),
        answered_at=pl.lit(at),
    ).select(pl.col(name).cast(kind) for name, kind in ledger.MARKS.items())
    markets = pl.DataFrame({"symbol": lost["symbol"].unique(), "market": "stocks"})
    rows = ledger.rows_from_marks(marks, at, markets)  # type: ignore[arg-type]
    connection = Connection(url, "bench")
    with connection.transaction() as cursor:
        cursor.adbc_ingest("gaps", rows.with_columns(committed_at=at).to_arrow(), mode="append")
    connection.close()


def explain_stored(history: History) -> None:
    """Write it of the minutes that a database lacks."""
    for targets in history.targets.partition_by("session"):
        begin = targets["session"][0]
        span = pl.col("timestamp").is_between(begin, begin + timedelta(days=1))
        bars = scan("stocks_1m", history.url, order_by=()).filter(span)
        there = bars.select("symbol", stamp="timestamp").collect()
        explain(
            history.url, expected_stamps(targets).join(there, on=["symbol", "stamp"], how="anti")
        )


def _write_month(path: Path, symbols: list[str], days: list[date], url: str) -> int:
    path.parent.mkdir(parents=True)
    one = pl.DataFrame({"symbol": symbols[:1]}).join(pl.DataFrame({"session": days}), how="cross")
    expected = expected_stamps(one).drop("symbol")
    stamps, lost = expected["stamp"], []
    minutes = stamps.dt.epoch("s").to_numpy() // 60
    wave = 10.0 * (minutes * 7919 % 101)  # no bar jumps, and none repeats the one before
    rows = 0
    with pq.ParquetWriter(path, FILE_SCHEMA, compression="zstd") as writer:
        for at in range(0, len(symbols), _AT_ONCE):
            part = symbols[at : at + _AT_ONCE]
            count = len(part)
            frame = pl.DataFrame(
                {
                    "timestamp": pl.concat([stamps] * count),
                    "symbol": pl.Series(part).gather(np.repeat(np.arange(count), len(stamps))),
                    "open": np.tile(50_000 + wave, count),
                    "volume": np.tile(wave.astype(np.int64) + 100, count),
                }
            ).with_columns(is_there=(pl.int_range(pl.len()) * 100_003 + at) % LOST > 0)
            lost.append(frame.filter(~pl.col("is_there")).select("symbol", stamp="timestamp"))
            frame = frame.filter("is_there").drop("is_there")
            stamp = pl.col("timestamp")
            complete = frame.with_columns(
                timeframe=pl.lit("1m"),
                high=pl.col("open") + 100,
                low=pl.col("open") - 100,
                close=pl.col("open") + 50,
                fetched_at=stamp,
                source=pl.lit(schemas.REST),
                confirmed_at=pl.lit(None, pl.Datetime("us")),
                committed_at=stamp,
            ).select(pl.col(name).cast(kind) for name, kind in FRAME.items())
            writer.write_batch(schemas.conform(complete, FILE_SCHEMA), row_group_size=50_000)
            rows += frame.height
    explain(url, pl.concat(lost).join(expected, on="stamp"))
    return rows


def _month_of(history: History) -> str:
    """Return the month of the targets, which is read."""
    return f"{history.targets['session'].max():%Y-%m}"


def _merge_day(url: str, stocks: int, number: int) -> float:
    """Merge a day of all stocks, in the order in which a sweep brings it; delete it afterwards."""
    day = LAST + timedelta(days=30 + number)
    stamps = pl.datetime_range(
        datetime(day.year, day.month, day.day, 9, 1),
        datetime(day.year, day.month, day.day, 15, 21),
        "1m",
        eager=True,
    )
    names = pl.DataFrame({"symbol": [f"{n:06}" for n in range(1, stocks + 1)]})
    bars = names.join(pl.DataFrame({"timestamp": stamps}), how="cross").with_columns(
        timeframe=pl.lit("1m"),
        open=pl.lit(50_000.0),
        high=pl.lit(50_100.0),
        low=pl.lit(49_900.0),
        close=pl.lit(50_050.0),
        volume=pl.lit(7),
        fetched_at=pl.lit(stamps[-1]),
        source=pl.lit(schemas.REST),
    )
    batch = schemas.conform(bars, schemas.STOCK_BARS)
    connection = Connection(url, "bench")
    connection.execute_alone(f"SELECT make_partition('stocks_1m', '{day:%Y%m}')")

    def merge() -> None:
        rows = complete_rows(STOCKS, [batch], WallClock().now())
        merge_tables(connection, [(STOCKS, rows)])

    seconds = seconds_taken(merge)
    connection.execute_alone(f"DELETE FROM stocks_1m WHERE timestamp >= {literal(day)}")
    connection.close()
    return seconds


def _read(way: str, url: str, month: str, listed: Path) -> Iterator[int]:
    begin = datetime.strptime(month, "%Y-%m")
    end = (begin + timedelta(days=31)).replace(day=1)
    if way in VALIDATIONS:
        newest = pl.read_parquet(listed)["session"].max()  # beyond it, days may not be made
        span = (LAST, LAST) if way == "session" else (None, newest)
        yield asyncio.run(_validate(url, *span))  # type: ignore[arg-type]
        return
    if way == "gaps":
        targets = pl.read_parquet(listed)
        yield targets.height
        asyncio.run(_gaps(url, targets))
        return
    bars = scan("stocks_1m", url)
    if way == "month":
        span = pl.col("timestamp").is_between(begin, end, closed="left")
        yield bars.filter(pl.col("symbol") == "000002", span).collect().height
        return
    day = pl.read_parquet(listed)["session"].max()
    at = datetime.combine(day, datetime.min.time()).replace(hour=10, minute=30)  # type: ignore[arg-type]
    yield bars.filter(pl.col("timestamp") == at).collect().height


async def _gaps(url: str, targets: pl.DataFrame) -> None:
    store = Store(url, WallClock(), component="bench")
    try:
        await find_gaps(store, targets, WallClock())
    finally:
        await store.close()


async def _validate(url: str, first: date | None, last: date) -> int:
    """Validate what is stored of a span; return how many sessions."""
    store = Store(url, WallClock(), component="bench")
    try:
        found = await validate(store, WallClock(), [], first, last)
    finally:
        await store.close()
    if found.exit_code:
        raise AssertionError(f"not whole: {found.findings}")
    return found.targets.height


READINGS: dict[str, tuple[str, float | None]] = {
    "month": ("one symbol and month", 1 / SLOWER),
    "minute": ("one minute of all symbols", None),
    "gaps": ("missing minutes of a month", None),
}
VALIDATIONS: dict[str, tuple[str, float | None]] = {
    "session": ("a market's session validated", None),
    "year": ("all sessions of a market validated", None),
}


def main(way: str, url: str, month: str, listed: str) -> dict[str, Any]:
    """Read once; return seconds, rows and the peak of memory."""
    rows: list[int] = []
    with memory() as seen:
        seconds = seconds_taken(lambda: rows.extend(_read(way, url, month, Path(listed))))
    if not rows or not rows[0]:
        raise AssertionError(f"{way} of {month} found nothing")
    return {"seconds": seconds, "rows": rows[0], "peak": max(seen)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(*sys.argv[1:])))
