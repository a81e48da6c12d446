"""Minute bars from trades, as Polars expressions; each bar says whether it is proven complete.

KIS gives the volume of the session with every trade. Where it grew by more than the trade's size, a
trade was not seen: its frame was lost, or the connection was. A bar is proven complete where no
trade is missing from the one before its first to the one after its last. While the trade after its
last has not come, it is only not known to lack one, and a later call may take that back: what was
lost between two bars belongs to either.

The volume of the session says how much is missing, so the volume, turnover and VWAP of a bar that
lacks trades are right where the trade before it is known; its high, low, open, close and count of
trades may not be.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from engine.columns import PRICES

# Prices and VWAP in index points (stocks: KRW), volumes in contracts (shares), turnover in KRW.
FEED_BARS = pl.Schema(
    [
        (
            "timestamp",
            pl.Datetime("us"),
        ),  # the stamp: end of the minute, of an auction its own time
        ("symbol", pl.String()),
        *((price, pl.Float64()) for price in PRICES),
        ("volume", pl.Int64()),  # of the trades that were seen
        ("missing_volume", pl.Int64()),  # traded in the minute, not seen; null: cannot be known
        ("turnover", pl.Float64()),  # of all trades; null: cannot be known
        ("vwap", pl.Float64()),  # of all trades; null: cannot be known
        ("trades", pl.Int64()),  # that were seen
        ("bought", pl.Int64()),  # by buyers who came to the ask; null: cannot be known
        ("sold", pl.Int64()),  # by sellers who came to the bid; null: cannot be known
        ("open_interest", pl.Int64()),  # after the last trade; null for stocks
        ("received_at", pl.Datetime("us")),  # of the last trade
        ("least_delay", pl.Float64()),  # seconds from the exchange's time of a trade to its receipt
        ("most_delay", pl.Float64()),
        ("complete", pl.Boolean()),  # no trade is known to be missing
        ("followed", pl.Boolean()),  # a later trade was seen, so `complete` is proven
    ]
)
_SYMBOL_AND_STAMP = ["symbol", "timestamp"]


def bars_from_trades(
    trades: pl.LazyFrame, stamp: pl.Expr, multipliers: Mapping[str, float] | None = None
) -> pl.LazyFrame:
    """Return the bars of one session's trades (`schemas.TRADES`) in FEED_BARS, by symbol and time.

    `stamp` turns `traded_at` into the bar's stamp (Session.stamp_of_trade); trades that have none
    make no bar but prove that nothing is missing. `multipliers` are KRW per index point, by symbol;
    a symbol without one is priced in KRW. Trades may come in any order and more than once.

    A symbol's first bar is complete only if it begins with the session's first trade: give the last
    trade before the minutes wanted along with theirs.
    """
    rows = _in_order(trades).with_columns(
        stamp.alias("timestamp"),
        pl.col("symbol").replace_strict(dict(multipliers or {}), default=1.0).alias("multiplier"),
    )
    return (
        _with_what_is_missing(rows)
        .drop_nulls("timestamp")
        .group_by(_SYMBOL_AND_STAMP, maintain_order=True)
        .agg(*_values(), *_proofs())
        .with_columns(
            (pl.col("turnover") / pl.col("multiplier") / pl.col("traded")).alias("vwap"),
            (pl.col("traded") - pl.col("volume")).alias("missing_volume"),
        )
        .select(pl.col(name).cast(kind) for name, kind in FEED_BARS.items())
    )


def _in_order(trades: pl.LazyFrame) -> pl.LazyFrame:
    """Return each trade once, sorted by symbol and volume of the session."""
    return trades.unique(["symbol", "day_volume"], keep="first", maintain_order=True).sort(
        "symbol", "day_volume"
    )


def _with_what_is_missing(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Add sums of the session before each trade, and the volume missing before and after it.

    Before a symbol's first row nothing was traded if its size is the session's volume; else the
    sums before it are null. After a symbol's last row nothing is known to be missing.
    """
    is_first = pl.col("symbol").ne_missing(pl.col("symbol").shift(1))
    is_last = pl.col("symbol").ne_missing(pl.col("symbol").shift(-1))
    begins = is_first & (pl.col("day_volume") == pl.col("size"))

    def before(column: str) -> pl.Expr:
        value = pl.when(~is_first).then(pl.col(column).shift(1))
        return value.when(begins).then(0).alias(f"{column}_before")

    sums = ("day_volume", "day_turnover", "day_bought", "day_sold")
    gap = pl.col("day_volume") - pl.col("size") - pl.col("day_volume_before")
    return (
        rows.with_columns(before(name) for name in sums)
        .with_columns(gap.alias("missing_before"))
        .with_columns(
            pl.when(~is_last).then(pl.col("missing_before").shift(-1)).alias("missing_after")
        )
    )


def _values() -> list[pl.Expr]:
    price = pl.col("price")
    delay = (pl.col("received_at") - pl.col("traded_at")).dt.total_microseconds() / 1e6
    return [
        price.first().alias("open"),
        price.max().alias("high"),
        price.min().alias("low"),
        price.last().alias("close"),
        pl.col("size").sum().alias("volume"),
        pl.len().alias("trades"),
        pl.col("open_interest").last(),
        pl.col("received_at").last(),
        delay.min().alias("least_delay"),
        delay.max().alias("most_delay"),
        pl.col("multiplier").first(),
    ]


def _proofs() -> list[pl.Expr]:
    """Return by how much the session's sums grew in a bar, and whether by its trades alone."""
    is_whole = (pl.col("missing_before") == 0).fill_null(value=False).all()
    return [
        *(
            (pl.col(column).last() - pl.col(f"{column}_before").first()).alias(name)
            for column, name in (
                ("day_volume", "traded"),
                ("day_turnover", "turnover"),
                ("day_bought", "bought"),
                ("day_sold", "sold"),
            )
        ),
        (is_whole & (pl.col("missing_after").last().fill_null(0) == 0)).alias("complete"),
        pl.col("missing_after").last().is_not_null().alias("followed"),
    ]
