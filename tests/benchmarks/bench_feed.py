"""From the frame that ends a minute to its committed bars and signals; the feed against polling.

Ours is measured in real time: frames of 20 symbols and 34 options, as the simulator writes them,
are handed to the collector, then at once the first one of each in the next minute. From then on it
is our own work: columns, bars, commit, strategies, commit. What comes before is the exchange's and
KIS's. It is taken from a stretch of a day on the virtual clock, in which work takes no time, by
feed and by polling.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import sys
import tempfile
import time
from collections import deque
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from engine.clock import VirtualClock, WallClock
from engine.kis.stream.fields import LAYOUTS
from engine.kis.stream.frames import Frame
from engine.kis.stream.registrations import StreamRegistration
from engine.kis.stream.state import StreamState
from engine.market.symbols import Option, Stock, parse
from engine.simulator.exchange import SimulatedExchange
from engine.simulator.market.data import open_session
from engine.simulator.market.synthetic import SyntheticMarket
from engine.simulator.stream.frames import FrameWriter
from engine.simulator.stream.services import SERVICES
from engine.store import MergeCounts, Store, Writer
from pipelines.day.alerts import Alerts, Contact
from pipelines.day.fed_streams import FedStreams
from pipelines.day.ingest import Ingestor
from pipelines.day.market_states import HaltWatch
from pipelines.day.statistics import DayStatistics
from pipelines.day.streaming import FeedFollower
from pipelines.day.trade_keeping import TradeKeeper, is_not_trades, is_trades
from pipelines.day.unread_frames import TOGETHER
from pipelines.day.warm_up import open_windows
from pipelines.day_plan import DayPlan
from pipelines.feed import Feed
from strategies.registry import STRATEGIES
from tests.benchmarks.bench_delay import OPEN, day_plan, warm_up
from tests.benchmarks.bench_env import BenchEnv
from tests.benchmarks.rows import Row, as_in_a_day
from tests.pipelines.day.playing import at_time, play
from tests.pipelines.simulated import desk

MINUTE = timedelta(minutes=1)
JUST_AFTER = timedelta(seconds=15)  # in which nearly every symbol trades: that proves the last bar
OPTIONS = 34
TINY = {"stocks": 1, "options": 2, "minutes": 2, "until": ""}
QUICK = {"stocks": 3, "options": 6, "minutes": 2, "until": ""}
LAST_SIGNAL = f"{list(STRATEGIES)[-1]}_signal"


def measure(
    env: BenchEnv,
    *,
    stocks: int = 19,
    options: int = OPTIONS,
    minutes: int = 30,
    until: str = "15:10",
) -> list[Row]:
    """Measure our part over so many minutes, and a stretch of a day by feed and by polling."""
    own = as_in_a_day("tests.benchmarks.bench_feed", env.database(), stocks, options, minutes)
    rows = [
        *_own_rows(f"ours: {stocks} stocks, 1 future, {options} options → bars", own["bars"]),
        *_own_rows("ours: → the future's signals", own["signals"]),
        _row("ours: both, CPU of our process", own["cpu"]),
    ]
    for stream in (True, False) if until else ():
        who = "feed" if stream else "polling"
        found = asyncio.run(_stretch(env.database(), env.folder / who, until, stream=stream))
        rows += [_row(f"{who} · {what}", seconds) for what, seconds in found.items()]
    return rows


def _own_rows(what: str, seconds: list[float]) -> list[Row]:
    """Return the two targets: 25 ms in the middle, 60 ms for all but one of a hundred."""
    row = _row(what, seconds, 0.025)
    return [row, Row(f"{what}, p99", row.p99 or 0.0, rows=len(seconds), most=0.060)]


def _row(what: str, seconds: list[float], most: float | None = None) -> Row:
    p50, p99 = (float(np.quantile(seconds, q)) for q in (0.5, 0.99))
    return Row(what, p50, p99=p99, rows=len(seconds), most=most)


class Frames:
    """A connection to which the benchmark hands frames; it is up since before the open."""

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {}
        self.state = StreamState(connected_since=OPEN - timedelta(hours=1), limit=100)
        self.ever_wanted: set[StreamRegistration] = set()
        self._queue: asyncio.Queue[list[Frame]] = asyncio.Queue()

    def want(self, registrations: list[StreamRegistration]) -> None:
        """Remember what is wanted: frames of all symbols are made here."""
        self.ever_wanted.update(registrations)

    def start(self) -> None:
        """Begin with what is put."""

    def put(self, frames: list[Frame]) -> None:
        """Have frames taken."""
        self._queue.put_nowait(frames)

    @property
    def waiting(self) -> int:
        """How often frames were put that nobody has taken yet."""
        return self._queue.qsize()

    async def take(self) -> list[Frame]:
        """Wait for frames."""
        return await self._queue.get()


class Commits:
    """Notes when bars and signals of a minute are committed, in seconds since its end was known."""

    def __init__(self) -> None:
        self.bars: list[float] = []
        self.signals: list[float] = []
        self.cpu: list[float] = []  # of all threads, until both are
        self.begin = self.cpu_begin = 0.0
        self.stamp = OPEN  # of the minute that has just ended
        self.waits: set[str] = set()
        self.done = asyncio.Event()

    def watch(self, writer: Writer, stamp: datetime, symbols: set[str]) -> None:
        """Begin a minute: its end has just come in."""
        self.waits, self.stamp = {*symbols, LAST_SIGNAL}, stamp
        self.done.clear()
        self.begin, self.cpu_begin = time.perf_counter(), time.process_time()

    def note(self, table: str, batch: pa.RecordBatch) -> None:
        """Note a commit, in little time: the next ones wait for it."""
        passed = time.perf_counter() - self.begin
        if self.stamp not in batch["timestamp"].to_pylist():
            return
        if table == LAST_SIGNAL and LAST_SIGNAL in self.waits:
            self.signals.append(passed)
            self.waits.discard(LAST_SIGNAL)
        symbol = batch["symbol"][0].as_py()  # a batch is of one symbol
        if table.endswith("_1m") and symbol in self.waits:
            self.bars.append(passed)
            self.waits.discard(symbol)
        if not self.waits and not self.done.is_set():
            if self.begin:  # not in the first minute, which warms up
                self.cpu.append(time.process_time() - self.cpu_begin)
            self.done.set()


async def _own(url: str, stocks: int, options: int, minutes: int) -> dict[str, list[float]]:
    market, day = SyntheticMarket(3), day_plan(stocks)
    clock, connection, commits = WallClock(), Frames(), Commits()
    virtual = Store(url, VirtualClock(OPEN))
    await warm_up(virtual, market, day)
    frames = _frames(market, day, options, minutes + 2)
    with tempfile.TemporaryDirectory(prefix="krt-bench-") as here:
        writer = Writer(url, clock, Path(here), takes=is_not_trades)
        trades = Writer(url, clock, Path(here), takes=is_trades)
        stats = DayStatistics(day, simulated=True)
        ingestor = Ingestor(writer, clock, stats, Alerts([], clock, Contact()))
        await open_windows(day, virtual, ingestor)
        await virtual.close()
        keeper = TradeKeeper(trades, ingestor.store_rejected, clock, stats)
        queue = writer.queue

        def watched(table: str, batch: pa.RecordBatch, **named: Any) -> asyncio.Future[MergeCounts]:
            done = queue(table, batch, **named)
            if table.endswith(("_1m", "_signal")):
                done.add_done_callback(lambda _: commits.note(table, batch))
            return done

        writer.queue = watched  # type: ignore[method-assign]
        watch = HaltWatch(day, ingestor, is_on=False)
        told = FedStreams(day, ingestor, clock)
        connections: list[Any] = [connection]
        feed = FeedFollower(day, connections, ingestor, keeper, clock, watch, told)
        options_wanted = (symbol for symbol in frames if isinstance(parse(symbol), Option))
        feed.options.symbols = tuple(options_wanted)  # those of the chain near the money, in a day
        gc.freeze()  # as `just live` does; the frames are the benchmark's
        running = asyncio.create_task(feed.run())
        for number in range(1, minutes + 2):
            end = OPEN + number * MINUTE
            during = {symbol: _take_until(end, waiting) for symbol, waiting in frames.items()}
            next_ones = {
                symbol: waiting.popleft()
                for symbol, waiting in frames.items()
                if _is_near(end, waiting)
            }
            connection.put(sorted(itertools.chain.from_iterable(during.values())))
            # In a day they come bit by bit: the end of the minute finds them read and stored.
            await clock.sleep(TOGETHER + 0.1)
            await keeper.flush()
            await clock.sleep(0.1)
            traded = {symbol for symbol in _symbols(day) if during[symbol]} & next_ones.keys()
            if number > 1:  # the first one warms up: no trade before it proves its bars
                commits.watch(writer, end, traded)
            connection.put(sorted(next_ones.values()))
            with suppress(TimeoutError):  # of a bar that is not complete, or on a very busy machine
                async with clock.timeout(10 if number > 1 else 1):
                    await commits.done.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        gc.unfreeze()
        await keeper.flush()
        await trades.close()
        await writer.close()
    assert not stats.rejected, stats.rejected
    return {"bars": commits.bars, "signals": commits.signals, "cpu": commits.cpu}


def _symbols(day: DayPlan) -> list[str]:
    return [bars.symbol for bars in day.bars]


def _frames(
    market: SyntheticMarket, day: DayPlan, options: int, minutes: int
) -> dict[str, deque[Frame]]:
    """Return the frames of the first minutes from nine o'clock on, by symbol and option."""
    exchange = SimulatedExchange(market)
    writer = FrameWriter(exchange, seed=1)
    chain = exchange.options.day("KOSPI200", "202612", day.day).listed["code"]
    near = chain[190 : 190 + options].to_list()
    found = {}
    for symbol in [*_symbols(day), *near]:
        tr_id = {Stock: "H0STCNT0", Option: "H0IOCNT0"}.get(type(parse(symbol)), "H0IFCNT0")
        session = open_session(SERVICES[tr_id].market, day.day)
        blocks = range(writer.blocks(symbol, session))
        frames = (frame for n in blocks for frame in writer.block(tr_id, symbol, session, n))
        until = OPEN + minutes * MINUTE
        found[symbol] = deque(sorted(frame for frame in frames if OPEN <= frame[0] < until))
    return found


