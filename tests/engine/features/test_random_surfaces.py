"""Random surfaces free of arbitrage, as boards with noise, holes, wrong and stale quotes.

Each is found again within the noise of its quotes, through all that a stored chain passes; what is
found has no butterfly and no calendar arbitrage on a grid of prices, computed here by other code;
and no maturity is left out without a word.
"""

from __future__ import annotations

from datetime import datetime

import numpy as np
import polars as pl
from scipy.stats import norm

from engine.features.black76 import RATE, Floats
from engine.features.surface import option_smiles
from tests.databases import LONG
from tests.engine.features.prepared import with_greeks

COUNT = 10_000 if LONG else 200
STRIKES = np.arange(800.0, 1325.0, 12.5)
FORWARD = 1060.0
DAYS = (9.2, 37.2, 72.2)  # of the maturities
MOMENT = datetime(2026, 11, 2, 10, 31)


def parameters(rng: np.random.Generator) -> list[tuple[Floats, Floats, Floats]]:
    """Return theta, rho, psi of each maturity: no butterfly, no calendar arbitrage."""
    volatility = rng.uniform(0.12, 0.6, COUNT)
    rho = rng.uniform(-0.8, 0.3, COUNT)
    theta = volatility**2 * DAYS[0] / 365
    found = []
    psi = np.zeros(COUNT)
    for n, days in enumerate(DAYS):
        if n:
            before, earlier = rho, theta
            rho = np.clip(rho + rng.uniform(-0.05, 0.05, COUNT), -0.85, 0.4)
            up = np.maximum((1 + before) / (1 + rho), (1 - before) / (1 - rho))
            grown = days / DAYS[n - 1] * rng.uniform(0.7, 1.1, COUNT)
            theta = earlier * np.maximum(grown, up * 1.02)
            size = 1 + abs(rho)
            highest = np.minimum(4 / size, 2 * np.sqrt(theta / size))
            low, high = up * psi, np.minimum(psi * theta / earlier, highest)
            assert (low <= high).all()
            psi = low + (high - low) * rng.uniform(0.2, 0.9, COUNT)
        else:
            highest = np.minimum(4 / (1 + abs(rho)), 2 * np.sqrt(theta / (1 + abs(rho))))
            psi = highest * rng.uniform(0.1, 0.6, COUNT)
        found.append((theta, rho, psi))
    return found


def total_variance(k: Floats, theta: Floats, rho: Floats, psi: Floats) -> Floats:
    root = np.sqrt((psi * k + rho * theta) ** 2 + theta**2 * (1 - rho**2))
    return np.asarray((theta + rho * psi * k + root) / 2)


def call_price(k: Floats, variance: Floats) -> Floats:
    """Return undiscounted calls per point of the forward."""
    deviation = np.sqrt(variance)
    d1 = -k / deviation + deviation / 2
    return np.asarray(norm.cdf(d1) - np.exp(k) * norm.cdf(d1 - deviation))


