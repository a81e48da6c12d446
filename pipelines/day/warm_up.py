"""The strategies' windows: the bars they hold when collecting begins, also after a restart."""

from __future__ import annotations

import polars as pl

from engine.history.queries import read_bars
from engine.market.nights import session_of
from engine.market.sessions import Market, previous_sessions
from engine.store import Store
from pipelines.day.ingest import Ingestor
from pipelines.day_plan import DayPlan
from strategies.registry import STRATEGIES, warm_up_sessions
from strategies.window import LiveWindow


async def open_windows(plan: DayPlan, store: Store, ingestor: Ingestor) -> None:
    """Give the ingestor a window for each strategy and future, and have it give signals.

    They hold the bars of today and of as many sessions before as the strategy needs: those of the
    database, and those that have come since the start, which may still be spooled. A day that is
    played again has bars of later minutes in the database: they come in their time. Windows that
    are open stay, should the catching up begin again: a bar that comes now would be in no other.
    Raises StoreError.
    """
    if ingestor.windows:
        return
    earlier = previous_sessions(Market.DERIVATIVES, plan.day, warm_up_sessions())
    stored = await read_bars(store, plan.watched(nights=True), earlier[0], plan.day)
    stored = stored.filter(pl.col("timestamp") <= store.now())
    # No pause from here on: a bar that came now would be in no window.
    early = ingestor.early_bars().filter(pl.col("timestamp").dt.date() >= earlier[0])
    bars = (
        pl.concat([stored, early])
        .unique(["symbol", "timestamp"], keep="last", maintain_order=True)
        .sort("symbol", "timestamp")
    )
    dates = [*earlier, plan.day]
    session = session_of(pl.col("symbol"), pl.col("timestamp"))
    await ingestor.begin_signals(
        [
            LiveWindow(
                strategy,
                strategy.params(),
                symbol,
                bars.filter(session >= dates[-1 - strategy.warm_up_sessions(strategy.params())]),
                since=plan.day,
            )
            for strategy in STRATEGIES.values()
            for symbol in plan.watched(nights=strategy.nights)
        ]
    )