def _take_until(end: datetime, waiting: deque[Frame]) -> list[Frame]:
    """Take a symbol's frames whose trades were all before that moment."""
    taken = []
    while waiting and _last_trade(waiting[0]) < f"{end:%H%M%S}":
        taken.append(waiting.popleft())
    return taken


def _is_near(end: datetime, waiting: deque[Frame]) -> bool:
    return bool(waiting) and waiting[0][0] < end + JUST_AFTER


def _last_trade(frame: Frame) -> str:
    """Return the exchange's time (HHMMSS) of a frame's last trade."""
    _, tr_id, _, body = frame[1].split("|", 3)
    return body.split("^")[1 - LAYOUTS[tr_id].width]


async def _stretch(url: str, folder: Path, until: str, *, stream: bool) -> dict[str, list[float]]:
    """Return seconds from the end of each minute to what follows, on the virtual clock."""
    feed = Feed(tuple(f"{n:05}0" for n in range(1, 5)), ("101W12",))
    async with desk(url, folder, at_time("15:00")) as at:
        await play(at, url, folder, feed=feed, stream=stream, until=at_time(until))
        since = at_time("15:02")
        bars = await at.frame(
            "SELECT symbol, timestamp, committed_at FROM futures_1m UNION ALL"
            " SELECT symbol, timestamp, committed_at FROM stocks_1m"
        )
        signals = await at.frame(f"SELECT timestamp, committed_at FROM {LAST_SIGNAL}")
        trades = await at.frame(
            "SELECT symbol, date_trunc('minute', traded_at) + interval '1 minute' AS timestamp,"
            " max(received_at) AS received_at, max(traded_at) AS traded_at"
            " FROM trades GROUP BY 1, 2"
        )
    late = pl.col("committed_at") - pl.col("timestamp")
    live = (pl.col("timestamp") > since) & (late < timedelta(minutes=1))
    bars = bars.filter(live)
    found = {
        "bar end → committed bar": _seconds(bars.select(late)),
        "bar end → committed signal": _seconds(signals.filter(live).select(late)),
    }
    if stream:
        both = bars.join(trades, on=["symbol", "timestamp"])
        receipt = pl.col("received_at") - pl.col("traded_at")
        known = pl.max_horizontal("received_at", "timestamp")
        found["exchange → receipt of the bar's last trade"] = _seconds(both.select(receipt))
        found["waiting for the minute to be over"] = _seconds(
            both.select(pl.col("committed_at") - known)
        )
    return found


def _seconds(frame: pl.DataFrame) -> list[float]:
    return [value.total_seconds() for value in frame.to_series()]


if __name__ == "__main__":
    database, *sizes = sys.argv[1:]
    sys.stdout.write(json.dumps(asyncio.run(_own(database, *map(int, sizes)))))
