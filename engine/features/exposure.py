"""What those who sell options must trade, by maturity and over all, with every greek of the smile.

Dealers are taken to be long the calls and short the puts (SqueezeMetrics, "Gamma Exposure", 2016;
an assumption, not a fact). A contract counts with its greek at the smile's volatility whether or
not its own quotes are usable at that minute, so that no figure jumps because a quote comes or goes;
`modelled` says how much of the open interest had no volatility of its own.

With forward F, multiplier M, s = volatility * sqrt(years), n and N the normal density and
distribution, D the discount, sums over all contracts with their sign:

| column         | is                                                     | unit                |
|----------------|--------------------------------------------------------|---------------------|
| delta_exposure | sum of delta * F * M                                   | KRW                 |
| gamma_exposure | sum of gamma * F * F * 1 % * M                         | KRW per 1 % move    |
| vanna_exposure | sum of d delta / d volatility * F * M: -D n(d1) d2 / v | KRW per vol point   |
| charm_exposure | sum of d delta / d time * F * M: D n(d1) d2 / (2 T)    | KRW per day         |
| zero_gamma     | forward at which gamma exposure changes its sign       | index points        |
| call_wall      | strike with the largest gamma exposure of calls        | index points        |
| put_wall       | strike with the largest gamma exposure of puts         | index points        |

Charm leaves interest out (delta on a future at an unchanged discount). Over all maturities the
zero level is the forward of the nearest one, all moving by the same factor.
"""

from __future__ import annotations

import math

import polars as pl

from engine.features.black76 import RATE, cdf, density
from engine.features.chain import IS_CALL, SNAPSHOT, is_sound
from engine.features.gamma import MOVE, PRICE_FACTORS, sign_change
from engine.features.surface import option_smiles, volatility_of_smile
from engine.schemas import OPTION_SURFACE

ALL_MATURITIES = "all"  # of `maturities`, and the first word of their underlying_symbol
_SUMS = ("delta_exposure", "gamma_exposure", "vanna_exposure", "charm_exposure")
_SIGN = pl.when(IS_CALL).then(1.0).otherwise(-1.0)
_SMILE = ("smile_theta", "smile_rho", "smile_psi", "years")


def option_surface(chain: pl.DataFrame, rate: float = RATE) -> pl.DataFrame:
    """Return OPTION_SURFACE of a chain `with_model_greeks`: smiles, and the exposures on them.

    One row a minute and maturity, and one a minute over all maturities of an `underlying` (a column
    of the chain, the name of what the options are on), named all_UNDERLYING. Sorted by time and
    underlying_symbol. A maturity without a smile has NULL exposures and no part in the sum.
    """
    smiles = option_smiles(chain)
    contracts = _contracts(chain.lazy(), smiles.lazy(), rate)
    one = contracts.group_by(*SNAPSHOT, "underlying").agg(**_figures())
    whole = (
        contracts.sort("years")
        .group_by("timestamp", "underlying")
        .agg(**_figures())
        .with_columns(underlying_symbol=pl.format(f"{ALL_MATURITIES}_{{}}", "underlying"))
    )
    return (
        pl.concat([one, whole], how="diagonal")
        .with_columns(zero_gamma=sign_change(pl.col("_by_factor"), pl.col("forward")))
        .join(smiles.lazy().drop("forward", "fetched_at"), on=SNAPSHOT, how="left")
        .select(OPTION_SURFACE.names)
        .sort(SNAPSHOT)
        .collect(engine="in-memory")
    )


def _contracts(chain: pl.LazyFrame, smiles: pl.LazyFrame, rate: float) -> pl.LazyFrame:
    """Return the open contracts with their exposures, KRW; NULL without a smile."""
    forward, years = pl.col("forward"), pl.col("years")
    total = pl.col("_volatility") * years.sqrt()
    d1, d2 = pl.col("_d1"), pl.col("_d1") - pl.col("_total")
    discount = (years * -rate).exp()
    size = _SIGN * pl.col("open_interest") * pl.col("multiplier") * forward * discount
    bell = density(d1)
    return (
        chain.filter(is_sound())
        .join(smiles.select(*SNAPSHOT, *_SMILE), on=SNAPSHOT, how="left", maintain_order="left")
        .with_columns(_volatility=volatility_of_smile() / 100)
        .with_columns(_total=pl.when(total > 0).then(total))
        .with_columns(
            _d1=(forward / pl.col("strike")).log() / pl.col("_total") + pl.col("_total") / 2
        )
        .with_columns(_size=pl.when(d1.is_not_null()).then(size))
        .with_columns(
            delta_exposure=pl.col("_size") * _SIGN * cdf(_SIGN * d1),
            gamma_exposure=pl.col("_size") * bell / pl.col("_total") * MOVE,
            vanna_exposure=pl.col("_size") * bell * d2 / pl.col("_volatility") * (-1 / 100),
            charm_exposure=pl.col("_size") * bell * d2 / years * (0.5 / 365),
        )
    )


def _figures() -> dict[str, pl.Expr]:
    """Return the figures of a group of contracts."""
    interest = pl.col("open_interest")
    own = pl.col("model_iv").is_not_null()
    has_smile = pl.col("_size").is_not_null()
    return {
        "forward": pl.col("forward").first(),
        "maturities": pl.col("underlying_symbol").filter(has_smile).n_unique().cast(pl.Int64),
        **{name: _sum(name) for name in _SUMS},
        "call_wall": _wall(IS_CALL),
        "put_wall": _wall(~IS_CALL),
        "modelled": interest.filter(~own).sum() / interest.sum(),
        "fetched_at": pl.col("fetched_at").max(),
        "_by_factor": _by_factor(),
    }


def _sum(name: str) -> pl.Expr:
    return pl.when(pl.col(name).count() > 0).then(pl.col(name).sum())


def _wall(side: pl.Expr) -> pl.Expr:
    """Return the strike with the largest gamma exposure of one side, the lowest of several."""
    size = pl.col("gamma_exposure").abs().filter(side & (pl.col("open_interest") > 0))
    strike = pl.col("strike").filter(side & (pl.col("open_interest") > 0))
    return strike.filter(size == size.max()).min()


def _by_factor() -> pl.Expr:
    """Return a list: gamma exposure with every forward at so many times its present price.

    Each strike keeps its volatility.
    """
    weight, total, d1 = pl.col("_size") / pl.col("_total"), pl.col("_total"), pl.col("_d1")
    moved = ((x, d1 + math.log(x) / total) for x in PRICE_FACTORS)
    return pl.concat_list(*((weight * (z * z * -0.5).exp()).sum() * x for x, z in moved))
