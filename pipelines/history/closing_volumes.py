"""The closing snapshot: the day's volume of many stocks, as KIS gives it after the close.

It is fetched for 30 stocks a call and kept in `market_snapshot`, so that a sweep that begins again
need not ask. It says which stocks traded most, and when the bars of one are complete; for a stock
that did not trade it is one of two answers that have to agree (`engine.history.evidence`).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date, datetime

import polars as pl
import pyarrow as pa

from engine.clock import floor_minute, today
from engine.concurrency import run_until_first_error
from engine.errors import KisError, KisKeyRefused
from engine.fetchers.market_snapshot import SnapshotFetcher, SnapshotRequest
from engine.kis.endpoints.stocks import SeveralStocks
from engine.market.names import english_stock
from engine.market.sessions import Market, session
from engine.schemas import REST
from engine.store import Store
from engine.store.identifiers import literal, literals
from pipelines.history.request import BackfillContext

log = logging.getLogger(__name__)

VOLUMES = pl.Schema(
    {
        "symbol": pl.String(),
        "volume": pl.Int64(),  # shares of the day; null where KIS contradicts itself
        "turnover": pl.Float64(),  # KRW
        "untraded": pl.Boolean(),  # no price was made in the session, by each row of the day
    }
)
# Nothing was traded only if there is no turnover and no first price either. A day's volume never
# shrinks, either: one below what KIS had said during the session cannot be right.
_VOLUME = (
    "CASE WHEN volume >= most AND (volume > 0 OR (turnover = 0 AND open = 0 AND high = 0))"
    " THEN volume END"
)
# Trades at the closing price, after it, may be in the volume: there is no first price then.
_NO_PRICE = "coalesce(open = 0 AND high = 0 AND low = 0, false)"
_AT_ONCE = 8
_SIZE = SeveralStocks.stocks_per_call


async def closing_volumes(
    context: BackfillContext, symbols: Sequence[str], day: date
) -> pl.DataFrame:
    """Return VOLUMES of the day, of the stocks for which KIS has given it after the close.

    KIS gives it only on the day, and is asked only about stocks of which nothing is stored. Empty
    before the close, and while the clocks of KIS and of this machine differ. Raises KisKeyRefused,
    StoreError.
    """
    held = session(Market.STOCKS, day)
    if held is None or context.clock.now() < held.sealed_at:
        return VOLUMES.to_frame()
    known = await told_volumes(context.store, symbols, day)
    unknown = sorted(set(symbols) - set(known["symbol"]))
    if unknown and today(context.clock) == day:
        await _ask(context, unknown)
        known = await told_volumes(context.store, symbols, day)
        if left_out := sorted(set(symbols) - set(known["symbol"])):  # swept without it
            log.warning(
                "⚠️ KIS gives no volume of %s for %d stocks: %s",
                day,
                len(left_out),
                stocks_text(left_out),
            )
    return VOLUMES.to_frame() if context.client.clock_trouble else known


async def told_volumes(store: Store, symbols: Sequence[str], day: date) -> pl.DataFrame:
    """Return VOLUMES of the stocks by their first snapshot after the close that is stored."""
    held = session(Market.STOCKS, day)
    if held is None:
        return VOLUMES.to_frame()
    sealed = literal(held.sealed_at)
    found = await store.query(
        f"SELECT DISTINCT ON (symbol) symbol, {_VOLUME} AS volume, turnover,"  # noqa: S608
        f" {_VOLUME} IS NOT NULL AND never AS untraded"
        " FROM (SELECT *, max(volume) OVER of_day AS most,"
        f" bool_and({_NO_PRICE}) OVER of_day AS never FROM market_snapshot"
        f" WHERE session = {literal(day)} AND fetched_at >= {literal(held.opens)}"
        f" AND symbol IN ({literals(list(symbols))})"
        " WINDOW of_day AS (PARTITION BY symbol)) AS of_day"
        # The minute is KIS's: our clock may have been wrong.
        f" WHERE fetched_at >= {sealed} AND timestamp >= {sealed} ORDER BY symbol, fetched_at"
    )
    return pl.DataFrame(found).cast(VOLUMES)


async def bars_were_served(store: Store, day: date) -> bool:
    """Say whether KIS gave, after the close, a bar of the day's closing auction of any stock.

    Only then does an answer without a bar say something about one stock, and not about KIS.
    """
    held = session(Market.STOCKS, day)
    if held is None:
        return False
    found = await store.query(
        "SELECT EXISTS (SELECT FROM stocks_1m WHERE"  # noqa: S608 - quoted
        f" timestamp = {literal(held.last_stamp)} AND fetched_at >= {literal(held.sealed_at)}"
        f" AND source = {literal(REST)}) AS served"
    )
    return bool(found["served"][0].as_py())


def stocks_text(symbols: Sequence[str], most: int = 5) -> str:
    """Return the first few stocks as text, with the names by which people know them."""
    return ", ".join(map(english_stock, symbols[:most])) + (" …" if len(symbols) > most else "")


async def _ask(context: BackfillContext, symbols: Sequence[str]) -> None:
    rows, lacking = await fetch_snapshot(context, symbols, floor_minute(context.clock.now()))
    if lacking:
        log.warning("⚠️ the closing snapshot lacks %d stocks: %s", *lacking)
    if rows is not None:
        await context.store.merge("market_snapshot", rows)


async def fetch_snapshot(
    context: BackfillContext, symbols: Sequence[str], minute: datetime
) -> tuple[pa.RecordBatch | None, tuple[int, KisError] | None]:
    """Ask for all stocks, 30 a call, several calls at once.

    Returns their rows in MARKET_SNAPSHOT, or None without any, and of how many stocks KIS gave no
    answer, with the last reason. Raises KisKeyRefused, StoreError.
    """
    parts = iter([tuple(symbols[n : n + _SIZE]) for n in range(0, len(symbols), _SIZE)])
    fetcher = SnapshotFetcher(context.client)
    batches: list[pa.RecordBatch] = []
    lacking: list[tuple[int, KisError]] = []

    async def take_parts() -> None:
        for part in parts:
            try:
                batches.append(await fetcher.fetch(SnapshotRequest(part, minute, context.priority)))
            except KisKeyRefused:
                raise
            except KisError as error:
                lacking.append((len(part), error))

    await run_until_first_error(*(take_parts() for _ in range(_AT_ONCE)))
    rejected = fetcher.take_rejected()
    if rejected.num_rows:
        await context.store_rejected(rejected)
    failed = (sum(count for count, _ in lacking), lacking[-1][1]) if lacking else None
    return (pa.concat_batches(batches) if batches else None), failed
