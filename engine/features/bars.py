"""Features of minute bars, as Polars expressions over any number of symbols and sessions at once.

All of them read the frame that `in_order` returns: sorted by symbol and time, one row a bar. A
bar's session is the date of its stamp; a night's, the date on which it begins. No expression looks
at a later row than its own.

Floating point sums depend on the order of their terms. Sums over a window therefore add exactly the
window's values, oldest first, and never update a running total: the same bars give the same bits,
whether a year of them is in the frame or only the warm-up. Quotients are made by `quotient` for the
same reason.

An expression over a window must not contain another one (Polars would evaluate the inner one inside
the groups of the outer one), so the inner one is made a column first. Where one row of the session
or the symbol is needed, it is gathered by its number: several times as fast as a window.
"""

from __future__ import annotations

from functools import cache, reduce
from operator import add

import polars as pl

from engine.columns import BARS, PRICES
from engine.market.nights import session_of

_MINUTES = 4096  # room for the minutes of two days, in a sort key
_DATES = 1 << 17  # room for dates until 2328


def in_order(bars: pl.LazyFrame) -> pl.LazyFrame:
    """Return the bars sorted by symbol and time, one row a bar, with the columns features read.

    These are `session` (its date), `minute_of_hour` (of its stamp), `session_number` (from 1, one
    count for all symbols), `session_start` (row of the session's first bar), `bar_number` (from 1,
    in its symbol) and `previous_close` (of the bar before, also across sessions; null at the
    symbol's first bar).

    Of several rows of one bar the last one wins, as in the store. A row without a positive, finite
    price in each of open, high, low and close is left out; an unknown volume counts as 0.
    """
    newest, sessions, counts, starts = _steps_in_order()
    return (
        bars.select(as_bars())
        .with_columns(pl.col("volume").fill_null(0))
        .filter(is_bar())
        .sort("symbol", "timestamp", maintain_order=True)
        .filter(newest)
        .with_columns(sessions)
        .with_columns(counts)
        .with_columns(starts)
        .drop("new_session")
    )


# Expressions are made once: to make them anew would take a third of the time of a live minute.


@cache
def as_bars() -> tuple[pl.Expr, ...]:
    """Return the columns of BARS in their types, of a frame that may have others, too."""
    return tuple(pl.col(name).cast(kind) for name, kind in BARS.items())


@cache
def _steps_in_order() -> tuple[
    pl.Expr, tuple[pl.Expr, ...], tuple[pl.Expr, ...], tuple[pl.Expr, ...]
]:
    """Return which rows stay of sorted ones, and what is added to them, step by step."""
    new_symbol = _differs("symbol", 1)
    row = pl.int_range(pl.len())
    return (
        _differs("timestamp", -1) | _differs("symbol", -1),
        (
            session_of(pl.col("symbol"), pl.col("timestamp")).alias("session"),
            pl.col("timestamp").dt.minute().alias("minute_of_hour"),
        ),
        (
            (_differs("session", 1) | new_symbol).alias("new_session"),
            (row - pl.when(new_symbol).then(row).forward_fill() + 1).alias("bar_number"),
            pl.when(~new_symbol).then(pl.col("close").shift(1)).alias("previous_close"),
        ),
        (
            pl.col("new_session").cum_sum().alias("session_number"),
            pl.when("new_session").then(row).forward_fill().alias("session_start"),
        ),
    )


@cache
def is_bar() -> pl.Expr:
    """Say which rows have a positive, finite price in each of open, high, low and close."""
    return pl.all_horizontal((pl.col(p) > 0) & pl.col(p).is_finite() for p in PRICES)


@cache
def _differs(column: str, rows: int) -> pl.Expr:
    return pl.col(column).ne_missing(pl.col(column).shift(rows))


def quotient(dividend: pl.Expr, divisor: pl.Expr) -> pl.Expr:
    """Return the quotient, the same to the last bit whatever frame it is computed in.

    Where the divisor is one number, or a column that Polars knows to hold only one, Polars
    multiplies by its reciprocal, and the last bit can differ: a session on its own would not give
    what it gives among others. Adding zeros that Polars cannot fold into a constant keeps the
    divisor a column.
    """
    return dividend / (divisor + 0 * pl.int_range(pl.len()))


@cache
def first_of_session(column: str) -> pl.Expr:
    """Return the column's value at the session's first bar."""
    return pl.col(column).gather("session_start")


