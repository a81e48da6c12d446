"""The live view in the terminal: the day at a glance, redrawn four times a second.

It is as high as the terminal. First come the heading, what is missing, trouble and the newest line
of the log, then the last prices and the signals; volatilities and earlier lines take what room is
left.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path

import polars as pl
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.live import Live
from rich.text import Text

from engine.clock import Clock
from engine.columns import PRICES
from engine.history.completeness import figures
from engine.history.feed_standing import STREAM_OFF
from pipelines.console import PlainConsole
from pipelines.day.rows import Column, Row, beside, fitted, wrapped
from pipelines.day.statistics import DayStatistics
from pipelines.day.summary import feed_lines
from pipelines.texts import Texts, catalogue
from strategies.registry import STRATEGIES

LEVELS_SHOWN = 3  # on each side of the ATM strike
LOG_LINES_KEPT = 20
FEED_LINES_SHOWN = 3
PICTURE_WIDTH = 140  # columns
_ALL = 10_000  # lines: as many as there are
_SIGNALS = 1 / 3  # of the room for tables is theirs at least
_PRICE, _VOLUME = 9, 9  # columns: 1,234.56 and 1,234,567; more are taken where needed


class LastLines(logging.Handler):
    """Keeps the last log lines, and the last warning; the view shows them."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: deque[str] = deque(maxlen=LOG_LINES_KEPT)
        self.trouble = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one line."""
        line = self.format(record)
        self.lines.append(line)
        if record.levelno >= logging.WARNING:
            self.trouble = line


def draws_view(console: Console) -> bool:
    """Say whether a terminal can redraw and is wanted to: others get the lines of the log."""
    return console.is_terminal and not console.is_dumb_terminal and not console.no_color


@contextmanager
def show_view(
    stats: DayStatistics, clock: Clock, lines: LastLines, console: Console, t: Texts
) -> Iterator[None]:
    """Show the view while the block runs; its last state stays on the screen."""

    class Redrawn:
        def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
            width, height = options.max_width, options.size.height
            yield day_view(stats, clock.now(), lines, t, width=width, height=height - 1)

    with Live(Redrawn(), console=console, refresh_per_second=4, transient=False):
        yield


def day_view(
    stats: DayStatistics,
    now: datetime,
    log: LastLines,
    t: Texts,
    *,
    width: int,
    height: int = _ALL,
) -> Group:
    """Return the view of a moment in as many lines as there are, none wider than the terminal."""
    counts = figures(stats.minutes_until(now))
    log_lines = list(log.lines)
    top = [_heading(stats, now, t, width), _totals(stats, counts, t, width)]
    top[1:1] = _feed(stats, t)
    told = {log.trouble, *log_lines[-1:]}  # above all else
    if log.trouble and log.trouble not in log_lines[-1:]:
        top += wrapped(log.trouble, width, style="yellow")
    for line in log_lines[-1:]:
        top += wrapped(line, width)
    bars, signals = _bars(stats, counts, t, width), _signals(stats, now, t, width)
    room = max(height - len(top), 0)
    for_signals = max(min(len(signals), int(room * _SIGNALS)), room - len(bars))
    bars = _first(bars, room - min(for_signals, len(signals)), t)
    signals = _first(signals, room - len(bars), t)
    room -= len(bars) + len(signals)
    parts = [top, bars, signals]
    volatility = _volatility(stats, t, width)
    if volatility and room > len(volatility) + 2:
        parts.append(volatility)
        room -= len(volatility)
    shown = [part for part in parts if part]
    earlier = [wrapped(text, width, style="dim") for text in log_lines if text not in told]
    if last := _last(earlier, room - len(shown)):
        shown.append(last)
        room -= len(last)
    apart = room >= len(shown) - 1
    lines = list(shown[0])
    for part in shown[1:]:
        lines += [Text(), *part] if apart else part
    return Group(*lines[:height])


def _last(texts: list[list[Text]], room: int) -> list[Text]:
    """Return the lines of the last texts that have room, each of them whole."""
    found: list[Text] = []
    for lines in reversed(texts):
        if len(lines) + len(found) > room:
            break
        found[:0] = lines
    return found


def _first(lines: list[Text], room: int, t: Texts) -> list[Text]:
    """Return as many lines as there is room for; the last one says how many there are beyond."""
    if len(lines) <= room:
        return lines
    if room < 2:
        return lines[: max(room, 0)]
    more = t("view_more", count=len(lines) - room + 1)
    return [*lines[: room - 1], Text(more, "dim", no_wrap=True, overflow="ellipsis")]


def _heading(stats: DayStatistics, now: datetime, t: Texts, width: int) -> Text:
    kind = t("view_simulation" if stats.simulated else "view_live")
    style = "black on yellow" if stats.simulated else "white on red"
    moment = Text.assemble(
        (f" {kind} ", style), f" {now:%Y-%m-%d} ", (f"{now:%H:%M:%S}", "bold"), " KST"
    )
    opens = min((session.opens for session in stats.plan.sessions), default=now)
    if opens <= now:
        return moment
    same = opens.date() == now.date()
    at = f"{opens:%H:%M}" if same else f"{opens:%Y-%m-%d %H:%M}"
    return beside([moment, Text(t("view_opens", at=at, left=_span(opens - now, t)))], width)


def _span(time: timedelta, t: Texts) -> str:
    hours, minutes = divmod(-(-int(time.total_seconds()) // 60), 60)
    return t("hours_and_minutes" if hours else "only_minutes", hours=hours, minutes=minutes)


def _feed(stats: DayStatistics, t: Texts) -> list[Text]:
    """Return which symbols come by the feed, how late, and why not the others, a line each."""
    if stats.feed_off not in (None, STREAM_OFF):
        off = t("view_no_feed", why=stats.feed_off)
        return [Text(off, "yellow", no_wrap=True, overflow="ellipsis")]
    if stats.feed is None:
        return []
    style = "" if stats.feed.is_whole else "yellow"
    shown = feed_lines(stats.feed, t)[:FEED_LINES_SHOWN]
    return [Text(line, style, no_wrap=True, overflow="ellipsis") for line in shown]


def _totals(stats: DayStatistics, counts: pl.DataFrame, t: Texts, width: int) -> Text:
    missing, rejected = int(counts["missing"].sum()), stats.rejected.total()
    figures = [(t("missing"), missing, missing > 0)]
    if rejected:
        figures.append((t("rejected_rows"), rejected, True))
    figures += [
        (t("bars"), stats.bars, False),
        (t("snapshots"), stats.snapshots, False),
        (t("signals"), stats.signals.total(), False),
        (t("corrections"), stats.corrections, False),
        (t("rows_stored"), stats.rows.inserted, False),
    ]
    parts = [
        Text.assemble((f"{name} ", "dim"), (f"{count:,}", "red" if bad else ""))
        for name, count, bad in figures
    ]
    return beside(parts, width)


def _bars(stats: DayStatistics, counts: pl.DataFrame, t: Texts, width: int) -> list[Text]:
    """Return the last bar of each symbol, and what is missing; of chains that alone."""
    worth = {"open": 1, "high": 2, "low": 2, "close": 9}
    columns = [
        Column(t("time"), 5, 7),
        *(Column(t(price), _PRICE, worth[price]) for price in PRICES),
        Column(t("volume"), _VOLUME, 3),
        Column(t("missing"), 4, 8),
    ]
    missing = dict(counts.select("symbol", "missing").iter_rows())
    rows = []
    for bars in stats.plan.bars:
        bar = stats.last_bar.get(bars.symbol)
        lacking = _count(missing.get(bars.symbol, 0))
        names = [t.name_of(bars.symbol), bars.symbol]
        if bar is None:
            rows.append(Row(names, [*[Text()] * 6, lacking]))
            continue
        digits = 2 if bars.source == "deriv" else 0  # index points, KRW
        texts = [
            f"{bar['timestamp']:%H:%M}",
            *(f"{bar[price]:,.{digits}f}" for price in PRICES),
            f"{bar['volume']:,}",
        ]
        rows.append(Row(names, [*map(Text, texts), lacking]))
    for chain in stats.plan.chains:
        code = chain.underlying_symbol
        lacking = _count(missing.get(code, 0))
        rows.append(Row([t.name_of(code), code], [*[Text()] * 6, lacking]))
    return fitted(t("instrument"), columns, rows, width)


def _count(missing: int) -> Text:
    return Text(f"{missing:,}", "red" if missing else "")


def _signals(stats: DayStatistics, now: datetime, t: Texts, width: int) -> list[Text]:
    """Return the newest signal of each strategy and symbol that there is by now, with its time."""
    strategy = max(map(len, STRATEGIES))
    reason = max(cell_len(t(key)) for key in catalogue() if key.startswith("reason_"))
    columns = [
        Column(t("time"), 5, 8),
        Column(t("signal"), 7, 9, right=False),
        Column(t("last_turn"), 7, 6, right=False),
        Column(t("strategy"), strategy, 7, right=False),
        Column(t("close"), _PRICE, 5),
        Column(t("lower_band"), _PRICE, 4),
        Column(t("upper_band"), _PRICE, 4),
        Column(t("line_vwap"), _PRICE, 3),
        Column(t("reason"), reason, 1, right=False),
    ]
    found = stats.signals_at(now)
    rows = []
    for name in sorted(found):  # each keeps its place
        signal, turn = found[name], stats.turn_until(name, now)
        strategy_name, _, symbol = name.partition(" ")
        cells = [
            Text(_time(signal.get("timestamp"))),
            _arrow(signal["monitor_signal"], t("long"), t("short")),
            _arrow(turn["trade_signal"], _time(turn["timestamp"])) if turn else Text("–"),
            Text(strategy_name),
            *(Text(_number(signal.get(price))) for price in ("close", "lb", "ub", "vwap")),
            Text(t.reason(signal["reason"])),
        ]
        rows.append(Row([t.name_of(symbol), symbol], cells))
    return fitted(t("signals"), columns, rows, width) if rows else []


def _time(moment: object) -> str:
    return f"{moment:%H:%M}" if isinstance(moment, datetime) else "–"


def _arrow(side: object, long: str, short: str | None = None) -> Text:
    """Return a direction in the colours of Korea, up red and down blue; shapes say it too."""
    if side == 1:
        return Text(f"▲ {long}", "red")
    if side == -1:
        return Text(f"▼ {long if short is None else short}", "bright_blue")
    return Text("·")


def _number(value: object) -> str:
    return f"{value:,.2f}" if isinstance(value, float) else "–"


def _volatility(stats: DayStatistics, t: Texts, width: int) -> list[Text]:
    """Return the volatilities around ATM of the first chain of the plan that has a snapshot."""
    codes = [chain.underlying_symbol for chain in stats.plan.chains]
    matrix = next((stats.matrices[code] for code in codes if code in stats.matrices), None)
    if matrix is None:
        return []
    levels = [
        *(f"itm{n}" for n in range(LEVELS_SHOWN, 0, -1)),
        "atm",
        *(f"otm{n}" for n in range(1, LEVELS_SHOWN + 1)),
    ]
    iv = matrix.filter(pl.col("metric_type") == "iv").row(0, named=True)
    columns = [
        Column(level.upper(), 6, 9 - abs(place - LEVELS_SHOWN))
        for place, level in enumerate(levels)
    ]
    rows = [
        Row([t(name)], [Text(_number(iv[f"{side}_{level}"])) for level in levels])
        for side, name in (("c", "calls"), ("p", "puts"))
    ]
    name = t.name_of(iv["underlying_symbol"])
    title = t("view_volatility", name=name, at=_time(iv["timestamp"]))
    lines = fitted("", columns, rows, width)
    return [Text(title, "dim", no_wrap=True, overflow="ellipsis"), *lines]


def save(stats: DayStatistics, now: datetime, t: Texts, path: Path) -> None:
    """Save the view of the moment as an SVG picture."""
    console = PlainConsole(record=True, width=PICTURE_WIDTH, file=StringIO())
    console.print(day_view(stats, now, LastLines(), t, width=PICTURE_WIDTH))
    path.parent.mkdir(parents=True, exist_ok=True)
    console.save_svg(str(path), title="just live")
