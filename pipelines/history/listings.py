"""Fetch what KOSPI and KOSDAQ list, once a day: the names by which people know a code."""

from __future__ import annotations

import json
import logging

import polars as pl

from engine import schemas
from engine.clock import today
from engine.errors import KisError
from engine.history.listings import NAMES, learn_names
from engine.kis.stock_layout import MARKETS, stock_master_url
from engine.kis.stock_master import parse_stock_master
from engine.store.listings import store_listings
from engine.store.merge import MergeCounts
from pipelines.history.request import BackfillContext

log = logging.getLogger(__name__)

_ODD = "a line of the master file does not fit the known layout"


async def refresh_listings(context: BackfillContext) -> MergeCounts:
    """Fetch both master files of shares, store them, and name stocks so in this process.

    If KIS does not give a file, or it has another layout, a line in the log says so and what was
    known stays. Odd lines of a file go to `rejected_rows`. Raises StoreError.
    """
    counts, day = MergeCounts(), today(context.clock)
    for market in MARKETS:
        try:
            packed = await context.client.download(
                stock_master_url(context.client.master_url, market)
            )
            master = parse_stock_master(packed, market)
        except KisError as error:
            log.warning("⚠️ the listed stocks of %s are those known before: %s", market, error)
            continue
        counts += await store_listings(context.store, master.listings, day)
        if master.odd:
            await _keep_odd_lines(context, market, master.odd)
    learn_names(pl.DataFrame(await context.store.query(NAMES)))
    return counts


async def _keep_odd_lines(context: BackfillContext, market: str, odd: list[str]) -> None:
    log.warning(
        "⚠️ %d lines of the master file of %s do not fit: they are in rejected_rows",
        len(odd),
        market,
    )
    rows = pl.DataFrame({"raw": [json.dumps(line, ensure_ascii=False) for line in odd]}).select(
        pl.lit(context.clock.now()).alias("received_at"),
        pl.lit(f"{market.lower()}_code.mst").alias("tr_id"),
        pl.lit(market).alias("symbol"),
        pl.lit(_ODD).alias("reason"),
        "raw",
    )
    await context.store_rejected(schemas.conform(rows, schemas.REJECTED_ROWS))
