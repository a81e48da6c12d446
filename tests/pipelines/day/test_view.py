"""The terminal view shows prices whole, however narrow the terminal is."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from io import StringIO
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console

from engine.clock import VirtualClock
from engine.history.origins import Origins
from engine.store import MergeCounts, Store, Writer
from pipelines.day.alerts import Contact, open_alerts
from pipelines.day.feed_states import FeedStates
from pipelines.day.ingest import Ingestor
from pipelines.day.statistics import DayStatistics
from pipelines.day.view import LastLines, day_view, show_view, summary
from pipelines.day.warm_up import open_windows
from pipelines.feed import Feed, plan
from tests.engine.store.data import MINUTE, OPEN, futures_bars

STAMP = datetime(2026, 11, 24, 11, 26)
PRICES = {
    "A01612": (1066.05, 1067.15, 1066.00, 1067.10),
    "005930": (169_100, 1_169_200, 169_000, 169_050),
}
SIGNAL = {
    "ub": 1088.08,
    "close": 1067.05,
    "lb": 1071.15,
    "vwap": 1069.18,
    "monitor_signal": -1,
    "trade_signal": -1,
    "reason": "band_cross_down",
}


@pytest.mark.parametrize("width", [80, 100, 119, 120, 130, 160])
def test_no_price_is_cut(width: int) -> None:
    stats = DayStatistics(plan(Feed(("005930",), ("A01612",)), date(2026, 11, 24)), simulated=True)
    for symbol, prices in PRICES.items():
        values = dict(zip(("open", "high", "low", "close"), prices, strict=True))
        stats.last_bar[symbol] = {"timestamp": STAMP, "volume": 123_456, **values}
    for strategy in ("dolpha1", "opening_range"):
        stats.last_signal[f"{strategy} A01612"] = SIGNAL
    console = Console(file=StringIO(), width=width, force_terminal=True)
    with show_view(stats, VirtualClock(STAMP), LastLines(), console):
        pass
    written = console.file.getvalue()
    for price in ("1,066.05", "1,067.15", "169,100", "1,169,200", "123,456", "1,088.08"):
        assert price in written


@pytest.mark.parametrize("width", [80, 120])
def test_how_late_the_feed_is_and_what_is_polled_stands_at_the_top(width: int) -> None:
    stats = DayStatistics(plan(Feed(("005930",), ("A01612",)), STAMP.date()), simulated=True)
    states = FeedStates(STAMP.date(), STAMP)
    reasons = {"A01612": None, "005930": "the app key is in use by another connection"}
    stats.feed_symbols = states.note(reasons, STAMP)
    stats.first_by_feed["A01612"] = {STAMP}
    stats.bar_delays["A01612"] = {STAMP: 1.25}
    stats.feed_connections = [[STAMP, STAMP + timedelta(minutes=9), STAMP + timedelta(hours=1)]]
    console = Console(file=StringIO(), width=width)
    console.print(day_view(stats, VirtualClock(STAMP), [], wide=width >= 120))
    top = console.file.getvalue().splitlines()[:3]  # type: ignore[attr-defined]
    assert top[1].strip() == "1 of 2 symbols by feed, late by p50 1.2 s, p99 1.2 s, last 1.2 s"
    assert "005930 is polled since 11:26: the app key is in use by another" in top[2]
    console.print(summary(stats))
    written = console.file.getvalue()  # type: ignore[attr-defined]
    assert "at the end" in written
    assert "2 made again, at most 2 of an app key in ten minutes" in written


@pytest.mark.parametrize("by_feed", [0, 3])
def test_what_rest_said_of_the_feed_is_told_if_there_was_one(by_feed: int) -> None:
    stats = DayStatistics(plan(Feed(("005930",)), STAMP.date()), simulated=True)
    stats.origins = Origins(by_feed, by_feed, 0, 0, {"feed": 0, "rest": 0})
    console = Console(file=StringIO(), width=100)
    console.print(summary(stats))
    written = console.file.getvalue()  # type: ignore[attr-defined]
    assert ("that REST gave" in written) == bool(by_feed)
    assert ("other values" in written) == bool(by_feed)


def test_t11_the_signal_of_now_is_no_signal_of_the_future() -> None:
    """T11. A day that was played again showed 15:45's signal at 10:11, without a time."""
    now = datetime(2026, 11, 24, 10, 11, 2)
    stats = DayStatistics(plan(Feed((), ("A01612",)), now.date()), simulated=True)
    stamps = [datetime(2026, 11, 24, *at) for at in ((10, 10), (10, 11), (10, 12), (15, 45))]
    rows = pl.DataFrame([{**SIGNAL, "timestamp": t, "symbol": "A01612"} for t in stamps])
    batch = rows.to_arrow().to_batches()[0]
    stats.count_signals("dolpha1_signal", batch, MergeCounts(inserted=4))
    shown = {at: stats.signals_at(at) for at in (now, stamps[0], stamps[0].replace(hour=9))}
    times = [[row["timestamp"] for row in found.values()] for found in shown.values()]
    assert times == [[stamps[1]], [stamps[0]], []]
    console = Console(file=StringIO(), width=100)
    console.print(day_view(stats, VirtualClock(now), []))
    written = console.file.getvalue()  # type: ignore[attr-defined]
    assert "10:11" in written.partition("signals")[2]
    assert "15:45" not in written


async def test_t11_a_window_has_no_bars_of_the_future(store: Store, tmp_path: Path) -> None:
    """T11. On a day that is played again the first bar gave the signals of the whole day."""
    day = plan(Feed((), ("A01",)), date(2025, 9, 1))
    await store.merge("futures_1m", futures_bars([1.0] * 60))
    now = VirtualClock(OPEN + 9 * MINUTE)
    early, writer = Store(store.url, now), Writer(store.url, now, tmp_path)
    async with open_alerts(Contact(), now) as alerts:
        ingestor = Ingestor(writer, now, DayStatistics(day, simulated=True), alerts)
        await open_windows(day, early, ingestor)
    await writer.close()
    await early.close()
    assert {window._held.newest for window in ingestor.windows} == {now.now()}


def test_on_a_low_terminal_the_counts_and_the_newest_line_are_not_below_the_edge() -> None:
    stats = DayStatistics(plan(Feed(("005930",), ("A01612",)), STAMP.date()), simulated=True)
    console = Console(file=StringIO(), width=80)
    lines = ["⚠️ an earlier line", "❌ the newest line"]
    console.print(day_view(stats, VirtualClock(STAMP), lines, wide=False))
    shown = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert "missing" in shown[1]
    assert shown[2].strip() == "❌ the newest line"
    assert "an earlier line" in shown[-1]
