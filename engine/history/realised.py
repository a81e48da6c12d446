"""Realised volatility by session from stored minutes, beside what options implied."""

from __future__ import annotations

import polars as pl

from engine.features.realised import (
    MONTH,
    har_forecast,
    rank,
    session_variances,
    volatility,
    with_gaps,
    yang_zhang,
)
from engine.history.session_columns import with_session_hours

_DAY = 8, 16  # hours of day sessions, those of a CSAT day too; rows over all maturities have nights
HORIZON = 20  # sessions in 30 days, to which an index of 30 days looks ahead


def realised_volatility(bars: pl.LazyFrame) -> pl.LazyFrame:
    """Return one row a session of a series of minute bars, oldest first.

    `bars` has timestamp (KST, end of the minute), symbol, open, high, low, close, of one contract a
    session: a contract, a stock, or `front_series`, not adjusted, in which the gap of a roll is
    left out. Bars of nights and outside of the session have no part: a session's gap holds the
    night. Columns:

    - session, symbol, bars (number of minutes with a bar)
    - realised, bipower, jump, whole (variances of the session), gap (log return): see
      `engine.features.realised`
    - realised_volatility (of whole), yang_zhang: % per year over the last 22 sessions; NULL before
    - har_1d, har_20d: forecasts of the volatility of the next session and of the mean of the next
      20, made at the close, % per year; NULL before 60 sessions could be learned from
    """
    variance = pl.col("whole")
    return (
        with_session_hours(bars)
        .sort("symbol", "timestamp")
        .group_by("session", "symbol", maintain_order=True)
        .agg(bars=pl.len().cast(pl.Int64), **session_variances())
        .sort("session", "symbol")
        .pipe(with_gaps)
        .with_columns(
            realised_volatility=volatility(variance.rolling_mean(MONTH)),
            yang_zhang=yang_zhang(),
            har_1d=volatility(har_forecast(variance, 1)),
            har_20d=volatility(har_forecast(variance, HORIZON)),
        )
        .drop("first", "high", "low", "last")
    )


def with_implied(
    sessions: pl.LazyFrame, surface: pl.LazyFrame, column: str = "atm_30d"
) -> pl.LazyFrame:
    """Add what options implied at each session's end to `realised_volatility`.

    `surface` has timestamp and the column (% per year), one row a minute: `scan_surface` of
    all_KOSPI200. `iv` is its last value of the day session that is known, NULL without one;
    `iv_less_realised` and `iv_less_forecast` are points over realised_volatility and har_20d;
    iv_rank, iv_percentile and iv_sessions are as `engine.features.realised.rank` says.

    Realised volatility runs on the clock of sessions, implied on that of calendar days: of both a
    year is a year, so the two are compared as they are.
    """
    at_the_end = (
        surface.filter(
            pl.col(column).is_not_null(), pl.col("timestamp").dt.hour().is_between(*_DAY)
        )
        .sort("timestamp")
        .group_by(session=pl.col("timestamp").dt.date())
        .agg(iv=pl.col(column).last())
    )
    return (
        sessions.join(at_the_end, on="session", how="left", maintain_order="left")
        .with_columns(
            iv_less_realised=pl.col("iv") - pl.col("realised_volatility"),
            iv_less_forecast=pl.col("iv") - pl.col("har_20d"),
        )
        .with_columns(rank())
    )
