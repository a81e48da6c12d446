"""The usual figures of a backtest, and how much of the best one is luck."""

from __future__ import annotations

from math import e, sqrt
from statistics import NormalDist

import polars as pl

SESSIONS_A_YEAR = 252  # as is usual, so that figures can be compared; KRX has about 245
_BY_RETURNS = ("annual_return", "volatility", "sharpe", "turnover", "skew", "kurtosis")
EULER_MASCHERONI = 0.5772156649015329


def figures(daily: pl.DataFrame, trades: pl.DataFrame) -> pl.DataFrame:
    """Return one row a symbol, from the frames of `results.daily` and `results.trades`.

    Fractions, not percent: total_return, annual_return (compound), volatility and sharpe (a year,
    no riskless rate), max_drawdown (negative), hit_rate (of trades, after costs), turnover (value
    traded over equity, per session), exposure (share of bars with a position). Then sessions,
    trades, net and cost (KRW), average_trade (KRW), profit_factor (gains over losses), skew and
    kurtosis (3 is normal) of daily returns. `ruined` is the session in which the capital was lost:
    total return and drawdown are then -1, and figures made of returns are null. A figure that is
    not defined is null, such as a Sharpe ratio without volatility.
    """
    rows = [
        _row(days, trades.filter(pl.col("symbol") == symbol))
        for (symbol,), days in daily.sort("symbol", "session")
        .partition_by("symbol", as_dict=True, maintain_order=True)
        .items()
    ]
    return pl.concat(rows)


def _row(days: pl.DataFrame, trades: pl.DataFrame) -> pl.DataFrame:
    """Return the figures of one symbol.

    One symbol after the other: aggregating all of them at once adds the parts of a sum in the order
    in which threads finish, and the last bit would depend on their number.
    """
    row = days.rechunk().select(pl.col("symbol").first(), *_daily_figures())
    row = row.hstack(trades.rechunk().select(*_trade_figures()))
    unknown = [pl.when(pl.col("ruined").is_null()).then(name).alias(name) for name in _BY_RETURNS]
    return row.with_columns(unknown)


def _daily_figures() -> list[pl.Expr]:
    daily, sessions = pl.col("return"), pl.len()
    growth = (1 + daily).product()
    deviation = daily.std(ddof=1)
    level = (1 + daily).cum_prod()
    peak = pl.max_horizontal(level.cum_max(), 1.0)
    return [
        sessions.cast(pl.Int64).alias("sessions"),
        pl.col("session").filter(pl.col("equity") <= 0).min().alias("ruined"),
        (growth - 1).alias("total_return"),
        (growth.pow(SESSIONS_A_YEAR / sessions) - 1).alias("annual_return"),
        (deviation * sqrt(SESSIONS_A_YEAR)).alias("volatility"),
        pl.when(deviation > 0)
        .then(daily.mean() / deviation * sqrt(SESSIONS_A_YEAR))
        .alias("sharpe"),
        (level / peak - 1).min().alias("max_drawdown"),
        (pl.col("value") / (pl.col("equity") - pl.col("net"))).mean().alias("turnover"),
        pl.col("exposure").mean(),
        pl.col("net").sum(),
        pl.col("cost").sum(),
        pl.when(deviation > 0).then(daily.skew()).alias("skew"),
        pl.when(deviation > 0).then(daily.kurtosis(fisher=False)).alias("kurtosis"),
    ]


def _trade_figures() -> list[pl.Expr]:
    net = pl.col("net")
    losses = -net.filter(net < 0).sum()
    return [
        pl.len().cast(pl.Int64).alias("trades"),
        (net > 0).mean().alias("hit_rate"),
        net.mean().alias("average_trade"),
        pl.when(losses > 0).then(net.filter(net > 0).sum() / losses).alias("profit_factor"),
    ]


def expected_best_sharpe(deviation: float, trials: int) -> float:
    """Return the Sharpe ratio to expect of the best of `trials` worthless strategies.

    `deviation` is that of the trials' Sharpe ratios, in whose unit the result is. Bailey and López
    de Prado, "The Deflated Sharpe Ratio" (2014), equation 1.
    """
    if trials < 2:
        return 0.0
    quantile = NormalDist().inv_cdf
    gamma = EULER_MASCHERONI
    return deviation * (
        (1 - gamma) * quantile(1 - 1 / trials) + gamma * quantile(1 - 1 / (trials * e))
    )


def deflated_sharpe(
    sharpe: float, *, sessions: int, skew: float, kurtosis: float, deviation: float, trials: int
) -> float:
    """Return the probability that the true Sharpe ratio of the best trial is above zero.

    It allows for the choice among `trials` and for returns that are not normal. `sharpe`
    and `deviation` (of the trials' Sharpe ratios) are per session, not annual; kurtosis is 3 of a
    normal distribution. Bailey and López de Prado (2014), equation 2.
    """
    benchmark = expected_best_sharpe(deviation, trials)
    spread = 1 - skew * sharpe + (kurtosis - 1) / 4 * sharpe**2
    return NormalDist().cdf((sharpe - benchmark) * sqrt(sessions - 1) / sqrt(spread))
