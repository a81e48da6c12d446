"""The model's own view of a chain: implied volatility and greeks of every option.

The vendor's greeks come from the historical volatility (KIS.md), so they say nothing about what the
market pays now. These come from each option's own price, on the future that hedges it.
"""

from __future__ import annotations

import polars as pl

from engine.features import black76, implied
from engine.features import chain as board
from engine.features.black76 import RATE, Terms


def with_model_greeks(chain: pl.LazyFrame, rate: float = RATE) -> pl.LazyFrame:
    """Add model_iv, model_delta, model_gamma, model_vega, model_theta, model_rho to OPTION_CHAIN.

    The chain brings one column more: `expiry`, when trading of the option ends (datetime, KST; see
    `black76.years`). Its `underlying_price` is taken as the forward, or, where `underlying_source`
    is index, as the spot that grows at `rate` (per year, continuous). model_iv is % per year; the
    greeks have the vendor's units (`engine.features.black76`).

    NULL for a row that cannot be trusted (`engine.features.chain`), has no price, or whose price
    no volatility explains; without `expiry` all are NULL.
    """
    chain = board.as_chain(chain)
    if "expiry" not in chain.collect_schema():
        chain = chain.with_columns(expiry=pl.lit(None, pl.Datetime("us")))
    usable = board.is_sound() & ~board.is_crossed()
    chain, terms = black76.in_columns(
        chain.with_columns(_model_value=pl.when(usable).then(market_price())),
        Terms(rate=pl.lit(rate)),
    )
    solved = implied.with_implied_volatility(chain, pl.col("_model_value"), terms, "model_iv")
    greeks = black76.with_greeks(solved, pl.col("model_iv"), terms, prefix="model_")
    return greeks.with_columns(pl.col("model_iv") * 100).drop("_model_value")


def market_price() -> pl.Expr:
    """Return what an option is worth now, index points: its last price, moved into its quotes.

    A last price outside the best bid and ask is of a trade that nobody would repeat; the quote
    nearest to it is what it could be now. An option that never traded is worth the middle of its
    quotes, if it has both. A bid, ask or price of 0 is none.
    """
    bid, ask, last = (
        pl.when(pl.col(name) > 0).then(pl.col(name)) for name in ("bid", "ask", "price")
    )
    value = pl.coalesce(last, (bid + ask) / 2)
    return pl.when(value.is_not_null()).then(pl.max_horizontal(pl.min_horizontal(value, ask), bid))
