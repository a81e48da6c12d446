"""Which stocks a feed's universes mean: what KIS's master files of the day list.

A collector plans its day before it opens the database, which may be away; so it reads the files
themselves. `stock_listings` has the same, and what a universe was on a past day.
"""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import polars as pl

from engine.clock import Clock, today
from engine.errors import InputError, KisError, KisUnreachable
from engine.files import private_folder, write_atomically
from engine.kis.stock_layout import MARKETS, stock_master_url
from engine.kis.stock_master import parse_stock_master
from engine.kis.transport import Transport
from engine.market.universes import members, split_universes
from engine.settings import KisSettings, Settings
from engine.simulator.market.data import MarketData
from engine.simulator.market.listed_stocks import stock_master_file
from pipelines.feed import Feed

log = logging.getLogger(__name__)

_KEPT = ["symbol", "market", "kind", "index_member", "halted", "listed_from"]


def resolve_universes(
    feed: Feed, clock: Clock, settings: Settings, market: MarketData | None = None
) -> Feed:
    """Return the feed with the members of its universes as of today among its stocks.

    They are listed by KIS, of a simulation by the `market`. The last files that KIS gave are kept
    for a day on which it gives none. Raises InputError where nothing says what is listed.
    """
    if not feed.universes:
        return feed
    found = members(read_listings(clock, settings, market), feed.universes)
    return replace(feed, stocks=tuple(dict.fromkeys([*feed.stocks, *found])))


def count_stocks(
    texts: Sequence[str], clock: Clock, settings: Settings, market: MarketData | None = None
) -> int:
    """Return how many stocks the codes and universes are. Raises InputError as above."""
    universes, codes = split_universes(texts)
    if not universes:
        return len(codes)
    return len({*codes, *members(read_listings(clock, settings, market), universes)})


def read_listings(
    clock: Clock, settings: Settings, market: MarketData | None = None
) -> pl.DataFrame:
    """Return what is listed today: symbol, market, kind, index_member, halted, listed_from.

    Without what the files have already, and is listed on a later day. Raises InputError.
    """
    day = today(clock)
    found = _simulated(market, day) if market else _of_kis(clock, settings, day)
    return found.filter(pl.col("listed_from").is_null() | (pl.col("listed_from") <= day))


def _simulated(market: MarketData, day: date) -> pl.DataFrame:
    packed = [(name, stock_master_file(market, name, day)) for name in MARKETS]
    return pl.concat(parse_stock_master(file, name).listings.select(_KEPT) for name, file in packed)


def _of_kis(clock: Clock, settings: Settings, day: date) -> pl.DataFrame:
    frames, folder = [], private_folder(settings.folder("live") / "kis")
    for market, packed in zip(MARKETS, _download(clock, settings.kis), strict=True):
        file = folder / f"{market.lower()}_listings.parquet"
        try:
            if isinstance(packed, KisError):
                raise packed
            found = parse_stock_master(packed, market).listings.select(_KEPT)
        except KisError as error:
            frames.append(_kept(file, market, error))
        else:
            content = io.BytesIO()
            found.with_columns(day=pl.lit(day)).write_parquet(content)
            write_atomically(file, content.getvalue(), private=True)
            frames.append(found)
    return pl.concat(frames)


def _kept(file: Path, market: str, error: KisError) -> pl.DataFrame:
    """Return what the last file of the market listed. Raises InputError if no file was kept."""
    try:
        found = pl.read_parquet(file, glob=False)
        if "halted" not in found.columns:  # of a version that did not keep it
            found = found.with_columns(halted=pl.lit(value=False))
        if "listed_from" not in found.columns:  # nor this
            found = found.with_columns(listed_from=pl.lit(None, pl.Date))
        day, listed = found["day"][0], found.select(_KEPT)
    except (OSError, IndexError, pl.exceptions.PolarsError, pl.exceptions.PanicException):
        raise InputError(
            f"which stocks {market} lists is not known, so a universe cannot be followed: {error};"
            " name stocks by their codes, or try again"
        ) from None
    log.warning("⚠️ the stocks of %s are those that it listed on %s: %s", market, day, error)
    return listed


def _download(clock: Clock, settings: KisSettings) -> Sequence[bytes | KisError]:
    """Return the file of each market, or why it did not come."""

    async def fetch() -> list[bytes | KisError]:
        transport = Transport(settings.base_url, clock, timeout=settings.request_timeout)
        try:
            return [await _fetch(transport, settings, market) for market in MARKETS]
        finally:
            await transport.close()

    return asyncio.run(fetch())


async def _fetch(transport: Transport, settings: KisSettings, market: str) -> bytes | KisError:
    url = stock_master_url(settings.master_url, market)
    try:
        reply = await transport.send("GET", url)
    except KisError as error:
        return error
    if reply.status != 200:
        return KisUnreachable(f"KIS's file server answered HTTP {reply.status} for {url}")
    return reply.body
