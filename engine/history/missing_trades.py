"""Which trades are missing among those that are stored: read by session, or as a lazy frame.

What `engine.features.missing_trades` finds between two trades it finds here over any number of
sessions, in the database and in files; and with bars also what is missing after the last trade.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import date
from functools import partial
from pathlib import Path

import polars as pl

from engine.columns import SESSION
from engine.features.missing_trades import (
    MISSING_TRADES,
    NEEDED,
    ORDER,
    TRADE_TOTALS,
    missing_after,
    missing_between,
    trade_totals,
)
from engine.history.trades import scan_trades, sessions_with_trades
from engine.market.nights import session_of
from engine.store import Store
from engine.store.identifiers import literal

_NO_FILES = Path(os.devnull)


def missing_trades(trades: pl.LazyFrame, bars: pl.LazyFrame | None = None) -> pl.LazyFrame:
    """Return the stretches in which trades are missing, by session, symbol and time.

    Columns: session, symbol, after, before (the trades around the stretch; null: none), missing:
    contracts or shares, proven by the volume of the session in each trade. Below zero a trade is
    larger than the volume grew. `bars` that are whole sessions show what is missing after the last
    trade. A symbol without any trade has no row, nor has a trade that KIS's volume does not count.
    """
    ordered = trades.select(NEEDED).sort(ORDER, maintain_order=True)
    between = missing_between(ordered)
    if bars is None:
        return between
    totals = trade_totals(ordered.unique(ORDER, keep="first", maintain_order=True))
    after = missing_after(totals, session_volumes(bars))
    return pl.concat([between, after]).sort(
        [*reversed(SESSION), "after", "before"], nulls_last=[False, False, False, True]
    )


def session_volumes(bars: pl.LazyFrame) -> pl.LazyFrame:
    """Return symbol, session, volume of bars (symbol, timestamp, volume)."""
    session = session_of(pl.col("symbol"), pl.col("timestamp")).alias("session")
    return bars.group_by("symbol", session).agg(pl.col("volume").sum().cast(pl.Int64))


async def read_missing_trades(
    store: Store, symbols: Sequence[str], first: date, last: date, *, in_files: bool = True
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return MISSING_TRADES before and between stored trades, and their TRADE_TOTALS.

    Of symbols, in the sessions from first to last; one session is in memory at a time. Files of
    sessions that have left the database are read where `trade_files` says they are, unless
    `in_files` is false. Raises StoreError, if a file is damaged too.
    """
    rows = await store.query("SELECT folder FROM trade_files ORDER BY moved_at DESC LIMIT 1")
    has_files = in_files and rows.num_rows
    folder = Path(rows["folder"][0].as_py()) if has_files else _NO_FILES
    read = partial(_read_missing_trades, store.url, folder, list(symbols), first, last)
    return await store.clock.thread(read)


def _read_missing_trades(
    url: str, folder: Path, symbols: list[str], first: date, last: date
) -> tuple[pl.DataFrame, pl.DataFrame]:
    found, totals = [MISSING_TRADES.to_frame()], [TRADE_TOTALS.to_frame()]
    for day in sessions_with_trades(url, folder):
        if first <= day <= last:
            # To sort them here costs a tenth of what the server needs for it.
            trades = scan_trades(url, folder, order_by=(), sessions=(day, day))
            rows = trades.filter(pl.col("symbol").is_in(symbols)).select(NEEDED).collect()
            ordered = rows.lazy().sort(ORDER)
            for parts, one in ((found, missing_between(ordered)), (totals, trade_totals(ordered))):
                parts.append(one.collect())
    return pl.concat(found), pl.concat(totals)


async def read_missing_before(store: Store, firsts: pl.DataFrame) -> pl.DataFrame:
    """Return MISSING_TRADES between trades (NEEDED) and the stored ones next before each of them.

    Of a trade before which none of its session is stored nothing is said.
    """
    values = ", ".join(
        f"({literal(day)}, {literal(symbol)}, {literal(volume)})"
        for day, symbol, volume in firsts.select(ORDER).iter_rows()
    )
    before = await store.query(
        f"SELECT {', '.join(f'earlier.{name}' for name in NEEDED)}"  # noqa: S608 - quoted
        f" FROM (VALUES {values}) AS first (session, symbol, day_volume), LATERAL ("
        " SELECT * FROM trades WHERE session = first.session AND symbol = first.symbol"
        " AND day_volume < first.day_volume ORDER BY day_volume DESC LIMIT 1) AS earlier"
    )
    both = pl.concat(
        [firsts.select(NEEDED), pl.DataFrame(before).cast(firsts.select(NEEDED).schema)]
    )
    return missing_trades(both.lazy()).filter(pl.col("after").is_not_null()).collect()
