"""The relation of the checks that says which trades are missing among those that are stored."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

import polars as pl

from engine.columns import SESSION, TIME
from engine.features.missing_trades import missing_after
from engine.history.checks import RELATIONS
from engine.history.missing_trades import read_missing_trades, session_volumes
from engine.history.queries import read_bars
from engine.market.symbols import parse
from engine.store import Store


async def missing_trades_relation(
    store: Store, targets: pl.DataFrame, bars: pl.DataFrame, *, in_files: bool = True
) -> pl.DataFrame:
    """Return the relation `missing_trades` of the targets (symbol, session) that have trades.

    `bars` (BARS) are theirs, and may have others.
    """
    symbols = targets["symbol"].unique().sort().to_list()
    days = targets["session"].sort().to_list()
    between, totals = await read_missing_trades(
        store, symbols, days[0], days[-1], in_files=in_files
    )
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


async def missing_trades_of_day(store: Store, symbols: Sequence[str], day: date) -> pl.DataFrame:
    """Return symbol, missing, volume of those whose trades of the day's session are not whole.

    `missing` (contracts or shares) is what `just validate` says of it, `volume` what the bars have.
    """
    targets = pl.DataFrame({"symbol": list(symbols), "session": day})
    bars = await read_bars(store, symbols, day, day)
    relation = await missing_trades_relation(store, targets, bars, in_files=False)
    found = relation.filter(pl.col("missing") > 0)
    lost = found.group_by("symbol").agg(pl.col("missing").sum())
    volumes = session_volumes(bars.lazy()).collect().select("symbol", "volume")
    return lost.join(volumes, on="symbol", how="left").sort(
        "missing", "symbol", descending=[True, False]
    )


def _hours(sessions: pl.DataFrame) -> pl.DataFrame:
    """Return symbol, session, opens, ends of sessions."""
    rows: list[tuple[str, date, datetime, datetime]] = []
    for symbol, day in sessions.select(SESSION).iter_rows():
        if (session := parse(symbol).session(day)) is not None:
            rows.append((symbol, day, session.opens, session.last_stamp))
    schema = {"symbol": pl.String(), "session": pl.Date(), "opens": TIME, "ends": TIME}
    return pl.DataFrame(rows, schema, orient="row")
