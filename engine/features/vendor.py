"""KIS's own greeks, computed as KIS computes them, and where they are known to be wrong.

KIS prices options by Black-Scholes (docs/kis.md#greeks): T is whole calendar days / 365, at least
half a day; the volatility of a monthly is the historical one of its row, that of a weekly which
traded today its own implied one; r is RATE. The spot, S, is the index less dividends: the price by
parity of KIS's own theoretical prices.

A weekly that did not trade today is priced by KIS on the S of the session before: its greeks are
wrong by the day's move. Those are not reproduced here. Nothing that is stored needs this module's
greeks: a test holds them against real boards, so that what we believe about KIS's stays true.
"""

from __future__ import annotations

import polars as pl

from engine.features.black76 import RATE, Terms, with_greeks
from engine.features.chain import IS_CALL, IS_PUT, SNAPSHOT, WEEKLY

_SHORTEST = 0.5  # days
_CLOSEST_STRIKES = 5


def vendor_years() -> pl.Expr:
    """Return KIS's time to expiry, years: whole calendar days, on the last day half a day."""
    days = (pl.col("expiry").dt.date() - pl.col("timestamp").dt.date()).dt.total_days()
    return days.cast(pl.Float64).clip(lower_bound=_SHORTEST) / 365


def with_vendor_spot(chain: pl.LazyFrame, rate: float = RATE) -> pl.LazyFrame:
    """Add `vendor_spot` to a prepared chain: the S of KIS's theoretical prices, index points.

    call - put + strike exp(-r T), the median of the five strikes at which the two cost nearly the
    same; NULL without a strike that has both prices. Theoretical prices have two decimals, so S is
    known to a hundredth. Weekly rows that did not trade today have no part: they have another S.
    """
    price = pl.col("theoretical_price")
    pairs = (
        chain.filter(~is_vendor_wrong(), price > 0)
        .group_by(*SNAPSHOT, "strike")
        .agg(
            left=vendor_years().first(),
            call=price.filter(IS_CALL).first(),
            put=price.filter(IS_PUT).first(),
        )
        .with_columns(gap=pl.col("call") - pl.col("put"))
        .filter(pl.col("gap").is_not_null())
        .sort(pl.col("gap").abs(), "strike")
    )
    spot = pl.col("gap") + pl.col("strike") * (pl.col("left") * -rate).exp()
    found = pairs.group_by(SNAPSHOT).agg(vendor_spot=spot.head(_CLOSEST_STRIKES).median())
    return chain.join(found, on=SNAPSHOT, how="left", maintain_order="left")


def with_vendor_greeks(chain: pl.LazyFrame, rate: float = RATE) -> pl.LazyFrame:
    """Add vendor_delta … vendor_rho to a chain `with_vendor_spot`, as KIS would print them.

    In KIS's units (`engine.features.black76`). NULL where volatility or S is not known, and where
    KIS is known to be wrong (`is_vendor_wrong`).
    """
    is_weekly = (pl.col("cycle") == WEEKLY).fill_null(value=False)
    volatility = pl.when(is_weekly).then(pl.col("iv")).otherwise(pl.col("historical_volatility"))
    known = pl.when((volatility > 0) & ~is_vendor_wrong()).then(volatility / 100)
    terms = Terms(
        underlying=pl.col("vendor_spot"),
        years=vendor_years(),
        rate=pl.lit(rate),
        on_spot=pl.lit(value=True),
    )
    return with_greeks(chain, known, terms, prefix="vendor_")


def is_vendor_wrong() -> pl.Expr:
    """Return whether KIS prices the row on the last session's index: a weekly not traded today."""
    untraded = (pl.col("cycle") == WEEKLY) & (pl.col("volume") == 0)
    return untraded.fill_null(value=False)
