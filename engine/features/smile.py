"""Smiles free of arbitrage: many slices of total variance fitted at once, as arrays.

A slice is one maturity in one minute, an eSSVI smile (Hendriks and Martini, "The extended SSVI
volatility surface", 2019): with k = ln(strike / forward) its total variance is

    w(k) = (theta + rho psi k + sqrt((psi k + rho theta)^2 + theta^2 (1 - rho^2))) / 2

theta is the total variance at the money, rho the skew, and rho psi the slope of w at the money. The
parameters are searched only where these conditions hold:

- no butterfly: psi (1 + |rho|) <= 4 and psi^2 (1 + |rho|) <= 4 theta (Gatheral and Jacquier,
  "Arbitrage-free SVI volatility surfaces", arXiv 1204.0646, theorem 4.2)
- no calendar spread over the slice before it, with p = max((1 + rho') / (1 + rho),
  (1 - rho') / (1 - rho)): theta >= p theta', p psi' <= psi <= psi' theta / theta'
  (Mingone, "No arbitrage global parametrization for the eSSVI volatility surface",
  arXiv 2204.00312, proposition 3.1)

The last of these, psi <= psi' theta / theta', is far from necessary where theta is much larger
than theta': options that expire today, whose few quotes say little about psi', would bend the smile
of a month. So a slice is fitted without it first, and with it only if prices on a grid show a
calendar spread.

The conditions on calendar spreads can be met only where p psi' also keeps within those on
butterflies; elsewhere the slice keeps the latter alone. So whether a surface is free of arbitrage
is told by prices on a grid (`engine.features.surface`) and not by the conditions.

The search is Levenberg-Marquardt over all slices at once, on unbounded numbers x:
theta = p theta' + exp(x0), rho = tanh(x1), psi = low + (high - low) / (1 + exp(-x2)). One wrong
quote must not bend a smile: beyond _HUBER errors a residual counts linearly (Huber, 1964).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.features.black76 import Floats

_STEPS = 40
_HUBER = 2.0  # errors of a quote
_DIFFERENCE = 1e-5  # of x, for how theta, rho and psi follow it
_MOVES = np.concatenate([np.eye(3), -np.eye(3)]) * _DIFFERENCE  # up in each x, then down
_ENOUGH = 1e-6  # of the cost and of one squared error: where less can be gained the search ends
_FIRST_DAMPING = 1e-2
_HOPELESS = 1e8  # damping at which no step is better
_SKEW = 0.999  # the largest |rho|
_PULL = 0.02  # of an error, per unit of x: where quotes say nothing, x stays at its first guess
_SHARE = 8.0  # the largest |x2|: psi stays off its bounds by 0.03 % of their distance at least
_FIRST_RHO = -0.3


@dataclass(frozen=True)
class Slices:
    """Smiles by row: theta, rho, psi (all NaN without a smile), shape (n,)."""

    theta: Floats
    rho: Floats
    psi: Floats

    def total_variance(self, k: Floats) -> Floats:
        """Return w at k = ln(strike / forward), shape (n, m) for k of that shape or (m,)."""
        return _total_variance(k, self.theta[:, None], self.rho[:, None], self.psi[:, None])


def no_slices(count: int) -> Slices:
    """Return so many rows without a smile: all NaN."""
    nothing = np.full(count, np.nan)
    return Slices(nothing, nothing, nothing)


def fit_smiles(
    k: Floats,
    volatility: Floats,
    error: Floats,
    years: Floats,
    below: Slices | None = None,
    *,
    capped: bool = True,
) -> Slices:
    """Return the slice of each row that explains its quotes best, free of arbitrage.

    `k` is ln(strike / forward), `volatility` a fraction per year, `error` how far it may be off, in
    the same unit; all of shape (n, m), with an infinite error where a row has fewer quotes. `years`
    is the time to expiry, shape (n,). `below` are the slices of the same minutes one maturity
    earlier, NaN without one. A row without quotes or time gets no smile. With `capped` psi is also
    held below psi' theta / theta'.
    """
    fit = _Fit(k, volatility, error, years, below or no_slices(len(years)), capped=capped)
    return fit.search()


def _total_variance(k: Floats, theta: Floats, rho: Floats, psi: Floats) -> Floats:
    slope = psi * k
    root = np.sqrt(np.square(slope + rho * theta) + np.square(theta) * (1 - np.square(rho)))
    return np.asarray((theta + rho * slope + root) / 2)


class _Fit:
    """One search: the quotes of all rows, and what x means for each."""

    def __init__(
        self,
        k: Floats,
        volatility: Floats,
        error: Floats,
        years: Floats,
        below: Slices,
        *,
        capped: bool,
    ) -> None:
        self.capped = capped
        self.usable = (years > 0) & np.isfinite(error).any(axis=1)
        years = np.where(years > 0, years, 1.0)
        self.weight = np.where(np.isfinite(error), 1 / error, 0.0)
        self.k = np.where(self.weight > 0, k, 0.0)
        self.volatility = np.where(self.weight > 0, volatility, 0.0)
        self.root_years = np.sqrt(years)[:, None]
        self.known = np.isfinite(below.theta)
        self.before = Slices(
            np.where(self.known, below.theta, 0.0),
            np.where(self.known, below.rho, 0.0),
            np.where(self.known, below.psi, 0.0),
        )
        self.first = self._first_guess(years)

    def _first_guess(self, years: Floats) -> Floats:
        """Return x for the volatility near the money, a usual skew, and half of what psi may be.

        The skew is that of the slice before where there is one.
        """
        count = (self.weight > 0).sum(axis=1)
        width = np.where(count > 0, self.volatility.sum(axis=1), 1.0) / np.maximum(count, 1)
        width = width * np.sqrt(years)
        near = self.weight * np.exp(-np.square(self.k / width[:, None]) * 8)
        near += 1e-12 * (self.weight > 0)
        total = near.sum(axis=1)
        atm = np.where(total > 0, (near * self.volatility).sum(axis=1), 1.0)
        atm = np.square(atm / np.where(total > 0, total, 1.0)) * years
        x = np.zeros((len(years), 3))
        rho = np.where(self.known, self.before.rho, _FIRST_RHO)
        x[:, 1] = np.arctanh(np.clip(rho / _SKEW, -_SKEW, _SKEW))
        floor = self._ratio(rho) * self.before.theta
        x[:, 0] = np.log(np.maximum(atm - floor, 0.05 * atm))
        return x

    def take(self, rows: NDArray[np.bool_]) -> _Fit:
        """Return the search of some of the rows."""
        some = object.__new__(_Fit)
        some.capped = self.capped
        some.usable, some.known, some.first = self.usable[rows], self.known[rows], self.first[rows]
        some.weight, some.k = self.weight[rows], self.k[rows]
        some.volatility, some.root_years = self.volatility[rows], self.root_years[rows]
        before = self.before
        some.before = Slices(before.theta[rows], before.rho[rows], before.psi[rows])
        return some

    def _ratio(self, rho: Floats) -> Floats:
        """Return p, by how much theta and psi must at least grow from the slice before."""
        before = self.before.rho
        return np.maximum((1 + before) / (1 + rho), (1 - before) / (1 - rho))

    def slices(self, x: Floats) -> Slices:
        """Return what x means; x has shape (…, n, 3)."""
        rho = _SKEW * np.tanh(x[..., 1])
        ratio = self._ratio(rho)
        theta = ratio * self.before.theta + np.exp(np.minimum(np.maximum(x[..., 0], -40), 5))
        skew = 1 + np.abs(rho)
        high = np.minimum(4 / skew, 2 * np.sqrt(theta / skew))
        low = np.minimum(ratio * self.before.psi, high)
        if self.capped:
            one = np.where(self.known, self.before.theta, 1)
            flatter = np.where(self.known, self.before.psi * theta / one, np.inf)
            high = np.maximum(np.minimum(high, flatter), low)
        share = 1 / (1 + np.exp(-np.minimum(np.maximum(x[..., 2], -_SHARE), _SHARE)))
        return Slices(theta, rho, low + (high - low) * share)

    def search(self) -> Slices:
        """Return the best slices; NaN where there is nothing to fit."""
        found = self.first.copy()
        rows = np.flatnonzero(self.usable)
        fit = self.take(self.usable)
        x, damping = fit.first, np.full(len(rows), _FIRST_DAMPING)
        residuals, cost, root, now = fit.misfit(x)
        for _ in range(_STEPS):
            if not len(rows):
                break
            step, promised = fit.step(x, residuals, root, now, damping)
            tried = x + step
            new_residuals, new_cost, new_root, new_now = fit.misfit(tried)
            better = new_cost < cost
            # At the best place, rounding leaves no better step. A short step (much damped) promises
            # little anywhere, so its promise says nothing.
            promised = np.where(damping <= _FIRST_DAMPING, promised, np.inf)
            gain = np.where(better, cost - new_cost, promised)
            going = (gain > _ENOUGH * (1 + cost)) & (damping < _HOPELESS)
            keep = better[:, None]
            x = np.where(keep, tried, x)
            residuals = np.where(keep, new_residuals, residuals)
            root = np.where(keep, new_root, root)
            now = np.where(better, new_now, now)
            cost = np.where(better, new_cost, cost)
            damping = np.where(better, damping * 0.2, damping * 5)
            if not going.all():
                found[rows] = x
                rows, fit = rows[going], fit.take(going)
                x, damping, cost = x[going], damping[going], cost[going]
                residuals, root, now = residuals[going], root[going], now[:, going]
        found[rows] = x
        slices = self.slices(found)
        gone = ~self.usable
        return Slices(*(np.where(gone, np.nan, v) for v in (slices.theta, slices.rho, slices.psi)))

    def misfit(self, x: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        """Return model minus quote in errors of the quote, the cost, sqrt(w) of the model, slices.

        The cost, shape (n,), includes the pull on x; the next two have the shape of the quotes. The
        slices are theta, rho and psi, shape (3, n).
        """
        now = self.slices(x)
        root = np.sqrt(now.total_variance(self.k))
        residuals = (root / self.root_years - self.volatility) * self.weight
        size = np.abs(residuals)
        loss = np.where(size <= _HUBER, size * size / 2, _HUBER * (size - _HUBER / 2))
        pull = np.square((x - self.first) * _PULL).sum(axis=1) / 2
        return residuals, loss.sum(axis=1) + pull, root, np.stack([now.theta, now.rho, now.psi])

    def step(
        self, x: Floats, residuals: Floats, root: Floats, now: Floats, damping: Floats
    ) -> tuple[Floats, Floats]:
        """Return the next step of x, and by how much the cost would fall if all were quadratic."""
        slopes = np.matmul(self._slopes(now, root), self._moves(x))
        size = np.abs(residuals)
        huber = np.where(size <= _HUBER, 1.0, _HUBER / np.maximum(size, _HUBER))
        weighted = (slopes * huber[:, :, None]).transpose(0, 2, 1)
        normal = np.matmul(weighted, slopes) + np.eye(3) * _PULL**2
        target = np.matmul(weighted, residuals[:, :, None])[:, :, 0]
        target += (x - self.first) * _PULL**2
        scale = normal[:, range(3), range(3)]
        damped = normal + np.eye(3) * (damping[:, None] * scale + 1e-12)[:, :, None]
        step = -np.linalg.solve(damped, target[:, :, None])[:, :, 0]
        step = np.minimum(np.maximum(step, -2.0), 2.0)
        curved = np.matmul(normal, step[:, :, None])[:, :, 0]
        return step, -((target + curved / 2) * step).sum(axis=1)

    def _slopes(self, now: Floats, root: Floats) -> Floats:
        """Return how each residual follows theta, rho and psi; shape (n, m, 3)."""
        theta, rho, psi = now[:, :, None]
        slope = psi * self.k
        bend = np.sqrt(np.square(slope + rho * theta) + np.square(theta) * (1 - np.square(rho)))
        by = self.weight / (4 * self.root_years * root)
        out = np.empty((*self.k.shape, 3))
        out[..., 0] = (1 + (theta + rho * slope) / bend) * by
        out[..., 1] = slope * (1 + theta / bend) * by
        out[..., 2] = self.k * (rho + (slope + rho * theta) / bend) * by
        return out

    def _moves(self, x: Floats) -> Floats:
        """Return how theta, rho and psi follow x; shape (n, 3, 3), by central differences."""
        moved = self.slices(x + _MOVES[:, None, :])
        parts = (moved.theta, moved.rho, moved.psi)
        return np.stack([(part[:3] - part[3:]).T for part in parts], axis=1) / (2 * _DIFFERENCE)
