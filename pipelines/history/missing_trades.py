"""The relation of the checks that says which trades are missing among those that are stored."""

from __future__ import annotations

from datetime import date, datetime

import polars as pl

from engine.columns import SESSION, TIME
from engine.features.missing_trades import missing_after
from engine.history.checks import RELATIONS
from engine.history.missing_trades import read_missing_trades, session_volumes
from engine.market.symbols import parse
from engine.store import Store


async def missing_trades_relation(
    store: Store, targets: pl.DataFrame, bars: pl.DataFrame
) -> pl.DataFrame:
    """Return the relation `missing_trades` of the targets (symbol, session) that have trades.

    `bars` (BARS) are theirs, and may have others.
    """
    symbols = targets["symbol"].unique().sort().to_list()
    days = targets["session"].sort().to_list()
    between, totals = await read_missing_trades(store, symbols, days[0], days[-1])
    wanted = totals.join(targets, on=SESSION, how="semi")
    if wanted.is_empty():
        return RELATIONS["missing_trades"].to_frame()
    volumes = session_volumes(bars.lazy()).collect()
    after = missing_after(wanted.lazy(), volumes.lazy()).collect()
    agree = wanted.join(volumes, on=SESSION).filter(pl.col("traded") == pl.col("volume"))
    found = pl.concat([between.join(targets, on=SESSION, how="semi"), after])
    return (
        found.join(_hours(found.select(SESSION).unique()), on=SESSION)
        .join(agree.select(*SESSION, bars_agree=True), on=SESSION, how="left")
        .with_columns(pl.col("bars_agree").fill_null(value=False))
        .select(list(RELATIONS["missing_trades"]))
    )


def _hours(sessions: pl.DataFrame) -> pl.DataFrame:
    """Return symbol, session, opens, ends of sessions."""
    rows: list[tuple[str, date, datetime, datetime]] = []
    for symbol, day in sessions.select(SESSION).iter_rows():
        if (session := parse(symbol).session(day)) is not None:
            rows.append((symbol, day, session.opens, session.last_stamp))
    schema = {"symbol": pl.String(), "session": pl.Date(), "opens": TIME, "ends": TIME}
    return pl.DataFrame(rows, schema, orient="row")
