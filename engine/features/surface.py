"""The surface of a minute: one smile a maturity, fitted to what can be traded and proven on a grid.

A single option's volatility comes and goes with its quotes; a smile does not. What is read for a
whole maturity (at the money, wings, exposure) is read off the smile.

What is fitted, by strike: the out-of-the-money side, where its price is sound, not crossed and
fresh (`engine.features.forward.fresh_price`). How far a quote may be off, in volatility: half its
spread over its vega, at least half a tick's; a last price without both quotes counts as two ticks
wide, and twice as wide for each AGING minutes that it has stood. Sizes are not in a board's rows.

What comes out is proven, not believed: on a grid of strikes the prices of each smile must fall and
be convex in the strike, and may not be below those of the maturity before it (in the same distance
from their forwards). `arbitrage` names what fails.

| quality | means                                                                             |
|---------|-----------------------------------------------------------------------------------|
| good    | at least ENOUGH quotes, on both sides of the forward                              |
| sparse  | fewer, or on one side only                                                        |
| stale   | no fresh quote, though there are volatilities of old prices: no smile             |
| none    | nothing to fit: no forward, no time, no volatility                                |
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from statistics import NormalDist

import numpy as np
import polars as pl
from numpy.typing import NDArray

from engine.features.black76 import years
from engine.features.chain import IS_CALL, SNAPSHOT, is_crossed, is_sound, market_price
from engine.features.forward import fresh_price
from engine.features.smile import Floats, Slices, fit_smiles, no_slices

ENOUGH = 6  # quotes
AGING = timedelta(minutes=5)
SMILES = (
    *SNAPSHOT,
    *("forward", "years", "smile_theta", "smile_rho", "smile_psi", "atm_volatility"),
    *("risk_reversal_25d", "butterfly_25d", "error_points", "error_ticks"),
    *("quotes", "quality", "arbitrage", "fetched_at"),
)
_FINE, _COARSE, _FINE_BELOW = 0.01, 0.05, 10.0  # ticks of KOSPI200 options, and up to which price
_WIDEST_ERROR = 20.0  # volatility points: such a quote says nothing
_FARTHEST = 8.0  # from the forward, in standard deviations
_GRID = np.linspace(-6.0, 6.0, 121)  # in standard deviations at the money
_ROUNDING = 1e-12  # of the forward, in prices
_D1_OF_25 = NormalDist().inv_cdf(0.25)
_AT_A_TIME = 8192  # smiles, so that their arrays stay in the processor's cache
_ORDER = ("timestamp", "underlying", "expiry", "underlying_symbol")


@dataclass(frozen=True)
class _Quotes:
    """What is fitted: arrays of shape (smiles, quotes), an infinite error where there is none."""

    k: Floats
    volatility: Floats
    error: Floats
    tick_error: Floats  # a tick, in volatility


def option_smiles(chain: pl.DataFrame) -> pl.DataFrame:
    """Return SMILES of a chain `with_model_greeks`, sorted by time and underlying_symbol.

    Beside the columns of such a chain it needs `underlying`, the name of what the options are on:
    maturities with one name are held free of calendar arbitrage against each other.
    """
    smiles = _smiles(chain)
    quotes = _quotes(chain, smiles)
    theta, rho, psi = np.full((3, smiles.height), np.nan)
    years_left, firsts = smiles["years"].to_numpy(), smiles["first"].to_numpy()
    before = np.full(smiles.height, -1)
    levels = smiles["level"].to_numpy()
    for level in range(levels.max(initial=-1) + 1):
        of_level = np.flatnonzero(levels == level)
        before[of_level] = _before(of_level, theta, before, firsts)
        for rows in _pieces(of_level):
            found = fit_smiles(
                quotes.k[rows],
                quotes.volatility[rows],
                quotes.error[rows],
                years_left[rows],
                _rows(Slices(theta, rho, psi), before[rows]),
            )
            theta[rows], rho[rows], psi[rows] = found.theta, found.rho, found.psi
    return _table(smiles, Slices(theta, rho, psi), quotes, before)


def volatility_of_smile() -> pl.Expr:
    """Return the smile's volatility at each `strike`, % per year.

    For rows with the columns smile_theta, smile_rho, smile_psi and years of their SMILES.
    """
    theta, rho, psi = pl.col("smile_theta"), pl.col("smile_rho"), pl.col("smile_psi")
    slope = psi * (pl.col("strike") / pl.col("forward")).log()
    skewed = slope + rho * theta
    root = (skewed * skewed + theta * theta * (1 - rho * rho)).sqrt()
    variance = (theta + rho * slope + root) * 0.5
    return pl.when(pl.col("years") > 0).then((variance / pl.col("years")).sqrt() * 100)


def _smiles(chain: pl.DataFrame) -> pl.DataFrame:
    """Return one row a smile, of a minute's maturities one after the other."""
    known = pl.col("model_iv").is_not_null()
    return (
        chain.lazy()
        .group_by(SNAPSHOT)
        .agg(
            pl.col("underlying", "expiry", "forward").first(),
            pl.col("fetched_at").max(),
            has_volatilities=known.any(),
        )
        .with_columns(years=years().fill_null(0.0))
        .sort(_ORDER)
        .with_columns(
            level=pl.int_range(pl.len()).over("timestamp", "underlying"),
            row=pl.int_range(pl.len()),
        )
        .with_columns(first=pl.col("row") - pl.col("level"))
        .collect()
    )


