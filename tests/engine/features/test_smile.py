"""Smiles of random surfaces, with noise, holes and wrong quotes: found again, free of arbitrage."""

from __future__ import annotations

import numpy as np
import pytest
from vollib.black import black

from engine.features.black76 import Floats
from engine.features.smile import Slices, fit_smiles
from engine.features.surface import _arbitrage, _price
from tests.databases import LONG

COUNT = 10_000 if LONG else 1_000
QUOTES = 41
NOISE = 0.003  # of a volatility: 0.3 points


def random_slices(rng: np.random.Generator, before: Slices | None = None) -> Slices:
    """Return slices within the conditions, over those before them if there are any."""
    if before is None:
        rho = rng.uniform(-0.85, 0.5, COUNT)
        theta, low, flatter = rng.uniform(0.001, 0.04, COUNT), 0.0, np.inf
    else:
        rho = np.clip(before.rho + rng.uniform(-0.1, 0.1, COUNT), -0.9, 0.9)
        up = np.maximum((1 + before.rho) / (1 + rho), (1 - before.rho) / (1 - rho))
        theta = before.theta * up * rng.uniform(1.05, 2.5, COUNT)
        low, flatter = up * before.psi, before.psi * theta / before.theta
    size = 1 + np.abs(rho)
    high = np.minimum(np.minimum(4 / size, 2 * np.sqrt(theta / size)), flatter)
    assert (low <= high).all()
    return Slices(theta, rho, low + (high - low) * (0.6 if before is None else 0.5))


def quotes(slices: Slices) -> tuple[Floats, Floats]:
    """Return k and volatility * sqrt(years) within three standard deviations."""
    k = np.linspace(-3, 3, QUOTES)[None, :] * np.sqrt(slices.theta)[:, None]
    return k, np.sqrt(slices.total_variance(k))


def off(found: Slices, truth: Slices, years: Floats) -> Floats:
    """Return by how much volatilities differ within two standard deviations, shape (n, m)."""
    k = np.linspace(-2, 2, 31)[None, :] * np.sqrt(truth.theta)[:, None]
    difference = np.sqrt(found.total_variance(k)) - np.sqrt(truth.total_variance(k))
    return np.abs(difference) / np.sqrt(years)[:, None]


def test_the_price_of_a_slice_is_that_of_independent_code() -> None:
    """Total variance means what Black-76 takes: the grid's prices are vollib's."""
    slices = Slices(np.array([0.01]), np.array([-0.4]), np.array([0.1]))
    k = np.linspace(-0.3, 0.3, 7)
    variance = slices.total_variance(k)[0]
    ours = _price(k[None, :], variance[None, :])[0]
    theirs = [
        black("c", 1.0, float(np.exp(x)), 1.0, 0.0, float(np.sqrt(w)))
        for x, w in zip(k, variance, strict=True)
    ]
    assert ours == pytest.approx(theirs, abs=1e-12)


def test_exact_quotes_give_the_surface_back() -> None:
    rng = np.random.default_rng(1)
    first = random_slices(rng)
    second = random_slices(rng, first)
    years = np.full(COUNT, 0.05)
    before = None
    for truth in (first, second):
        k, deviation = quotes(truth)
        volatility = deviation / np.sqrt(years)[:, None]
        found = fit_smiles(k, volatility, np.full(k.shape, 1e-4), years, before)
        assert not _arbitrage(found, before or Slices(*np.full((3, COUNT), np.nan))).any()
        assert np.quantile(off(found, truth, years).max(axis=1), 0.99) < 1e-3
        before = found


def test_noise_holes_and_wrong_quotes_give_it_back_within_the_noise() -> None:
    rng = np.random.default_rng(2)
    truth = random_slices(rng)
    years = rng.uniform(0.003, 0.5, COUNT)
    k, deviation = quotes(truth)
    volatility = deviation / np.sqrt(years)[:, None]
    relative = NOISE / 0.3 * volatility.mean(axis=1, keepdims=True)
    noisy = volatility + relative * rng.standard_normal(k.shape)
    error = np.where(rng.random(k.shape) < 0.3, np.inf, relative)  # holes
    wrong = rng.random(k.shape) < 0.03  # prices of an hour ago
    noisy = np.where(wrong, noisy * 1.2, noisy)
    found = fit_smiles(k, noisy, np.broadcast_to(error, k.shape), years)
    assert np.isfinite(found.theta).all(), "none fails silently"
    assert not _arbitrage(found, Slices(*np.full((3, COUNT), np.nan))).any()
    worst = off(found, truth, years) / relative
    assert np.quantile(worst.mean(axis=1), [0.5, 0.99]) == pytest.approx([0.35, 1.0], abs=0.4)
    assert np.median(worst.max(axis=1)) < 1.5


def test_a_later_maturity_never_crosses_the_earlier_even_if_its_quotes_do() -> None:
    rng = np.random.default_rng(3)
    first = random_slices(rng)
    years = np.full(COUNT, 0.05)
    k, deviation = quotes(first)
    lower = deviation * rng.uniform(0.9, 1.0, (COUNT, 1)) / np.sqrt(years)[:, None]
    found = fit_smiles(k, lower, np.full(k.shape, 1e-3), years, first)
    assert not _arbitrage(found, first).any()


def test_the_grid_finds_arbitrage_where_there_is_some() -> None:
    """What the conditions forbid: too steep wings, and a later maturity below an earlier."""
    nothing = Slices(*np.full((3, 1), np.nan))
    steep = Slices(np.array([0.01]), np.array([-0.9]), np.array([0.9]))
    assert _arbitrage(steep, nothing)[:, 0].tolist() == [True, False]
    low = Slices(np.array([0.01]), np.array([0.0]), np.array([0.05]))
    high = Slices(np.array([0.02]), np.array([0.0]), np.array([0.05]))
    assert _arbitrage(low, high)[:, 0].tolist() == [False, True]


def test_a_row_without_quotes_or_time_has_no_smile_and_the_others_have() -> None:
    k = np.zeros((3, 5)) + np.linspace(-0.1, 0.1, 5)
    error = np.full(k.shape, 0.01)
    error[1] = np.inf
    found = fit_smiles(k, np.full(k.shape, 0.3), error, np.array([0.1, 0.1, 0.0]))
    assert np.isfinite(found.theta).tolist() == [True, False, False]
    assert np.sqrt(found.theta[0] / 0.1) == pytest.approx(0.3, abs=1e-3)
    assert fit_smiles(k[:0], k[:0], k[:0], np.zeros(0)).theta.shape == (0,)
