"""What option dealers must trade to hedge, by maturity and over all, with greeks of the smile.

Dealers are taken to be long the calls and short the puts (SqueezeMetrics, "Gamma Exposure", 2016;
an assumption, not a fact). A contract counts with its greek at the smile's volatility whether or
not its own quotes are usable at that minute, so that no figure jumps because a quote comes or goes;
`modelled` says how much of the open interest had no volatility of its own.

F is the forward, M the multiplier, v the volatility, T the years to expiry, n the normal density, D
the discount. All sums are over contracts, with their sign:

| column         | is                                                     | unit                |
|----------------|--------------------------------------------------------|---------------------|
| delta_exposure | sum of delta * F * M                                   | KRW                 |
| gamma_exposure | sum of gamma * F * F * 1 % * M                         | KRW per 1 % move    |
| vanna_exposure | sum of d delta / d volatility * F * M: -D n(d1) d2 / v | KRW per vol point   |
| charm_exposure | sum of d delta / d time * F * M: D n(d1) d2 / (2 T)    | KRW per day         |
| zero_gamma     | forward at which gamma exposure changes its sign       | index points        |
| call_wall      | strike with the largest gamma exposure of calls        | index points        |
| put_wall       | strike with the largest gamma exposure of puts         | index points        |

Charm leaves interest out (delta on a future at an unchanged discount). Over all maturities,
zero_gamma is the forward of the nearest one with exposures if all move by the same factor, and a
wall is that of the maturity in which it is largest.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from engine.features.black76 import RATE, Floats, cdf, density
from engine.features.chain import IS_CALL, IS_SOUND, SNAPSHOT, collect, has_twin
from engine.features.surface import option_smiles, volatility_of_smile
from engine.features.term import term_structure
from engine.schemas import ALL_MATURITIES, OPTION_SURFACE

_SUMS = ("delta_exposure", "gamma_exposure", "vanna_exposure", "charm_exposure")
_SIGN = pl.when(IS_CALL).then(1.0).otherwise(-1.0)
_SMILE = ("smile_theta", "smile_rho", "smile_psi", "years")
MOVE = 0.01  # of the forward: the move that gamma exposure is for
REACH = 0.20  # of the forward: how far away a change of sign is looked for
_ROUNDING = 1e-10  # of the exposures that cancel each other: a smaller rest is rounding
_FACTORS = 1 + np.linspace(-REACH, REACH, 41)
_MINUTE = ("timestamp", "underlying")
_ORDER = (*_MINUTE, "years", "underlying_symbol", "strike", "option_type")


def option_surface(chain: pl.DataFrame, rate: float = RATE) -> pl.DataFrame:
    """Return OPTION_SURFACE of a chain `with_model_greeks`: smiles, and the exposures on them.

    One row a minute and maturity, and one a minute over all maturities of an `underlying` (a column
    of the chain, the name of what the options are on), named all_UNDERLYING. Sorted by time and
    underlying_symbol. A maturity without a smile has NULL exposures and no part in the sum.
    """
    smiles = option_smiles(chain)
    terms = term_structure(smiles).with_columns(underlying_symbol=_all_maturities())
    contracts = _contracts(chain, smiles, rate)
    one = (
        contracts.group_by(*_MINUTE, "underlying_symbol", maintain_order=True)
        .agg(**_figures())
        .with_columns(
            curve=pl.Series(_curves(contracts), dtype=pl.Array(pl.Float64, len(_FACTORS)))
        )
    )
    whole = _over_all(one)
    return (
        pl.concat([one, whole], how="diagonal")
        .with_columns(
            zero_gamma=pl.col("forward")
            * _factor_of_no_exposure(pl.concat([one["curve"], whole["curve"]]))
        )
        .join(_read_off(smiles, terms), on=SNAPSHOT, how="left")
        .with_columns(
            modelled=pl.when(pl.col("interest") > 0).then(pl.col("without") / pl.col("interest"))
        )
        .select(OPTION_SURFACE.names)
        .sort(SNAPSHOT)
    )


def _read_off(smiles: pl.DataFrame, terms: pl.DataFrame) -> pl.DataFrame:
    """Return what is read off the smiles, by SNAPSHOT: of each maturity and over all."""
    one = smiles.drop("underlying", "forward", "fetched_at")
    return pl.concat([one, terms.drop("underlying")], how="diagonal")


@cache
def _all_maturities() -> pl.Expr:
    return pl.format(f"{ALL_MATURITIES}{{}}", "underlying")


def _contracts(chain: pl.DataFrame, smiles: pl.DataFrame, rate: float) -> pl.DataFrame:
    """Return the contracts with their exposures, KRW, by minute and from the nearest maturity on.

    The exposures are NULL without a smile.
    """
    forward, years = pl.col("forward"), pl.col("years")
    total = pl.col("volatility") * years.sqrt()
    d1, d2 = pl.col("d1"), pl.col("d1") - pl.col("total")
    discount = (years * -rate).exp()
    size = _SIGN * pl.col("open_interest") * pl.col("multiplier") * forward * discount
    bell = pl.col("bell")
    moneyness = (forward / pl.col("strike")).log()
    return (
        chain.lazy()
        .filter(IS_SOUND)
        .join(smiles.lazy().select(*SNAPSHOT, *_SMILE), on=SNAPSHOT, how="left")
        .with_columns(volatility=volatility_of_smile() / 100)
        .with_columns(total=pl.when(total > 0).then(total))
        .with_columns(d1=moneyness / pl.col("total") + pl.col("total") / 2)
        .with_columns(size=pl.when(d1.is_not_null()).then(size), bell=density(d1))
        .with_columns(
            delta_exposure=pl.col("size") * _SIGN * cdf(_SIGN * d1),
            gamma_exposure=pl.col("size") * bell / pl.col("total") * MOVE,
            vanna_exposure=pl.col("size") * bell * d2 / pl.col("volatility") * (-1 / 100),
            charm_exposure=pl.col("size") * bell * d2 / years * (0.5 / 365),
        )
        .sort(*_ORDER)  # sums depend on their order in the last digit
        .filter(~has_twin(_ORDER))  # two rows of one strike and side: neither can be trusted
        .pipe(collect)
    )


@cache
def _figures() -> dict[str, pl.Expr]:
    """Return the figures of a maturity's contracts."""
    interest = pl.col("open_interest")
    return {
        "forward": pl.col("forward").first(),
        "maturities": pl.col("size").is_not_null().any().cast(pl.Int64),
        **{name: pl.when(pl.col(name).count() > 0).then(pl.col(name).sum()) for name in _SUMS},
        **_wall("call", IS_CALL),
        **_wall("put", ~IS_CALL),
        "interest": interest.sum(),
        "without": interest.filter(pl.col("model_iv").is_null()).sum(),
        "fetched_at": pl.col("fetched_at").max(),
    }