def _quotes(chain: pl.DataFrame, smiles: pl.DataFrame) -> _Quotes:
    """Return what is fitted for each row of the smiles."""
    strike, forward, vega = pl.col("strike"), pl.col("forward"), pl.col("model_vega")
    bid, ask = (pl.when(pl.col(name) > 0).then(pl.col(name)) for name in ("bid", "ask"))
    value, age = fresh_price(), pl.col("timestamp") - pl.col("price_since")
    tick = pl.when(value < _FINE_BELOW).then(_FINE).otherwise(_COARSE)
    minutes_old = (age / AGING).fill_null(0.0).clip(lower_bound=0.0)
    spread = pl.coalesce(ask - bid, 2 * tick * (minutes_old * math.log(2)).exp())
    out_of_the_money = pl.when(IS_CALL).then(strike >= forward).otherwise(strike < forward)
    deviation = pl.col("model_iv") / 100 * years().sqrt()
    rows = (
        chain.lazy()
        .filter(is_sound() & ~is_crossed() & out_of_the_money)
        .select(
            *SNAPSHOT,
            k=(strike / forward).log(),
            deviation=deviation,
            # A last price may be moved by up to half a spread: vega carries the volatility along.
            volatility=pl.col("model_iv") + (value - market_price()) / vega,
            error=pl.max_horizontal(spread / 2, tick / 2) / vega,
            tick=tick / vega,
        )
        .filter(
            pl.all_horizontal(pl.all().exclude(SNAPSHOT).is_finite()),
            pl.col("error") <= _WIDEST_ERROR,
            pl.col("volatility") > 0,
            pl.col("k").abs() <= _FARTHEST * pl.col("deviation"),
        )
        .join(smiles.lazy().select(*SNAPSHOT, "row"), on=SNAPSHOT)
        .sort("row", "k")
        .with_columns(place=pl.int_range(pl.len()).over("row"))
        .collect()
    )
    at = rows["row"].to_numpy(), rows["place"].to_numpy()
    shape = (smiles.height, at[1].max(initial=0) + 1)
    k, volatility, tick_error = np.zeros((3, *shape))
    error = np.full(shape, np.inf)
    k[at] = rows["k"].to_numpy()
    volatility[at] = rows["volatility"].to_numpy() / 100
    error[at] = rows["error"].to_numpy() / 100
    tick_error[at] = rows["tick"].to_numpy() / 100
    return _Quotes(k, volatility, error, tick_error)


