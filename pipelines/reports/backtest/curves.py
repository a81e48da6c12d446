"""The frames that a report draws: prices, equity, drawdown, months, distributions."""

from __future__ import annotations

import math

import numpy as np
import polars as pl

from engine.columns import PRICES
from engine.market.nights import session_of
from pipelines.reports.backtest.subject import Subject
from strategies.backtesting.benchmark import buy_and_hold
from strategies.base import ENGINE

MOST_BARS = 6_000  # of one symbol that a page draws: more are not seen, and make it slow
_STEPS = (1, 5, 15, 60, 1_000)  # minutes of a drawn bar; the last one is a whole session
_MOST_BINS = 32  # of a distribution
_KEY = ["symbol", "timestamp"]


def curves(subject: Subject, most: int = MOST_BARS) -> pl.DataFrame:
    """Return one row a drawn bar, so many of a symbol at most, ascending by symbol and time.

    Columns: symbol, timestamp (of its end), open, high, low, close, growth, hold (fractions of the
    capital at the beginning, of the strategy and of `buy_and_hold`) and drawdown (fraction below
    the highest equity by then), which is told at the end of each session, else null.
    """
    daily = subject.result.daily
    days = with_drawdown(daily).select("symbol", "session", "capital", "drawdown")
    bars = subject.bars.unique(_KEY, keep="last").select(*_KEY, *PRICES)
    ends = pl.col("session").ne_missing(pl.col("session").shift(-1).over("symbol"))
    whole = (
        subject.result.equity.lazy()
        .join(bars.lazy(), on=_KEY)
        .join(buy_and_hold(subject.bars, daily, subject.rules).lazy(), on=_KEY)
        .with_columns(session=session_of(pl.col("symbol"), pl.col("timestamp")))
        .join(days.lazy(), on=["symbol", "session"])
        .sort(_KEY)
        .with_columns(
            growth=pl.col("equity") / pl.col("capital") - 1,
            hold=pl.col("hold") / pl.col("capital") - 1,
            drawdown=pl.when(ends).then("drawdown"),
            minute=pl.int_range(pl.len()).over("symbol", "session"),
        )
        .collect(engine=ENGINE)
    )
    grouped = (_grouped(whole, step) for step in _STEPS)
    return next((found for found in grouped if _longest(found) <= most), _grouped(whole, 1_000))


def _grouped(whole: pl.DataFrame, step: int) -> pl.DataFrame:
    return (
        whole.group_by("symbol", "session", pl.col("minute") // step, maintain_order=True)
        .agg(
            pl.last("timestamp"),
            pl.first("open"),
            pl.max("high"),
            pl.min("low"),
            pl.last("close", "growth", "hold", "drawdown"),
        )
        .drop("session", "minute")
    )


def _longest(curve: pl.DataFrame) -> int:
    counts = curve.group_by("symbol").len()["len"]
    return int(counts.max() or 0)  # type: ignore[arg-type] # of whole numbers


def with_drawdown(daily: pl.DataFrame) -> pl.DataFrame:
    """Add drawdown to `results.daily`: the fraction below the highest equity by then, 0 at it."""
    peak = pl.max_horizontal(pl.col("equity").cum_max().over("symbol"), "capital")
    return daily.with_columns(drawdown=pl.col("equity") / peak - 1)


def markers(trades: pl.DataFrame, curve: pl.DataFrame) -> pl.DataFrame:
    """Return what is marked at a drawn bar: symbol, timestamp, price, direction, entry (bool).

    A trade is marked where it was entered, and where it was left if no other begins there.
    """
    entered = trades.select("symbol", "direction", timestamp="entered", price="entry", entry=True)
    left = trades.filter(~pl.col("why").is_in(["reversal", "open"])).select(
        "symbol", "direction", timestamp="left", price="exit", entry=False
    )
    return (
        pl.concat([entered, left])
        .sort("timestamp")
        .join_asof(
            curve.select("symbol", at="timestamp").sort("at"),
            left_on="timestamp",
            right_on="at",
            by="symbol",
            strategy="forward",
            check_sortedness=False,  # both are
        )
        .select("symbol", "direction", "price", "entry", timestamp="at")
        .drop_nulls("timestamp")
        .sort(_KEY, maintain_order=True)
    )


def months(daily: pl.DataFrame) -> pl.DataFrame:
    """Return symbol, year, month and return (compound) of each month; month 0 is the whole year."""
    year, month = pl.col("session").dt.year(), pl.col("session").dt.month()
    grown = ((1 + pl.col("return")).product() - 1).alias("return")
    by_month = daily.group_by("symbol", year.alias("year"), month.alias("month")).agg(grown)
    whole = daily.group_by("symbol", year.alias("year")).agg(grown).with_columns(month=0)
    columns = [pl.col("symbol", "year"), pl.col("month").cast(pl.Int8), pl.col("return")]
    return pl.concat([by_month.select(columns), whole.select(columns)]).sort(
        "symbol", "year", "month"
    )


def distribution(values: pl.Series) -> pl.DataFrame:
    """Return start, end and count of bins of one width, of which one begins at zero."""
    known = values.drop_nulls().to_numpy()
    known = known[np.isfinite(known)]
    schema = {"start": pl.Float64(), "end": pl.Float64(), "count": pl.Int64()}
    if not known.size:
        return pl.DataFrame(schema=schema)
    bins = min(_MOST_BINS, 2 * math.sqrt(known.size))
    width = _round_width((known.max() - known.min()) / bins or abs(known[0]) or 1.0)
    first, last = math.floor(known.min() / width), math.floor(known.max() / width) + 1
    edges = np.arange(first, last + 1) * width
    counts, _ = np.histogram(known, edges)
    return pl.DataFrame({"start": edges[:-1], "end": edges[1:], "count": counts}, schema=schema)


def _round_width(width: float) -> float:
    size = 10.0 ** math.floor(math.log10(width))
    return next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= width)
