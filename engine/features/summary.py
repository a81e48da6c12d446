"""What a trader reads off a chain: one row of figures per snapshot.

The figures are expressions over the rows of one snapshot in the order of their strikes, with the
model's greeks; values that cannot be trusted are NULL there. Prices are index points, volatilities
% per year. The figures about gamma are in `engine.features.gamma`, the forward is in
`engine.features.forward`.
"""

from __future__ import annotations

from functools import cache

import polars as pl

from engine.features import flags
from engine.features.chain import IS_CALL, IS_PUT, SNAPSHOT
from engine.features.forward import FORWARD_COLUMNS
from engine.features.gamma import exposure_by_factor, gamma_exposure, with_d1, zero_gamma
from engine.schemas import MODEL_METRICS, OPTION_SUMMARY

WING = 0.25  # delta
WIDEST = 0.2  # delta between neighbours; a strike is 0.01 on a monthly, 0.1 on the last day but one
_DAYS_A_MICROSECOND = 1 / (24 * 3600 * 1_000_000)


def option_summary(chain: pl.LazyFrame) -> pl.LazyFrame:
    """Return OPTION_SUMMARY of a chain `with_model_greeks`, sorted by time and underlying_symbol.

    Where `expiry` is NULL, so are the figures that need time; where `multiplier` is NULL, so is
    `gamma_exposure`.

    Volatilities and gammas are those of the matrix: they stand on the same forward.

    `flags` names the findings of `engine.features.chain`, sorted, joined with commas; NULL without
    one. A snapshot that cannot be used has NULL for every figure taken from its options.
    """
    unusable = pl.any_horizontal(flags.UNUSABLE)
    return (
        with_d1(_usable(flags.with_row_flags(chain)))
        .group_by(SNAPSHOT)
        .agg(**_aggregates())
        .with_columns(zero_gamma=zero_gamma(), flags=flags.flags_text())
        .with_columns(pl.when(~unusable).then(pl.col(*_figures(), "zero_gamma")))
        .select(OPTION_SUMMARY.names)
        .sort(SNAPSHOT)
    )


@cache
def _aggregates() -> dict[str, pl.Expr]:
    """Return all aggregates of one pass over a snapshot; cached, since building them is slow."""
    return {
        **_snapshot_columns(),
        **_figures(),
        **flags.snapshot_flags(),
        **{flag: pl.col(flag).any() for flag in flags.ROW_FLAGS},
        "_exposures": exposure_by_factor(),
    }


def _usable(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Set what cannot be used for figures to NULL, and order the rows by strike."""
    used = ("volume", "open_interest", *MODEL_METRICS)
    values = (pl.when("sound").then(pl.col(name)).alias(name) for name in used)
    return rows.with_columns(values).sort("strike", "option_type", maintain_order=True)


def _snapshot_columns() -> dict[str, pl.Expr]:
    """Return the figures that do not depend on the quotes of the options."""
    left = (pl.col("expiry").max() - pl.col("timestamp").first()).dt.total_microseconds()
    price = pl.col("underlying_price")
    return {
        "underlying_price": pl.when(price.min() == price.max()).then(price.min()),
        "days_to_expiry": (left * _DAYS_A_MICROSECOND).clip(lower_bound=0.0),
        "fetched_at": pl.col("fetched_at").max(),
    }


@cache
def _figures() -> dict[str, pl.Expr]:
    return {
        **{name: pl.col(name).first() for name in FORWARD_COLUMNS},
        "atm_strike": pl.col("strike").filter(pl.col("above") == 0).first(),
        "atm_volatility": atm_volatility(),
        "risk_reversal_25d": risk_reversal(),
        "butterfly_25d": butterfly(),
        "put_call_volume_ratio": put_call_ratio("volume"),
        "put_call_open_interest_ratio": put_call_ratio("open_interest"),
        "max_pain": max_pain(),
        "gamma_exposure": gamma_exposure(),
    }


def atm_volatility() -> pl.Expr:
    """Return the mean model_iv of call and put at the ATM strike, % per year.

    The mean, since an error of the forward moves the two apart by the same amount. If one has no
    implied volatility, the other's.
    """
    return pl.col("model_iv").filter(pl.col("above") == 0).mean()


def wing_volatility(side: pl.Expr, delta: float = WING) -> pl.Expr:
    """Return a side's model_iv where its |model_delta| is `delta`, % per year.

    Linear in delta between the two options whose deltas enclose it. NULL if there are no such two
    or they are further apart than WIDEST: a wing is never extrapolated, nor interpolated across a
    hole in the chain.
    """
    has_iv = side & pl.col("model_iv").is_not_null()
    size = pl.when(has_iv).then(pl.col("model_delta").abs())
    volatility = pl.col("model_iv")
    below = size.filter(size <= delta).max()
    above = size.filter(size >= delta).min()
    at_below = volatility.filter(size == below).mean()
    at_above = volatility.filter(size == above).mean()
    weight = pl.when(above > below).then((delta - below) / (above - below)).otherwise(0.0)
    between = at_below + weight * (at_above - at_below)
    return pl.when(above - below <= WIDEST).then(between)


def risk_reversal() -> pl.Expr:
    """Return volatility(25-delta call) - volatility(25-delta put), volatility points.

    The market's convention (Castagna and Mercurio, "The vanna-volga method for implied
    volatilities", 2007). Below 0 if puts cost more: falls are feared more than rises.
    """
    return wing_volatility(IS_CALL) - wing_volatility(IS_PUT)


def butterfly() -> pl.Expr:
    """Return (25-delta call + 25-delta put) / 2 - ATM, volatility points (same source)."""
    return (wing_volatility(IS_CALL) + wing_volatility(IS_PUT)) / 2 - atm_volatility()


def put_call_ratio(name: str) -> pl.Expr:
    """Return the sum of a column over the puts divided by that over the calls.

    NULL if the sum over the calls is 0. For volume as in Pan and Poteshman, "The information in
    option volume" (2006); for open interest likewise.
    """
    puts, calls = (pl.col(name).filter(side).sum() for side in (IS_PUT, IS_CALL))
    return pl.when(calls > 0).then(puts / calls)


def max_pain() -> pl.Expr:
    """Return the strike at which all options together would pay their holders least at expiry.

    The listed strike K that minimises sum(OI_call * max(K - strike, 0)) + sum(OI_put *
    max(strike - K, 0)), the lowest one of several: the usual definition of maximum pain (on pinning
    in general: Ni, Pearson and Poteshman, "Stock price clustering on option expiration dates",
    2005). NULL without open interest. Needs the rows in the order of their strikes, so that the sum
    over all strikes below K is a running sum.
    """
    strike = pl.col("strike")
    count = pl.col("open_interest").fill_null(0)
    calls, puts = (pl.when(side).then(count).otherwise(0) for side in (IS_CALL, IS_PUT))
    paid_to_calls = strike * calls.cum_sum() - (strike * calls).cum_sum()
    puts_above = puts.sum() - puts.cum_sum()
    paid_to_puts = (strike * puts).sum() - (strike * puts).cum_sum() - strike * puts_above
    cheapest = strike.gather((paid_to_calls + paid_to_puts).arg_min())
    return pl.when(count.sum() > 0).then(cheapest.first())