def _pieces(rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    return [rows[start : start + _AT_A_TIME] for start in range(0, len(rows), _AT_A_TIME)]


def _before(
    rows: NDArray[np.int64], theta: Floats, before: NDArray[np.int64], first: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the row of the nearest earlier maturity with a smile in the same minute, or -1."""
    previous = np.maximum(rows - 1, 0)
    nearest = np.where(np.isfinite(theta[previous]), previous, before[previous])
    return np.where(rows > first[rows], nearest, -1)


def _rows(slices: Slices, rows: NDArray[np.int64]) -> Slices:
    """Return the slices of these rows, nothing for row -1."""
    if not len(rows):
        return no_slices(0)
    parts = (np.where(rows >= 0, v[rows], np.nan) for v in (slices.theta, slices.rho, slices.psi))
    return Slices(*parts)


def _arbitrage(found: Slices, earlier: Slices) -> NDArray[np.bool_]:
    """Return, shape (2, n): is there butterfly arbitrage, is there calendar arbitrage."""
    k = _GRID[None, :] * np.sqrt(np.where(found.theta > 0, found.theta, 1.0))[:, None]
    price = _price(k, found.total_variance(k))
    slope = np.diff(price, axis=1) / np.diff(np.exp(k), axis=1)
    bends = np.diff(slope, axis=1) * np.diff(np.exp(k), axis=1)[:, 1:]
    butterfly = (bends < -_ROUNDING).any(axis=1) | (slope > _ROUNDING).any(axis=1)
    butterfly |= (slope < -1 - 1e-9).any(axis=1)
    calendar = (price < _price(k, earlier.total_variance(k)) - _ROUNDING).any(axis=1)
    return np.stack([butterfly, calendar])


def _price(k: Floats, variance: Floats) -> Floats:
    """Return undiscounted prices of calls per point of the forward (Black, 1976)."""
    deviation = np.sqrt(variance)
    d1 = -k / deviation + deviation / 2
    return np.asarray(_cdf(d1) - np.exp(k) * _cdf(d1 - deviation))


def _cdf(x: Floats) -> Floats:
    """Return the standard normal distribution function; NumPy has none."""
    flat = pl.Series(x.ravel()) * -math.sqrt(0.5)
    return (
        flat.to_frame("x").select(pl.col("x").erfc() * 0.5).to_series().to_numpy().reshape(x.shape)
    )


def _wing(slices: Slices, side: int) -> Floats:
    """Return total variance where the undiscounted delta is 0.25: of calls (1) or puts (-1)."""
    k = np.zeros_like(slices.theta)[:, None]
    for _ in range(40):  # each halves the distance at least
        deviation = np.sqrt(slices.total_variance(k))
        k = 0.5 * k + 0.5 * (np.square(deviation) / 2 - side * _D1_OF_25 * deviation)
    return np.asarray(slices.total_variance(k)[:, 0])


def _table(
    smiles: pl.DataFrame, found: Slices, quotes: _Quotes, before: NDArray[np.int64]
) -> pl.DataFrame:
    """Return SMILES; `before` is the row of the maturity that each was held against, or -1."""
    arbitrage = np.zeros((2, smiles.height), dtype=bool)
    for rows in _pieces(np.arange(smiles.height)):
        arbitrage[:, rows] = _arbitrage(_rows(found, rows), _rows(found, before[rows]))
    used = np.isfinite(quotes.error)
    count = used.sum(axis=1)
    time = np.where(smiles["years"].to_numpy() > 0, smiles["years"].to_numpy(), np.nan)
    model = np.sqrt(found.total_variance(quotes.k) / time[:, None])
    weight = np.where(used, 1 / quotes.error, 0.0)
    total = np.where(count > 0, weight.sum(axis=1), np.nan)
    off = np.where(used, model - quotes.volatility, 0.0)
    ticks = np.where(used, off / np.where(used, quotes.tick_error, 1.0), 0.0)
    left, right = ((used & side).any(axis=1) for side in (quotes.k < 0, quotes.k >= 0))
    atm, calls, puts = (
        np.sqrt(v / time) * 100 for v in (found.theta, _wing(found, 1), _wing(found, -1))
    )
    columns = {
        "smile_theta": found.theta,
        "smile_rho": found.rho,
        "smile_psi": found.psi,
        "atm_volatility": np.sqrt(found.total_variance(np.zeros((len(time), 1)))[:, 0] / time)
        * 100,
        "risk_reversal_25d": calls - puts,
        "butterfly_25d": (calls + puts) / 2 - atm,
        "error_points": np.sqrt((weight * np.square(off)).sum(axis=1) / total) * 100,
        "error_ticks": np.sqrt((weight * np.square(ticks)).sum(axis=1) / total),
    }
    has_smile = pl.col("smile_theta").is_not_null()
    whole = (pl.col("quotes") >= ENOUGH) & pl.col("both_sides")
    failing = pl.concat_str(
        pl.when("butterfly").then(pl.lit("butterfly")),
        pl.when("calendar").then(pl.lit("calendar")),
        separator=",",
        ignore_nulls=True,
    )
    return (
        smiles.with_columns(
            *(pl.Series(name, value, nan_to_null=True) for name, value in columns.items()),
            pl.Series("quotes", count),
            pl.Series("both_sides", left & right),
            pl.Series("butterfly", arbitrage[0]),
            pl.Series("calendar", arbitrage[1]),
        )
        .with_columns(
            quality=pl.when(has_smile & whole)
            .then(pl.lit("good"))
            .when(has_smile)
            .then(pl.lit("sparse"))
            .when("has_volatilities")
            .then(pl.lit("stale"))
            .otherwise(pl.lit("none")),
            arbitrage=pl.when(failing != "").then(failing),
        )
        .select(SMILES)
        .sort(SNAPSHOT)
    )
