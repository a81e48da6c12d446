"""Trades of a busy day: stored, read back, moved to a file; and thousands a second for minutes.

A busy day is stored, a minute's trades in one commit, and read by symbol and hour,
beside the whole day. The steady stream goes through the collector itself: columns, bars and trades,
both committed; its CPU is that of this process alone.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import psutil

from engine import schemas
from engine.clock import WallClock
from engine.history.trades import scan_trades
from engine.kis.stream.frames import Frame
from engine.store import Store, Writer
from engine.store.connection import Connection, fetch_frame
from engine.store.trade_files import TradeFiles, file_of
from pipelines.day.alerts import Alerts, Contact
from pipelines.day.fed_streams import FedStreams
from pipelines.day.ingest import Ingestor
from pipelines.day.market_states import HaltWatch
from pipelines.day.statistics import DayStatistics
from pipelines.day.streaming import FeedFollower
from pipelines.day.trade_keeping import TradeKeeper, is_not_trades, is_trades
from pipelines.day_plan import plan
from pipelines.feed import Feed
from tests.benchmarks.bench_env import BenchEnv
from tests.benchmarks.bench_feed import Frames
from tests.benchmarks.bench_stream import NAMES, TR
from tests.benchmarks.rows import Row, as_in_a_day, seconds_taken
from tests.engine.kis.stream.sample_frames import THREE_STOCKS, frame, records

DAY = date(2026, 11, 20)
OPEN = datetime(2026, 11, 20, 9, 0)
NOON = datetime(2026, 11, 20, 12, 0)
SYMBOLS = 40
SYMBOL, HOUR, PRICE, SIZE, VOLUME, TURNOVER = (
    NAMES.index(name)
    for name in (
        "MKSC_SHRN_ISCD",
        "STCK_CNTG_HOUR",
        "STCK_PRPR",
        "CNTG_VOL",
        "ACML_VOL",
        "ACML_TR_PBMN",
    )
)
RATE = 5_000  # trades a second of the steady stream
AT_ONCE = 0.1  # seconds between its frames' being taken
FILLED = 240  # seconds after which the trades kept for bars, of three minutes, grow no more
TINY = {"trades": 2_000, "seconds": 1, "rate": 200, "rounds": 1}
QUICK = {"trades": 200_000, "seconds": 5, "rounds": 2}
LONG = {"seconds": 600}


def measure(
    env: BenchEnv,
    *,
    trades: int = 2_000_000,
    seconds: int = 60,
    rate: int = RATE,
    rounds: int = 9,
) -> list[Row]:
    """Store so many trades of a day; then take so many a second for so long."""
    steady = as_in_a_day("tests.benchmarks.bench_trades", env.database(), seconds, rate)
    return [*_steady_rows(steady, seconds, rate), *_busy_day(env, trades, rounds)]


def _busy_day(env: BenchEnv, trades: int, rounds: int) -> Iterator[Row]:
    url, folder = env.database(), env.folder / "trades"
    batches = list(_batches(trades, max(100, trades // 390)))  # of a session's minutes
    took = asyncio.run(_store(url, batches))
    yield Row(f"{trades:,} trades stored, a minute's at once", took, rows=trades)
    one = _hour(scan_trades(url, folder))
    whole = seconds_taken(lambda: scan_trades(url, folder).collect())
    database = _median(one, rounds)
    yield Row("of them a symbol's hour vs the whole day", database, whole, most=0.2)
    size = _partition_bytes(url)
    files = TradeFiles(folder, 1)
    moved = seconds_taken(lambda: files.move(url, DAY + timedelta(days=9), NOON))
    yield Row("the day to a file, compared and dropped", moved, rows=trades)
    whole = seconds_taken(lambda: scan_trades(url, folder).collect())
    yield Row("a symbol's hour of the file vs the whole", _median(one, rounds), whole, most=0.2)
    written = file_of(folder, DAY).stat().st_size
    yield Row("size of the file vs the partition", written / 1e6, size / 1e6, unit="MB")


def _batches(count: int, at_once: int) -> Iterator[pl.DataFrame]:
    """Yield trades of SYMBOLS stocks, so many together."""
    at = pl.col("number") * (23_400.0 / count)
    symbol = pl.col("number") % SYMBOLS
    frame = pl.select(number=pl.int_range(count)).select(
        session=pl.lit(DAY),
        symbol=symbol.cast(pl.String).str.zfill(5) + "0",
        traded_at=pl.lit(OPEN) + pl.duration(seconds=at.floor().cast(pl.Int64)),
        received_at=pl.lit(OPEN) + pl.duration(milliseconds=(at * 1000).cast(pl.Int64) + 20),
        price=71_000.0 + 100 * (pl.col("number") * 7919 % 31),
        size=1 + pl.col("number") * 31 % 97,
        side=pl.when(pl.col("number") % 3 == 0).then(pl.lit("B")).otherwise(pl.lit("S")),
        day_volume=50 * (pl.col("number") + 1),
        day_turnover=3.5e6 * (pl.col("number") + 1),
        day_bought=20 * pl.col("number"),
        day_sold=30 * pl.col("number"),
        bid=71_000.0 + 100 * (pl.col("number") * 7919 % 31),
        ask=71_100.0 + 100 * (pl.col("number") * 7919 % 31),
        bid_size=pl.col("number") * 17 % 5003,
        ask_size=pl.col("number") * 19 % 5003,
        open_interest=pl.lit(None, pl.Int64),
        limit_state=pl.lit("N"),
    )
    yield from frame.iter_slices(at_once)


async def _store(url: str, batches: list[pl.DataFrame]) -> float:
    store = Store(url, WallClock())
    begin = time.perf_counter()
    for batch in batches:
        await store.merge("trades", schemas.conform(batch, schemas.TRADES))
    took = time.perf_counter() - begin
    await store.close()
    connection = Connection(url, "bench")
    connection.execute_alone("VACUUM ANALYZE trades")
    connection.close()
    return took


def _hour(frame: pl.LazyFrame) -> Callable[[], pl.DataFrame]:
    """Return what reads one symbol from eleven to twelve."""
    hour = pl.col("traded_at").is_between(NOON - timedelta(hours=1), NOON, closed="left")
    wanted = frame.filter(pl.col("session") == DAY, pl.col("symbol") == "000070", hour)

    def read() -> pl.DataFrame:
        found = wanted.collect()
        assert found.height
        return found

    return read


def _median(work: Callable[[], object], rounds: int) -> float:
    return sorted(seconds_taken(work) for _ in range(rounds))[rounds // 2]


def _partition_bytes(url: str) -> int:
    connection = Connection(url, "bench")
    try:
        with connection.transaction() as cursor:
            size = "pg_total_relation_size('trades_20261120')"
            return int(fetch_frame(cursor, f"SELECT {size} AS size")["size"][0])
    finally:
        connection.close()


def _steady_rows(found: dict[str, Any], seconds: int, rate: int) -> Iterator[Row]:
    name = f"{rate:,} trades/s for {seconds} s"
    memory = found["memory"]
    yield Row(f"{name}: cores", found["cores"], rows=found["trades"], most=0.5)
    yield Row(f"{name}: memory", max(memory), unit="MB")
    if late := found["late"]:
        median, p99 = (float(np.quantile(late, q)) for q in (0.5, 0.99))
        yield Row(f"{name}: end of a minute → bars", median, p99=p99, rows=len(late))
    if len(memory) > 2 * FILLED:
        slope = float(np.polyfit(range(FILLED, len(memory)), memory[FILLED:], 1)[0])
        yield Row(f"{name}: memory growth a minute", max(0.0, 60 * slope), unit="MB", most=2)


async def _steady(url: str, seconds: int, rate: int) -> dict[str, Any]:
    """Hand so many trades a second to the collector, as frames; it does all that it does in a day.

    Bars, trades and rejected records are committed. After the first minutes, whose trades it keeps
    to make bars of, memory must not grow.
    """
    clock, stream = WallClock(), Stream(rate)
    day, connection = plan(Feed(stream.symbols), DAY), Frames()
    process, memory = psutil.Process(), []
    with tempfile.TemporaryDirectory(prefix="krt-bench-") as here:
        writer = Writer(url, clock, Path(here), takes=is_not_trades)
        trades = Writer(url, clock, Path(here), takes=is_trades)
        stats = DayStatistics(day, simulated=True)
        ingestor = Ingestor(writer, clock, stats, Alerts([], clock, Contact()))
        keeper = TradeKeeper(trades, ingestor.store_rejected, clock, stats)
        watch = HaltWatch(day, ingestor, is_on=False)
        told = FedStreams(day, ingestor, clock)
        connections: list[Any] = [connection]
        feed = FeedFollower(day, connections, ingestor, keeper, clock, watch, told)
        following = asyncio.create_task(feed.run())
        began, begin, cpu = clock.now(), time.perf_counter(), time.process_time()
        for number in range(round(seconds / AT_ONCE)):
            taken = stream.next_frames()
            await clock.sleep(max(0.0, begin + number * AT_ONCE - time.perf_counter()))
            connection.put(taken)
            if number % 10 == 9:
                memory.append(process.memory_info().rss / 1e6)
        spent = time.process_time() - cpu - stream.took
        share = spent / (time.perf_counter() - begin)
        while connection.waiting:
            await clock.sleep(AT_ONCE)
        feed.read()
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await keeper.flush()
        await trades.close()
        await writer.close()
    assert (stats.trades, stats.rejected) == (stream.given, {}), "trades were lost"
    late = _seconds_late(url, began)
    return {"cores": share, "memory": memory, "trades": stream.given, "late": late}


def _seconds_late(url: str, began: datetime) -> list[float]:
    """Return how long after its minute each bar was committed; the stream began at nine."""
    connection = Connection(url, "bench")
    try:
        found = connection.query("SELECT timestamp, committed_at FROM stocks_1m")
    finally:
        connection.close()
    late = pl.col("committed_at") - began - (pl.col("timestamp") - OPEN)
    seconds = pl.DataFrame(found).select(late.dt.total_seconds(fractional=True))
    return seconds.to_series().to_list()


class Stream:
    """Frames of three trades each, of ten stocks; `took` is the CPU spent on making them."""

    def __init__(self, rate: int) -> None:
        self.symbols = tuple(f"00{n}930" for n in range(10))
        self.given = 0
        self.took = 0.0
        self._rate = rate
        self._fields = list(records(THREE_STOCKS)[0])
        self._volumes = dict.fromkeys(self.symbols, 0)
        self._fields[NAMES.index("BSOP_DATE")] = f"{DAY:%Y%m%d}"

    def next_frames(self) -> list[Frame]:
        """Return the frames of the next tenth of a second."""
        begin = time.process_time()
        moment = OPEN + timedelta(seconds=self.given / self._rate)
        count = max(3, round(self._rate * AT_ONCE))
        made = [self._record(f"{moment:%H%M%S}") for _ in range(count)]
        frames = [
            (moment + timedelta(seconds=AT_ONCE), frame(TR, *made[start : start + 3]))
            for start in range(0, count, 3)
        ]
        self.took += time.process_time() - begin
        return frames

    def _record(self, hour: str) -> list[str]:
        symbol = self.symbols[self.given % len(self.symbols)]
        size = 1 + self.given * 31 % 97
        self._volumes[symbol] += size
        self.given += 1
        record = self._fields.copy()
        record[SYMBOL], record[HOUR], record[SIZE] = symbol, hour, str(size)
        record[PRICE] = str(71_000 + 100 * (self.given * 7919 % 31))
        record[VOLUME] = str(self._volumes[symbol])
        record[TURNOVER] = str(71_000 * self._volumes[symbol])
        return record


if __name__ == "__main__":
    database, *sizes = sys.argv[1:]
    sys.stdout.write(json.dumps(asyncio.run(_steady(database, *map(int, sizes)))))
