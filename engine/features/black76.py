"""Black-76 and Black-Scholes as Polars expressions: price, implied volatility, greeks.

One formula serves both. An option on a future is Black (1976) on the future's price; an option on
an index that is traded at its spot price is Black-Scholes (1973) without dividend, which is
Black-76 on the forward `spot * exp(rate * years)`. KIS computes its greeks the second way, from the
historical volatility; ours stand on the future and the implied volatility where there is a future.

Units are the vendor's, found from its own boards (KIS.md, and the official sample: a put of strike
480 with 27/365 years left and rho -0.3541 = -480 * 27/365 * exp(-rT) / 100):

- volatility  a fraction per year here (0.36); % in columns (`iv`, `model_iv`: 36.0)
- delta       index points per point of the underlying; gamma per point of the underlying
- vega        index points per volatility point (0.01)
- theta       index points per calendar day (year / 365); negative for what decays
- rho         index points per percentage point of the rate (0.01)
- years       calendar time to the end of trading / 365 days

Everything is NULL, never a number, where it is not defined: an input is NULL or not positive, or,
for the greeks, no time or no volatility is left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import polars as pl
import polars.selectors as cs

RATE = 0.02  # per year, continuous; what reproduces the vendor's greeks of 2026 (KIS.md)
_YEAR = 365 * 24 * 3600 * 1_000_000  # microseconds; ACT/365 as the vendor: 21 days are 21/365
_SQRT2 = math.sqrt(2)
_SQRT_2PI = math.sqrt(2 * math.pi)
_NIL = 1e-12  # time value per sqrt(forward * strike): below it, rounding of the price decides iv
_STEPS = 3  # from the guess below two steps reach 4e-5 of s, three the limit of doubles


def years(expiry: pl.Expr | None = None, at: pl.Expr | None = None) -> pl.Expr:
    """Return the time to expiry in years (ACT/365), not below 0.

    `expiry` (default: column `expiry`) is when the option ends to trade: 15:20 KST of its last day
    for KRX index options, ten minutes before the index that settles it closes. `at` (default:
    column `timestamp`) is the moment of the quote. Calendar time and not trading time, because the
    vendor counts so and because implied volatilities are then comparable with its own.
    """
    expiry = pl.col("expiry") if expiry is None else expiry
    at = pl.col("timestamp") if at is None else at
    return ((expiry - at).dt.total_microseconds() / _YEAR).clip(lower_bound=0.0)


@dataclass(frozen=True)
class Terms:
    """What is known of an option without its volatility, as expressions over a frame's columns.

    The defaults name columns of OPTION_CHAIN and `expiry`, which the caller joins in. `on_spot` is
    true where `underlying` is the price of the index itself, false where it is a future's (or a
    forward from put-call parity).
    """

    underlying: pl.Expr = field(default_factory=lambda: pl.col("underlying_price"))
    strike: pl.Expr = field(default_factory=lambda: pl.col("strike"))
    years: pl.Expr = field(default_factory=years)
    is_call: pl.Expr = field(default_factory=lambda: pl.col("option_type") == "C")
    rate: pl.Expr = field(default_factory=lambda: pl.lit(RATE))
    on_spot: pl.Expr = field(default_factory=lambda: pl.col("underlying_source") == "index")

    @property
    def sign(self) -> pl.Expr:
        """Return +1 for a call, -1 for a put."""
        return pl.when(self.is_call).then(1.0).when(~self.is_call).then(-1.0)

    @property
    def discount(self) -> pl.Expr:
        """Return what one index point at expiry is worth today."""
        return (-self.rate * self.years).exp()

    @property
    def carry(self) -> pl.Expr:
        """Return the forward per point of the underlying: 1 for a future, exp(rT) for spot."""
        return (self.rate * self.years * self.on_spot.cast(pl.Float64)).exp()

    @property
    def forward(self) -> pl.Expr:
        """Return the price of the underlying for delivery at expiry, index points."""
        positive = (self.underlying > 0) & (self.strike > 0)
        return pl.when(positive).then(self.underlying * self.carry)


def price(terms: Terms, volatility: pl.Expr) -> pl.Expr:
    """Return the value in index points: discount * E[max(sign * (F_T - strike), 0)].

    Black, "The pricing of commodity contracts" (1976). Without time or volatility, the intrinsic
    value. Computed as intrinsic value plus time value of the out-of-the-money side, so that deep
    wings keep their digits.
    """
    total = volatility * terms.years.sqrt()
    time_value = (terms.forward * terms.strike).sqrt() * _normalised(_log_moneyness(terms), total)
    value = _intrinsic(terms) + pl.when(total > 0).then(time_value).when(total == 0).then(0.0)
    return terms.discount * value


def with_implied_volatility(
    frame: pl.LazyFrame, value: pl.Expr, terms: Terms | None = None, name: str = "volatility"
) -> pl.LazyFrame:
    """Add column `name`: the volatility (fraction per year) at which `price` is `value`, to 1e-8.

    NULL where there is none: the value is not strictly between the no-arbitrage bounds (discounted
    intrinsic value; discounted forward for a call, strike for a put), no time is left, or the time
    value is below 1e-12 of sqrt(forward * strike), where vega is nil and any number would do.

    After Jaeckel, "Let's be rational" (2015): the out-of-the-money value is normalised to b(x, s),
    x = -|ln(forward / strike)|, s = volatility * sqrt(years), and Householder steps of order four
    are made on 1/ln b below the inflection point of b, on ln(b_max - b) above it. The first guess
    is simpler than his: the tangent at the inflection point or the asymptote of the wing, whichever
    is more. Three steps take it to 3e-12 of s for |x| <= 3. Their number is fixed, so that they are
    expressions, and each is a stage of the plan, so that nothing is computed twice.
    """
    terms = terms or Terms()
    solving = _first_guess(_normalise(frame, value, terms))
    for _ in range(_STEPS):
        solving = _householder(solving)
    exists = (_BETA > _NIL) & (2 * _P - _BETA > _NIL) & (terms.years > 0)
    volatility = pl.when(exists).then(_S * _SCALE / terms.years.sqrt())
    return solving.with_columns(volatility.alias(name)).drop(_SCRATCH)


def delta(terms: Terms, volatility: pl.Expr) -> pl.Expr:
    """Return dV/dU: sign * carry * discount * N(sign * d1), U the future or the spot."""
    sign, d1 = terms.sign, _d1(terms, volatility)
    return sign * terms.carry * terms.discount * _cdf(sign * d1)


def gamma(terms: Terms, volatility: pl.Expr) -> pl.Expr:
    """Return d2V/dU2: carry * discount * n(d1) / (U * total volatility), per point."""
    total = volatility * terms.years.sqrt()
    density = _density(_d1(terms, volatility))
    return terms.carry * terms.discount * density / (terms.underlying * total)


def vega(terms: Terms, volatility: pl.Expr) -> pl.Expr:
    """Return dV/dvolatility / 100: discount * forward * n(d1) * sqrt(T), per volatility point."""
    density = _density(_d1(terms, volatility))
    return terms.discount * terms.forward * density * terms.years.sqrt() / 100


def theta(terms: Terms, volatility: pl.Expr) -> pl.Expr:
    """Return -dV/dT / 365 with U held still, per calendar day (Haug, "Option Pricing", 2007).

    -discount * F * n(d1) * volatility / (2 sqrt(T)), plus rate * V for an option on a future, less
    sign * rate * discount * strike * N(sign * d2) for one on spot.
    """
    d1 = _d1(terms, volatility)
    decay = terms.forward * _density(d1) * volatility / (2 * terms.years.sqrt())
    return terms.discount * (terms.rate * _financing(terms, volatility) - decay) / 365


def rho(terms: Terms, volatility: pl.Expr) -> pl.Expr:
    """Return dV/drate / 100, per percentage point: -T * V on a future,

    sign * T * discount * strike * N(sign * d2) on spot, whose forward moves with the rate.
    """
    return -terms.discount * terms.years * _financing(terms, volatility) / 100


def _financing(terms: Terms, volatility: pl.Expr) -> pl.Expr:
    """Return, undiscounted, what is borrowed or lent: V on a future, V - delta * U on spot."""
    sign, d1 = terms.sign, _d1(terms, volatility)
    d2 = d1 - volatility * terms.years.sqrt()
    owed = sign * terms.strike * _cdf(sign * d2)
    held = sign * terms.forward * _cdf(sign * d1)
    return pl.when(terms.on_spot).then(-owed).otherwise(held - owed)


def _log_moneyness(terms: Terms) -> pl.Expr:
    """Return -|ln(forward / strike)|: the out-of-the-money side, whose value is time value."""
    return -(terms.forward / terms.strike).log().abs()


def _intrinsic(terms: Terms) -> pl.Expr:
    """Return max(sign * (forward - strike), 0), undiscounted."""
    return (terms.sign * (terms.forward - terms.strike)).clip(lower_bound=0.0)


def _d1(terms: Terms, volatility: pl.Expr) -> pl.Expr:
    total = volatility * terms.years.sqrt()
    d1 = (terms.forward / terms.strike).log() / total + total / 2
    return pl.when(total > 0).then(d1)


def _cdf(x: pl.Expr) -> pl.Expr:
    return (-x / _SQRT2).erfc() / 2


def _density(x: pl.Expr) -> pl.Expr:
    return (-x * x / 2).exp() / _SQRT_2PI


def _normalised(x: pl.Expr, s: pl.Expr) -> pl.Expr:
    """Return b(x, s): the out-of-the-money value per sqrt(forward * strike), x <= 0."""
    return ((x / 2).exp() * _cdf(x / s + s / 2)) - ((-x / 2).exp() * _cdf(x / s - s / 2))


_SCALE = 2 * _SQRT2  # the solver works on s / (2 sqrt 2): fewer operations, each costs 10 us
_X4, _P, _Q, _BETA, _B_TURN, _LOW, _SHIFT, _TARGET, _S, _H, _U, _W, _C, _LOG, _K, _NEWTON, _A = (
    pl.col(f"_iv_{name}")
    for name in (
        "x4",
        "p",
        "q",
        "beta",
        "b_turn",
        "low",
        "shift",
        "target",
        "s",
        "h",
        "u",
        "w",
        "c",
        "log",
        "k",
        "newton",
        "a",
    )
)
_SCRATCH = cs.starts_with("_iv_")


def _normalise(frame: pl.LazyFrame, value: pl.Expr, terms: Terms) -> pl.LazyFrame:
    """Add x / 4, exp(x / 2) / 2, its mirror, and beta: what b(x, s) has to be."""
    time_value = value / terms.discount - _intrinsic(terms)
    beta = time_value / (terms.forward * terms.strike).sqrt()
    x = -(terms.forward / terms.strike).log().abs()
    return frame.with_columns(_iv_beta=beta, _iv_x4=x / 4).with_columns(
        _iv_p=(_X4 * 2).exp() / 2, _iv_q=(_X4 * -2).exp() / 2
    )


def _first_guess(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Add s, and on which side of the inflection point (s * s = 2 |x|, where h = -s) it lies."""
    turn = (-_X4).sqrt()
    tangent = turn + (_BETA - _B_TURN) * math.sqrt(math.pi) * _Q
    wing = -_X4 * _SQRT2 / (2 * ((_B_TURN / _BETA).log() - _X4)).sqrt()
    low = _BETA < _B_TURN
    return (
        frame.with_columns(_iv_b_turn=_P - _Q * (2 * turn).erfc())
        .with_columns(
            _iv_low=low,
            _iv_shift=pl.when(low).then(0.0).otherwise(2 * _P),
            _iv_s=pl.when(low).then(pl.max_horizontal(tangent, wing)).otherwise(tangent),
        )
        .with_columns(_iv_target=(_BETA - _SHIFT).abs().log())
    )


def _householder(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Make one step of order four on s; k and the factor log / target belong to 1/ln b alone."""
    second = _C - _A
    third = _C * _C - 6 * (_H / _S).pow(2) - 2 + _W * _W * (2 + 6 * _K * (1 + _K)) - 3 * _C * _A
    step = _NEWTON * (1 + second * _NEWTON / 2) / (1 + _NEWTON * (second + third * _NEWTON / 6))
    factor = pl.when(_LOW).then(_LOG / _TARGET).otherwise(1.0)
    return (
        frame.with_columns(_iv_h=_X4 / _S)
        .with_columns(_iv_u=_P * (-_H - _S).erfc() - _Q * (_S - _H).erfc() - _SHIFT)
        .with_columns(
            _iv_w=(-_H * _H - _S * _S).exp() * (2 / math.sqrt(math.pi)) / _U,
            _iv_c=2 * (_H * _H / _S - _S),
            _iv_log=_U.abs().log(),
        )
        .with_columns(
            _iv_k=pl.when(_LOW).then(1 / _LOG).otherwise(0.0),
            _iv_newton=(_TARGET - _LOG) / _W * factor,
        )
        .with_columns(_iv_a=_W * (1 + 2 * _K))
        .with_columns(_iv_s=_S + step)
    )
