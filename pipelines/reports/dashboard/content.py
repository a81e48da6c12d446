"""The parts of the page at one moment, which the marimo page lays out."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import polars as pl

from engine.clock import Clock, WallClock
from engine.errors import StoreError
from engine.kis.holidays import load_kis_days
from engine.market.symbols import parse
from engine.store.connection import Connection
from pipelines.feed import Feed, read_feed
from pipelines.reports.charts.day import price_chart
from pipelines.reports.charts.matrix import board_chart
from pipelines.reports.charts.style import FONTS, Picture
from pipelines.reports.dashboard import cards
from pipelines.reports.dashboard.board import Board, read_board
from pipelines.reports.dashboard.feed_card import feed_section
from pipelines.reports.dashboard.health import HeartbeatWatch, State
from pipelines.reports.dashboard.positions_card import positions_section
from pipelines.reports.environment import (
    PAGE_DAYS,
    PAGE_FEED,
    READER_SIMULATED,
    READER_URL,
    STALE_AFTER,
    STALE_SECONDS,
)


@dataclass
class Viewer:
    """One viewer of the page: a connection of its own, and a memory of heartbeats."""

    url: str
    simulated: bool
    stale_after: float = STALE_AFTER
    clock: Clock = field(default_factory=WallClock)
    feed: Feed | None = None  # what the settings say is collected

    def __post_init__(self) -> None:
        self._connection = Connection(self.url, "dashboard")
        self._watch = HeartbeatWatch(self.stale_after)

    def read(self) -> PageContent:
        """Read everything once. If the database is away, the content says so."""
        try:
            board = read_board(
                self._connection,
                self.clock,
                simulated=self.simulated,
                feed=self.feed,
                stale_after=self.stale_after,
            )
        except StoreError as error:
            return PageContent(None, {}, self.simulated, str(error))
        return PageContent(board, self._states(board), self.simulated)

    def _states(self, board: Board) -> dict[str, State]:
        at = time.monotonic()
        beats = board.components.select("component", "status", "timestamp").iter_rows()
        return {
            name: self._watch.state(name, status, beat, at=at, behind=self._behind(board, beat))
            for name, status, beat in beats
        }

    def _behind(self, board: Board, beat: datetime) -> float:
        """Return the age of a heartbeat in seconds; 0 in a simulation, whose time is not ours."""
        return 0.0 if self.simulated else (board.now - beat).total_seconds()


@dataclass(frozen=True)
class PageContent:
    """What the page shows: the board, or why it could not be read."""

    board: Board | None
    states: dict[str, State]
    simulated: bool
    trouble: str = ""

    def top(self) -> str:
        """Return positions, last bars, clock, counts and components as HTML: the market first."""
        if self.board is None:
            away = cards.card(
                "데이터베이스", "연결되지 않음", self.trouble, bad=True, name="trouble"
            )
            return cards.page(f'<div class="row">{away}</div>')
        return cards.page(
            cards.banner(self.board, self.states.get("collector")),
            positions_section(self.board.positions),
            cards.last_bars(self.board),
            cards.head(self.board, simulated=self.simulated),
            cards.components(self.board, self.states),
            feed_section(self.board.standing.feed),
        )

    def bottom(self) -> str:
        """Return options and last signals as HTML."""
        if self.board is None:
            return ""
        return cards.page(cards.option_summary(self.board), cards.last_turns(self.board.last_turns))

    def prices(self) -> list[Picture]:
        """Return a chart for each strategy with its bands and signals; none without bars."""
        board = self.board
        if board is None or board.symbol is None or board.chart_bars.is_empty():
            return []
        name = parse(board.symbol).name_ko
        return [
            _page_chart(
                price_chart(board.chart_bars, signals).properties(
                    title=f"{name} · {strategy}", width="container", height=280
                )
            )
            for strategy, signals in board.chart_signals.items()
        ]

    def matrix(self) -> Picture | None:
        """Return the last implied volatilities around ATM; None without a snapshot."""
        if self.board is None or self.board.summary is None:
            return None
        cells = self.board.cells.drop_nulls("value")
        metric = "model_iv" if "model_iv" in cells["metric_type"] else "iv"
        drawn = cells.filter(pl.col("metric_type") == metric)
        if drawn.is_empty():
            return None
        name = parse(self.board.summary["underlying_symbol"]).name_ko
        return _page_chart(board_chart(drawn, metric, width="container", heading=name))


def viewer_from_environment() -> Viewer:
    """Return the viewer that `just dashboard` describes in the environment."""
    stale_after = float(os.environ.get(STALE_SECONDS, STALE_AFTER))
    simulated = os.environ.get(READER_SIMULATED) == "1"
    if days := os.environ.get(PAGE_DAYS):
        load_kis_days(Path(days))
    text = os.environ.get(PAGE_FEED)
    feed = read_feed(text) if text else None
    return Viewer(os.environ[READER_URL], simulated, stale_after, feed=feed)


def _page_chart(chart: Picture) -> Picture:
    return chart.configure(font=FONTS).configure_view(stroke=None)