def boards(rng: np.random.Generator, truth: list[tuple[Floats, Floats, Floats]]) -> pl.DataFrame:
    """Return the chains: a minute a surface, half a spread of noise, a third of the quotes gone."""
    minutes = np.arange(COUNT)
    parts = []
    k = np.log(STRIKES / FORWARD)[None, :]
    for n, (days, (theta, rho, psi)) in enumerate(zip(DAYS, truth, strict=True)):
        variance = total_variance(k, theta[:, None], rho[:, None], psi[:, None])
        calls = call_price(k, variance) * FORWARD * np.exp(-RATE * days / 365)
        puts = calls - (FORWARD - STRIKES) * np.exp(-RATE * days / 365)
        for side, fair in (("C", calls), ("P", puts)):
            tick = np.where(fair < 10, 0.01, 0.05)
            spread = np.maximum(2 * tick, 0.01 * fair)
            middle = fair + rng.uniform(-0.5, 0.5, fair.shape) * spread
            wrong = rng.random(fair.shape) < 0.02
            middle = np.where(wrong, middle * 1.2, middle)
            hole = (rng.random(fair.shape) < 0.3) | (middle < spread)
            stale = rng.random(fair.shape) < 0.1  # a price of an hour ago, without quotes
            parts.append(
                pl.DataFrame(
                    {
                        "timestamp": np.repeat(minutes, len(STRIKES)),
                        "underlying_symbol": f"{n}_KOSPI200",
                        "days": days,
                        "option_type": side,
                        "strike": np.tile(STRIKES, COUNT),
                        "price": np.where(
                            hole, np.nan, np.where(stale, fair * 1.3, middle)
                        ).ravel(),
                        "bid": np.where(hole | stale, np.nan, middle - spread / 2).ravel(),
                        "ask": np.where(hole | stale, np.nan, middle + spread / 2).ravel(),
                        "since": np.where(stale, 60, 0).ravel(),
                    }
                )
            )
    moment = pl.lit(MOMENT) + pl.duration(minutes=pl.col("timestamp"))
    return pl.concat(parts).select(
        moment.alias("timestamp"),
        *("underlying_symbol", "option_type", "strike"),
        pl.col("price", "bid", "ask").fill_nan(None),
        underlying=pl.lit("KOSPI200"),
        symbol=pl.lit("", pl.String),
        volume=pl.lit(5, pl.Int64),
        price_since=moment - pl.duration(minutes=pl.col("since")),
        quoted_at=moment,
        expiry=moment + pl.duration(seconds=(pl.col("days") * 86400).cast(pl.Int64)),
    )


def test_random_surfaces_are_found_again_and_none_fails_silently() -> None:
    rng = np.random.default_rng(11)
    truth = parameters(rng)
    smiles = option_smiles(with_greeks(boards(rng, truth)).collect())
    assert smiles.height == COUNT * len(DAYS), "each maturity of each minute has its row"
    assert smiles["quality"].is_in(["good", "sparse", "stale", "none"]).all()
    without = smiles["smile_theta"].is_null()
    assert (smiles["quality"].is_in(["stale", "none"]) == without).all()
    assert smiles.filter(quality="good").height >= 0.97 * smiles.height

    within = np.linspace(-1.5, 1.5, 13)
    wide = np.linspace(-5, 5, 101)
    earlier_price = None
    for n, (days, (theta, rho, psi)) in enumerate(zip(DAYS, truth, strict=True)):
        own = smiles.filter(underlying_symbol=f"{n}_KOSPI200").sort("timestamp")
        found = [own[f"smile_{name}"].to_numpy()[:, None] for name in ("theta", "rho", "psi")]
        deviation = np.sqrt(theta)[:, None]
        good = (own["quality"] == "good").to_numpy()
        true, ours = (
            np.sqrt(total_variance(within * deviation, *curve) * 365 / days)
            for curve in ((theta[:, None], rho[:, None], psi[:, None]), found)
        )
        off = (np.abs(ours - true) / true)[good]
        # Quotes are off by half a spread, 1 % of the price: a third to 1 % of the volatility.
        usual, worst = np.quantile(off.mean(axis=1), [0.5, 0.99])
        assert usual < 0.004
        assert worst < 0.02
        assert np.median(off[:, 6]) < 0.003, "at the money"

        strikes = wide * np.sqrt(found[0])
        price = call_price(strikes, total_variance(strikes, *found))
        slope = np.diff(price, axis=1) / np.diff(np.exp(strikes), axis=1)
        butterfly = (np.diff(slope, axis=1) < -1e-9).any(axis=1) | (slope > 1e-9).any(axis=1)
        named = own["arbitrage"].fill_null("").str.contains("butterfly").to_numpy()
        assert not (butterfly & ~named).any()
        if earlier_price is not None:
            before = call_price(strikes, total_variance(strikes, *earlier_price))
            crossed = (price < before - 1e-9).any(axis=1)
            told = own["arbitrage"].fill_null("").str.contains("calendar").to_numpy()
            assert not (crossed & ~told).any()
        earlier_price = found
    assert smiles["arbitrage"].is_not_null().mean() < 0.001  # type: ignore[operator]
