"""The calendar's answer to which contract is in front, kept where SQL can see it."""

from __future__ import annotations

import polars as pl

from engine import schemas
from engine.clock import Clock
from engine.market import symbols as instruments
from engine.market.trading_days import rules
from engine.store.store import Store


async def keep_fronts(store: Store, clock: Clock) -> None:
    """Bring `front_months` up to date, which the views of rolls and front-month series read."""
    span = rules()["first_day"], rules()["last_day"]
    futures = [product.prefix for product in instruments.PRODUCTS if product.kind == "future"]
    fronts = [
        instruments.front_months(prefix, *span).with_columns(product=pl.lit(prefix))
        for prefix in futures
    ]
    rows = pl.concat(fronts).with_columns(updated_at=pl.lit(clock.now()))
    await store.merge("front_months", schemas.conform(rows, schemas.FRONT_MONTHS))