def _wall(name: str, side: pl.Expr) -> dict[str, pl.Expr]:
    """Return the strike with the largest gamma exposure of a side, and how large that is."""
    size = pl.col("gamma_exposure").abs().filter(side & (pl.col("open_interest") > 0))
    strike = pl.col("strike").filter(side & (pl.col("open_interest") > 0))
    return {f"{name}_wall": strike.filter(size == size.max()).min(), f"{name}_size": size.max()}


def _over_all(one: pl.DataFrame) -> pl.DataFrame:
    """Return the figures over the maturities of each minute."""
    walls = {
        f"{name}_wall": pl.col(f"{name}_wall")
        .sort_by(f"{name}_size", nulls_last=True, descending=True)
        .first()
        for name in ("call", "put")
    }
    nearest = pl.col("forward").sort_by(pl.col("maturities") == 0, maintain_order=True)
    groups = one.group_by(_MINUTE, maintain_order=True).agg(
        nearest.drop_nulls().first(),
        pl.col("maturities", "interest", "without").sum(),
        *(pl.when(pl.col(name).count() > 0).then(pl.col(name).sum()).alias(name) for name in _SUMS),
        pl.col("fetched_at").max(),
        pl.len().alias("rows"),
        **walls,
    )
    curves = one["curve"].to_numpy()
    starts = groups["rows"].cum_sum().to_numpy() - groups["rows"].to_numpy()
    summed = np.add.reduceat(curves, starts, axis=0) if len(starts) else curves
    return groups.with_columns(
        curve=pl.Series(summed, dtype=pl.Array(pl.Float64, len(_FACTORS))),
        underlying_symbol=_all_maturities(),
    )


def _curves(contracts: pl.DataFrame) -> Floats:
    """Return gamma exposures with the forward at _FACTORS times its price.

    Shape (maturities, factors), up to a constant factor; each strike keeps its volatility.
    """
    filled = contracts.select(
        weight=(pl.col("size") / pl.col("total")).fill_null(0.0),
        total=pl.col("total").fill_null(1.0),
        d1=pl.col("d1").fill_null(0.0),
    )
    weight, total, d1 = (filled[name].to_numpy()[:, None] for name in filled.columns)
    moved = d1 + np.log(_FACTORS) / total
    sizes = weight * np.exp(moved * moved * -0.5) * _FACTORS
    new = contracts.select(pl.struct(SNAPSHOT).rle_id().diff().fill_null(1) != 0).to_series()
    starts = np.flatnonzero(new.to_numpy())
    if not len(starts):
        return np.asarray(sizes)
    curves = np.add.reduceat(sizes, starts, axis=0)
    gross = np.add.reduceat(np.abs(sizes), starts, axis=0)
    return np.asarray(np.where(np.abs(curves) > _ROUNDING * gross, curves, 0.0))


def _factor_of_no_exposure(curves: pl.Series) -> pl.Series:
    """Return the factor of the forward at which the curve changes its sign; NULL if it never does.

    The one nearest to 1, linear between the _FACTORS (Perfiliev, "How to calculate gamma exposure
    and zero gamma level", 2022).
    """
    values: NDArray[np.float64] = curves.to_numpy()
    here, after = values[:, :-1], values[:, 1:]
    crosses = np.signbit(here) != np.signbit(after)
    share = np.where(crosses, here / np.where(crosses, here - after, 1.0), np.inf)
    place = _FACTORS[:-1] + share * np.diff(_FACTORS)
    nearest = np.take_along_axis(place, np.abs(place - 1).argmin(axis=1)[:, None], axis=1)[:, 0]
    return pl.Series(np.where(np.isfinite(nearest), nearest, np.nan), nan_to_null=True)
