"""Which quotes a smile is fitted to, and how far each may be off.

At each strike that is the out-of-the-money side, if its row is sound and not crossed and its price
is fresh (`engine.features.forward`). How far a quote may be off, in volatility, is `fresh_error`
(half its spread; more for an old last price) over its vega. A quote for few contracts says less:
with n contracts at the thinner of bid and ask the error is sqrt(1 + THIN / n) times as large; where
KIS does not tell the sizes, it stays. Far from the forward a smile of three parameters is not exact
however narrow the quotes are: FAR of the volatility, growing with the square of the distance in
standard deviations, is added (as independent errors are). A price below LEAST_PRICE times its error
(a tick or two: the least that can be quoted) says nothing about volatility.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from engine.features.black76 import Floats
from engine.features.chain import (
    IS_CALL,
    IS_CROSSED,
    IS_SOUND,
    MARKET_PRICE,
    SNAPSHOT,
    collect,
)
from engine.features.forward import FRESH_PRICES

FAR = 0.005  # of the volatility, at one standard deviation
LEAST_PRICE = 3.0  # times its error
THIN = 10.0  # contracts
_NEEDED = ("strike", "forward", "model_iv", "model_vega", *FRESH_PRICES, "moved", "size", "years")
_WIDEST_ERROR = 20.0  # volatility points: such a quote says nothing
_FARTHEST = 8.0  # from the forward, in standard deviations


@dataclass(frozen=True)
class Quotes:
    """The quotes to fit: arrays of shape (smiles, quotes), with an infinite error where none is."""

    k: Floats  # ln(strike / forward)
    volatility: Floats  # a fraction per year
    error: Floats  # how far the volatility may be off, a fraction
    tick_error: Floats  # a tick of the price in volatility, a fraction


def smile_quotes(chain: pl.DataFrame, smiles: pl.DataFrame) -> Quotes:
    """Return the quotes of a chain `with_model_greeks` that smiles are fitted to.

    `smiles` has SNAPSHOT, years, and `row`, each smile's place in the arrays.
    """
    rows = collect(
        chain.lazy()
        .select(*SNAPSHOT, *_columns())
        .filter("is_candidate")
        .join(smiles.lazy().select(*SNAPSHOT, "row", "years"), on=SNAPSHOT)
    )
    row = rows["row"].to_numpy()
    found = _errors({name: rows[name].to_numpy() for name in _NEEDED})
    usable = np.flatnonzero(found.error > 0)
    order = usable[np.lexsort((found.k[usable], row[usable]))]
    order = order[~_have_twins(row[order], found.k[order])]
    row = row[order]
    at = row, np.arange(len(row)) - np.searchsorted(row, row)
    shape = (smiles.height, at[1].max(initial=0) + 1)
    k, volatility, tick_error = np.zeros((3, *shape))
    error = np.full(shape, np.inf)
    k[at] = found.k[order]
    volatility[at] = found.volatility[order] / 100
    error[at] = found.error[order] / 100
    tick_error[at] = found.tick_error[order] / 100
    return Quotes(k, volatility, error, tick_error)


@cache
def _columns() -> tuple[pl.Expr, ...]:
    """Return _NEEDED but for `years`, which is the smile's, and `is_candidate`."""
    strike, forward = pl.col("strike"), pl.col("forward")
    out_of_the_money = pl.when(IS_CALL).then(strike >= forward).otherwise(strike < forward)
    size = pl.min_horizontal(
        *(pl.when(pl.col(n) > 0).then(pl.col(n)) for n in ("bid_size", "ask_size"))
    )
    return (
        *(pl.col(name) for name in ("strike", "forward", "model_iv", "model_vega", *FRESH_PRICES)),
        (pl.col("fresh") - MARKET_PRICE).alias("moved"),
        size.cast(pl.Float64).alias("size"),
        (IS_SOUND & ~IS_CROSSED & out_of_the_money).alias("is_candidate"),
    )


def _have_twins(row: NDArray[np.int64], k: Floats) -> NDArray[np.bool_]:
    """Return which of sorted quotes are two of one strike: neither can be trusted."""
    same = (row[1:] == row[:-1]) & (k[1:] == k[:-1])
    twins = np.zeros(len(row), dtype=bool)
    twins[1:] |= same
    twins[:-1] |= same
    return twins


def _errors(columns: dict[str, Floats]) -> Quotes:
    """Return what each row says, all in % per year but for k; the error is NaN if unusable."""
    strike, forward, iv, vega, value, tick, off, moved, size, years = columns.values()
    with np.errstate(all="ignore"):  # what is not finite is left out
        k = np.log(strike / forward)
        deviation = iv / 100 * np.sqrt(years)
        thin = np.where(np.isnan(size), 1.0, np.sqrt(1 + THIN / size))
        far = FAR * iv * np.square(k / deviation)
        # A last price may be moved by up to half a spread: vega carries the volatility along.
        volatility = iv + moved / vega
        error = np.sqrt(np.square(off / vega * thin) + np.square(far))
        tick_error = tick / vega
        usable = np.isfinite(deviation) & (value >= LEAST_PRICE * off) & (volatility > 0)
        usable &= (error <= _WIDEST_ERROR) & (np.abs(k) <= _FARTHEST * deviation)
        for values in (k, volatility, error, tick_error):
            usable &= np.isfinite(values)
    return Quotes(k, volatility, np.where(usable, error, np.nan), tick_error)
