"""What the page shows, read from the database in one short read-only transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from typing import Any

import polars as pl

from engine.clock import Clock
from engine.columns import SESSION, TIME
from engine.history.delays import live_delays
from engine.market.nights import session_of
from engine.store.connection import Connection, Cursor, fetch_frame
from engine.store.identifiers import identifier, literal
from pipelines.evaluation.standing import (
    Ask,
    read_positions,
    read_signals,
    strategies_with_signals,
)
from pipelines.feed import Feed
from pipelines.reports.dashboard.choice import PageChoice
from pipelines.reports.dashboard.option_board import ShownOptions, chosen_summary, read_options
from pipelines.reports.dashboard.quotes import (
    ChartData,
    chart_symbol,
    read_chart,
    read_last_bars,
    read_previous_closes,
)
from pipelines.reports.environment import STALE_AFTER
from pipelines.reports.sql_text import sql_text
from pipelines.reports.standing import (
    Standing,
    begin_of_today,
    night_on,
    present_moment,
    read_standing,
)
from strategies.backtesting.rules import BacktestRules
from strategies.backtesting.standing import standing_positions
from strategies.base import Strategy
from strategies.turns import turns

_LIVE_BARS = pl.Schema(
    [
        ("symbol", pl.String()),
        ("timestamp", TIME),
        ("fetched_at", TIME),
        ("committed_at", TIME),
        ("since", TIME),
    ]
)
LAST_TURNS = 8
QUESTION_TIMEOUT = "10s"  # the page asks again in seconds: a question must not pile up


@dataclass(frozen=True)
class DayBoard:
    """Everything at one moment, KST: that of the clock, or of the simulation. Nothing is later."""

    standing: Standing
    present: datetime  # the moment that is now, whichever day is shown
    components: pl.DataFrame  # SYSTEM_STATUS
    symbols: pl.DataFrame  # of `_symbols`
    counts: dict[str, int]  # rejected, corrected
    tables: Mapping[str, str]  # of signals, by strategy
    positions: Mapping[str, pl.DataFrame]  # STANDING, by strategy
    turns: pl.DataFrame  # of all strategies today, newest first, with the name as `strategy`
    summaries: pl.DataFrame  # the last OPTION_SUMMARY of each chain
    flows: pl.DataFrame  # of flows_today.sql
    snapshot: pl.DataFrame  # the last round of market_snapshot, of last_snapshot.sql

    @property
    def now(self) -> datetime:
        """The moment of the board."""
        return self.standing.now

    @property
    def is_past(self) -> bool:
        """Whether an earlier day is shown."""
        return self.now != self.present

    @property
    def span(self) -> dict[str, str]:
        """The SQL of the day so far: what is later (a day played again) is not shown."""
        return {"begin": literal(begin_of_today(self.now)), "now": literal(self.now)}


@dataclass(frozen=True)
class Board:
    """A day, and the instrument and the options that are looked at.

    Between sessions `day` is the last one that has prices, and `present` what is now.
    """

    present: DayBoard
    day: DayBoard
    chart: ChartData
    options: ShownOptions | None

    @property
    def now(self) -> datetime:
        """The moment of the board: of an earlier day its end."""
        return self.present.now


def read_day(
    connection: Connection,
    clock: Clock,
    choice: PageChoice,
    *,
    simulated: bool,
    feed: Feed | None = None,
    stale_after: float = STALE_AFTER,
) -> DayBoard:
    """Read the day that is chosen. Raises StoreUnreachable while the database is away."""
    with connection.transaction(read_only=True) as cursor:
        ask = _ask(cursor)
        present = present_moment(ask, clock, simulated=simulated)
        now = choice.moment(present)
        standing = read_standing(
            ask, now, simulated=simulated, feed=feed, sessions=1, stale_after=stale_after
        )
        today = {"begin": literal(begin_of_today(now)), "now": literal(now)}
        live = ask(sql_text("dashboard", "live_bars.sql", **today)).cast(_LIVE_BARS)
        found = strategies_with_signals(ask)
        session = literal(session_date(now))
        return DayBoard(
            standing,
            present,
            ask(sql_text("status", "1_heartbeats.sql")),
            _symbols(ask, standing, live_delays(live)),
            next(ask(sql_text("dashboard", "counts_today.sql", **today)).iter_rows(named=True)),
            {strategy.name: strategy.table for strategy in found},
            {strategy.name: _standing(ask, strategy, now) for strategy in found},
            _turns(ask, found, today),
            ask(sql_text("dashboard", "last_summaries.sql", **today)),
            ask(sql_text("dashboard", "flows_today.sql", **today)),
            ask(sql_text("dashboard", "last_snapshot.sql", session=session, now=today["now"])),
        )


def read_last_day(connection: Connection, day: DayBoard) -> date | None:
    """Return the date of the last session with bars before a day without; None if the day has some.

    None, too, where nothing is stored. Raises StoreUnreachable while the database is away.
    """
    if day.symbols["close"].count():
        return None
    with connection.transaction(read_only=True) as cursor:
        bars = _ask(cursor)(sql_text("status", "2_last_bars.sql"))
    earlier = bars.filter(pl.col("timestamp") < pl.lit(day.now))
    found = earlier.select(session_of(pl.col("symbol"), pl.col("timestamp")).max()).item()
    return found if isinstance(found, date) and found < day.now.date() else None


def read_chart_of(connection: Connection, day: DayBoard, choice: PageChoice) -> ChartData:
    """Read the chart that is chosen. Raises StoreUnreachable while the database is away."""
    with connection.transaction(read_only=True) as cursor:
        ask = _ask(cursor)
        symbol = chart_symbol(ask, day.symbols["symbol"], choice.symbol)
        return read_chart(ask, day.tables, symbol, choice.strategy, session_date(day.now), day.now)


def read_options_of(
    connection: Connection, day: DayBoard, choice: PageChoice
) -> ShownOptions | None:
    """Read the chain that is chosen; None where no snapshot is stored of the day.

    Raises StoreUnreachable while the database is away.
    """
    summary = chosen_summary(day.summaries, choice.chain)
    if summary is None:
        return None
    with connection.transaction(read_only=True) as cursor:
        return read_options(_ask(cursor), summary, day.summaries, day.span)


def session_date(now: datetime) -> date:
    """Return the date of the session at a moment: that of its evening while a night is on."""
    tonight = night_on(now)
    return tonight.date if tonight else now.date()


def _ask(cursor: Cursor) -> Ask:
    cursor.execute(f"SET LOCAL statement_timeout = '{QUESTION_TIMEOUT}'")
    return partial(fetch_frame, cursor)


def _symbols(ask: Ask, standing: Standing, delays: pl.DataFrame) -> pl.DataFrame:
    """Return what is collected today: FIGURES, timestamp, close, previous, delay, usual_delay.

    `timestamp` and `close` are of the last bar (of a chain: the last snapshot, no close),
    `previous` is the close before the session, `delay` that of the bar in seconds if it was
    collected live, `usual_delay` the median of all that were (DELAYS).
    """
    usual = delays.group_by("symbol").agg(usual_delay=pl.col("delay").median())
    sessions = standing.today.select("symbol", "session")
    bars = read_last_bars(ask, sessions, standing.now)
    others = standing.newest.join(sessions, on=SESSION, how="semi").join(
        bars, on="symbol", how="anti"
    )
    newest = pl.concat([bars, others.select("symbol", timestamp="stamp")], how="diagonal")
    before = read_previous_closes(ask, sessions.iter_rows())
    return (
        standing.today.join(newest, on="symbol", how="left")
        .join(before, on="symbol", how="left")
        .join(delays, on=["symbol", "timestamp"], how="left")
        .join(usual, on="symbol", how="left")
        .sort("symbol")
    )


def _standing(ask: Ask, strategy: Strategy[Any], now: datetime) -> pl.DataFrame:
    """Return STANDING: what a strategy holds and has earned today by the backtest's usual rules."""
    rules = BacktestRules()
    signals = read_signals(ask, strategy, now.date(), now)
    return standing_positions(read_positions(ask, signals, strategy, now, rules), rules)


def _turns(ask: Ask, found: list[Strategy[Any]], today: Mapping[str, str]) -> pl.DataFrame:
    """Return the turns of all strategies today, newest first; without any, an empty frame."""
    given = [
        turns(
            ask(sql_text("dashboard", "trade_signals.sql", table=identifier(s.table), **today))
        ).with_columns(strategy=pl.lit(s.name))
        for s in found
    ]
    if not given:
        return pl.DataFrame()
    return pl.concat(given).sort("timestamp", "strategy", "symbol", descending=[True, False, False])
