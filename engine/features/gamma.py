"""Gamma exposure: how much those who sell options must trade when the market moves.

By the usual convention dealers are long the calls and short the puts, so a call adds its gamma and
a put subtracts it (SqueezeMetrics, "Gamma Exposure", 2016). Above 0 dealers trade against a move,
below 0 with it.
"""

from __future__ import annotations

import math
from functools import cache

import polars as pl

from engine.features.black76 import years
from engine.features.chain import IS_CALL, IS_PUT

MOVE = 0.01  # of the underlying, to which exposure refers
REACH = 0.20  # of the underlying: how far away the change of sign is looked for
_STEP = 0.01
_LAST = 2 * round(REACH / _STEP)
PRICE_FACTORS = tuple(1 - REACH + _STEP * n for n in range(_LAST + 1))

_SIGN = pl.when(IS_CALL).then(1.0).when(IS_PUT).then(-1.0)


def gamma_exposure() -> pl.Expr:
    """Return, within a snapshot, what dealers must trade per 1 % move of the underlying, KRW.

    sum(sign * model_gamma * open_interest * multiplier) * forward ** 2 * 1 %; in that product it
    does not matter whether gamma is per point of the forward or of the index. NULL if no option has
    a gamma.
    """
    contracts = _SIGN * pl.col("open_interest") * pl.col("multiplier")
    exposure = pl.col("model_gamma") * contracts * pl.col("forward").pow(2) * MOVE
    return pl.when(exposure.count() > 0).then(exposure.sum())


def with_d1(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Add what `exposure_by_factor` needs of every option, from model_iv, expiry and forward.

    `total` is volatility * sqrt(T), `d1` is that of the present forward, `weight` the open interest
    with its sign divided by `total`.
    """
    total = pl.col("model_iv") * 0.01 * years().sqrt()
    moneyness = (pl.col("forward") / pl.col("strike")).log()
    return rows.with_columns(total=pl.when(total > 0).then(total)).with_columns(
        d1=moneyness / pl.col("total") + pl.col("total") / 2,
        weight=_SIGN * pl.col("open_interest") / pl.col("total"),
    )


def exposure_by_factor() -> pl.Expr:
    """Return, within a snapshot of `with_d1` rows, a list: gamma exposure at each of PRICE_FACTORS.

    That is with the forward at so many times its present price, every option keeping its implied
    volatility. All items lack the same constant factor: only their signs and ratios count.
    """
    shifted = ((x, pl.col("d1") + math.log(x) / pl.col("total")) for x in PRICE_FACTORS)
    return pl.concat_list(
        *((pl.col("weight") * (-d1 * d1 / 2).exp()).sum() * x for x, d1 in shifted)
    )


@cache
def zero_gamma() -> pl.Expr:
    """Return the price of the underlying at which gamma exposure changes its sign, index points.

    The one nearest to the present price, within 20 %, found on steps of 1 % and linear between them
    (Perfiliev, "How to calculate gamma exposure and zero gamma level", 2022). NULL if the sign does
    not change. Needs one row a snapshot with `_exposures` (`exposure_by_factor`) and
    underlying_price; without that price it is the forward that would have to move so far.
    """
    here = pl.col("_exposures").list.head(_LAST)
    after = pl.col("_exposures").list.tail(_LAST)
    share = here / (here - after)  # of the step, where the line between the two crosses 0
    crosses = pl.when(pl.element().is_between(0, 1)).then(pl.element())
    starts = pl.lit(pl.Series([[x - 1 for x in PRICE_FACTORS[:-1]]])).first()
    away = share.list.eval(crosses) * _STEP + starts
    nearest = pl.element().sort_by(pl.element().abs(), nulls_last=True).first()
    return pl.coalesce("underlying_price", "forward") * (1 + away.list.eval(nearest).list.first())
