"""What one look at the page gives: the pieces that the marimo page lays out."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from engine.clock import Clock, WallClock
from engine.errors import StoreError
from engine.store.connection import Connection
from pipelines.reports.charts.day import price_chart
from pipelines.reports.charts.matrix import board_chart
from pipelines.reports.charts.names import symbol_name, underlying_name
from pipelines.reports.charts.style import FONTS, Picture
from pipelines.reports.dashboard import cards
from pipelines.reports.dashboard.board import Board, read_board
from pipelines.reports.dashboard.health import State, Watch
from pipelines.reports.environment import (
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

    def __post_init__(self) -> None:
        self._connection = Connection(self.url, "dashboard")
        self._watch = Watch(self.stale_after)

    def look(self) -> Look:
        """Read everything once; a database that is away is part of what is seen."""
        try:
            board = read_board(self._connection, self.clock, simulated=self.simulated)
        except StoreError as error:
            return Look(None, {}, self.simulated, str(error))
        return Look(board, self._states(board), self.simulated)

    def _states(self, board: Board) -> dict[str, State]:
        at = time.monotonic()
        beats = board.components.select("component", "status", "timestamp").iter_rows()
        return {
            name: self._watch.state(name, status, beat, at=at, behind=self._behind(board, beat))
            for name, status, beat in beats
        }

    def _behind(self, board: Board, beat: datetime) -> float:
        """Return by how many seconds the clock is past a heartbeat of the real time."""
        return 0.0 if self.simulated else (board.now - beat).total_seconds()


@dataclass(frozen=True)
class Look:
    """What was seen: the board, or why there is none."""

    board: Board | None
    states: dict[str, State]
    simulated: bool
    trouble: str = ""

    def top(self) -> str:
        """Return clock, counts, components and last bars as HTML."""
        if self.board is None:
            away = cards.card(
                "데이터베이스", "연결되지 않음", self.trouble, bad=True, name="trouble"
            )
            return cards.page(f'<div class="row">{away}</div>')
        return cards.page(
            cards.head(self.board, simulated=self.simulated),
            cards.components(self.board, self.states),
            cards.last_bars(self.board),
        )

    def bottom(self) -> str:
        """Return options and last signals as HTML."""
        if self.board is None:
            return ""
        return cards.page(cards.option_summary(self.board), cards.last_signals(self.board.signals))

    def price(self) -> Picture | None:
        """Return the chart with bands and signals, as wide as the page; None without bars."""
        board = self.board
        if board is None or board.symbol is None or board.chart_bars.is_empty():
            return None
        signals = board.chart_signals
        chart = price_chart(board.chart_bars, signals).properties(
            title=symbol_name(board.symbol), width="container", height=280
        )
        return _plain(chart)

    def matrix(self) -> Picture | None:
        """Return the last implied volatilities around ATM; None without a snapshot."""
        if self.board is None or self.board.summary is None:
            return None
        metric = "model_iv" if self._has("model_iv") else "iv"
        cells = self.board.cells.filter(pl.col("metric_type") == metric)
        if cells["value"].drop_nulls().is_empty():
            return None
        name = underlying_name(str(self.board.summary["underlying_symbol"]))
        return _plain(board_chart(cells, metric, width="container", heading=name))

    def _has(self, metric: str) -> bool:
        cells = self.board.cells if self.board else pl.DataFrame({"metric_type": [], "value": []})
        return bool(cells.filter(pl.col("metric_type") == metric)["value"].drop_nulls().len())


def viewer_from_environment() -> Viewer:
    """Return the viewer that `just dashboard` describes in the environment."""
    stale_after = float(os.environ.get(STALE_SECONDS, STALE_AFTER))
    simulated = os.environ.get(READER_SIMULATED) == "1"
    return Viewer(os.environ[READER_URL], simulated, stale_after)


def _plain(chart: Picture) -> Picture:
    return chart.configure(font=FONTS).configure_view(stroke=None)
