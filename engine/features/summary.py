"""What a trader reads off a chain: one row of figures for each snapshot.

Counts, ratios and the forward are expressions over the rows of one snapshot in the order of their
strikes. Volatilities and gamma exposure are those of the smile (`engine.features.exposure`), so
that nothing jumps because a single option's quotes come or go. Prices are index points,
volatilities % per year.
"""

from __future__ import annotations

from functools import cache

import polars as pl

from engine.features import flags
from engine.features.chain import IS_CALL, IS_PUT, SNAPSHOT, collect, snapshot_findings
from engine.features.forward import FORWARD_COLUMNS, PARITY_COLUMNS
from engine.schemas import OPTION_SUMMARY

SMILE_FIGURES = (
    *("atm_volatility", "risk_reversal_25d", "butterfly_25d"),
    *("gamma_exposure", "zero_gamma"),
)
_DAYS_A_MICROSECOND = 1 / (24 * 3600 * 1_000_000)


def option_summary(chain: pl.LazyFrame) -> pl.LazyFrame:
    """Return OPTION_SUMMARY (without SMILE_FIGURES) of a chain with its forward, and `usable`.

    Sorted by time and underlying_symbol; `with_smile_figures` completes it. Where `expiry` is NULL,
    so are days_to_expiry and implied_rate.

    `flags` names the findings of `engine.features.chain`, sorted, joined with commas; NULL without
    one. A snapshot that is not `usable` has NULL for every figure taken from its options.
    """
    return (
        flags.with_row_flags(chain)
        .select(*_usable())
        .sort("strike", "option_type", maintain_order=True)
        .group_by(SNAPSHOT)
        .agg(**_aggregates())
        .with_columns(**snapshot_findings())
        .with_columns(_usable_snapshot(), flags.flags_text().alias("flags"))
        .with_columns(_usable_figures())
        .select(*(n for n in OPTION_SUMMARY.names if n not in SMILE_FIGURES), "usable")
        .sort(SNAPSHOT)
    )


def with_smile_figures(figures: pl.DataFrame, surface: pl.DataFrame) -> pl.DataFrame:
    """Return OPTION_SUMMARY: the `option_summary` of snapshots, and SMILE_FIGURES.

    `surface` is OPTION_SURFACE of the same snapshots; where it lacks one, the figures are NULL. Its
    `zero_gamma` is a forward; here it becomes a price of the underlying, both moving by the same
    factor.
    """
    smiles = surface[[*SNAPSHOT, *SMILE_FIGURES]]
    return collect(
        figures.lazy()
        .join(smiles.lazy(), on=SNAPSHOT, how="left", maintain_order="left")
        .with_columns(_zero_gamma())
        .with_columns(_usable_smile_figures())
        .select(OPTION_SUMMARY.names)
    )


@cache
def _zero_gamma() -> pl.Expr:
    per_forward = pl.coalesce("underlying_price", "forward") / pl.col("forward")
    return pl.col("zero_gamma") * per_forward


@cache
def _usable_smile_figures() -> pl.Expr:
    return pl.when("usable").then(pl.col(*SMILE_FIGURES))


@cache
def _aggregates() -> dict[str, pl.Expr]:
    """Return all aggregates over a snapshot's rows; cached, since building them is slow."""
    return {
        **_snapshot_columns(),
        **_figures(),
        **flags.flag_measures(),
        **{flag: pl.col(flag).any() for flag in flags.ROW_FLAGS},
    }


@cache
def _usable() -> tuple[pl.Expr, ...]:
    """Return what the aggregates need of rows `with_row_flags`; what is not sound is NULL."""
    figures = ("expiry", "underlying_price", *FORWARD_COLUMNS, *PARITY_COLUMNS, "fetched_at")
    of_row = ("strike", "option_type", "above", "near_strike", "quote", *flags.ROW_FLAGS)
    counts = pl.when("sound").then(pl.col("volume", "turnover", "open_interest"))
    return pl.col(*SNAPSHOT, *figures, *of_row), counts


@cache
def _usable_snapshot() -> pl.Expr:
    return (~pl.any_horizontal(flags.UNUSABLE)).alias("usable")


@cache
def _usable_figures() -> pl.Expr:
    return pl.when("usable").then(pl.col(*_figures()))


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
        **{name: pl.col(name).first() for name in (*FORWARD_COLUMNS, *PARITY_COLUMNS)},
        "atm_strike": pl.col("strike").filter(pl.col("above") == 0).first(),
        "put_call_volume_ratio": put_call_ratio("volume"),
        "put_call_turnover_ratio": put_call_ratio("turnover"),
        "put_call_open_interest_ratio": put_call_ratio("open_interest"),
        "max_pain": max_pain(),
    }


def put_call_ratio(name: str) -> pl.Expr:
    """Return the sum of a column over the puts divided by that over the calls.

    NULL if the sum over the calls is 0. For volume as in Pan and Poteshman, "The information in
    option volume" (2006); for turnover (the money paid) and open interest likewise.
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
