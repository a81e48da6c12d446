"""The live view in the terminal: the day at a glance, redrawn four times a second."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from io import StringIO
from pathlib import Path

import polars as pl
from rich.box import SIMPLE
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from engine.clock import Clock
from engine.history.completeness import figures, reasons
from engine.history.feed_standing import STREAM_OFF
from pipelines.console import PlainConsole
from pipelines.day.statistics import DayStatistics

LEVELS_SHOWN = 3  # on each side of the ATM strike
LOG_LINES_SHOWN = 6
FEED_LINES_SHOWN = 3
SYMBOLS_SHOWN = 8  # `just status` shows all
WIDE = 120  # columns of a terminal that has room for two tables side by side


class LastLines(logging.Handler):
    """Keeps the last log lines; the view shows them below its tables."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: deque[str] = deque(maxlen=LOG_LINES_SHOWN)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one line."""
        self.lines.append(self.format(record))


@contextmanager
def show_view(
    stats: DayStatistics, clock: Clock, lines: LastLines, console: Console
) -> Iterator[None]:
    """Show the view while the block runs; its last state stays on the screen."""

    class Redrawn:
        def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
            wide = options.max_width >= WIDE
            yield day_view(stats, clock, list(lines.lines), wide=wide)

    with Live(Redrawn(), console=console, refresh_per_second=4, transient=False):
        yield


def day_view(
    stats: DayStatistics, clock: Clock, lines: list[str], *, wide: bool = True
) -> RenderableType:
    """Return the view of the day; `wide` puts bars and signals side by side.

    A narrow terminal is mostly a low one, too: there the counts and the newest line of the log come
    before the tables, whose end may lie below its edge.
    """
    counts = figures(stats.minutes_until(clock.now()))
    tables = (_last_bars(stats, counts), _signals(stats, clock))
    totals = _totals(stats, counts)
    top: list[RenderableType] = [_heading(stats, clock), *_feed(stats)]
    if not wide:
        newest, earlier = _log_lines(lines[-1:]), _log_lines(lines[:-1])
        return Group(*top, totals, newest, *tables, _volatility(stats), earlier)
    side_by_side = Table.grid(expand=True, padding=(0, 2))
    side_by_side.add_column()
    side_by_side.add_column(ratio=1)
    side_by_side.add_row(*tables)
    return Group(*top, side_by_side, _volatility(stats), totals, _log_lines(lines))


def _log_lines(lines: list[str]) -> Text:
    return Text("\n".join(lines), style="dim", no_wrap=True, overflow="ellipsis")


def _heading(stats: DayStatistics, clock: Clock) -> RenderableType:
    kind = "SIMULATION" if stats.simulated else "LIVE"
    style = "black on yellow" if stats.simulated else "white on red"
    now = clock.now()
    return Text.assemble(
        (f" {kind} ", style),
        f" {now:%Y-%m-%d} ",
        (f"{now:%H:%M:%S}", "bold"),
        " KST",
    )


def _feed(stats: DayStatistics) -> list[Text]:
    """Return which symbols come by the feed, how late, and why not the others, a line each."""
    if stats.feed is None:
        return []
    style = "" if stats.feed.is_whole else "yellow"
    return [
        Text(f" {line}", style, no_wrap=True, overflow="ellipsis")
        for line in stats.feed_says[:FEED_LINES_SHOWN]
    ]


