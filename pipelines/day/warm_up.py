"""The strategies' windows: the bars they hold when collecting begins, also after a restart."""

from __future__ import annotations

import polars as pl

from engine.history.queries import read_bars
from engine.market.sessions import Market, previous_sessions
from engine.store import Store
from pipelines.feed import DayPlan
from strategies.registry import STRATEGIES, warm_up_sessions
from strategies.window import LiveWindow


async def open_windows(plan: DayPlan, store: Store) -> list[LiveWindow]:
    """Return a window for each strategy and future, with the bars of the sessions before and today.

    A day that is played again has bars of later minutes in the database: they come in their time.
    Raises StoreError.
    """
    earlier = previous_sessions(Market.DERIVATIVES, plan.day, warm_up_sessions())
    stored = await read_bars(store, plan.futures, earlier[0], plan.day)
    bars = stored.filter(pl.col("timestamp") <= store.now()).sort("symbol", "timestamp")
    return [
        LiveWindow(strategy, strategy.params(), symbol, bars, since=plan.day)
        for strategy in STRATEGIES.values()
        for symbol in plan.futures
    ]
