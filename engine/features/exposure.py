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

from engine.features.black76 import RATE, Floats, cdf, density
from engine.features.chain import IS_CALL, IS_SOUND, SNAPSHOT, collect, has_twin
from engine.features.surface import option_smiles, volatility_of_smile
from engine.features.term import term_structure
from engine.schemas import ALL_MATURITIES, OPTION_SURFACE

_SUMS = ("delta_exposure", "gamma_exposure", "vanna_exposure", "charm_exposure")
_SIGN = pl.when(IS_CALL).then(1.0).otherwise(-1.0)
_SMILE = ("smile_theta", "smile_rho", "smile_psi", "years")
_NEEDED = [  # of a chain
    *(*SNAPSHOT, "underlying", "strike", "option_type", "forward", "multiplier", "is_sound"),
    *("open_interest", "model_iv", "fetched_at"),
]
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
    contracts = _contracts(chain, smiles, rate)
    groups = contracts.lazy().group_by(*_MINUTE, "underlying_symbol", maintain_order=True)
    one = collect(groups.agg(**_figures()))
    whole = collect(one.lazy().group_by(_MINUTE, maintain_order=True).agg(**_figures_over_all()))
    curves = _curves(contracts, one["rows"])
    summed = _sums_of_groups(curves, whole["rows"])
    figures = (
        one.with_columns(_factor_of_no_exposure(curves)).lazy(),
        whole.with_columns(_factor_of_no_exposure(summed), _all_maturities()).lazy(),
    )
    read_off = (
        smiles.drop("underlying", "forward", "fetched_at").lazy(),
        term_structure(smiles).lazy().with_columns(_all_maturities()).drop("underlying"),
    )
    return collect(
        pl.concat(figures, how="diagonal")
        .join(pl.concat(read_off, how="diagonal"), on=SNAPSHOT, how="left")
        .with_columns(*_levels_and_share())
        .select(OPTION_SURFACE.names)
        .sort(SNAPSHOT)
    )


@cache
def _all_maturities() -> pl.Expr:
    return pl.format(f"{ALL_MATURITIES}{{}}", "underlying").alias("underlying_symbol")


@cache
def _levels_and_share() -> tuple[pl.Expr, pl.Expr]:
    """Return zero_gamma and modelled."""
    share = pl.when(pl.col("interest") > 0).then(pl.col("without") / pl.col("interest"))
    return (pl.col("forward") * pl.col("factor")).alias("zero_gamma"), share.alias("modelled")


def _contracts(chain: pl.DataFrame, smiles: pl.DataFrame, rate: float) -> pl.DataFrame:
    """Return the contracts with their exposures, KRW, by minute and from the nearest maturity on.

    The exposures are NULL without a smile.
    """
    contracts = (
        chain[_NEEDED]
        .lazy()
        .filter(IS_SOUND)
        .join(smiles[[*SNAPSHOT, *_SMILE]].lazy(), on=SNAPSHOT, how="left")
    )
    for step in _exposures(rate):
        contracts = contracts.with_columns(step)
    in_order = contracts.sort(*_ORDER)  # sums depend on their order in the last digit
    return collect(in_order.filter(_is_only_one()))


@cache
def _is_only_one() -> pl.Expr:
    """Return whether a row has no twin: of two rows of one strike and side neither is trusted."""
    return ~has_twin((*SNAPSHOT, "strike", "option_type"))


