"""Which trades are missing among those that are stored: read batch by batch, or as a lazy frame.

What `engine.features.missing_trades` finds between two trades it finds here over any number of
sessions, in the database and in files, with no more than a batch in memory; and with bars also what
is missing after a session's last trade.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import date
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
from engine.history.trades import scan_trades
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


def look_through(batches: Iterable[pl.DataFrame]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return MISSING_TRADES before and between trades, which come once and in ORDER; TRADE_TOTALS.

    However many there are, they are read once, and no more than a batch (NEEDED) is in memory.
    """
    found, sums = [MISSING_TRADES.to_frame()], [TRADE_TOTALS.to_frame()]
    last: pl.DataFrame | None = None  # of the batch before
    for batch in batches:
        known = batch if last is None else pl.concat([last, batch])
        between = missing_between(known.lazy()).collect()
        if last is not None:  # what was missing before it is known
            again = missing_between(last.lazy()).collect()
            between = between.slice(again.height)
        found.append(between)
        sums.append(trade_totals(batch.lazy()).collect())
        last = batch.tail(1) if batch.height else last
    totals = pl.concat(sums).group_by(SESSION, maintain_order=True)
    together = totals.agg(pl.col("trades", "traded").sum(), pl.col("day_volume", "last").last())
    return pl.concat(found), together.select(list(TRADE_TOTALS))


async def read_missing_trades(
    store: Store, symbols: list[str], first: date, last: date
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return what `look_through` does of the stored trades of symbols from first to last.

    Files of sessions that have left the database are read where `trade_files` says they are.
    """
    rows = await store.query("SELECT folder FROM trade_files ORDER BY moved_at DESC LIMIT 1")
    folder = Path(rows["folder"][0].as_py()) if rows.num_rows else _NO_FILES
    frame = scan_trades(store.url, folder).filter(
        pl.col("session").is_between(first, last), pl.col("symbol").is_in(symbols)
    )
    return await store.clock.thread(_look_through_frame, frame.select(NEEDED))


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
        [firsts.select(NEEDED), pl.DataFrame(before).cast(dict(firsts.select(NEEDED).schema))]
    )
    return missing_trades(both.lazy()).filter(pl.col("after").is_not_null()).collect()


def _look_through_frame(trades: pl.LazyFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    return look_through(trades.collect_batches(maintain_order=True))
