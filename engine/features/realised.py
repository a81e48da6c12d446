"""Realised volatility of a session from its minute bars, and what the next ones may bring.

A session of minute bars gives, in log returns:

- realised: the sum of squared returns over GRID minutes, the mean over the GRID grids that begin a
  minute apart (Zhang, Mykland and Ait-Sahalia, "A tale of two time scales", 2005). Every grid runs
  from the first price of the session to its last one, so none is shorter than another.
- bipower: pi / 2 times the sum of products of neighbouring absolute returns, times n / (n - 1)
  (Barndorff-Nielsen and Shephard, "Power and bipower variation with stochastic volatility and
  jumps", 2004), the mean over the same grids. A jump is in one return alone and nearly vanishes.
- jump: realised less bipower, not below 0.
- gap: the return from the last price of the session before to the first of this one. The night is
  one return and has no volatility of its own; `whole` is realised plus its square. It is
  null where the contract before was another one: a roll is not a return.

The first price is the opening auction's. The last is the closing auction's, ten minutes after the
trade before it, and makes one more return of the session, since it can be traded. A minute without
a trade keeps the price before it.

By session and over `window` of them, Yang and Zhang ("Drift-independent volatility estimation based
on high, low, open, and close prices", 2000):

    V = V_gap + k V_session + (1 - k) V_rs,  k = 0.34 / (1.34 + (n + 1) / (n - 1))

with the sample variances of gaps and of ln(close / open), and V_rs the mean of
u (u - c) + d (d - c), u, d and c the logs of high, low and close over open (Rogers and Satchell).

HAR (Corsi, "A simple approximate long-memory model of realized volatility", 2009): the mean
variance of the next `horizon` sessions by least squares on that of the last one, the last week and
the last month (1, 5, 22 sessions). A forecast of a session rests on what had ended by its close.

Variances are per session, volatilities % per year of SESSIONS_A_YEAR sessions.
"""

from __future__ import annotations

import math

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]

GRID = 5  # minutes
SESSIONS_A_YEAR = 245  # KRX holds 242 to 248
WEEK, MONTH = 5, 22  # sessions
FEWEST = 60  # sessions from which a forecast is made: four numbers are estimated
RANKED = 252  # sessions, at most, that a volatility is ranked among


def session_variances() -> dict[str, pl.Expr]:
    """Return realised, bipower, jump, first, high, low and last of the bars of one session.

    The expressions aggregate rows in the order of time with timestamp (end of the minute), opens
    (when the session began), open, high, low and close.
    """
    returns = [_returns(offset) for offset in range(GRID)]
    squares = [r.pow(2).sum() for r in returns]
    products = [_bipower(r) for r in returns]
    realised, bipower = _mean(squares), _mean(products)
    return {
        "realised": realised,
        "bipower": bipower,
        "jump": (realised - bipower).clip(lower_bound=0.0),
        "first": pl.col("open").first(),
        "high": pl.col("high").max(),
        "low": pl.col("low").min(),
        "last": pl.col("close").last(),
    }


def with_gaps(sessions: pl.LazyFrame) -> pl.LazyFrame:
    """Add gap and whole to sessions in the order of time, with symbol, first, last and realised."""
    same = pl.col("symbol") == pl.col("symbol").shift()
    return sessions.with_columns(
        gap=pl.when(same).then((pl.col("first") / pl.col("last").shift()).log())
    ).with_columns(whole=pl.col("realised") + pl.col("gap").pow(2).fill_null(0.0))


