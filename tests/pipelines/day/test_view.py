"""The terminal view shows prices whole, however narrow the terminal is."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from io import StringIO
from pathlib import Path

import polars as pl
import pytest
from rich.cells import cell_len
from rich.console import Console
from syrupy.assertion import SnapshotAssertion

from engine.clock import VirtualClock
from engine.history.origins import Origins
from engine.market.symbols import parse_chain
from engine.store import MergeCounts, Store, Writer
from pipelines.day.alerts import Contact, open_alerts
from pipelines.day.feed_states import FeedStates
from pipelines.day.ingest import Ingestor
from pipelines.day.statistics import DayStatistics
from pipelines.day.summary import summary
from pipelines.day.view import LastLines, day_view, draws_view, show_view
from pipelines.day.warm_up import open_windows
from pipelines.day_plan import plan
from pipelines.feed import Feed
from pipelines.texts import Texts
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


KO, EN = Texts("ko"), Texts("en")
FEED = Feed(("005930", "000660"), ("A01612",), (parse_chain("front"),))


def busy_day() -> DayStatistics:
    """A day at 11:26 with bars, signals and volatilities."""
    stats = DayStatistics(plan(FEED, STAMP.date()), simulated=True)
    stats.since = STAMP.replace(hour=8, minute=36)
    for symbol, prices in PRICES.items():
        values = dict(zip(("open", "high", "low", "close"), prices, strict=True))
        stats.last_bar[symbol] = {"timestamp": STAMP, "volume": 1_123_456, **values}
    for strategy in ("dolpha1", "opening_range"):
        rows = [
            {**SIGNAL, "timestamp": STAMP - timedelta(minutes=n), "trade_signal": side}
            for n, side in ((9, -1), (8, 0), (4, -1), (0, 0))
        ]
        stats.given[f"{strategy} A01612"] = {row["timestamp"]: row for row in rows}
        stats.last_signal[f"{strategy} A01612"] = rows[-1]
    levels = [f"{side}_{kind}{n}" for side in "cp" for kind in ("itm", "otm") for n in (1, 2, 3)]
    stats.matrices["202612_KOSPI200"] = pl.DataFrame(
        {
            "metric_type": ["iv"],
            "underlying_symbol": ["202612_KOSPI200"],
            "timestamp": [STAMP],
            **{level: [38.25] for level in [*levels, "c_atm", "p_atm"]},
        }
    )
    return stats


def log_of(*lines: str, trouble: str = "") -> LastLines:
    log = LastLines()
    log.lines.extend(lines)
    log.trouble = trouble
    return log


def shown(
    stats: DayStatistics, width: int, height: int, t: Texts = EN, log: LastLines | None = None
) -> list[str]:
    """Return the lines of the view, and hold what is true of it at any size."""
    console = Console(file=StringIO(), width=width)
    view = day_view(stats, STAMP, log or log_of(), t, width=width, height=height)
    console.print(view)
    lines: list[str] = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) == len(view.renderables) <= height  # none is folded
    assert all(cell_len(line) <= width for line in lines)
    return [line.rstrip() for line in lines]


@pytest.mark.parametrize("width", [80, 100, 119, 120, 130, 160])
def test_no_price_is_cut(width: int) -> None:
    console = Console(file=StringIO(), width=width, force_terminal=True)
    with show_view(busy_day(), VirtualClock(STAMP), log_of(), console, EN):
        pass
    written = console.file.getvalue()  # type: ignore[attr-defined]
    for price in ("1,066.05", "1,067.15", "169,100", "1,169,200", "1,123,456", "1,088.08"):
        assert price in written


@pytest.mark.parametrize("t", [KO, EN])
@pytest.mark.parametrize(("width", "height"), [(80, 23), (120, 39), (200, 60), (60, 23), (40, 14)])
def test_every_size_has_what_counts_most_and_no_number_is_cut(
    width: int, height: int, t: Texts, snapshot: SnapshotAssertion
) -> None:
    log = log_of(
        "2026-11-24 11:20:00 an earlier line",
        "2026-11-24 11:26:01 🚀 dolpha1 KOSPI200 futures 2026-12 A01612: SHORT at 1,067.10",
        trouble="2026-11-24 11:21:30 ⚠️ KIS was away",
    )
    lines = shown(busy_day(), width, height, t, log)
    written = "\n".join(lines)
    assert t("view_simulation") in lines[0]
    assert "11:26:00 KST" in lines[0]
    assert lines[1].startswith(f"{t('missing')} ")
    assert "KIS was away" in lines[2]
    assert "SHORT at 1,067.10" in " ".join(lines[3:6])
    assert "1,067.10" in written  # the last prices, whole
    assert "169,050" in written
    assert re.search(rf"A01612 +11:26 ▼ {t('short')}", written)  # a signal with its time
    for number in re.findall(r"[\d,.]+…", written):
        pytest.fail(f"{number} is cut")
    assert lines == snapshot


def test_the_signal_that_stands_has_the_time_of_its_turn() -> None:
    stats = busy_day()
    assert any("▼ 11:17" in line for line in shown(stats, 80, 23))
    turn = stats.turn_until("dolpha1 A01612", STAMP - timedelta(minutes=10))
    assert turn is None


@pytest.mark.parametrize("t", [KO, EN])
def test_columns_keep_their_places_when_texts_and_numbers_change(t: Texts) -> None:
    early, late = busy_day(), busy_day()
    for bar in early.last_bar.values():
        bar.update(volume=5, close=999.95 if bar["close"] < 2000 else 99_900)
    for given in early.given.values():
        for row in given.values():
            row.update(reason="none", monitor_signal=0, ub=None, lb=None)
    for width in (80, 120):
        places = [
            [cell_len(line[: found.end()]) for line in lines if (found := re.search(pattern, line))]
            for lines in (shown(early, width, 23, t), shown(late, width, 23, t))
            for pattern in (r"11:26(?=[ ]+[\d,.]+ )", r"11:26(?= [·▼])", r"dolpha1|opening_range")
        ]
        assert places[:3] == places[3:]
        assert all(places)


def test_names_give_way_before_any_number() -> None:
    wide, low, narrow = (shown(busy_day(), width, 30) for width in (120, 80, 40))
    assert any("KOSPI200 futures 2026-12 A01612 " in line for line in wide)
    assert any(line.startswith("A01612 ") for line in low)
    assert any(line.startswith("A01612 ") and "1,067.10" in line for line in narrow)
    assert any("KOSPI200 options 2026-12" in line for line in low)


def test_what_there_is_no_room_for_is_counted() -> None:
    stocks = tuple(f"{number:06}" for number in range(100, 140))
    stats = DayStatistics(plan(Feed(stocks, ("A01612",)), STAMP.date()), simulated=True)
    lines = shown(stats, 80, 23)
    more = next(line for line in lines if line.startswith("and "))
    rows = sum(bool(re.search(r"stock \d{6}|A01612", line)) for line in lines)
    assert more == f"and {41 - rows} more, see just status"


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (datetime(2026, 11, 24, 8, 36), "opens at 08:45, in 9 min"),
        (datetime(2026, 11, 23, 16, 0), "opens at 2026-11-24 08:45, in 16 h 45 min"),
        (datetime(2026, 11, 24, 8, 45), None),
    ],
)
def test_before_the_open_the_heading_counts_down(now: datetime, said: str | None) -> None:
    view = day_view(busy_day(), now, log_of(), EN, width=80, height=23)
    heading = str(view.renderables[0])
    assert ("opens" in heading) == bool(said)
    assert (said or "") in heading


@pytest.mark.parametrize(
    ("variables", "drawn"),
    [
        ({"TERM": "xterm-256color"}, True),
        ({"TERM": "dumb"}, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
    ],
)
def test_a_terminal_that_cannot_redraw_or_shall_not_gets_the_log(
    variables: dict[str, str], drawn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert draws_view(Console(file=StringIO(), force_terminal=True)) is drawn
    assert not draws_view(Console(file=StringIO()))


@pytest.mark.parametrize("width", [80, 120])
def test_how_late_the_feed_is_and_what_is_polled_stands_at_the_top(width: int) -> None:
    stats = DayStatistics(plan(Feed(("005930",), ("A01612",)), STAMP.date()), simulated=True)
    states = FeedStates(STAMP.date(), STAMP)
    reasons = {"A01612": None, "005930": "the app key is in use by another connection"}
    stats.feed_symbols = states.note(reasons, STAMP)
    stats.first_by_feed["A01612"] = {STAMP}
    stats.bar_delays["A01612"] = {STAMP: 1.25}
    stats.feed_connections = [[STAMP, STAMP + timedelta(minutes=9), STAMP + timedelta(hours=1)]]
    top = day_view(stats, STAMP, log_of(), EN, width=width).renderables[:3]
    late = "1 of 2 symbols by feed, late by p50 1.2 s, p99 1.2 s, last 1.2 s"
    assert str(top[1]) == late
    assert "005930 is polled since 11:26: the app key is in use by another" in str(top[2])
    console = Console(file=StringIO(), width=width)
    console.print(summary(stats, EN))
    written = console.file.getvalue()  # type: ignore[attr-defined]
    assert "at the end" in written
    assert "2 made again, at most 2 of an app key in ten minutes" in written


@pytest.mark.parametrize("by_feed", [0, 3])
def test_what_rest_said_of_the_feed_is_told_if_there_was_one(by_feed: int) -> None:
    stats = DayStatistics(plan(Feed(("005930",)), STAMP.date()), simulated=True)
    stats.origins = Origins(by_feed, by_feed, 0, 0, {"feed": 0, "rest": 0})
    console = Console(file=StringIO(), width=100)
    console.print(summary(stats, EN))
    written = console.file.getvalue()  # type: ignore[attr-defined]
    assert ("that REST gave" in written) == bool(by_feed)
    assert ("other values" in written) == bool(by_feed)


def test_the_signal_of_now_is_no_signal_of_the_future() -> None:
    """A day that was played again showed 15:45's signal at 10:11, without a time."""
    now = datetime(2026, 11, 24, 10, 11, 2)
    stats = DayStatistics(plan(Feed((), ("A01612",)), now.date()), simulated=True)
    stamps = [datetime(2026, 11, 24, *at) for at in ((10, 10), (10, 11), (10, 12), (15, 45))]
    rows = pl.DataFrame([{**SIGNAL, "timestamp": t, "symbol": "A01612"} for t in stamps])
    batch = rows.to_arrow().to_batches()[0]
    stats.count_signals("dolpha1_signal", batch, MergeCounts(inserted=4))
    shown = {at: stats.signals_at(at) for at in (now, stamps[0], stamps[0].replace(hour=9))}
    times = [[row["timestamp"] for row in found.values()] for found in shown.values()]
    assert times == [[stamps[1]], [stamps[0]], []]
    written = "\n".join(map(str, day_view(stats, now, log_of(), EN, width=100).renderables))
    assert "10:11" in written.partition("signals ")[2]
    assert "15:45" not in written


async def test_a_window_has_no_bars_of_the_future(store: Store, tmp_path: Path) -> None:
    """On a day that is played again the first bar gave the signals of the whole day."""
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


@pytest.mark.parametrize("height", range(8, 50))
def test_a_line_of_the_log_is_shown_once_and_whole_or_not_at_all(height: int) -> None:
    early, trouble, last = (
        f"{name} {'and what it is about ' * 5}end of {name}"
        for name in ("early", "trouble", "last")
    )
    lines = shown(busy_day(), 80, height, log=log_of(early, trouble, last, trouble=trouble))
    written = " ".join(lines)
    assert written.count("end of trouble") == written.count("end of last") == 1
    begun, ended = written.count("early and"), written.count("end of early")
    assert begun == ended <= 1
    assert begun == 1 or height < 30
