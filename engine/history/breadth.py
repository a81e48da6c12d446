"""What snapshots of the market say of it: how many rise and fall, and where the money is."""

from __future__ import annotations

import polars as pl


def breadth(snapshots: pl.LazyFrame) -> pl.LazyFrame:
    """Return a row for each round of `market_snapshot`: how many stocks stand how.

    timestamp, stocks, advancing, declining, unchanged, at_upper_limit, at_lower_limit, untraded
    (not traded yet on the day), volume (shares) and turnover (KRW) of all.
    """
    change, price = pl.col("change"), pl.col("price")
    return (
        snapshots.group_by("timestamp")
        .agg(
            stocks=pl.len(),
            advancing=(change > 0).sum(),
            declining=(change < 0).sum(),
            unchanged=(change == 0).sum(),
            at_upper_limit=(price >= pl.col("upper_limit")).sum(),
            at_lower_limit=(price <= pl.col("lower_limit")).sum(),
            untraded=(pl.col("volume") == 0).sum(),
            volume=pl.col("volume").sum(),
            turnover=pl.col("turnover").sum(),
        )
        .sort("timestamp")
    )


def turnover_leaders(snapshots: pl.LazyFrame, most: int = 20) -> pl.LazyFrame:
    """Return the stocks of each round that have turned over most, the first first.

    The columns of `market_snapshot`, and `rank`, `share` (of the turnover of all, %), `percent`
    (change from the base price).
    """
    turnover = pl.col("turnover")
    return (
        snapshots.with_columns(
            rank=turnover.rank("ordinal", descending=True).over("timestamp"),
            share=turnover / turnover.sum().over("timestamp") * 100,
            percent=pl.col("change") / pl.col("base_price") * 100,
        )
        .filter(pl.col("rank") <= most)
        .sort("timestamp", "rank")
    )