def yang_zhang(window: int = MONTH) -> pl.Expr:
    """Return the volatility over the last `window` sessions (two at least), % per year.

    For sessions in the order of time, `with_gaps`; a session without a gap has no part in the
    variance of gaps. NULL until there are `window` sessions.
    """
    n = float(window)
    k = 0.34 / (1.34 + (n + 1) / (n - 1))
    up, down, close = ((pl.col(x) / pl.col("first")).log() for x in ("high", "low", "last"))
    steady = up * (up - close) + down * (down - close)
    gaps = pl.col("gap").rolling_var(window, min_samples=max(2, window // 2))
    variance = gaps + k * close.rolling_var(window) + (1 - k) * steady.rolling_mean(window)
    return volatility(variance)


def volatility(variance: pl.Expr) -> pl.Expr:
    """Return a variance per session as a volatility, % per year; NULL below 0."""
    return pl.when(variance >= 0).then((variance * SESSIONS_A_YEAR).sqrt() * 100)


def har_forecast(variance: pl.Expr, horizon: int = 1) -> pl.Expr:
    """Return the HAR forecast of the mean variance of the next `horizon` sessions.

    For sessions in the order of time. NULL before FEWEST sessions whose `horizon` had ended, and
    where a variance of the last month is not known.
    """
    return variance.map_batches(lambda values: _har(values, horizon), pl.Float64)


def rank() -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    """Return iv_rank, iv_percentile and iv_sessions of `iv` among up to RANKED sessions.

    For sessions in the order of time. Rank is where iv lies between the lowest (0) and the highest
    (100), percentile the share (%) of the sessions before with a lower one, iv_sessions how many
    there were, this one included: of three sessions a rank says nothing.
    """
    iv = pl.col("iv")
    low, high = (f(RANKED, min_samples=1) for f in (iv.rolling_min, iv.rolling_max))
    return (
        pl.when(high > low).then((iv - low) / (high - low) * 100).alias("iv_rank"),
        iv.map_batches(_percentile, pl.Float64).alias("iv_percentile"),
        iv.is_not_null().cast(pl.Int64).rolling_sum(RANKED, min_samples=1).alias("iv_sessions"),
    )


def _returns(offset: int) -> pl.Expr:
    """Return the log returns of one grid, from the session's first price to its last."""
    minute = (pl.col("timestamp") - pl.col("opens")).dt.total_minutes()
    step = (minute - 1 - offset).floordiv(GRID)
    prices = pl.col("close").log().filter(step.ne_missing(step.shift(-1)))
    return pl.concat_list(pl.col("open").first().log().implode(), prices.implode()).explode().diff()


def _bipower(returns: pl.Expr) -> pl.Expr:
    count = returns.count()
    products = (returns.abs() * returns.abs().shift()).sum()
    return pl.when(count > 1).then(products * (math.pi / 2) * count / (count - 1))


def _mean(parts: list[pl.Expr]) -> pl.Expr:
    return pl.sum_horizontal(parts, ignore_nulls=False) * (1 / len(parts))


def _har(values: pl.Series, horizon: int) -> pl.Series:
    variance = values.to_numpy()
    count = len(variance)
    known = pl.DataFrame({"v": values.fill_nan(None)})
    means = known.select(
        one=pl.lit(1.0),
        day="v",
        week=pl.col("v").rolling_mean(WEEK),
        month=pl.col("v").rolling_mean(MONTH),
        ahead=pl.col("v").rolling_mean(horizon).shift(-horizon),
    ).to_numpy()
    x, y = means[:, :4], means[:, 4]
    usable = np.isfinite(means).all(axis=1)
    inside = np.where(usable[:, None], x, 0.0)
    moments = np.cumsum(inside[:, :, None] * inside[:, None, :], axis=0)
    targets = np.cumsum(inside * np.where(usable, y, 0.0)[:, None], axis=0)
    found = np.full(count, np.nan)
    for row in range(horizon, count):
        ended = row - horizon  # the last session whose horizon had ended
        if moments[ended, 0, 0] >= FEWEST and np.isfinite(x[row]).all():
            by = np.linalg.lstsq(moments[ended], targets[ended], rcond=None)[0]
            found[row] = max(float(x[row] @ by), 0.0)
    return pl.Series(values.name, found, nan_to_null=True)


def _percentile(values: pl.Series) -> pl.Series:
    iv = values.fill_null(float("nan")).to_numpy()
    found = np.full(len(iv), np.nan)
    for row, now in enumerate(iv):
        before = iv[max(row + 1 - RANKED, 0) : row]
        before = before[np.isfinite(before)]
        if len(before) and math.isfinite(now):
            found[row] = (before < now).mean() * 100
    return pl.Series(values.name, found, nan_to_null=True)
