"""Prices over corporate actions: which factors there are, and one series of all bars.

KIS adjusts the past: after a split of one share into four it gives every earlier price times 0.25.
A bar that was fetched before that has the old price, one that was fetched afterwards the new one.
"""

from __future__ import annotations

from datetime import date

import polars as pl

from engine.columns import PRICES

ACTIONS = pl.Schema(  # rows of the table `adjustments`
    [
        ("symbol", pl.String()),
        ("effective", pl.Date()),
        ("factor", pl.Float64()),
        ("state", pl.String()),
    ]
)
_ROUNDING = 0.5  # KRW: KIS gives whole ones
_TOLERANCE = 0.001  # of a factor, beside the rounding


def steps(closes: pl.DataFrame) -> pl.DataFrame:
    """Return effective (date), factor: each session from which on the adjustment is another one.

    `closes` has session, original, adjusted (KRW). The factor is as exact as whole KRW allow, since
    it is taken over all sessions between two actions.
    """
    known = closes.sort("session").filter(pl.col("original") > 0, pl.col("adjusted") > 0)
    ratio = pl.col("adjusted") / pl.col("original")
    # Between two actions, the ratios of all sessions are equal but for the rounding.
    slack = _TOLERANCE + _ROUNDING / pl.col("adjusted") + _ROUNDING / pl.col("adjusted").shift()
    moved = (ratio / ratio.shift() - 1).abs() > slack
    runs = (
        known.with_columns(run=moved.fill_null(value=False).cum_sum())
        .group_by("run", maintain_order=True)
        .agg(
            effective=pl.col("session").first(),
            ratio=pl.col("adjusted").sum() / pl.col("original").sum(),
        )
    )
    return runs.select("effective", factor=pl.col("ratio").shift() / pl.col("ratio")).drop_nulls()


def explain(
    factor: float, close: float, known: pl.DataFrame, since: date, until: date
) -> pl.DataFrame:
    """Return the steps that explain a factor found in minute bars; empty if they do not.

    `known` are `steps`. Those count that lie after `since`, the day on which the replaced bars were
    fetched, and not after `until`, the day on which the adjusted ones were. `close` (KRW) says how
    much rounding may do.
    """
    between = known.filter(pl.col("effective") > since, pl.col("effective") <= until)
    product: float = between["factor"].product() if between.height else 1.0
    slack = _TOLERANCE + 2 * _ROUNDING / max(close, 1.0)
    return between if abs(product / factor - 1) <= slack else between.clear()


def adjusted(bars: pl.LazyFrame, actions: pl.DataFrame) -> pl.LazyFrame:
    """Return bars at the prices of the newest ones; `bars` as stored in stocks_1m.

    `actions` (ACTIONS): confirmed ones change the bars of sessions before them that were also
    fetched before them. Two columns are added: `adjustment`, by which prices are multiplied and
    volumes, which become floats, divided; and `adjustment_doubted`, true where an action that is
    not confirmed would change the bar. Whether the prices of a bar from a file were adjusted
    already is not known: where that matters, prices, volume and adjustment are null.
    """
    sure = actions.filter(pl.col("state") == "confirmed").select("symbol", "effective", "factor")
    number = pl.int_range(pl.len()).over("symbol")
    ranked = sure.sort("symbol", "effective").with_columns(number=number)
    factor, unknown = pl.lit(1.0), pl.lit(value=False)
    frame = bars
    for part in ranked.partition_by("number", maintain_order=True, include_key=False):
        named = part.rename({"effective": "_effective", "factor": "_factor"}).lazy()
        frame = frame.join(named, on="symbol", how="left", maintain_order="left")
        earlier = (pl.col("timestamp").dt.date() < pl.col("_effective")).fill_null(value=False)
        from_file = pl.col("source") == "file"
        applies = earlier & ~from_file & (pl.col("fetched_at").dt.date() < pl.col("_effective"))
        frame = frame.with_columns(
            pl.when(applies).then(pl.col("_factor")).otherwise(1.0).alias("_applied"),
            (earlier & from_file).alias("_unknown"),
        ).with_columns(
            (factor * pl.col("_applied")).alias("adjustment"),
            (unknown | pl.col("_unknown")).alias("_unsure"),
        )
        frame = frame.drop("_effective", "_factor", "_applied", "_unknown")
        factor, unknown = pl.col("adjustment"), pl.col("_unsure")
    if ranked.is_empty():
        frame = frame.with_columns(adjustment=factor, _unsure=unknown)
    doubts = (
        actions.filter(pl.col("state") != "confirmed")
        .group_by("symbol")
        .agg(_doubted=pl.col("effective").max())
    )
    before = pl.col("timestamp").dt.date() < pl.col("_doubted")
    return (
        frame.join(doubts.lazy(), on="symbol", how="left", maintain_order="left")
        .with_columns(
            adjustment=pl.when(~pl.col("_unsure")).then("adjustment"),
            adjustment_doubted=before.fill_null(value=False),
        )
        .with_columns(
            pl.col(*PRICES) * pl.col("adjustment"),
            volume=pl.col("volume") / pl.col("adjustment"),
        )
        .drop("_unsure", "_doubted")
    )
