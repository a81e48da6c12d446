"""Before the open: the sessions that the strategies need to know, from the database or from KIS."""

from __future__ import annotations

import logging
from datetime import date, datetime, time, timedelta

import polars as pl

from engine import sessions
from engine.fetchers.base import BarRequest
from engine.store import Store
from engine.store.identifiers import literal
from pipelines.feed import BarPlan, DayPlan
from pipelines.polling import PollingManager
from strategies.registry import STRATEGIES
from strategies.window import LiveWindow

log = logging.getLogger(__name__)


async def warm_up(plan: DayPlan, store: Store, polling: PollingManager) -> list[LiveWindow]:
    """Return a window for each strategy and future, holding the sessions before the day.

    What the database lacks of them is fetched first. Today's bars are in the windows too, so that
    a restart in mid-session goes on where it ended.
    """
    needed = max(s.warm_up_sessions(s.params()) for s in STRATEGIES.values())
    earlier = sessions.previous_sessions(sessions.Market.DERIVATIVES, plan.day, needed)
    for symbol in plan.futures:
        await _complete(symbol, earlier, store, polling)
    bars = await _bars(store, plan.futures, earlier[0], plan.day)
    return [
        LiveWindow(strategy, strategy.params(), symbol, bars, since=plan.day)
        for strategy in STRATEGIES.values()
        for symbol in plan.futures
    ]


async def _complete(symbol: str, days: list[date], store: Store, polling: PollingManager) -> None:
    owed = sessions.owed_stamps([symbol], days[0], days[-1])
    stored = await _bars(store, [symbol], days[0], days[-1])
    missing = owed.join(stored, left_on="stamp", right_on="timestamp", how="anti")
    wanted = missing["session"].unique().sort(descending=True).to_list()
    if not wanted:
        return
    log.info("🔄 %s: fetching %d sessions before the open", symbol, len(wanted))
    for day in wanted:
        session = sessions.session_of(symbol, day)
        if session is not None:
            request = BarRequest(symbol, session, whole_day=True)
            await polling.fetch_bars(BarPlan(symbol, session), request)


async def _bars(store: Store, symbols: list[str], first: date, last: date) -> pl.DataFrame:
    """Read the bars of symbols from the first date to the last, both included."""
    until = datetime.combine(last, time()) + timedelta(days=1)
    names = ", ".join(literal(symbol) for symbol in symbols) or "NULL"
    table = await store.query(
        f"""SELECT timestamp, symbol, open, high, low, close, volume FROM futures_1m
            WHERE symbol IN ({names})
              AND timestamp >= {literal(datetime.combine(first, time()))}
              AND timestamp < {literal(until)}
            ORDER BY symbol, timestamp"""  # noqa: S608 - quoted by `literal`
    )
    return pl.DataFrame(pl.from_arrow(table))
