"""What the smile says about each strike: volatility and greeks, whether or not it has quotes.

`option_surface` has the smile's three parameters for each maturity and minute; the rest follows
from them, so nothing more is stored.
"""

from __future__ import annotations

import polars as pl

from engine.features.black76 import GREEKS, RATE, Terms, with_greeks
from engine.features.chain import SNAPSHOT
from engine.features.surface import volatility_of_smile

SMILE_VALUES = ("fitted_iv", *(f"fitted_{name}" for name in GREEKS))
_SMILE = ("forward", "years", "smile_theta", "smile_rho", "smile_psi")


def with_smile_values(
    chain: pl.LazyFrame, surface: pl.LazyFrame, rate: float = RATE
) -> pl.LazyFrame:
    """Add the forward, years and SMILE_VALUES to rows of chains: those of the smile at each strike.

    `chain` has timestamp, underlying_symbol, option_type, strike; `surface` is OPTION_SURFACE.
    fitted_iv is % per year, the greeks are in KIS's units, on the forward with interest `rate` per
    year (`engine.features.black76`). NULL where the minute has no smile. `modelled` is true where a
    row has no volatility of its own (`model_iv`, if the chain has it): the smile's is all there is.
    """
    names = chain.collect_schema().names()
    smiles = surface.select(*SNAPSHOT, *_SMILE)
    rows = chain.drop([name for name in _SMILE if name in names]).join(
        smiles, on=SNAPSHOT, how="left", maintain_order="left"
    )
    found = with_greeks(
        rows.with_columns(fitted_iv=volatility_of_smile()),
        pl.col("fitted_iv") / 100,
        Terms(
            underlying=pl.col("forward"),
            years=pl.col("years"),
            rate=pl.lit(rate),
            on_spot=pl.lit(value=False),
        ),
        prefix="fitted_",
    )
    own = pl.col("model_iv").is_null() if "model_iv" in names else pl.lit(None, pl.Boolean)
    return found.with_columns(modelled=own).drop(_SMILE[2:])
