"""The model's own view of a chain: implied volatility and greeks of every option.

The vendor's greeks come from the historical volatility (KIS.md), so they say nothing about what the
market pays now. These come from each option's own price, on the future that hedges it.
"""

from __future__ import annotations

import polars as pl

from engine.features import black76, implied
from engine.features import chain as board
from engine.features.black76 import RATE, Terms


def with_model_greeks(
    chain: pl.LazyFrame, rate: float = RATE, terms: Terms | None = None
) -> pl.LazyFrame:
    """Add model_iv, model_delta, model_gamma, model_vega, model_theta, model_rho to OPTION_CHAIN.

    The chain brings one column more: `expiry`, when trading of the option ends (datetime, KST; see
    `black76.years`). Its `underlying_price` is taken as the forward, or, where `underlying_source`
    is index, as the spot that grows at `rate` (per year, continuous); `terms`, instead of `rate`,
    say otherwise. model_iv is % per year, the greeks are in the vendor's units
    (`engine.features.black76`).

    NULL for a row that cannot be trusted (`engine.features.chain`), has no price, or whose price
    no volatility explains; without `expiry` all are NULL.
    """
    chain = board.with_expiry(board.as_chain(chain))
    usable = board.is_sound() & ~board.is_crossed()
    chain, known = black76.in_columns(
        chain.with_columns(_model_value=pl.when(usable).then(board.market_price())),
        terms or Terms(rate=pl.lit(rate)),
    )
    solved = implied.with_implied_volatility(chain, pl.col("_model_value"), known, "model_iv")
    greeks = black76.with_greeks(solved, pl.col("model_iv"), known, prefix="model_")
    return greeks.with_columns(pl.col("model_iv") * 100).drop("_model_value")
