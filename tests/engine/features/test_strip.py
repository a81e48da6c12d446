"""The volatility of a variance swap: Cboe's sum by hand, a flat smile, an integral with vollib."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad
from vollib.black import undiscounted_black

from engine.features import strip
from engine.features.smile import Slices
from engine.features.strip import swap_variance, swap_volatility

YEARS, RATE, FORWARD = 30 / 365, 0.03, 100.2
PRICES = {80: 0.1, 85: 0.2, 90: 0.6, 95: 1.5, 100: (3.0 + 2.8) / 2, 105: 1.1, 110: 0.4, 115: 0.1}
PRICES |= {120: 0.05}


def one(theta: float, rho: float, psi: float) -> Slices:
    return Slices(np.array([theta]), np.array([rho]), np.array([psi]))


def test_the_worked_example_is_what_the_sum_gives() -> None:
    """As the docstring of the module has it, strike by strike."""
    paid = sum(5 * price / strike**2 for strike, price in PRICES.items()) * math.exp(RATE * YEARS)
    by_hand = 2 / YEARS * paid - (FORWARD / 100 - 1) ** 2 / YEARS
    found = swap_variance(
        np.array([list(PRICES)], dtype=float),
        np.array([list(PRICES.values())]),
        np.array([FORWARD]),
        np.array([YEARS]),
        RATE,
    )
    assert found[0] == pytest.approx(by_hand, rel=1e-12)
    assert f"{paid:.8f}" in strip.__doc__  # type: ignore[operator]
    assert f"{math.sqrt(found[0]) * 100:.4f} %" in strip.__doc__  # type: ignore[operator]


def test_strikes_that_lie_unevenly_have_the_width_between_their_neighbours() -> None:
    strikes = np.array([[90.0, 95.0, 100.0, 110.0]])
    prices = np.array([[0.5, 1.0, 3.0, 0.4]])
    widths = (5.0, 5.0, 7.5, 10.0)
    total = sum(w / k**2 * q for w, k, q in zip(widths, strikes[0], prices[0], strict=True))
    found = swap_variance(strikes, prices, np.array([101.0]), np.array([0.1]))
    assert found[0] == pytest.approx((2 * total - (101 / 100 - 1) ** 2) / 0.1)


@pytest.mark.parametrize("volatility", [0.08, 0.2, 0.36, 0.9])
@pytest.mark.parametrize("days", [1, 7, 30, 90, 365])
@pytest.mark.parametrize("forward", [1061.3, 367.2])
def test_a_flat_smile_gives_its_volatility_back(
    volatility: float, days: int, forward: float
) -> None:
    years = days / 365
    flat = one(volatility**2 * years, 0.0, 1e-9)
    found = swap_volatility(flat, np.array([forward]), np.array([years]))[0]
    assert found == pytest.approx(volatility * 100, rel=0.002)


@pytest.mark.parametrize(("rho", "psi"), [(-0.4, 0.07), (-0.7, 0.12), (0.2, 0.05)])
def test_a_skewed_smile_gives_the_integral_over_all_strikes(rho: float, psi: float) -> None:
    """2 / T times the integral of out-of-the-money prices / K^2, with vollib's prices."""
    theta, years, forward = 0.0136, 0.105, 1060.1
    slices = one(theta, rho, psi)

    def integrand(strike: float) -> float:
        k = math.log(strike / forward)
        variance = float(slices.total_variance(np.array([k]))[0, 0])
        side = "c" if strike > forward else "p"
        sigma = math.sqrt(variance / years)
        return float(undiscounted_black(forward, strike, sigma, years, side)) / strike**2

    below = quad(integrand, 150, forward, limit=200)[0]
    above = quad(integrand, forward, 4000, limit=200)[0]
    expected = math.sqrt(2 * (below + above) / years) * 100
    found = swap_volatility(slices, np.array([forward]), np.array([years]))[0]
    assert found == pytest.approx(expected, rel=0.002)


def test_without_a_smile_or_time_there_is_none() -> None:
    slices = Slices(np.array([np.nan, 0.01, 0.01]), *np.array([[0.0] * 3, [0.05] * 3]))
    found = swap_volatility(slices, np.full(3, 1000.0), np.array([0.1, 0.0, 0.1]))
    assert np.isfinite(found).tolist() == [False, False, True]


def test_many_at_once_give_what_each_gives() -> None:
    rng = np.random.default_rng(5)
    theta = rng.uniform(0.0005, 0.05, 50)
    slices = Slices(theta, rng.uniform(-0.7, 0.2, 50), np.sqrt(theta))
    forward, years = rng.uniform(300, 1200, 50), rng.uniform(0.01, 0.5, 50)
    alone = [
        swap_volatility(
            one(slices.theta[n], slices.rho[n], slices.psi[n]), forward[n : n + 1], years[n : n + 1]
        )[0]
        for n in range(50)
    ]
    assert swap_volatility(slices, forward, years) == pytest.approx(alone, rel=1e-12)
