"""Smiles free of arbitrage: many slices of total variance fitted at once, as arrays.

A slice is one maturity in one minute, an eSSVI smile (Hendriks and Martini, "The extended SSVI
volatility surface", 2019): with k = ln(strike / forward) its total variance is

    w(k) = (theta + rho psi k + sqrt((psi k + rho theta)^2 + theta^2 (1 - rho^2))) / 2

theta is the total variance at the money, psi sqrt(theta) its slope there over rho, rho its skew.
The parameters are searched only where these conditions hold:

- no butterfly: psi (1 + |rho|) <= 4 and psi^2 (1 + |rho|) <= 4 theta (Gatheral and Jacquier,
  "Arbitrage-free SVI volatility surfaces", arXiv 1204.0646, theorem 4.2)
- no calendar spread over the slice before it, with p = max((1 + rho') / (1 + rho),
  (1 - rho') / (1 - rho)): theta >= p theta', p psi' <= psi <= psi' theta / theta'
  (Mingone, "No arbitrage global parametrization for the eSSVI volatility surface",
  arXiv 2204.00312, proposition 3.1)

The second pair is only possible where p psi' also keeps within the first; where it does not, the
slice keeps the first alone. Whether a surface is free of arbitrage is therefore not read off the
conditions but off prices on a grid (`engine.features.surface`).

The search is Levenberg-Marquardt over all slices at once, on unbounded numbers x:
theta = p theta' + exp(x0), rho = tanh(x1), psi = low + (high - low) / (1 + exp(-x2)). One wrong
quote must not bend a smile: beyond _HUBER errors a residual counts linearly (Huber, 1964).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_STEPS = 40
_HUBER = 2.0  # errors of a quote
_DIFFERENCE = 1e-6  # of x, for the slopes of the residuals
_ENOUGH = 1e-7  # of the cost and of one squared error: a step that gains less ends the search
_SKEW = 0.999  # the largest |rho|
_PULL = 0.02  # of an error, per unit of x: where quotes say nothing x stays at its first guess
_SHARE = 8.0  # |x2|; psi stays inside its bounds by a thousandth of them
_FIRST_RHO = -0.3


@dataclass(frozen=True)
class Slices:
    """Smiles by row: theta, rho, psi (all NaN where there is none), shape (n,)."""

    theta: Floats
    rho: Floats
    psi: Floats

    def total_variance(self, k: Floats) -> Floats:
        """Return w at k = ln(strike / forward), shape (n, m) for k of that shape or (m,)."""
        return _total_variance(k, self.theta[:, None], self.rho[:, None], self.psi[:, None])


def no_slices(count: int) -> Slices:
    """Return slices that say nothing."""
    nothing = np.full(count, np.nan)
    return Slices(nothing, nothing, nothing)


def fit_smiles(
    k: Floats, volatility: Floats, error: Floats, years: Floats, below: Slices | None = None
) -> Slices:
    """Return the slice of each row that explains its quotes best, free of arbitrage.

    `k` is ln(strike / forward), `volatility` a fraction per year, `error` how far it may be off, in
    the same unit; all of shape (n, m), with an infinite error where a row has fewer quotes. `years`
    is the time to expiry, shape (n,). `below` are the slices of the same minutes one maturity
    earlier, NaN where there is none. A row without quotes or time has none.
    """
    fit = _Fit(k, volatility, error, years, below or no_slices(len(years)))
    return fit.search()


def _total_variance(k: Floats, theta: Floats, rho: Floats, psi: Floats) -> Floats:
    slope = psi * k
    root = np.sqrt(np.square(slope + rho * theta) + np.square(theta) * (1 - np.square(rho)))
    return np.asarray((theta + rho * slope + root) / 2)


class _Fit:
    """One search: the quotes of all rows, and what x means for each."""

    def __init__(
        self, k: Floats, volatility: Floats, error: Floats, years: Floats, below: Slices
    ) -> None:
        self.usable = (years > 0) & np.isfinite(error).any(axis=1)
        years = np.where(years > 0, years, 1.0)
        self.weight = np.where(np.isfinite(error), 1 / error, 0.0)
        self.k = np.where(self.weight > 0, k, 0.0)
        self.volatility = np.where(self.weight > 0, volatility, 0.0)
        self.root_years = np.sqrt(years)[:, None]
        known = np.isfinite(below.theta)
        self.before = Slices(
            np.where(known, below.theta, 0.0),
            np.where(known, below.rho, 0.0),
            np.where(known, below.psi, 0.0),
        )
        self.known = known
        self.first = self._first_guess(years)

    def _first_guess(self, years: Floats) -> Floats:
        """Return x for the volatility near the money, a usual skew, and half of what psi may be."""
        count = (self.weight > 0).sum(axis=1)
        width = np.where(count > 0, self.volatility.sum(axis=1), 1.0) / np.maximum(count, 1)
        width = width * np.sqrt(years)
        near = self.weight * np.exp(-np.square(self.k / width[:, None]) * 8)
        near += 1e-12 * (self.weight > 0)
        total = near.sum(axis=1)
        atm = np.where(total > 0, (near * self.volatility).sum(axis=1), 1.0)
        atm = np.square(atm / np.where(total > 0, total, 1.0)) * years
        x = np.zeros((len(years), 3))
        x[:, 1] = np.arctanh(_FIRST_RHO)
        floor = self._ratio(np.full(len(years), _FIRST_RHO)) * self.before.theta
        x[:, 0] = np.log(np.maximum(atm - floor, 0.05 * atm))
        return x

    def _ratio(self, rho: Floats) -> Floats:
        """Return p, by how much theta and psi must at least grow from the slice before."""
        before = self.before.rho
        return np.maximum((1 + before) / (1 + rho), (1 - before) / (1 - rho))

    def slices(self, x: Floats) -> Slices:
        """Return what x means."""
        rho = _SKEW * np.tanh(x[:, 1])
        ratio = self._ratio(rho)
        theta = ratio * self.before.theta + np.exp(np.clip(x[:, 0], -40, 5))
        skew = 1 + np.abs(rho)
        high = np.minimum(4 / skew, 2 * np.sqrt(theta / skew))
        with np.errstate(divide="ignore", invalid="ignore"):
            flatter = np.where(self.known, self.before.psi * theta / self.before.theta, np.inf)
        low = np.minimum(ratio * self.before.psi, high)
        high = np.maximum(np.minimum(high, flatter), low)
        share = 1 / (1 + np.exp(-np.clip(x[:, 2], -_SHARE, _SHARE)))
        return Slices(theta, rho, low + (high - low) * share)

    def residuals(self, x: Floats) -> Floats:
        """Return model minus quote in errors of the quote, and the pull on x; shape (n, m + 3)."""
        model = np.sqrt(self.slices(x).total_variance(self.k)) / self.root_years
        quotes = (model - self.volatility) * self.weight
        return np.concatenate([quotes, (x - self.first) * _PULL], axis=1)

    def search(self) -> Slices:
        """Return the best slices; NaN where there is nothing to fit."""
        x = self.first.copy()
        residuals = self.residuals(x)
        cost = _cost(residuals)
        damping = np.full(len(x), 1e-2)
        searching = self.usable.copy()
        for _ in range(_STEPS):
            if not searching.any():
                break
            tried = x + self._step(x, residuals, damping)
            new = self.residuals(tried)
            new_cost = _cost(new)
            better = (new_cost < cost) & searching
            gained = np.where(better, cost - new_cost, np.inf)
            x = np.where(better[:, None], tried, x)
            residuals = np.where(better[:, None], new, residuals)
            done = (gained <= _ENOUGH * (1 + cost)) | (damping > 1e8)
            cost = np.where(better, new_cost, cost)
            damping = np.where(better, damping * 0.2, damping * 5)
            searching &= ~done
        found = self.slices(x)
        gone = ~self.usable
        return Slices(*(np.where(gone, np.nan, v) for v in (found.theta, found.rho, found.psi)))

    def _step(self, x: Floats, residuals: Floats, damping: Floats) -> Floats:
        size = np.abs(residuals)
        huber = np.where(size <= _HUBER, 1.0, _HUBER / np.maximum(size, _HUBER))
        moves = np.eye(3) * _DIFFERENCE
        slopes = np.stack([(self.residuals(x + move) - residuals) for move in moves], axis=2)
        slopes /= _DIFFERENCE
        weighted = slopes * huber[:, :, None]
        normal = np.matmul(weighted.transpose(0, 2, 1), slopes)
        target = np.matmul(weighted.transpose(0, 2, 1), residuals[:, :, None])[:, :, 0]
        scale = np.einsum("nii->ni", normal)
        normal = normal + np.eye(3) * (damping[:, None] * scale + 1e-12)[:, :, None]
        step = -np.linalg.solve(normal, target[:, :, None])[:, :, 0]
        return np.asarray(np.clip(step, -2.0, 2.0))


def _cost(residuals: Floats) -> Floats:
    size = np.abs(residuals)
    loss = np.where(size <= _HUBER, np.square(size) / 2, _HUBER * (size - _HUBER / 2))
    return np.asarray(loss.sum(axis=1))
