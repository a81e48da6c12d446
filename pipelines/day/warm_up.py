"""The strategies' windows: the bars they hold when collecting begins, also after a restart."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

import polars as pl

from engine.market import sessions
from engine.store import Store
from engine.store.identifiers import literal, literals
from pipelines.feed import DayPlan
from strategies.registry import STRATEGIES, warm_up_sessions
from strategies.window import LiveWindow


async def open_windows(plan: DayPlan, store: Store) -> list[LiveWindow]:
    """Return a window for each strategy and future, with the bars of the sessions before and today.

    Raises StoreError.
    """
    market = sessions.Market.DERIVATIVES
    earlier = sessions.previous_sessions(market, plan.day, warm_up_sessions())
    bars = await _stored_bars(store, plan.futures, earlier[0], plan.day)
    return [
        LiveWindow(strategy, strategy.params(), symbol, bars, since=plan.day)
        for strategy in STRATEGIES.values()
        for symbol in plan.futures
    ]


async def _stored_bars(store: Store, symbols: list[str], first: date, last: date) -> pl.DataFrame:
    until = datetime.combine(last, time()) + timedelta(days=1)
    return pl.DataFrame(
        await store.query(
            f"""SELECT timestamp, symbol, open, high, low, close, volume FROM futures_1m
                WHERE symbol IN ({literals(symbols) or "NULL"})
                  AND timestamp >= {literal(datetime.combine(first, time()))}
                  AND timestamp < {literal(until)}
                ORDER BY symbol, timestamp"""  # noqa: S608 - quoted by `literal`
        )
    )
