"""Features of minute bars, as Polars expressions over any number of symbols and sessions at once.

All of them read the frame that `in_order` gives: sorted by symbol and time, one row a bar. A
session is the date of its bars' stamps. No expression looks at a later row than its own.

Floating point sums depend on the order of their terms. Sums over a window are therefore made of
exactly the window's values, oldest first, never by adding to and taking from a running total: the
same bars give the same bits, whether a year of them is at hand or only the warm-up. For the same
reason nothing is divided by a plain number: Polars multiplies by its reciprocal instead, but not
where a frame, or a piece that it works on, has a single row; the last bit would depend on that.

An expression over a window must not hold another one (Polars would evaluate the inner inside the
outer's groups), so what others build on is made a column first. Where a row of the session or the
symbol is meant, its number is known and it is gathered: that is several times as quick as a window.
"""

from __future__ import annotations

from functools import reduce
from operator import add

import polars as pl

PRICES = ("open", "high", "low", "close")
_MINUTES, _DATES = 4096, 1 << 17  # room for minutes of two days, for dates until 2328


def in_order(bars: pl.LazyFrame) -> pl.LazyFrame:
    """Return the bars sorted by symbol and time, one row a bar, and what the expressions read.

    That is `session` (its date), `session_number` (from 1, one count for all symbols),
    `session_start` (row of the session's first bar), `bar_number` (from 1, in its symbol) and
    `previous_close` (of the bar before, also across sessions; null at the symbol's first bar).

    Of several rows of one bar the last one given wins, as in the store. A row without a positive,
    finite price in each of open, high, low and close is no bar and is left out; a volume that is
    not known counts as 0.
    """
    is_bar = pl.all_horizontal((pl.col(p) > 0) & pl.col(p).is_finite() for p in PRICES)
    new_symbol, place = _differs("symbol", 1), pl.int_range(pl.len())
    return (
        bars.select("timestamp", "symbol", *PRICES, pl.col("volume").fill_null(0))
        .filter(is_bar)
        .sort("symbol", "timestamp", maintain_order=True)
        .filter(_differs("timestamp", -1) | _differs("symbol", -1))
        .with_columns(pl.col("timestamp").dt.date().alias("session"))
        .with_columns(
            (_differs("session", 1) | new_symbol).alias("new_session"),
            (place - pl.when(new_symbol).then(place).forward_fill() + 1).alias("bar_number"),
            pl.when(~new_symbol).then(pl.col("close").shift(1)).alias("previous_close"),
        )
        .with_columns(
            pl.col("new_session").cum_sum().alias("session_number"),
            pl.when("new_session").then(place).forward_fill().alias("session_start"),
        )
        .drop("new_session")
    )


def _differs(column: str, rows: int) -> pl.Expr:
    return pl.col(column).ne_missing(pl.col(column).shift(rows))


def first_of_session(column: str) -> pl.Expr:
    """Return the column's value at the session's first bar."""
    return pl.col(column).gather("session_start")


def session_open() -> pl.Expr:
    """Return the open of the session's first bar."""
    return first_of_session("open")


def previous_session_close() -> pl.Expr:
    """Return the close of the last bar of the session before; null in the symbol's first one."""
    return first_of_session("previous_close")


def sessions_at_hand() -> pl.Expr:
    """Return how many sessions of the symbol there are up to and with the bar's own."""
    number, place = pl.col("session_number"), pl.int_range(pl.len())
    return number - number.gather(place - pl.col("bar_number") + 1) + 1


def vwap() -> pl.Expr:
    """Return the session's volume-weighted typical price so far; null until a contract traded.

    The typical price is (high + low + close) / 3; the 3 divides with the volume, once.
    """
    traded = pl.col("volume").cum_sum().over("session_number")
    thrice = pl.col("high") + pl.col("low") + pl.col("close")
    value = (thrice * pl.col("volume")).cum_sum().over("session_number")
    # 0/0 is NaN, and for Polars every number is below NaN: it would fire signals.
    return pl.when(traded > 0).then(value / (3 * traded))


def true_range() -> pl.Expr:
    """Return max(high - low, |high - previous close|, |low - previous close|), in points (Wilder).

    The previous close is the previous bar's, also across sessions; the symbol's first bar, which
    has none, gets high - low.
    """
    return pl.max_horizontal(
        pl.col("high") - pl.col("low"),
        (pl.col("high") - pl.col("previous_close")).abs(),
        (pl.col("low") - pl.col("previous_close")).abs(),
    )


def mean_of_bars(column: str, count: int) -> pl.Expr:
    """Return the mean of a column over the symbol's last `count` bars; null while there are fewer.

    Of `true_range` that is the ATR as a simple mean.
    """
    window = [pl.col(column).shift(back) for back in range(count - 1, -1, -1)]
    bars = pl.min_horizontal("bar_number", count)
    return pl.when(bars == count).then(reduce(add, window) / bars)


def minute_key(minute: str) -> pl.Expr:
    """Return a number for each bar that orders them by symbol, then minute, then session.

    `minute` is a column of whole minutes, within a day and a half of 0.
    """
    group = pl.col("symbol").rle_id().cast(pl.Int64) * _MINUTES + pl.col(minute) + _MINUTES // 2
    return group * _DATES + pl.col("session").to_physical()


def mean_of_earlier(column: str, key: str, *, count: int, at_least: int) -> pl.Expr:
    """Return the mean at the same minute of the last `count` sessions before the row's own.

    Sessions without a bar at that minute do not count. Null where there are fewer than `at_least`.
    The column has no nulls; `key` is a column made by `minute_key`.
    """
    order = pl.col(key).arg_sort()  # brings the bars of a minute together, oldest first
    value, minute = pl.col(column).gather(order), pl.col(key).gather(order) // _DATES
    place = pl.int_range(pl.len())
    first = pl.when(minute.ne_missing(minute.shift(1))).then(place).forward_fill()
    known = pl.min_horizontal(place - first, count)
    earlier = [pl.when(known >= back).then(value.shift(back)) for back in range(count, 0, -1)]
    mean = pl.when(known >= at_least).then(pl.sum_horizontal(earlier) / known)
    return mean.gather(order.arg_sort())
