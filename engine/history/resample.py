"""Longer bars made from minute bars, cut at the sessions' own hours."""

from __future__ import annotations

from typing import Literal

import polars as pl

from engine.columns import BARS
from engine.errors import InputError
from engine.history.session_columns import with_session_hours

Every = int | Literal["session", "week"]

_LONGEST = 24 * 60


def resample(bars: pl.LazyFrame, every: Every, *, auction: bool = True) -> pl.LazyFrame:
    """Return bars of `every` minutes, of a session or of a week, made from minute bars.

    Needs timestamp (KST, end of the minute), symbol, open, high, low, close, volume. Returns these,
    `session` (date; of a week its last one) and `bars` (the number of minute bars), sorted by
    symbol and timestamp. Units stay: index points or KRW, contracts or shares.

    Intervals are counted from the open of the bar's own session, so a CSAT day has as many as any
    other. Their timestamp is their end; that of the last one of a day is the end of continuous
    trading if that comes first (60 minutes of a futures day: 09:45 … 14:45, 15:35). An interval
    without a bar has no row.

    The closing auction is one price ten minutes after continuous trading. It is a bar of its own
    (15:45, of stocks 15:30), and the close of a session and of a week; `auction=False` leaves it
    out. Bars outside their session's hours are left out.

    Raises InputError for an interval that is not between 1 and 1440 minutes, and for a frame that
    lacks one of these columns.
    """
    minutes = isinstance(every, int) and not isinstance(every, bool) and 1 <= every <= _LONGEST
    if not minutes and every not in ("session", "week"):
        raise InputError(
            f"bars of {every!r}: write the minutes as a number from 1 to {_LONGEST}, 'session' or"
            " 'week'"
        )
    if missing := sorted(BARS.keys() - set(bars.collect_schema().names())):
        raise InputError(f"the frame is not of bars: it has no column {', '.join(missing)}")
    bars = with_session_hours(bars)
    if not auction:
        bars = bars.filter(pl.col("timestamp").ne_missing(pl.col("auction")))
    return (
        bars.with_columns(end=_end(every))
        .sort("symbol", "timestamp")
        .group_by("symbol", "end", maintain_order=True)
        .agg(
            pl.col("last_stamp" if every == "week" else "end").last().alias("timestamp"),
            pl.col("session").last(),
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
            pl.col("volume").sum(),
            pl.len().cast(pl.Int64).alias("bars"),
        )
        .select("timestamp", "symbol", "open", "high", "low", "close", "volume", "session", "bars")
    )


def _end(every: Every) -> pl.Expr:
    """Return what identifies the interval of a bar: its end, or the Monday of the week."""
    if every == "week":
        return pl.col("session").dt.truncate("1w")
    if every == "session":
        return pl.col("last_stamp")
    minutes = (pl.col("timestamp") - pl.col("opens")).dt.total_minutes()
    rounded_up = ((minutes + every - 1) // every) * every  # to whole intervals
    end = pl.col("opens") + pl.duration(minutes=rounded_up)
    in_auction = pl.col("timestamp") == pl.col("auction")
    return (
        pl.when(in_auction)
        .then(pl.col("auction"))
        .otherwise(pl.min_horizontal(end, "continuous_end"))
    )
