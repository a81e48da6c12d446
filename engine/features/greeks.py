"""The model's own view of a chain: implied volatility and greeks of every option.

KIS's greeks come from the historical volatility (docs/kis.md#greeks), so they say nothing about
what the market pays now. These come from each option's own price, on the forward of its snapshot.
"""

from __future__ import annotations

from functools import cache

import polars as pl

from engine.features import black76
from engine.features.black76 import IN_COLUMNS, RATE, Terms
from engine.features.chain import is_crossed, is_sound, market_price
from engine.features.implied import with_implied_volatility


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
    ready = chain.with_columns(_model_value=_worth())
    ready = black76.in_columns(ready, terms or _on_forward(rate))
    solved = with_implied_volatility(ready, pl.col("_model_value"), IN_COLUMNS, "model_iv")
    greeks = black76.with_greeks(solved, pl.col("model_iv"), IN_COLUMNS, prefix="model_")
    return greeks.with_columns(pl.col("model_iv") * 100).drop("_model_value")


@cache
def _worth() -> pl.Expr:
    return pl.when(is_sound() & ~is_crossed()).then(market_price())


@cache
def _on_forward(rate: float) -> Terms:
    return Terms(underlying=pl.col("forward"), rate=pl.lit(rate), on_spot=pl.lit(value=False))
