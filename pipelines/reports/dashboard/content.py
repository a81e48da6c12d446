"""What the page shows at one moment: its parts as HTML, its chart as numbers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import cached_property
from html import escape
from pathlib import Path
from typing import Any, TypeVar

import polars as pl

from engine.clock import Clock, WallClock
from engine.errors import StoreError
from engine.history.listings import NAMES, learn_names
from engine.market.symbols import parse
from engine.store.connection import Connection
from pipelines.feed import Feed
from pipelines.reports.dashboard import (
    cards,
    chain_table,
    head,
    health_cards,
    instruments,
    market_card,
    morning,
    option_cards,
    positions_card,
)
from pipelines.reports.dashboard.board import (
    Board,
    DayBoard,
    read_chart_of,
    read_day,
    read_last_day,
    read_options_of,
)
from pipelines.reports.dashboard.choice import PageChoice
from pipelines.reports.dashboard.health import HeartbeatWatch, State
from pipelines.reports.dashboard.health_cards import Disk, disk_of
from pipelines.reports.dashboard.option_board import ShownOptions
from pipelines.reports.dashboard.quotes import ChartData, lines_of
from pipelines.reports.environment import STALE_AFTER
from pipelines.texts import Language, Texts
from strategies.turns import turns

Parts = dict[str, str]  # HTML by the id of its place on the page
_KEPT = 32  # readings: of days, charts and chains that somebody looks at
_REST = 10.0  # times as long as it took to read, a day is kept
_NAMES_FOR = 60.0  # seconds
Reading = TypeVar("Reading")


@dataclass
class Viewer:
    """The reader of the page: one for all who watch, with one connection.

    What it read within the last `fresh` seconds answers whoever asks for the same, and a day
    for longer if it took long: so looking takes a tenth of a core, however large the market.
    """

    url: str
    simulated: bool
    stale_after: float = STALE_AFTER
    clock: Clock = field(default_factory=WallClock)
    feed: Feed | None = None  # what the settings say is collected
    folder: Path | None = None  # where our data lie, for the room on its disk
    fresh: float = 1.0

    def __post_init__(self) -> None:
        self._connection = Connection(self.url, "dashboard")
        self._watch = HeartbeatWatch(self.stale_after)
        self._lock = threading.Lock()
        self._kept: dict[object, tuple[float, float, Any]] = {}
        self._named_at = -_NAMES_FOR

    def read(self, choice: PageChoice | None = None) -> PageContent:
        """Read what is chosen once. If the database is away, the content says so."""
        chosen = choice or PageChoice()
        with self._lock:
            return self._recent(("content", chosen), lambda: self._read(chosen))

    def _read(self, choice: PageChoice) -> PageContent:
        try:
            self._learn_names()
            present = day = self._day(choice)
            if choice.day is None and (last := self._last_day(present)):
                choice = replace(choice, day=last)
                day = self._day(choice)
            wanted = ("chart", choice.day, choice.symbol, choice.strategy)
            chart = self._recent(wanted, lambda: read_chart_of(self._connection, day, choice))
            options = self._options(day, choice)
        except StoreError as error:
            return PageContent(None, {}, self.simulated, choice, str(error))
        states = self._states(present)
        board = Board(present, day, chart, options)
        return PageContent(board, states, self.simulated, choice, disk=disk_of(self.folder))

    def _learn_names(self) -> None:
        """Look from time to time whether a stock has another name, or a first one."""
        if time.monotonic() - self._named_at > _NAMES_FOR:
            learn_names(pl.DataFrame(self._connection.query(NAMES)))
            self._named_at = time.monotonic()

    def _day(self, choice: PageChoice) -> DayBoard:
        return self._recent(("day", choice.day), lambda: self._read_day(choice), rest=_REST)

    def _last_day(self, present: DayBoard) -> date | None:
        day = present.now.date()
        return self._recent(("last", day), lambda: read_last_day(self._connection, present))

    def _read_day(self, choice: PageChoice) -> DayBoard:
        return read_day(
            self._connection,
            self.clock,
            choice,
            simulated=self.simulated,
            feed=self.feed,
            stale_after=self.stale_after,
        )

    def _options(self, day: DayBoard, choice: PageChoice) -> ShownOptions | None:
        """Return the options; computed anew when a snapshot has come, not at every look."""
        key = ("options", choice.day, choice.chain)
        last = day.summaries.select("underlying_symbol", "timestamp", "fetched_at").rows()
        known, options = self._kept.get(key, (0.0, 0.0, ([], None)))[-1]
        if known != last:
            options = read_options_of(self._connection, day, choice)
        self._keep(key, (last, options))
        found: ShownOptions | None = options
        return found

    def _recent(self, key: object, read: Callable[[], Reading], *, rest: float = 0.0) -> Reading:
        at, took, found = self._kept.get(key, (-self.fresh - 1.0, 0.0, None))
        if (begin := time.monotonic()) - at > (self.fresh and max(self.fresh, rest * took)):
            found = read()
            self._keep(key, found, time.monotonic() - begin)
        reading: Reading = found
        return reading

    def _keep(self, key: object, found: object, took: float = 0.0) -> None:
        self._kept.pop(key, None)
        self._kept[key] = (time.monotonic(), took, found)
        while len(self._kept) > _KEPT:
            self._kept.pop(next(iter(self._kept)))

    def _states(self, day: DayBoard) -> dict[str, State]:
        at = time.monotonic()
        beats = day.components.select("component", "status", "timestamp").iter_rows()
        return {
            name: self._watch.state(name, status, beat, at=at, behind=self._behind(day, beat))
            for name, status, beat in beats
        }

    def _behind(self, day: DayBoard, beat: datetime) -> float:
        """Return the age of a heartbeat in seconds; 0 in a simulation, whose time is not ours."""
        return 0.0 if self.simulated else (day.present - beat).total_seconds()


@dataclass(frozen=True)
class PageContent:
    """What the page shows: the board, or why it could not be read."""

    board: Board | None
    states: dict[str, State]
    simulated: bool
    choice: PageChoice
    trouble: str = ""
    disk: Disk | None = None
    _rendered: dict[Language, Parts] = field(default_factory=dict, compare=False, repr=False)

    def html(self, language: Language = "ko") -> str:
        """Return all parts in one text."""
        return "\n".join(self.parts(Texts(language)).values())

    def parts(self, t: Texts) -> Parts:
        """Return the parts of the page, the market first; made once in each language."""
        if t.language not in self._rendered:
            self._rendered[t.language] = self._render(t)
        return self._rendered[t.language]

    def _render(self, t: Texts) -> Parts:
        if self.board is None:
            away = cards.card(
                t("database"), t("database_away"), self.trouble, bad=True, name="trouble"
            )
            return {"banner": away}
        board, day, present = self.board, self.board.day, self.board.present
        chain = board.options.chain if board.options else None
        collector = self.states.get("collector")
        first = morning.before_open(t, board, collector)
        events = head.next_events(t, present, chain)
        return {
            "banner": head.banner(t, present, collector),
            "kind": self._kind(t, board),
            "price": head.price_head(t, board),
            "signals": head.standing_signals(t, day, board.chart.symbol),
            "positions": positions_card.positions_section(t, day.positions),
            "morning": events + first if first else "",
            "events": "" if first else events,
            "choices": instruments.choices(t, board, self.choice),
            "instruments": instruments.instruments(t, day, board.chart.symbol),
            "market": market_card.market_card(t, day.snapshot),
            "chain": chain_table.chain_table(t, board.options, all_strikes=self.choice.all_strikes),
            "options": option_cards.pictures(t, board.options, day.flows),
            "turns": positions_card.last_turns(t, day.turns),
            "health": health_cards.health(t, present, self.states, self.disk)
            + instruments.collected(t, day),
        }

    def _kind(self, t: Texts, board: Board) -> str:
        kind = "simulation" if self.simulated else "live"
        said = [t(kind)]
        if board.day.is_past:
            key = "past_day" if board.present.is_past else "last_session"
            said.append(t(key, day=f"{board.day.now:%Y-%m-%d}"))
        return f'<span data-krt="kind" class="{kind}">{escape(" · ".join(said))}</span>'

    @property
    def now(self) -> datetime | None:
        """The moment that is shown; None while the database is away."""
        return self.board.now if self.board else None

    @property
    def runs(self) -> bool:
        """Whether the moment goes on with the clock: neither a simulation nor an earlier day."""
        return self.board is not None and not self.simulated and not self.board.present.is_past

    @cached_property
    def chart(self) -> dict[str, list[list[Any]]]:
        """The chart's numbers as lists of rows, times in seconds as if KST were UTC."""
        if self.board is None:
            return {"bars": []}
        chart = self.board.chart
        given = chart.signals
        found = {"bars": _rows(chart.bars, "open", "high", "low", "close", "volume")}
        for name, line in lines_of(given).items() if given.height else ():
            found[name] = _rows(line, "value")
        found["turns"] = _rows(turns(given), "trade_signal", "close") if given.height else []
        return found

    def chart_words(self, t: Texts) -> dict[str, Any]:
        """Return what is said beside the chart, and the prices at which lines are drawn."""
        if self.board is None or self.board.chart.symbol is None:
            return {"label": t("chart_empty"), "digits": 2}
        chart, day = self.board.chart, self.board.day
        symbol, bars = str(chart.symbol), chart.bars
        name = t.name(parse(symbol))
        said: dict[str, Any] = {
            "key": f"{symbol} {chart.strategy} {day.now.date()}",
            "digits": 0 if cards.is_in_won(symbol) else 2,
            "label": t("chart_empty"),
            "names": {key: t(f"line_{key}") for key in ("vwap", "ub", "lb")},
            "previous": _only(day.symbols.filter(pl.col("symbol") == symbol), "previous"),
            "previous_name": t("previous_close"),
            **_entry(t, day, chart),
        }
        if bars.height:
            first, last = bars["timestamp"][0], bars["timestamp"][-1]
            said["label"] = t(
                "chart_label",
                name=name,
                first=f"{first:%m-%d %H:%M}",
                last=f"{last:%m-%d %H:%M}",
                close=cards.price(symbol, bars["close"][-1]),
            )
        return said


def _entry(t: Texts, day: DayBoard, chart: ChartData) -> dict[str, Any]:
    """Return where the strategy of the chart entered what it holds; nothing without a position."""
    standing = day.positions.get(chart.strategy or "")
    if standing is None:
        return {}
    held = standing.filter(pl.col("symbol") == chart.symbol, pl.col("position") != 0)
    return {
        "entry": _only(held, "entry"),
        "entry_side": _only(held, "position"),
        "entry_name": t("entry"),
    }


def _rows(frame: pl.DataFrame, *names: str) -> list[list[Any]]:
    return list(map(list, frame.select(pl.col("timestamp").dt.epoch("s"), *names).iter_rows()))


def _only(frame: pl.DataFrame, name: str) -> Any:
    return next(iter(frame[name]), None)
