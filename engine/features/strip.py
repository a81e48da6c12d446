"""The volatility of a variance swap, by the strip of options that pays it (Cboe's form).

    sigma^2 = 2 / T sum(dK / K^2 exp(r T) Q(K)) - 1 / T (F / K0 - 1)^2

(Cboe, "Volatility Index Methodology", 2023; Demeterfi, Derman, Kamal and Zou, "More than you ever
wanted to know about volatility swaps", 1999.) F is the forward, K0 the highest strike not above it,
Q(K) the price of the put below K0, of the call above it, the mean of both at K0; dK is half the
distance between the strikes beside K, at the ends that to the one neighbour. T is in years of 365
calendar days, r continuous.

The strip here is the smile's: FINENESS strikes a standard deviation at the money, each at the price
of the smile (so a quote that comes or goes moves nothing), from BELOW standard deviations under
the forward to ABOVE over it. Cboe takes listed strikes at the middle of their quotes and stops at
two without a bid; KIS does not show the bids of all strikes, and a board cut by KIS would change
the index.

A worked example, T = 30 / 365, r = 3 %, F = 100.2, so K0 = 100, with the discounted prices

    K    80   85   90   95   100                 105  110  115  120
    Q    0.1  0.2  0.6  1.5  (3.0 + 2.8) / 2     1.1  0.4  0.1  0.05

is sigma^2 = 2 / T x 0.00359611 - 1 / T x 0.000004, a volatility of 29.5731 %. The sum is exp(r T) x
(5 x 0.1 / 6400 + 5 x 0.2 / 7225 + 5 x 0.6 / 8100 + 5 x 1.5 / 9025 + 5 x 2.9 / 10000
+ 5 x 1.1 / 11025 + 5 x 0.4 / 12100 + 5 x 0.1 / 13225 + 5 x 0.05 / 14400).
"""

from __future__ import annotations

import numpy as np

from engine.features.black76 import Floats, normal_cdf
from engine.features.smile import Slices

BELOW, ABOVE = 10, 6  # standard deviations: falls are priced further out
FINENESS = 16
_PLACES = np.arange(-BELOW * FINENESS, ABOVE * FINENESS + 1)
_AT_A_TIME = 4096  # smiles, so that their arrays stay in the processor's cache


def swap_variance(
    strikes: Floats, prices: Floats, forward: Floats, years: Floats, rate: float = 0.0
) -> Floats:
    """Return sigma^2 (per year) of strips of shape (n, m), strikes ascending.

    `prices` are Q(K), index points, discounted at `rate`; `forward` and `years` have shape (n,). A
    strike that is NaN has no part.
    """
    width = np.empty_like(strikes)
    width[:, 1:-1] = (strikes[:, 2:] - strikes[:, :-2]) / 2
    width[:, 0] = strikes[:, 1] - strikes[:, 0]
    width[:, -1] = strikes[:, -1] - strikes[:, -2]
    paid = np.nansum(width / np.square(strikes) * prices, axis=1) * np.exp(rate * years)
    below = np.where(strikes <= forward[:, None], strikes, 0.0).max(axis=1)
    return np.asarray((2 * paid - np.square(forward / below - 1)) / years)


def swap_volatility(slices: Slices, forward: Floats, years: Floats) -> Floats:
    """Return the volatility that a swap on each smile pays, % per year; NaN without a smile."""
    found = np.full(len(forward), np.nan)
    usable = np.flatnonzero(np.isfinite(slices.theta) & (years > 0) & (forward > 0))
    for start in range(0, len(usable), _AT_A_TIME):
        rows = usable[start : start + _AT_A_TIME]
        some = Slices(slices.theta[rows], slices.rho[rows], slices.psi[rows])
        strikes, prices = _strip(some, forward[rows])
        variance = swap_variance(strikes, prices, forward[rows], years[rows])
        found[rows] = np.sqrt(np.maximum(variance, 0.0)) * 100
    return found


def _strip(slices: Slices, forward: Floats) -> tuple[Floats, Floats]:
    """Return strikes and undiscounted out-of-the-money prices; at K0 the mean of call and put.

    Strikes at or below 0 are NaN.
    """
    step = forward * np.sqrt(slices.theta) / FINENESS
    at_the_money = np.floor(forward / step) * step
    strikes = at_the_money[:, None] + step[:, None] * _PLACES
    strikes = np.where(strikes > 0, strikes, np.nan)
    above = forward[:, None]
    k = np.log(strikes / above)
    deviation = np.sqrt(slices.total_variance(k))
    d1 = -k / deviation + deviation / 2
    side = np.where(_PLACES > 0, 1.0, -1.0)
    prices = side * (above * normal_cdf(side * d1) - strikes * normal_cdf(side * (d1 - deviation)))
    prices[:, _PLACES == 0] += ((forward - at_the_money) / 2)[:, None]
    return strikes, prices
