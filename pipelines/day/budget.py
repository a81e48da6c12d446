"""What the settings cost: calls a minute, the time of the sweep, rows and bytes a year.

The calls are those of `costs`, by which a collector refuses a day that does not fit its pace. Some
rows leave the database after a while: snapshots are dropped, old stock bars become files. The room
that they take does not grow any more then, so it is told apart from the growth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta

import polars as pl

from engine.clock import Clock
from engine.fetchers.market_snapshot import calls_of_snapshot
from engine.market.sessions import Market, Session, session
from engine.settings import KisSettings, Settings
from engine.simulator.market.synthetic import SyntheticMarket
from pipelines.day.costs import calls_a_minute, most_calls_a_minute
from pipelines.day.market_snapshots import count_rounds
from pipelines.day.market_sweep import last_moment
from pipelines.day_plan import DayPlan, next_plan
from pipelines.feed import configured_feed
from pipelines.history.market_sweep import calls_of_sweep
from pipelines.simulation import SEED, simulated_feed
from pipelines.universes import count_stocks, resolve_universes

SESSIONS_A_YEAR, DAYS_A_YEAR = 246, 365
# Bytes in the database, indexes included: of a row by tables of 300,000 rows, of a chain by days.
BAR_BYTES, SNAPSHOT_BYTES = 184, 256
CHAIN_ROWS, OF_A_CHAIN = 66_000, 1_140.0  # a session: 160 options a minute, and what follows

PARTS = pl.Schema(
    {
        "what": pl.String(),
        "symbols": pl.Int64(),
        "calls_a_minute": pl.Int64(),
        "rows_a_year": pl.Int64(),
        "megabytes_a_year": pl.Int64(),  # what comes in
        "megabytes_kept": pl.Int64(),  # once as much leaves as comes in; null: it grows on
    }
)


@dataclass(frozen=True)
class Budget:
    """The costs of a day's plan. `parts` are PARTS; `most` are the calls a minute of the pace.

    `sweep_has` is the time from the close to the moment at which a sweep must end. `troubles` say
    what does not fit.
    """

    parts: pl.DataFrame
    most: float
    sweep_calls: int
    sweep_takes: timedelta
    sweep_has: timedelta
    troubles: tuple[str, ...]

    @property
    def calls(self) -> int:
        """Calls a minute of the session, at most."""
        return int(self.parts["calls_a_minute"].sum())

    @property
    def grows(self) -> int:
        """Megabytes by which the database grows in a year, apart from what `stays`."""
        grows = self.parts.filter(pl.col("megabytes_kept").is_null())
        return int(grows["megabytes_a_year"].sum())

    @property
    def stays(self) -> int:
        """Megabytes of rows that leave the database after a while, once as many leave as come."""
        return int(self.parts["megabytes_kept"].sum())


@dataclass(frozen=True)
class Kept:
    """For how long the database keeps rows that leave it after a while."""

    snapshot_days: int = 30
    bar_months: int | None = None  # of stock bars; None: for ever


def configured_budget(settings: Settings, clock: Clock) -> Budget:
    """Return what the settings cost in the session that is on or comes next.

    Raises CalendarRangeError, InputError.
    """
    market = None if settings.has_credentials else SyntheticMarket(SEED)
    feed = simulated_feed(settings) if market else configured_feed(settings)
    feed = resolve_universes(feed, clock, settings, market)
    swept, snapshot = (
        count_stocks(texts, clock, settings, market) for texts in (feed.sweep, feed.snapshot)
    )
    kept = Kept(settings.keep_snapshot_days, settings.archive)
    return budget_of(next_plan(feed, clock), settings.kis, swept, snapshot, kept)


def budget_of(
    plan: DayPlan, settings: KisSettings, swept: int, snapshot: int, kept: Kept | None = None
) -> Budget:
    """Return what a plan costs; `swept` and `snapshot` say how many stocks these have."""
    kept = kept or Kept()
    costs = calls_a_minute(plan)
    is_stock = {part.symbol: part.table == "stocks_1m" for part in plan.bars}
    stocks = [part.session for part in plan.bars if is_stock[part.symbol]]
    others = [part.session for part in plan.bars if not is_stock[part.symbol]]
    chains, held = len(plan.chains), session(Market.STOCKS, plan.day)
    minutes = _bars([held]) if held else 0
    # Each round; and after the close one of what is swept.
    quoted = snapshot * count_rounds(held) if held else 0
    bars = costs.pop("bars")
    # A month leaves once it is so many months old.
    years = None if kept.bar_months is None else (kept.bar_months + 1) / 12
    parts = [
        _part("stocks followed", len(stocks), bars - len(others), _bars(stocks), BAR_BYTES, years),
        _part("futures and other bars", len(others), len(others), _bars(others), BAR_BYTES),
        _part("option chains", chains, costs.pop("chains"), CHAIN_ROWS * chains, OF_A_CHAIN),
        *(_part(name, None, count, None, None) for name, count in costs.items()),
        _part(
            "snapshot",
            snapshot,
            calls_of_snapshot(snapshot),
            quoted + swept,
            SNAPSHOT_BYTES,
            kept.snapshot_days / DAYS_A_YEAR,
        ),
        _part("stocks swept", swept, 0, swept * minutes, BAR_BYTES, years),
    ]
    frame = pl.DataFrame(parts, PARTS, orient="row").filter(
        pl.col("symbols").fill_null(0)
        + pl.col("calls_a_minute")
        + pl.col("rows_a_year").fill_null(0)
        > 0
    )
    most, calls = most_calls_a_minute(settings), calls_of_sweep(swept)
    takes = timedelta(seconds=math.ceil(calls / most * 60))
    has = last_moment(plan) - held.sealed_at if swept and held else timedelta()
    return Budget(frame, most, calls, takes, has, tuple(_troubles(frame, most, takes, has)))


def _bars(sessions: list[Session]) -> int:
    return sum(len(held.stamps()) for held in sessions)


def _part(
    what: str,
    symbols: int | None,
    calls: int,
    rows: int | None,
    size: float | None,
    years: float | None = None,
) -> tuple[object, ...]:
    """Return a row of PARTS; its rows are those of a session, and kept for so many years."""
    if rows is None or size is None:
        return what, symbols, calls, None, None, None
    megabytes = rows * SESSIONS_A_YEAR * size / 1e6
    stays = None if years is None else round(megabytes * years)
    return what, symbols, calls, rows * SESSIONS_A_YEAR, round(megabytes), stays


def _troubles(parts: pl.DataFrame, most: float, takes: timedelta, has: timedelta) -> list[str]:
    found = []
    is_snapshot = pl.col("what") == "snapshot"
    first = int(parts.filter(~is_snapshot)["calls_a_minute"].sum())
    snapshot = int(parts.filter(is_snapshot)["calls_a_minute"].sum())
    if first > most:
        found.append(
            f"{first} calls a minute are more than the {most:.0f} of the pace: follow fewer stocks"
            " (and sweep them), collect less, or raise calls_per_second if KIS allows it"
        )
    elif first + snapshot > most:
        left = most - first
        every = math.ceil(snapshot / left) if left else 0
        often = f"it comes every {every} minutes" if every else "it never comes"
        found.append(f"the snapshot does not fit into each minute: {often}")
    if takes > has:
        found.append(f"the sweep takes {_at_least(takes)} and has {_at_least(has)}")
    return found


def span_text(span: timedelta) -> str:
    """Return a span as text: 36 minutes, or 24 seconds."""
    seconds = span.total_seconds()
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"


def _at_least(span: timedelta) -> str:
    return f"{math.ceil(span.total_seconds() / 60)} minutes"
