"""What a researcher asks of chains and smiles, computed from what is stored of them."""

from __future__ import annotations

import polars as pl

from engine.schemas import ALL_MATURITIES, OPTION_CHAIN
from pipelines.chains import chain_with_greeks

_MODEL = ("model_iv", "model_delta", "model_gamma", "model_vega", "model_theta", "model_rho")
_TERMS = ("forward", "atm_volatility", "risk_reversal_25d", "butterfly_25d", "expected_move_expiry")


def term_structure(surface: pl.LazyFrame) -> pl.LazyFrame:
    """Return one row a minute and maturity, the nearest maturity first.

    `surface` is `scan_surface`. Columns: timestamp, underlying_symbol, days (calendar days to the
    end of trading), forward (index points), atm_volatility (% per year), risk_reversal_25d,
    butterfly_25d (volatility points), expected_move_expiry (index points). Minutes without a smile
    are left out.
    """
    return (
        surface.filter(
            ~pl.col("underlying_symbol").str.starts_with(ALL_MATURITIES),
            pl.col("atm_volatility").is_not_null(),
        )
        .select("timestamp", "underlying_symbol", (pl.col("years") * 365).alias("days"), *_TERMS)
        .sort("timestamp", "days", "underlying_symbol")
    )


def with_model_values(chain: pl.LazyFrame) -> pl.LazyFrame:
    """Add our own values beside KIS's: model_iv (% per year), model_delta … in KIS's units.

    `chain` is rows of `scan_chain`: filter before, all of it is read and computed. Black-76 on the
    forward of each minute, from the last price of today moved into bid and ask, else their middle;
    NULL where neither tells a volatility. They are those of the matrix; the smile takes the middle.
    """
    rows = chain.collect()
    wanted = [name for name in OPTION_CHAIN.names if name in rows.columns]
    return chain_with_greeks(rows).lazy().select(*wanted, "forward", *_MODEL)
