"""Black-76 and Black-Scholes: price and greeks of options, as expressions over a frame.

One formula serves both. An option on a future is Black (1976) on the future's price; one on an
index at its spot price is Black-Scholes (1973) without dividend, which is Black-76 on the forward
`spot * exp(rate * years)`. KIS computes its greeks the second way, from the historical volatility;
ours are on the snapshot's forward and from the implied volatility (`engine.features.greeks`).

Units are KIS's, derived from its own boards (docs/kis.md#greeks): those of vega and gamma from a
real one, those of rho and theta from a put of the official sample so deep in the money that only
interest is left: rho is strike * T * exp(-rT) / 100 and theta r * strike * exp(-rT) / 365, with the
91-day CD rate of that day as r.

- volatility  a fraction per year here (0.36); % in columns named `iv` and `model_iv` (36.0)
- delta       index points per point of the underlying; gamma: delta per point of it
- vega        index points per volatility point (0.01)
- theta       index points per calendar day (a year / 365); negative if the option loses value
- rho         index points per percentage point of the rate (0.01)
- years       calendar time to the end of trading / 365 days

An undefined value is NULL, never a number: where an input is NULL or not positive and, for the
greeks, where no time or no volatility is left.

The formulas are written in numpy, behind the expressions. As expressions of Polars alone they cost
10 us an operation, whatever the size of the frame, and a live minute has a few hundred options: 3
ms in place of 0.3 (docs/performance.md). scipy is loaded when the first formula is computed: that
takes 0.2 s, for which a command that prices nothing should not wait.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from functools import cache, partial

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Per year, continuous: the 91-day CD rate of autumn 2026, which KIS's own greeks use (fitted on two
# boards: 3.033 and 3.015 %, docs/kis.md#greeks). The one rate of all models; the simulator's carry
# has its own number.
RATE = 0.03
# A factor and not a divisor: in a frame of one row (or where the piece of a frame that it works on
# has one) Polars divides by a literal, elsewhere it multiplies by the reciprocal. The last digit
# would depend on what else is in the batch.
_YEARS_A_MICROSECOND = 1 / (365 * 24 * 3600 * 1_000_000)
_ROOT_HALF = math.sqrt(0.5)
_DENSITY_AT_0 = 1 / math.sqrt(2 * math.pi)
GREEKS = ("delta", "gamma", "vega", "theta", "rho")
_CHUNK = 16_384  # rows computed at once: what a chain's arrays take then stays in the cache


def years(expiry: pl.Expr | None = None, at: pl.Expr | None = None) -> pl.Expr:
    """Return the time to expiry in years, not below 0.

    `expiry` (default: column `expiry`) is when the option's trading ends: 15:20 KST of its last day
    for KRX index options, ten minutes before the index that settles it closes. `at` (default:
    column `timestamp`) is the moment of the quote. Time is calendar days / 365 and not trading
    time, as KIS counts it (21/365 on its board of 2026-09-17), so that volatilities compare.
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


def price(terms: Terms, volatility: pl.Expr) -> pl.Expr:
    """Return the value in index points: discount * E[max(sign * (F_T - strike), 0)].

    Black, "The pricing of commodity contracts" (1976). The intrinsic value where no time or no
    volatility is left.
    """
    return over_options(_price, terms, volatility, ("price",)).struct.field("price")


def greeks(terms: Terms, volatility: pl.Expr) -> pl.Expr:
    """Return a struct of GREEKS; every field is NULL where time or volatility is not above 0.

    U is the future or the spot; `financed` is what interest is paid on, undiscounted: the option's
    value for one on a future, -sign * strike * N(sign * d2) for one on spot:

    - delta  dV/dU = sign * carry * discount * N(sign * d1)
    - gamma  d2V/dU2 = carry * discount * n(d1) / (U * volatility * sqrt(T))
    - vega   dV/dvolatility / 100 = discount * forward * n(d1) * sqrt(T) / 100
    - theta  -dV/dT / 365 with U held still (Haug, "Option Pricing Formulas", 2007):
      (-discount * forward * n(d1) * volatility / (2 sqrt(T)) + rate * discount * financed) / 365
    - rho    dV/drate / 100 = -T * discount * financed / 100; on spot the rate moves the forward
    """
    return over_options(greeks_at, terms, volatility, GREEKS)


def with_greeks(
    frame: pl.LazyFrame, volatility: pl.Expr, terms: Terms | None = None, prefix: str = ""
) -> pl.LazyFrame:
    """Add the columns delta, gamma, vega, theta and rho, with `prefix` before their names."""
    found = greeks(terms or Terms(), volatility)
    named = found.struct.rename_fields([prefix + name for name in GREEKS])
    return frame.with_columns(_greeks=named).unnest("_greeks")


@dataclass(frozen=True)
class Options:
    """The inputs of many options as arrays that broadcast; NaN where something is not known.

    Attributes:
        underlying: Price of the future or the spot, index points; NaN unless above 0.
        strike: Index points; NaN unless above 0.
        years: To expiry.
        sign: +1 for a call, -1 for a put.
        rate: Per year, continuous.
        on_spot: 1.0 where the underlying is the index itself, 0.0 where it is a future.
        forward: Price of the underlying for delivery at expiry, index points.
        discount: What one index point at expiry is worth today.
    """

    underlying: Floats
    strike: Floats
    years: Floats
    sign: Floats
    rate: Floats
    on_spot: Floats
    forward: Floats
    discount: Floats

    @property
    def intrinsic(self) -> Floats:
        """Return max(sign * (forward - strike), 0), undiscounted."""
        return np.maximum(self.sign * (self.forward - self.strike), 0.0)


