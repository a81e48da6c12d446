"""Which quotes a smile is fitted to, and how far each may be off.

By strike: the out-of-the-money side, where its price is sound, not crossed and fresh
(`engine.features.forward.fresh_price`). How far a quote may be off, in volatility, is `price_error`
(half its spread; more for an old last price) over its vega. Behind few contracts a quote says less:
with n at the thinner of bid and ask the error is sqrt(1 + THIN / n) times as large; where KIS does
not tell the sizes, they do not weigh. Far from the forward a smile of three parameters is not exact
however narrow the quotes are: FAR of the volatility, growing with the square of the distance in
standard deviations, is added (as independent errors are). A price below LEAST_PRICE times its error
(a tick or two: the least that can be quoted) says nothing about volatility.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from engine.features.black76 import years
from engine.features.chain import IS_CALL, SNAPSHOT, is_crossed, is_sound, market_price
from engine.features.forward import fresh_price, price_error, tick
from engine.features.smile import Floats

FAR = 0.005  # of the volatility, at one standard deviation
LEAST_PRICE = 3.0  # times its error
THIN = 10.0  # contracts
_WIDEST_ERROR = 20.0  # volatility points: such a quote says nothing
_FARTHEST = 8.0  # from the forward, in standard deviations


@dataclass(frozen=True)
class Quotes:
    """What is fitted: arrays of shape (smiles, quotes), an infinite error where there is none."""

    k: Floats  # ln(strike / forward)
    volatility: Floats  # a fraction per year
    error: Floats  # how far that may be off
    tick_error: Floats  # a tick, in volatility


def smile_quotes(chain: pl.DataFrame, smiles: pl.DataFrame) -> Quotes:
    """Return what is fitted for each smile (SNAPSHOT, and `row`, its place in the arrays)."""
    strike, forward, vega = pl.col("strike"), pl.col("forward"), pl.col("model_vega")
    value, off = fresh_price(), price_error()
    size = pl.min_horizontal(
        *(pl.when(pl.col(n) > 0).then(pl.col(n)) for n in ("bid_size", "ask_size"))
    )
    thin = (1 + THIN / size).sqrt().fill_null(1.0)
    out_of_the_money = pl.when(IS_CALL).then(strike >= forward).otherwise(strike < forward)
    deviation = pl.col("model_iv") / 100 * years().sqrt()
    k = (strike / forward).log()
    far = FAR * pl.col("model_iv") * (k / deviation).pow(2)
    rows = (
        chain.lazy()
        .filter(is_sound() & ~is_crossed() & out_of_the_money)
        .select(
            *SNAPSHOT,
            k=k,
            deviation=deviation,
            # A last price may be moved by up to half a spread: vega carries the volatility along.
            volatility=pl.col("model_iv") + (value - market_price()) / vega,
            error=((off / vega * thin).pow(2) + far.pow(2)).sqrt(),
            tick=tick() / vega,
            tells=value >= LEAST_PRICE * off,
        )
        .filter(
            pl.all_horizontal(pl.all().exclude(*SNAPSHOT, "tells").is_finite()),
            pl.col("tells"),
            pl.col("error") <= _WIDEST_ERROR,
            pl.col("volatility") > 0,
            pl.col("k").abs() <= _FARTHEST * pl.col("deviation"),
        )
        .join(smiles.lazy().select(*SNAPSHOT, "row"), on=SNAPSHOT)
        .sort("row", "k")
        .filter(~_is_double())
        .with_columns(place=pl.int_range(pl.len()).over("row"))
        .collect(engine="in-memory")
    )
    at = rows["row"].to_numpy(), rows["place"].to_numpy()
    shape = (smiles.height, at[1].max(initial=0) + 1)
    k, volatility, tick_error = np.zeros((3, *shape))
    error = np.full(shape, np.inf)
    k[at] = rows["k"].to_numpy()
    volatility[at] = rows["volatility"].to_numpy() / 100
    error[at] = rows["error"].to_numpy() / 100
    tick_error[at] = rows["tick"].to_numpy() / 100
    return Quotes(k, volatility, error, tick_error)


def _is_double() -> pl.Expr:
    """Return whether a sorted row has a twin, another one of its strike: neither can be trusted."""
    same = (pl.col("row") == pl.col("row").shift()) & (pl.col("k") == pl.col("k").shift())
    same = same.fill_null(value=False)
    return same | same.shift(-1, fill_value=False)
