"""Trades that were never stored, proven by the volume of the session that each trade carries.

KIS tells a trade once, so one that is lost cannot be fetched. But if trades are ordered by the
session's volume, each trade's size must be what the volume grew by since the trade before: where it
grew by more, the difference is the contracts or shares of missing trades. That holds if KIS's
volume counts the trades of the feed and nothing else. It may count others (block trades, trading
before the open), so what is found here is shown and flagged; it settles nothing.
"""

from __future__ import annotations

import polars as pl

from engine.columns import SESSION, TIME

ORDER = ["session", "symbol", "day_volume"]  # the key of a trade
NEEDED = [*ORDER, "size", "traded_at"]
# A row for each stretch of time with missing trades, by session, symbol and time.
MISSING_TRADES = pl.Schema(
    [
        ("session", pl.Date()),
        ("symbol", pl.String()),
        ("after", TIME),  # the last stored trade before them; null: they are the session's first
        ("before", TIME),  # the first stored trade after them; null: they are the session's last
        # Contracts or shares. Below zero: the trade of `before` is so much larger than the growth
        # of the volume, so one of the two is wrong.
        ("missing", pl.Int64()),
    ]
)
# A row for each session and symbol that has trades.
TRADE_TOTALS = pl.Schema(
    [
        ("session", pl.Date()),
        ("symbol", pl.String()),
        ("trades", pl.Int64()),
        ("traded", pl.Int64()),  # sum of their sizes
        ("day_volume", pl.Int64()),  # the session's volume after the last of them
        ("last", TIME),  # when that one was traded
    ]
)


def missing_between(ordered: pl.LazyFrame) -> pl.LazyFrame:
    """Return MISSING_TRADES before each of the rows (NEEDED); nothing is known after the last.

    Rows come in ORDER; a trade that comes twice counts once. The sum of `missing` is how much the
    volume grew beyond the sizes of the trades.
    """
    same = pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift(1)) for name in SESSION)
    repeats = same & (pl.col("day_volume") == pl.col("day_volume").shift(1))
    volume, moment = (pl.when(same).then(pl.col(n).shift(1)) for n in ("day_volume", "traded_at"))
    grown = pl.col("day_volume") - volume.fill_null(0)
    return (
        ordered.filter(~repeats.fill_null(value=False))
        .select(
            *SESSION,
            moment.alias("after"),
            pl.col("traded_at").alias("before"),
            (grown - pl.col("size")).alias("missing"),
        )
        .filter(pl.col("missing") != 0)
        .select(pl.col(name).cast(kind) for name, kind in MISSING_TRADES.items())
    )


def trade_totals(ordered: pl.LazyFrame) -> pl.LazyFrame:
    """Return TRADE_TOTALS of the rows of NEEDED, which come in ORDER, each trade once."""
    return (
        ordered.group_by(SESSION)
        .agg(
            pl.len().alias("trades"),
            pl.col("size").sum().alias("traded"),
            pl.col("day_volume").last(),
            pl.col("traded_at").last().alias("last"),
        )
        .select(pl.col(name).cast(kind) for name, kind in TRADE_TOTALS.items())
    )


def missing_after(totals: pl.LazyFrame, volumes: pl.LazyFrame) -> pl.LazyFrame:
    """Return MISSING_TRADES after the last trades of TRADE_TOTALS.

    `volumes` (session, symbol, volume) say what was traded in whole sessions. A volume below that
    of the last trade says nothing.
    """
    return (
        totals.join(volumes, on=SESSION, how="inner")
        .filter(pl.col("volume") > pl.col("day_volume"))
        .select(
            *SESSION,
            pl.col("last").alias("after"),
            pl.lit(None, TIME).alias("before"),
            (pl.col("volume") - pl.col("day_volume")).alias("missing"),
        )
        .select(pl.col(name).cast(kind) for name, kind in MISSING_TRADES.items())
    )
