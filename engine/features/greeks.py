"""Implied volatility and greeks of every option of a chain, by our model.

KIS's greeks come from the historical volatility (docs/kis.md#greeks), so they say nothing about
what the market pays now. Ours come from each option's own price, on the forward of its snapshot.
"""

from __future__ import annotations

from functools import cache

import polars as pl

from engine.features.black76 import GREEKS, RATE, Terms
from engine.features.chain import IS_CROSSED, IS_SOUND, MARKET_PRICE
from engine.features.implied import implied_greeks


def with_model_greeks(
    chain: pl.LazyFrame, rate: float = RATE, terms: Terms | None = None
) -> pl.LazyFrame:
    """Add MODEL_METRICS to a chain with its forward: model_iv, model_delta, … model_rho.

    The `forward` is taken as a future that expires with the options, discounted at `rate` (per
    year, continuous): delta and gamma are per point of the forward. `terms` replace all of that,
    `rate` included. model_iv is % per year, the greeks are in KIS's units
    (`engine.features.black76`).

    NULL for a row that cannot be trusted (`engine.features.chain`), has no price or no `expiry`,
    or whose price no volatility explains.
    """
    found = implied_greeks(_worth(), terms or _on_forward(rate))
    named = found.struct.rename_fields([f"model_{name}" for name in ("iv", *GREEKS)])
    solved = chain.with_columns(_model=named).unnest("_model")
    return solved.with_columns(pl.col("model_iv") * 100)


@cache
def _worth() -> pl.Expr:
    return pl.when(IS_SOUND & ~IS_CROSSED).then(MARKET_PRICE)


@cache
def _on_forward(rate: float) -> Terms:
    return Terms(underlying=pl.col("forward"), rate=pl.lit(rate), on_spot=pl.lit(value=False))
