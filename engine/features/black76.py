"""Black-76 and Black-Scholes as Polars expressions: price and greeks.

One formula serves both. An option on a future is Black (1976) on the future's price; one on an
index at its spot price is Black-Scholes (1973) without dividend, which is Black-76 on the forward
`spot * exp(rate * years)`. KIS computes its greeks the second way, from the historical volatility;
ours use the future and the implied volatility (`engine.features.implied`).

Units are KIS's, derived from its own boards (docs/kis.md#greeks): vega and gamma from a real one,
rho and theta from a put of the official sample so deep in the money that only interest is left: rho
is its strike * T * exp(-rT) / 100 and theta rate * strike * exp(-rT) / 365, both with the 91-day CD
rate of that day.

- volatility  a fraction per year here (0.36); % in columns named `iv` and `model_iv` (36.0)
- delta       index points per point of the underlying; gamma the same once more
- vega        index points per volatility point (0.01)
- theta       index points per calendar day (a year / 365); negative if the option loses value
- rho         index points per percentage point of the rate (0.01)
- years       calendar time to the end of trading / 365 days

An undefined value is NULL, never a number: where an input is NULL or not positive and, for the
greeks, where no time or no volatility is left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import polars as pl
import polars.selectors as cs

# Per year, continuous: the 91-day CD rate of autumn 2026, which KIS's own greeks use (fitted on two
# boards: 3.033 and 3.015 %, docs/kis.md#greeks). The one rate of all models; the simulator's carry
# has its own number.
RATE = 0.03
# Factors and not divisors, here and where all rows of a column may have one value: Polars divides
# by such a value in a frame (or a piece of one that it works on) of one row, and multiplies by the
# reciprocal elsewhere. The last digit would depend on what else is in the batch.
_YEARS_A_MICROSECOND = 1 / (365 * 24 * 3600 * 1_000_000)
_PER_CENT = 1 / 100
_PER_DAY = 1 / 365
_ROOT_HALF = math.sqrt(0.5)
_DENSITY_AT_0 = 1 / math.sqrt(2 * math.pi)
SCRATCH = cs.starts_with("_bs_")  # columns that exist only between steps


def years(expiry: pl.Expr | None = None, at: pl.Expr | None = None) -> pl.Expr:
    """Return the time to expiry in years, not below 0.

    `expiry` (default: column `expiry`) is when the option's trading ends: 15:20 KST of its last day
    for KRX index options, ten minutes before the index that settles it closes. `at` (default:
    column `timestamp`) is the moment of the quote. Calendar days / 365 and not trading time, since
    KIS counts so (21/365 on its board of 2026-09-17): volatilities stay comparable.
    """
    expiry = pl.col("expiry") if expiry is None else expiry
    at = pl.col("timestamp") if at is None else at
    left = (expiry - at).dt.total_microseconds()
    return (left * _YEARS_A_MICROSECOND).clip(lower_bound=0.0)


@dataclass(frozen=True)
class Terms:
    """All inputs of an option's price but the volatility, as expressions over a frame's columns.

    The defaults name columns of a prepared chain (`engine.features.chain`). `on_spot` is
    true where `underlying` is the price of the index itself, false where it is a future's (or the
    forward of put-call parity). `rate` is per year, continuously compounded.
    """

    underlying: pl.Expr = field(default_factory=lambda: pl.col("underlying_price"))
    strike: pl.Expr = field(default_factory=lambda: pl.col("strike"))
    years: pl.Expr = field(default_factory=years)
    is_call: pl.Expr = field(default_factory=lambda: pl.col("option_type") == "C")
    rate: pl.Expr = field(default_factory=lambda: pl.lit(RATE))
    on_spot: pl.Expr = field(default_factory=lambda: pl.col("underlying_source") == "index")

    @cached_property
    def sign(self) -> pl.Expr:
        """Return +1 for a call, -1 for a put."""
        return pl.when(self.is_call).then(1.0).when(~self.is_call).then(-1.0)

    @cached_property
    def discount(self) -> pl.Expr:
        """Return what one index point at expiry is worth today."""
        return (-self.rate * self.years).exp()

    @cached_property
    def growth(self) -> pl.Expr:
        """Return what one index point of today is worth at expiry."""
        return (self.rate * self.years).exp()

    @cached_property
    def carry(self) -> pl.Expr:
        """Return the forward per point of the underlying: 1 for a future, exp(rT) for spot."""
        return (self.rate * self.years * self.on_spot.cast(pl.Float64)).exp()

    @cached_property
    def forward(self) -> pl.Expr:
        """Return the price of the underlying for delivery at expiry, index points."""
        positive = (self.underlying > 0) & (self.strike > 0)
        return pl.when(positive).then(self.underlying * self.carry)

    def d1(self, volatility: pl.Expr) -> pl.Expr:
        """Return (ln(forward / strike) + s * s / 2) / s with s = volatility * sqrt(years)."""
        total = volatility * self.years.sqrt()
        d1 = (self.forward / self.strike).log() / total + total / 2
        return pl.when(total > 0).then(d1)


def price(terms: Terms, volatility: pl.Expr) -> pl.Expr:
    """Return the value in index points: discount * E[max(sign * (F_T - strike), 0)].

    Black, "The pricing of commodity contracts" (1976). The intrinsic value where no time or no
    volatility is left. It is made of the intrinsic value and the time value, which is the value of
    the out-of-the-money side, so that deep wings keep their digits.
    """
    total = volatility * terms.years.sqrt()
    x = -(terms.forward / terms.strike).log().abs()
    outside = (x / 2).exp() * cdf(x / total + total / 2)
    outside -= (-x / 2).exp() * cdf(x / total - total / 2)
    time_value = (terms.forward * terms.strike).sqrt() * outside
    value = intrinsic(terms) + pl.when(total > 0).then(time_value).when(total == 0).then(0.0)
    return terms.discount * value


def delta(terms: Terms, volatility: pl.Expr) -> pl.Expr:
    """Return dV/dU = sign * carry * discount * N(sign * d1); U is the future or the spot."""
    sign = terms.sign
    return sign * terms.carry * terms.discount * cdf(sign * terms.d1(volatility))


def gamma(terms: Terms, volatility: pl.Expr) -> pl.Expr:
    """Return d2V/dU2 = carry * discount * n(d1) / (U * volatility * sqrt(T))."""
    total = volatility * terms.years.sqrt()
    per_point = density(terms.d1(volatility)) / (terms.underlying * total)
    return terms.carry * terms.discount * per_point


def vega(terms: Terms, volatility: pl.Expr) -> pl.Expr:
    """Return dV/dvolatility / 100 = discount * forward * n(d1) * sqrt(T) / 100."""
    at_d1 = density(terms.d1(volatility))
    return terms.discount * terms.forward * at_d1 * terms.years.sqrt() * _PER_CENT


def theta(terms: Terms, volatility: pl.Expr) -> pl.Expr:
    """Return -dV/dT / 365 with U held still (Haug, "Option Pricing Formulas", 2007).

    (-discount * forward * n(d1) * volatility / (2 sqrt(T)) + rate * financed) / 365, financed being
    V for an option on a future and -sign * discount * strike * N(sign * d2) for one on spot.
    """
    decay = terms.forward * density(terms.d1(volatility)) * volatility * (0.5 / terms.years.sqrt())
    return terms.discount * (terms.rate * _financed(terms, volatility) - decay) * _PER_DAY


def rho(terms: Terms, volatility: pl.Expr) -> pl.Expr:
    """Return dV/drate / 100 = -T * financed / 100; on spot the forward moves with the rate."""
    return -terms.discount * terms.years * _financed(terms, volatility) * _PER_CENT


GREEKS = {"delta": delta, "gamma": gamma, "vega": vega, "theta": theta, "rho": rho}


def with_greeks(
    frame: pl.LazyFrame, volatility: pl.Expr, terms: Terms | None = None, prefix: str = ""
) -> pl.LazyFrame:
    """Add the columns delta, gamma, vega, theta and rho, with `prefix` before their names.

    The values are those of the functions above, computed five times as fast: what they share is
    made a column first, and the expressions over those columns are built only once.
    """
    ready = frame if terms is IN_COLUMNS else in_columns(frame, terms or Terms())
    return (
        ready.with_columns(_bs_volatility=volatility)
        .with_columns(_bs_d1=_D1)
        .with_columns(greek.alias(prefix + name) for name, greek in _GREEKS.items())
        .drop(SCRATCH)
    )


def in_columns(frame: pl.LazyFrame, terms: Terms) -> pl.LazyFrame:
    """Return the frame with every part of the terms as a column, for IN_COLUMNS to name.

    The caller drops SCRATCH when it is done.
    """
    return frame.with_columns(getattr(terms, part).alias(f"_bs_{part}") for part in _PARTS)


class _InColumns(Terms):
    """Terms whose parts are all columns made by `in_columns`, so that nothing is computed twice."""

    sign = pl.col("_bs_sign")
    discount = pl.col("_bs_discount")
    growth = pl.col("_bs_growth")
    carry = pl.col("_bs_carry")
    forward = pl.col("_bs_forward")

    def d1(self, volatility: pl.Expr) -> pl.Expr:  # noqa: ARG002  (the column was made with it)
        return pl.col("_bs_d1")


def _financed(terms: Terms, volatility: pl.Expr) -> pl.Expr:
    """Return, undiscounted, V on a future and V - delta * U on spot: what interest is paid on."""
    sign = terms.sign
    d1 = terms.d1(volatility)
    strike_leg = sign * terms.strike * cdf(sign * (d1 - volatility * terms.years.sqrt()))
    forward_leg = sign * terms.forward * cdf(sign * d1)
    return pl.when(terms.on_spot).then(-strike_leg).otherwise(forward_leg - strike_leg)


def intrinsic(terms: Terms) -> pl.Expr:
    """Return max(sign * (forward - strike), 0), undiscounted."""
    return (terms.sign * (terms.forward - terms.strike)).clip(lower_bound=0.0)


def cdf(x: pl.Expr) -> pl.Expr:
    """Return the standard normal distribution function, exact to the last digits in both tails."""
    return (x * -_ROOT_HALF).erfc() * 0.5


def density(x: pl.Expr) -> pl.Expr:
    """Return the standard normal density."""
    return (x * x * -0.5).exp() * _DENSITY_AT_0


_INPUTS = ("underlying", "strike", "years", "is_call", "rate", "on_spot")
_PARTS = (*_INPUTS, "sign", "discount", "growth", "carry", "forward")
IN_COLUMNS = _InColumns(*(pl.col(f"_bs_{part}") for part in _INPUTS))
_D1 = Terms.d1(IN_COLUMNS, pl.col("_bs_volatility"))
_GREEKS = {name: greek(IN_COLUMNS, pl.col("_bs_volatility")) for name, greek in GREEKS.items()}
