"""Minute bars from trades, as Polars expressions; each bar says whether it is proven complete.

KIS gives the volume of the session with every trade. Where it grew by more than the trade's size, a
trade was not seen: its frame was lost, or the connection was. A bar is complete if no trade is
missing from the one before its first to the one after its last, and if all of these have times that
can be right. Until the trade after its last has come that is not known: a frame may be lost or
held, and the clock cannot tell that from a market without trades.

The volume of the session says how much is missing. So turnover and VWAP of a bar that lacks trades
are right if the trade before it is known, and so is the sum of `volume` and `missing_volume`; its
open, high, low, close and number of trades may not be.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import cache, lru_cache

import polars as pl

from engine.columns import PRICES

# Prices and VWAP in index points (stocks: KRW), volumes in contracts (shares), turnover in KRW.
FEED_BARS = pl.Schema(
    [
        ("timestamp", pl.Datetime("us")),  # end of the minute; for an auction its own time
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
        # True: proven. False: a trade is missing, or a time cannot be right. Null: nothing is known
        # to be missing, but the trade that would prove it has not come yet.
        ("complete", pl.Boolean()),
    ]
)
# The columns of `schemas.TRADES` that bars are made of.
NEEDED = (
    "symbol",
    "traded_at",
    "received_at",
    "price",
    "size",
    "day_volume",
    "day_turnover",
    "day_bought",
    "day_sold",
    "open_interest",
)
_SYMBOL_AND_STAMP = ["symbol", "timestamp"]
_KEY = ["symbol", "day_volume"]  # of a trade; see engine.schemas.TRADES
# Seconds from the exchange's time of a trade (whole seconds) to its receipt by KIS's clock: at most
# 4.2 were measured. Beyond these bounds one of the two clocks is wrong or the feed hangs, and a
# trade may be in a minute that is not its own.
LEAST_DELAY, MOST_DELAY = -3.0, 6.0
_BACKWARDS = pl.duration(seconds=1)  # from one trade to the next; more means that a clock was set


def bars_from_trades(
    trades: pl.LazyFrame,
    stamp: pl.Expr,
    multipliers: Mapping[str, float] | None = None,
    *,
    ahead: timedelta = timedelta(),
) -> pl.LazyFrame:
    """Return the bars of one session's trades (NEEDED) in FEED_BARS, by symbol and time.

    `stamp` turns `traded_at` into the bar's stamp (Session.stamp_of_trade); trades without one make
    no bar but may prove that nothing is missing. `multipliers` are KRW per index point, by symbol;
    a symbol without one is priced in KRW. `ahead` is how far the clock of `received_at` is ahead of
    KIS's. Trades may come in any order and more than once.

    A symbol's first bar is complete only if its first trade is the session's first: for later
    minutes, pass the last trade before them as well.
    """
    rows = _sound_rows(distinct_trades(trades), ahead).with_columns(stamp.alias("timestamp"))
    return (
        _with_what_is_missing(rows)
        .drop_nulls("timestamp")
        .group_by(_SYMBOL_AND_STAMP, maintain_order=True)
        .agg(_sums_and_proofs())
        .with_columns(_judged(frozenset((multipliers or {}).items())))
        .select(_in_feed_bars())
        .sort(_SYMBOL_AND_STAMP)
    )


# Expressions are made once: for a minute's few rows that takes as long as to compute them.
@cache
def _in_feed_bars() -> list[pl.Expr]:
    return [pl.col(name).cast(kind) for name, kind in FEED_BARS.items()]


@lru_cache(maxsize=16)
def _judged(multipliers: frozenset[tuple[str, float]]) -> list[pl.Expr]:
    """Return VWAP, missing volume and completeness of bars that have their sums."""
    multiplier = pl.col("symbol").replace_strict(dict(multipliers), default=1.0)
    return [
        (pl.col("turnover") / multiplier / pl.col("traded")).alias("vwap"),
        (pl.col("traded") - pl.col("volume")).alias("missing_volume"),
        _complete().alias("complete"),
    ]


@cache
def _sums_and_proofs() -> list[pl.Expr]:
    return [*_values(), *_growth(), *_proofs()]


def distinct_trades(trades: pl.LazyFrame) -> pl.LazyFrame:
    """Return trades sorted by symbol and volume of the session, without those that came again.

    Two different trades with one volume both stay, one after the other: see `clashes`.
    """
    return trades.sort(_KEY, maintain_order=True).filter(_comes_first())


@cache
def _comes_first() -> pl.Expr:
    return ~(_same_key(1) & ~_other_values(1))


@cache
def clashes() -> pl.Expr:
    """Say which of `distinct_trades` have the volume of another trade: not both can be right.

    A record under a wrong code makes such a trade. The one that came first is not marked.
    """
    return _same_key(1)


@cache
def _same_key(step: int) -> pl.Expr:
    """Say whether a trade has the key of the one before it (1) or after it (-1)."""
    return pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift(step)) for name in _KEY)


@cache
def _other_values(step: int) -> pl.Expr:
    values = (pl.col(name) for name in ("traded_at", "price", "size"))
    return pl.any_horizontal(value.ne_missing(value.shift(step)) for value in values)


def _sound_rows(trades: pl.LazyFrame, ahead: timedelta) -> pl.LazyFrame:
    """Return each trade once, with `sound`: nothing speaks against its time and its values."""
    marked = trades.with_columns(_same_key(-1).alias("clashes")).filter(~clashes())
    return marked.with_columns(_sound(ahead).alias("sound"))


@lru_cache(maxsize=16)
def _sound(ahead: timedelta) -> pl.Expr:
    delay = (pl.col("received_at") - ahead - pl.col("traded_at")).dt.total_microseconds() / 1e6
    same_symbol = pl.col("symbol").eq_missing(pl.col("symbol").shift(1))
    backwards = same_symbol & (pl.col("traded_at") < pl.col("traded_at").shift(1) - _BACKWARDS)
    return (
        delay.is_between(LEAST_DELAY, MOST_DELAY)
        & ~pl.col("clashes")
        & ~backwards.fill_null(value=False)
        & ~backwards.shift(-1).fill_null(value=False)
    )


def _with_what_is_missing(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Add sums of the session before each trade, and what is known of its neighbours.

    `missing_before` and `missing_after` are volumes that were not seen, `sound_before` and
    `sound_after` are `sound` of the trades before and after. Before a symbol's first row nothing
    was traded if its size is the session's volume; else what was before it is null, as is what
    comes after the last row.
    """
    before, gap, neighbours = _neighbours()
    return rows.with_columns(before).with_columns(gap).with_columns(neighbours)


