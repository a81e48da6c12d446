"""Asks KIS for the halts of a stock, and names settled minutes after them."""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import datetime

import polars as pl

from engine.clock import today
from engine.errors import KisError, KisKeyRefused
from engine.fetchers.halts import HaltRequest, VolatilityInterruptionFetcher
from engine.history.halts import name_halts, read_events
from engine.market.sessions import Session
from engine.market.symbols import Stock, parse
from pipelines.history.request import BackfillContext

log = logging.getLogger(__name__)


async def with_halts(
    context: BackfillContext,
    symbol: str,
    session: Session,
    before: pl.DataFrame,
    now: pl.DataFrame,
    traded: Collection[datetime],
) -> pl.DataFrame:
    """Return the marks of a session with the minutes named that lie in a halt.

    `before` and `now` are the marks before and after KIS's answers, `traded` the stamps of bars. If
    the answers said something about a stock's missing minutes of today, KIS is asked once for its
    interruptions; they stay in market_events, so that what a later run settles is named, too. One
    that is known not to have traded all day had none. Raises StoreError.
    """
    is_new = not now.equals(before)
    may_have_traded = bool(traded) or bool((now["state"] == "open").any())
    is_today = session.date == today(context.clock)
    if is_new and may_have_traded and is_today and isinstance(parse(symbol), Stock):
        await _ask(context, symbol, session)
    if not (now["state"] == "no_trade").any():
        return now
    return name_halts(now, await read_events(context.store, symbol, session), traded)


async def _ask(context: BackfillContext, symbol: str, session: Session) -> None:
    """Store the day's interruptions of a stock; without an answer no minute is named."""
    fetcher = VolatilityInterruptionFetcher(context.client)
    try:
        events = await fetcher.fetch(HaltRequest(symbol, session.date, context.priority))
    except KisKeyRefused:
        raise
    except KisError as error:
        log.info("%s: KIS does not say whether trading was halted: %s", symbol, error)
        return
    rejected = fetcher.take_rejected()
    if rejected.num_rows:
        await context.store_rejected(rejected)
    if events.num_rows:
        await context.store.merge("market_events", events)