@cache
def _exposures(rate: float) -> tuple[tuple[pl.Expr, ...], ...]:
    """Return the steps from a contract with its smile to its exposures, each on those before."""
    forward, years = pl.col("forward"), pl.col("years")
    total = pl.col("volatility") * years.sqrt()
    d1, d2 = pl.col("d1"), pl.col("d1") - pl.col("total")
    discount = (years * -rate).exp()
    size = _SIGN * pl.col("open_interest") * pl.col("multiplier") * forward * discount
    bell = pl.col("bell")
    moneyness = (forward / pl.col("strike")).log()
    return (
        ((volatility_of_smile() / 100).alias("volatility"),),
        (pl.when(total > 0).then(total).alias("total"),),
        ((moneyness / pl.col("total") + pl.col("total") / 2).alias("d1"),),
        (pl.when(d1.is_not_null()).then(size).alias("size"), density(d1).alias("bell")),
        (
            (pl.col("size") * _SIGN * cdf(_SIGN * d1)).alias("delta_exposure"),
            (pl.col("size") * bell / pl.col("total") * MOVE).alias("gamma_exposure"),
            (pl.col("size") * bell * d2 / pl.col("volatility") * (-1 / 100)).alias(
                "vanna_exposure"
            ),
            (pl.col("size") * bell * d2 / years * (0.5 / 365)).alias("charm_exposure"),
        ),
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
        "rows": pl.len(),
    }


def _wall(name: str, side: pl.Expr) -> dict[str, pl.Expr]:
    """Return the strike with the largest gamma exposure of a side, and how large that is."""
    size = pl.col("gamma_exposure").abs().filter(side & (pl.col("open_interest") > 0))
    strike = pl.col("strike").filter(side & (pl.col("open_interest") > 0))
    return {f"{name}_wall": strike.filter(size == size.max()).min(), f"{name}_size": size.max()}


@cache
def _figures_over_all() -> dict[str, pl.Expr]:
    """Return the figures over the maturities of a minute."""
    nearest = pl.col("forward").sort_by(pl.col("maturities") == 0, maintain_order=True)
    return {
        "forward": nearest.drop_nulls().first(),
        **{name: pl.col(name).sum() for name in ("maturities", "interest", "without")},
        **{name: pl.when(pl.col(name).count() > 0).then(pl.col(name).sum()) for name in _SUMS},
        "fetched_at": pl.col("fetched_at").max(),
        "rows": pl.len(),
        **{
            f"{name}_wall": pl.col(f"{name}_wall")
            .sort_by(f"{name}_size", nulls_last=True, descending=True)
            .first()
            for name in ("call", "put")
        },
    }


def _curves(contracts: pl.DataFrame, rows: pl.Series) -> Floats:
    """Return gamma exposures with the forward at _FACTORS times its price.

    Shape (maturities, factors), up to a constant factor; each strike keeps its volatility. `rows`
    is the number of contracts of each maturity.
    """
    size, total, d1 = (contracts[name].to_numpy()[:, None] for name in ("size", "total", "d1"))
    weight = size / total
    weight, total, d1 = (
        np.where(np.isnan(values), instead, values)
        for values, instead in ((weight, 0.0), (total, 1.0), (d1, 0.0))
    )
    moved = d1 + np.log(_FACTORS) / total
    sizes = weight * np.exp(moved * moved * -0.5) * _FACTORS
    curves, gross = _sums_of_groups(sizes, rows), _sums_of_groups(np.abs(sizes), rows)
    return np.asarray(np.where(np.abs(curves) > _ROUNDING * gross, curves, 0.0))


def _sums_of_groups(values: Floats, rows: pl.Series) -> Floats:
    """Return the sums over groups of so many rows that follow each other."""
    if not len(rows):
        return values
    ends = rows.to_numpy().cumsum(dtype=np.int64)
    return np.asarray(np.add.reduceat(values, ends - rows.to_numpy(), axis=0))


def _factor_of_no_exposure(values: Floats) -> pl.Series:
    """Return `factor` of the forward at which a curve changes its sign; NULL if it never does.

    The one nearest to 1, linear between the _FACTORS (Perfiliev, "How to calculate gamma exposure
    and zero gamma level", 2022).
    """
    here, after = values[:, :-1], values[:, 1:]
    crosses = np.signbit(here) != np.signbit(after)
    share = np.where(crosses, here / np.where(crosses, here - after, 1.0), np.inf)
    place = _FACTORS[:-1] + share * np.diff(_FACTORS)
    nearest = np.take_along_axis(place, np.abs(place - 1).argmin(axis=1)[:, None], axis=1)[:, 0]
    factor = np.where(np.isfinite(nearest), nearest, np.nan)
    return pl.Series("factor", factor, nan_to_null=True)