@cache
def _neighbours() -> tuple[list[pl.Expr], pl.Expr, list[pl.Expr]]:
    """Return the stages of `_with_what_is_missing`."""
    is_first = pl.col("symbol").ne_missing(pl.col("symbol").shift(1))
    is_last = pl.col("symbol").ne_missing(pl.col("symbol").shift(-1))
    begins = is_first & (pl.col("day_volume") == pl.col("size"))

    def after(column: str) -> pl.Expr:
        return pl.when(~is_last).then(pl.col(column).shift(-1)).alias(f"{column}_after")

    def before(column: str) -> pl.Expr:
        value = pl.when(~is_first).then(pl.col(column).shift(1))
        return value.when(begins).then(0).alias(f"{column}_before")

    sums = ("day_volume", "day_turnover", "day_bought", "day_sold")
    gap = pl.col("day_volume") - pl.col("size") - pl.col("day_volume_before")
    sound_before = pl.when(is_first).then(begins).otherwise(pl.col("sound").shift(1))
    return (
        [before(name) for name in sums],
        gap.alias("missing_before"),
        [
            after("missing_before").alias("missing_after"),
            after("sound"),
            sound_before.alias("sound_before"),
        ],
    )


@cache
def _values() -> list[pl.Expr]:
    price = pl.col("price")
    return [
        price.first().alias("open"),
        price.max().alias("high"),
        price.min().alias("low"),
        price.last().alias("close"),
        pl.col("size").sum().alias("volume"),
        pl.len().alias("trades"),
        pl.col("open_interest").last(),
        pl.col("received_at").last(),
    ]


@cache
def _growth() -> list[pl.Expr]:
    """Return by how much the session's sums grew in a bar."""
    return [
        (pl.col(column).last() - pl.col(f"{column}_before").first()).alias(name)
        for column, name in (
            ("day_volume", "traded"),
            ("day_turnover", "turnover"),
            ("day_bought", "bought"),
            ("day_sold", "sold"),
        )
    ]


@cache
def _proofs() -> list[pl.Expr]:
    """Return what a bar's trades and those next to them say of its completeness."""
    follows = (pl.col("missing_before") == 0) & pl.col("sound")
    return [
        (follows.fill_null(value=False).all() & pl.col("sound_before").first()).alias("is_whole"),
        ((pl.col("missing_after") == 0) & pl.col("sound_after")).last().alias("is_followed"),
    ]


@cache
def _complete() -> pl.Expr:
    """Return `complete` of FEED_BARS.

    Its trades must add up to the growth of the session's volume: they do not where a trade of
    another minute stands among them.
    """
    whole = pl.col("is_whole") & (pl.col("traded") == pl.col("volume"))
    return (
        pl.when(whole.fill_null(value=False))
        .then(pl.col("is_followed"))
        .otherwise(pl.lit(value=False))
    )
