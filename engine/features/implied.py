"""Implied volatility of options.

After Jaeckel, "Let's be rational" (2015). The out-of-the-money value of an option is normalised to
b(x, s) in units of discount * sqrt(forward * strike), with x = -|ln(forward / strike)| and
s = volatility * sqrt(years); b = exp(x / 2) N(x / s + s / 2) - exp(-x / 2) N(x / s - s / 2). Its
inflection point lies at s * s = 2 |x|. Below it Householder steps of order four solve for ln b,
above it for ln(b_max - b), b_max = exp(x / 2). Jaeckel takes 1 / ln b below; for steps of this
order that makes no difference. The first guess is simpler than his: the tangent at the inflection
point or the asymptote of the wing, whichever is larger. Three steps bring it within 7e-12 of s for
|x| <= 3 and every b above 1e-12; their number is fixed, so that no option depends on another. The
computation works on x / 4 and s / (2 sqrt 2), which saves operations.
"""

from __future__ import annotations

import math

import numpy as np
import polars as pl

from engine.features.black76 import (
    GREEKS,
    Floats,
    Options,
    Terms,
    erfc,
    greeks_at,
    over_options,
)

_SMALLEST = 1e-12  # beta; below it the rounding of the price decides, not the market
_STEPS = 3
_SCALE = 2 * math.sqrt(2)
_SQRT_PI = math.sqrt(math.pi)


def implied_greeks(value: pl.Expr, terms: Terms | None = None) -> pl.Expr:
    """Return a struct: `iv`, the volatility (fraction per year) at which the price is `value`
    (index points), and the GREEKS at it, those of `black76.greeks`.

    One pass over the options: for a chain of usual size, handing columns over costs as much as the
    arithmetic. The price at that volatility differs from `value` by less than 1e-8. NULL where no
    volatility exists: the value is not strictly between the no-arbitrage bounds (discounted
    intrinsic value; discounted forward for a call, strike for a put), no time is left, or the
    option is so far from the money that its time value, or the distance to the upper bound, is
    below 1e-12 of discount * sqrt(forward * strike): vega is 0 there and any number would fit.
    """
    return over_options(_solve_with_greeks, terms or Terms(), value, ("iv", *GREEKS))


def _solve_with_greeks(options: Options, value: Floats) -> dict[str, Floats]:
    volatility = _solve(options, value)
    return {"iv": volatility, **greeks_at(options, volatility)}


def _solve(options: Options, value: Floats) -> Floats:
    forward, strike = options.forward, options.strike
    # beta is what b(x, s) must be; p and q are exp(x / 2) / 2 and exp(-x / 2) / 2.
    beta = (value / options.discount - options.intrinsic) / np.sqrt(forward * strike)
    x4 = np.abs(np.log(forward / strike)) * -0.25
    p = np.exp(x4 * 2) * 0.5
    q = 0.25 / p

    turn = np.sqrt(-x4)  # the inflection point
    b_turn = p - q * erfc()(2 * turn)
    low = beta < b_turn
    shift = np.where(low, 0.0, 2 * p)
    tangent = turn + (beta - b_turn) * (_SQRT_PI * q)
    wing = -x4 * math.sqrt(2) / (2 * np.sqrt(np.log(b_turn / beta) - x4))
    s = np.where(low, np.fmax(tangent, wing), tangent)
    target = np.log(np.abs(beta - shift))
    for _ in range(_STEPS):
        s = s + _householder(s, x4, p, q, shift, target)

    inside = (beta > _SMALLEST) & (2 * p - beta > _SMALLEST)
    exists = inside & (options.years > 0) & np.isfinite(s)
    return np.where(exists, s * _SCALE / np.sqrt(options.years), np.nan)


def _householder(
    s: Floats, x4: Floats, p: Floats, q: Floats, shift: Floats, target: Floats
) -> Floats:
    """Return one step of order four on s for ln |u|.

    u is b, or b - b_max above the inflection point. w is the logarithmic derivative of u; second
    and third are the second and third derivative of ln |u| divided by its first. 2 (h * r - s) is
    the logarithmic derivative of that of u, and -6 * r * r - 2 its rate of change.
    """
    h = x4 / s
    r = h / s
    u = p * erfc()(-h - s) - q * erfc()(s - h) - shift
    w = np.exp(-h * h - s * s) * (2 / _SQRT_PI) / u
    second = 2 * (h * r - s) - w
    third = second * (second - w) - 6 * r * r - 2
    newton = (target - np.log(np.abs(u))) / w
    return newton * (1 + newton * second * 0.5) / (1 + newton * (second + newton * third / 6))