@cache
def session_open() -> pl.Expr:
    """Return the open of the session's first bar."""
    return first_of_session("open")


@cache
def previous_session_close() -> pl.Expr:
    """Return the close of the last bar of the session before; null in the symbol's first one."""
    return first_of_session("previous_close")


@cache
def sessions_at_hand() -> pl.Expr:
    """Return how many sessions of the symbol the frame has, up to and including the bar's own."""
    number = pl.col("session_number")
    row = pl.int_range(pl.len())
    return number - number.gather(row - pl.col("bar_number") + 1) + 1


@cache
def vwap() -> pl.Expr:
    """Return the session's volume-weighted typical price so far; null until something traded.

    The typical price is (high + low + close) / 3; the 3 is divided by once, with the volume.
    """
    traded = pl.col("volume").cum_sum().over("session_number")
    thrice = pl.col("high") + pl.col("low") + pl.col("close")
    value = (thrice * pl.col("volume")).cum_sum().over("session_number")
    # 0/0 is NaN, and for Polars every number is below NaN: that would fire signals.
    return pl.when(traded > 0).then(quotient(value, 3 * traded))


@cache
def true_range() -> pl.Expr:
    """Return max(high - low, |high - previous close|, |low - previous close|) (Wilder).

    The previous close is the previous bar's, also across sessions; the symbol's first bar, which
    has none, gets high - low.
    """
    return pl.max_horizontal(
        pl.col("high") - pl.col("low"),
        (pl.col("high") - pl.col("previous_close")).abs(),
        (pl.col("low") - pl.col("previous_close")).abs(),
    )


@cache
def mean_of_bars(column: str, count: int) -> pl.Expr:
    """Return the mean of a column over the symbol's last `count` bars; null while there are fewer.

    Of `true_range` that is the ATR as a simple mean.
    """
    window = [pl.col(column).shift(back) for back in range(count - 1, -1, -1)]
    return pl.when(pl.col("bar_number") >= count).then(quotient(reduce(add, window), pl.lit(count)))


@cache
def filled_in_session(column: str) -> pl.Expr:
    """Return the column; where it is null, the last value before it in the same session."""
    row = pl.int_range(pl.len())
    value = pl.col(column)
    known_at = pl.when(value.is_not_null()).then(row).forward_fill()
    return pl.when(known_at >= pl.col("session_start")).then(value.forward_fill())


def with_mean_of_earlier(
    bars: pl.LazyFrame, name: str, column: str, minute: str, *, count: int, at_least: int
) -> pl.LazyFrame:
    """Add the mean of a column at the same minute of the last `count` sessions before the bar's.

    Sessions without a bar at that minute do not count. Null where there are fewer than `at_least`.
    The column has no nulls; `minute` is a column of whole minutes, at most a day from 0.

    The bars are sorted by symbol, minute and session, so that the values of one mean are
    neighbours; windows over as many groups as there are minutes take twice as long.
    """
    for step in _steps_to_mean_of_earlier(name, column, minute, count, at_least):
        bars = bars.with_columns(step)
    return bars.drop("_key", "_order", "_value", "_group", "_first", "_known", "_mean")


@cache
def _steps_to_mean_of_earlier(
    name: str, column: str, minute: str, count: int, at_least: int
) -> tuple[tuple[pl.Expr, ...], ...]:
    group = pl.col("symbol").rle_id().cast(pl.Int64) * _MINUTES + pl.col(minute) + _MINUTES // 2
    row = pl.int_range(pl.len())
    earlier = [
        pl.when(pl.col("_known") >= back).then(pl.col("_value").shift(back))
        for back in range(count, 0, -1)
    ]
    mean = quotient(pl.sum_horizontal(earlier), pl.col("_known"))
    return (
        ((group * _DATES + pl.col("session").to_physical()).alias("_key"),),
        (pl.col("_key").arg_sort().alias("_order"),),
        (
            pl.col(column).gather("_order").alias("_value"),
            (pl.col("_key").gather("_order") // _DATES).alias("_group"),
        ),
        (pl.when(_differs("_group", 1)).then(row).forward_fill().alias("_first"),),
        (pl.min_horizontal(row - pl.col("_first"), count).alias("_known"),),
        (pl.when(pl.col("_known") >= at_least).then(mean).alias("_mean"),),
        (pl.col("_mean").gather(pl.col("_order").arg_sort()).alias(name),),
    )