Formula = Callable[[Options, Floats], dict[str, Floats]]


def over_options(formula: Formula, terms: Terms, number: pl.Expr, names: Sequence[str]) -> pl.Expr:
    """Return a struct of what `formula` gives for the options and one more number of each.

    `names` are the arrays that it gives, in order. NaN is NULL in the struct's fields.
    """
    inputs = [getattr(terms, part.name) for part in fields(Terms)]
    columns = [column.cast(pl.Float64) for column in (*inputs, number)]
    dtype = pl.Struct(dict.fromkeys(names, pl.Float64))
    return pl.map_batches(columns, partial(_compute, formula), dtype, is_elementwise=True)


def _compute(formula: Formula, columns: list[pl.Series]) -> pl.Series:
    arrays = [column.to_numpy() for column in columns]
    rows = max(len(array) for array in arrays)
    with np.errstate(all="ignore"):  # what is undefined becomes NaN, and NULL in the end
        parts = [
            formula(_options(*(_rows(array, at) for array in arrays[:-1])), _rows(arrays[-1], at))
            for at in range(0, max(rows, 1), _CHUNK)
        ]
    # Series and not arrays: for those Polars would start threads of Python, for each call anew.
    found = [
        pl.Series(name, np.concatenate([part[name] for part in parts]), nan_to_null=True)
        for name in parts[0]
    ]
    return pl.DataFrame(found).to_struct(columns[0].name)


def _rows(array: Floats, at: int) -> Floats:
    """Return a chunk of an array; a literal comes as an array of one."""
    return array if len(array) == 1 else array[at : at + _CHUNK]


def _options(
    underlying: Floats,
    strike: Floats,
    years: Floats,
    is_call: Floats,
    rate: Floats,
    on_spot: Floats,
) -> Options:
    underlying = np.where(underlying > 0, underlying, np.nan)
    strike = np.where(strike > 0, strike, np.nan)
    return Options(
        underlying=underlying,
        strike=strike,
        years=years,
        sign=2 * is_call - 1,
        rate=rate,
        on_spot=on_spot,
        forward=underlying * np.exp(rate * years * on_spot),
        discount=np.exp(-rate * years),
    )


def _price(options: Options, volatility: Floats) -> dict[str, Floats]:
    """Return the price, made of the intrinsic value and the time value.

    The time value is that of the out-of-the-money side, so that deep wings keep their digits.
    """
    forward, strike = options.forward, options.strike
    total = volatility * np.sqrt(options.years)
    x = -np.abs(np.log(forward / strike))
    outside = np.exp(x / 2) * normal_cdf(x / total + total / 2)
    outside -= np.exp(-x / 2) * normal_cdf(x / total - total / 2)
    time_value = np.sqrt(forward * strike) * outside
    known = np.where(total > 0, time_value, np.where(total == 0, 0.0, np.nan))
    return {"price": options.discount * (options.intrinsic + known)}


def greeks_at(options: Options, volatility: Floats) -> dict[str, Floats]:
    """Return GREEKS at a volatility; see `greeks` for units and formulas."""
    sign, forward, discount = options.sign, options.forward, options.discount
    root = np.sqrt(options.years)
    total = volatility * root
    total = np.where(total > 0, total, np.nan)
    d1 = np.log(forward / options.strike) / total + total / 2
    bell = np.exp(d1 * d1 * -0.5) * (_DENSITY_AT_0 * discount)
    above = normal_cdf(sign * d1)
    strike_leg = sign * options.strike * normal_cdf(sign * (d1 - total))
    financed = discount * (sign * forward * above * (1 - options.on_spot) - strike_leg)
    carry_and_discount = forward / options.underlying * discount
    vega = forward * bell * root
    return {
        "delta": sign * carry_and_discount * above,
        "gamma": forward * bell / (options.underlying * options.underlying * total),
        "vega": vega / 100,
        "theta": (options.rate * financed - vega * volatility / (2 * options.years)) / 365,
        "rho": -options.years * financed / 100,
    }


def normal_cdf(x: Floats) -> Floats:
    """Return the standard normal distribution function, exact to the last digits in both tails."""
    return erfc()(x * -_ROOT_HALF) * 0.5


@cache
def erfc() -> Callable[[Floats], Floats]:
    """Return scipy's complementary error function, loaded when it is first needed."""
    import scipy.special  # noqa: PLC0415 - see the module's docstring

    function: Callable[[Floats], Floats] = scipy.special.erfc
    return function


def cdf(x: pl.Expr) -> pl.Expr:
    """Return the standard normal distribution function of an expression; see `normal_cdf`."""
    return (x * -_ROOT_HALF).erfc() * 0.5


def density(x: pl.Expr) -> pl.Expr:
    """Return the standard normal density of an expression."""
    return (x * x * -0.5).exp() * _DENSITY_AT_0
