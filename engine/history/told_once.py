"""What KIS tells only once, joined to bars on the minute.

A bar stamped 09:00 ends at 09:00:00, and KIS was asked for these rows some two seconds later. So a
row of 09:00 is what was known right after that bar: it belongs beside it, and a decision at the
close of the bar must not use it before those seconds are over. Bars keep their rows and order; what
is missing is null.
"""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from engine.market.hours import MINUTE

_ORIGIN = ("source", "fetched_at", "committed_at")


def with_state(bars: pl.LazyFrame, states: pl.LazyFrame) -> pl.LazyFrame:
    """Return bars of futures with their state: open interest, basis, theoretical price …

    Of columns that both have, the bars' stay.
    """
    return _joined(bars, states, ["symbol", "timestamp"])


def with_flows(
    bars: pl.LazyFrame,
    flows: pl.LazyFrame,
    market: str = "KOSPI200_FUTURES",
    investors: Sequence[str] = ("foreign", "institution", "individual"),
    columns: Sequence[str] = ("net_volume", "net_amount"),
) -> pl.LazyFrame:
    """Return bars with a market's flows, a column for each investor: foreign_net_volume …

    Sums of the day from `investor_flows`, or what came in the minute from `investor_flows_1m`.
    """
    cells = (
        pl.col(column).filter(pl.col("investor") == who).first().alias(f"{who}_{column}")
        for who in investors
        for column in columns
    )
    wide = flows.filter(pl.col("symbol") == market).group_by("timestamp").agg(*cells)
    return _joined(bars, wide, ["timestamp"])


def with_programme(bars: pl.LazyFrame, trades: pl.LazyFrame, market: str = "KOSPI") -> pl.LazyFrame:
    """Return bars with a market's programme trading: programme_net, programme_arbitrage_net …"""
    own = trades.filter(pl.col("symbol") == market).drop("symbol", *_ORIGIN, strict=False)
    return _joined(bars, _named(own, "programme"), ["timestamp"])


def with_index(bars: pl.LazyFrame, indices: pl.LazyFrame, index: str = "KOSPI200") -> pl.LazyFrame:
    """Return bars with those of an index: index_open, index_high, index_low, index_close …"""
    own = indices.filter(pl.col("symbol") == index).drop("symbol", *_ORIGIN, strict=False)
    return _joined(bars, _named(own, "index"), ["timestamp"])


def with_auctions(bars: pl.LazyFrame, expected: pl.LazyFrame) -> pl.LazyFrame:
    """Return bars with what their auction was last expected to give: expected_price, expected_size.

    Only the first bar of a session and that of the closing auction come of one; of the others both
    are null. Bars must be ascending in time for each symbol.
    """
    last = (
        expected.sort("symbol", "timestamp", "said_at")
        .group_by("symbol", "timestamp", maintain_order=True)
        .agg(pl.col("price").last(), pl.col("size").last())
        .rename({"price": "expected_price", "size": "expected_size"})
        .sort("timestamp")
    )
    order = pl.int_range(pl.len()).alias("_order")
    return (
        bars.with_columns(order)
        .sort("timestamp")
        .join_asof(
            last,
            on="timestamp",
            by="symbol",
            tolerance=MINUTE,
            check_sortedness=False,
        )
        .sort("_order")
        .drop("_order")
    )


def with_book(bars: pl.LazyFrame, book: pl.LazyFrame) -> pl.LazyFrame:
    """Return bars of futures with the book as it stood at the minute's end: bid1, ask_size1 …

    That is the last update whose time at the exchange lies in the minute.
    """
    times = ("session", "told_at", "received_at")
    last = (
        book.sort("received_at")
        .with_columns((pl.col("told_at").dt.truncate("1m") + MINUTE).alias("timestamp"))
        .drop(times)
        .group_by("symbol", "timestamp")
        .last()
    )
    return _joined(bars, last, ["symbol", "timestamp"])


def _named(frame: pl.LazyFrame, prefix: str) -> pl.LazyFrame:
    names = frame.collect_schema().names()
    return frame.rename({name: f"{prefix}_{name}" for name in names if name != "timestamp"})


def _joined(bars: pl.LazyFrame, rows: pl.LazyFrame, on: list[str]) -> pl.LazyFrame:
    taken = {*bars.collect_schema().names(), *_ORIGIN} - {*on}
    wanted = [name for name in rows.collect_schema().names() if name not in taken]
    return bars.join(rows.select(wanted), on=on, how="left", maintain_order="left")