def _last_bars(stats: DayStatistics, counts: pl.DataFrame) -> Table:
    table = Table(title="last bars", title_justify="left", box=SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("symbol", overflow="fold")  # on 80 columns the name of a chain gives way
    table.add_column("end", no_wrap=True)
    for name in ("open", "high", "low", "close", "volume", "missing"):
        table.add_column(name, justify="right", no_wrap=True)  # never truncate a price
    missing = dict(counts.select("symbol", "missing").iter_rows())
    for bars in stats.plan.bars[:SYMBOLS_SHOWN]:
        bar = stats.last_bar.get(bars.symbol)
        lacking = _count(missing.get(bars.symbol, 0))
        if bar is None:
            table.add_row(bars.symbol, *[""] * 6, lacking)
            continue
        digits = 0 if bars.source == "stock" else 2  # KRW, index points
        prices = [f"{bar[name]:,.{digits}f}" for name in ("open", "high", "low", "close")]
        table.add_row(
            bars.symbol,
            f"{bar['timestamp']:%H:%M}",
            *prices,
            f"{bar['volume']:,}",
            lacking,
        )
    for chain in stats.plan.chains:
        name = chain.underlying_symbol
        if name in missing:
            table.add_row(name, *[""] * 6, _count(missing[name]))
    return table


def _count(missing: int) -> Text:
    return Text(f"{missing:,}", "red" if missing else "")


def _signals(stats: DayStatistics, clock: Clock) -> Table:
    """Return the newest signal of each strategy and symbol that there is by now, with its time."""
    table = Table(title="signals", title_justify="left", box=SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("")
    signals = dict(sorted(stats.signals_at(clock.now()).items()))  # columns keep their places
    for symbol in signals or ["–"]:
        table.add_column(symbol, justify="right")
    latest = list(signals.values())
    table.add_row("time", *(_time(signal.get("timestamp")) for signal in latest))
    for name in ("ub", "close", "lb", "vwap"):
        table.add_row(name, *(_number(signal.get(name)) for signal in latest))
    table.add_row("signal", *(_arrow(signal) for signal in latest))
    return table


def _time(moment: object) -> str:
    return f"{moment:%H:%M}" if isinstance(moment, datetime) else "–"


def _arrow(signal: dict[str, object]) -> Text:
    """Return the direction in the colours of Korea, up red and down blue; shapes say it too."""
    mark = {1: ("▲ long", "red"), -1: ("▼ short", "bright_blue")}.get(signal["monitor_signal"], "·")  # type: ignore[call-overload]
    trade = "trade" if signal["trade_signal"] else ""
    return Text.assemble(mark, " ", (trade, "bold"), f" {signal['reason']}")


def _number(value: object) -> str:
    return f"{value:,.2f}" if isinstance(value, float) else "–"


def _volatility(stats: DayStatistics) -> RenderableType:
    if stats.matrix is None:
        return Panel("no snapshot yet", title="implied volatility around ATM", title_align="left")
    levels = [
        *(f"itm{n}" for n in range(LEVELS_SHOWN, 0, -1)),
        "atm",
        *(f"otm{n}" for n in range(1, LEVELS_SHOWN + 1)),
    ]
    iv = stats.matrix.filter(pl.col("metric_type") == "iv").row(0, named=True)
    title = f"implied volatility, % · {iv['underlying_symbol']} · {iv['timestamp']:%H:%M}"
    table = Table(title=title, expand=True, title_justify="left", box=SIMPLE)
    table.add_column("")
    for level in levels:
        table.add_column(level.upper(), justify="right", style="bold" if level == "atm" else "")
    for side, name in (("c", "calls"), ("p", "puts")):
        table.add_row(name, *(_number(iv[f"{side}_{level}"]) for level in levels))
    return table


def _totals(stats: DayStatistics, counts: pl.DataFrame) -> Text:
    missing = int(counts["missing"].sum())
    return Text.assemble(
        ("rows ", "dim"),
        f"{stats.rows.inserted:,}",
        ("   bars ", "dim"),
        f"{stats.bars:,}",
        ("   snapshots ", "dim"),
        f"{stats.snapshots:,}",
        ("   signals ", "dim"),
        f"{stats.signals.total():,}",
        ("   corrections ", "dim"),
        f"{stats.corrections:,}",
        ("   missing ", "dim"),
        (f"{missing:,}", "red" if missing else ""),
    )


def save(stats: DayStatistics, clock: Clock, path: Path) -> None:
    """Save the view of the moment as an SVG picture."""
    console = PlainConsole(record=True, width=140, file=StringIO())
    console.print(day_view(stats, clock, []))
    path.parent.mkdir(parents=True, exist_ok=True)
    console.save_svg(str(path), title="just live")


def summary(stats: DayStatistics) -> RenderableType:
    """Return the closing summary; of an interrupted day, of what is committed."""
    table = Table(show_header=False)
    no_trade = stats.minutes_in_state("no_trade") + stats.minutes_in_state("halted")
    table.add_row("bars", f"{stats.bars:,}")
    for row in _feed_rows(stats):
        table.add_row(*row)
    table.add_row("snapshots", f"{stats.snapshots:,}")
    for strategy, count in stats.signals.items():
        trades = stats.trade_signals[strategy]
        table.add_row(f"{strategy} signals", f"{count:,}, of which {trades:,} trade signals")
    if stats.missing:
        table.add_row("missing", Text(f"{stats.missing:,} minutes, see `just status`", "red"))
        for state, reason, minutes in reasons(stats.final_minutes).iter_rows():
            table.add_row(f"  {state}", Text(f"{minutes:,} minutes: {reason}"))
    else:
        table.add_row("missing", "none")
    if no_trade:
        table.add_row("without a trade", f"{no_trade:,} minutes, confirmed by KIS")
    table.add_row("corrections", f"{stats.corrections:,}")
    for row in _corrected_signals(stats):
        table.add_row(*row)
    for reason, count in sorted(stats.rejected.items()):
        table.add_row(f"rejected: {reason}", f"{count:,}")
    if stats.slowest:
        minute, seconds = stats.slowest
        table.add_row("slowest minute", f"{minute:%H:%M}, committed {seconds:.1f} s after its end")
    return Group(Text(headline(stats), style="italic"), table)


def _feed_rows(stats: DayStatistics) -> Iterator[tuple[str, str]]:
    """Yield what the feed gave, what REST said of it, how late it was, and what was polled."""
    if stats.by_feed:
        counts = stats.feed_bars
        share = f"{counts[True] / max(stats.bars, 1):.1%} of all"
        yield "by the feed", f"{counts[True]:,} bars complete, {share}; {stats.trades:,} trades"
        yield "  by REST", f"{counts[False]:,} bars lacked trades, {counts[None]:,} a later one"
    if stats.feed:
        yield "  at the end", stats.feed.line()
        for line in stats.feed.polled():
            yield "  polled", line
        most = f"at most {stats.most_connections} of an app key in ten minutes"
        yield "  connections", f"{stats.reconnects:,} made again, {most}"
    elif stats.feed_off not in (None, STREAM_OFF):
        yield "by the feed", f"nothing: {stats.feed_off}"
    if stats.origins and (stats.origins.by_feed or stats.origins.replaced):
        yield "  confirmed", f"{stats.origins.confirmed:,} bars have the values that REST gave"
        back = f", for {stats.origins.restored:,} of them the feed's in the end"
        replaced = f"{stats.origins.replaced:,} bars, for which REST gave other values"
        yield "  replaced", replaced + (back if stats.origins.replaced else "")


def _corrected_signals(stats: DayStatistics) -> Iterator[tuple[str, str]]:
    """Yield how many signals changed after they had been given, and why."""
    causes = {"feed": "REST replaced a bar of the feed", "rest": "KIS gave a bar late or anew"}
    for cause, count in (stats.origins.corrected_signals if stats.origins else {}).items():
        if count:
            yield "corrected signals", f"{count:,}: {causes[cause]}"


def headline(stats: DayStatistics) -> str:
    """Return in one sentence what a day came to."""
    if stats.closed:
        return f"⚠️ {stats.day}: KIS says that the exchange is closed; nothing was collected"
    if stats.interrupted:
        return f"⚠️ {stats.plan.name} was interrupted"
    if stats.complete:
        return f"🎉 {stats.plan.name} is complete"
    if stats.spooled:
        return f"⚠️ {stats.plan.name} is not complete: {stats.spooled:,} batches wait in the spool"
    return f"⚠️ {stats.plan.name} is over; {stats.missing:,} minutes are missing"
