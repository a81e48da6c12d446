"""Which shares are listed, kept with validity.

A row is a time in which a code was the same: by name, market, kind, index and whether it is halted.
"""

from __future__ import annotations

from datetime import date

import polars as pl

from engine import schemas
from engine.store.identifiers import literal
from engine.store.merge import MergeCounts
from engine.store.store import Store

_SAME = ("name", "market", "kind", "index_member", "halted")  # another one begins a row
_NEWEST = f"""
SELECT DISTINCT ON (symbol) symbol, {", ".join(_SAME)}, seen_first, seen_last
FROM stock_listings ORDER BY symbol, seen_first DESC"""


async def store_listings(store: Store, listings: pl.DataFrame, day: date) -> MergeCounts:
    """Merge what a master file of the day lists (`StockMaster.listings`).

    A code that is what it was goes on with its row; one of a new name, or that has joined or left
    an index, begins another. What the file does not list keeps its rows: they end when it was last
    seen.
    """
    known = pl.DataFrame(await store.query(_NEWEST))
    rows = continue_listings(listings, known, day).with_columns(fetched_at=pl.lit(store.now()))
    return await store.merge("stock_listings", schemas.conform(rows, schemas.STOCK_LISTINGS))


def continue_listings(listings: pl.DataFrame, known: pl.DataFrame, day: date) -> pl.DataFrame:
    """Return the listings of the day with `seen_first` and `seen_last`.

    `known` has each symbol's newest row: symbol, seen_first, seen_last and what makes it the same
    as one of the day. Symbols that a later day has told of already are left out: a simulated day
    may be played again.
    """
    before = known.rename({name: f"_{name}" for name in known.columns if name != "symbol"})
    same = pl.all_horizontal(pl.col(name).eq_missing(pl.col(f"_{name}")) for name in _SAME)
    return (
        listings.join(before, on="symbol", how="left", maintain_order="left")
        .filter(pl.col("_seen_last").is_null() | (pl.col("_seen_last") <= day))
        .with_columns(
            seen_first=pl.when(same).then("_seen_first").otherwise(pl.lit(day)),
            seen_last=pl.lit(day),
        )
        .select(pl.exclude([f"_{name}" for name in known.columns if name != "symbol"]))
    )


async def is_halted(store: Store, symbol: str, day: date) -> bool:
    """Say whether the master file of a day had a stock's trading suspended."""
    found = await store.query(
        f"SELECT 1 AS found FROM stock_listings WHERE symbol = {literal(symbol)} AND halted"
        f" AND {literal(day)} BETWEEN seen_first AND seen_last LIMIT 1"
    )
    return bool(found.num_rows)
