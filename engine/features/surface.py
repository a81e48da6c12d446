"""The surface of a minute: one smile for each maturity, fitted to quotes and checked on a grid.

A single option's volatility comes and goes with its quotes; a smile does not. What is read for a
whole maturity (at the money, wings, exposure) is read off the smile.

What is fitted is in `engine.features.quotes`, how in `engine.features.smile`.

Every smile is checked on a grid of strikes: its call prices must fall and be convex in the strike,
and may not be below those of the maturity before it at the same distance from the forward.
`arbitrage` names what fails (butterfly, calendar).

| quality | means                                                                             |
|---------|-----------------------------------------------------------------------------------|
| good    | at least ENOUGH quotes, on both sides of the forward; half of them within         |
|         | FARTHEST errors of the smile                                                      |
| sparse  | fewer, or on one side only, or they contradict each other                         |
| stale   | no fresh quote, though there are volatilities of old prices: no smile             |
| none    | nothing to fit: no forward, no time, no volatility                                |
"""

from __future__ import annotations

from functools import cache
from statistics import NormalDist

import numpy as np
import polars as pl
from numpy.typing import NDArray

from engine.features.black76 import Floats, normal_cdf, years
from engine.features.chain import SNAPSHOT, collect
from engine.features.quotes import Quotes, smile_quotes
from engine.features.smile import Slices, fit_smiles, no_slices
from engine.features.strip import swap_volatility
from engine.features.term import WINGS, expected_moves

ENOUGH = 6  # quotes
FARTHEST = 5.0  # errors of a quote
SMILES = (
    *SNAPSHOT,
    *("underlying", "cycle", "forward", "years", "smile_theta", "smile_rho", "smile_psi"),
    *("atm_volatility", *WINGS, "risk_reversal_25d", "butterfly_25d", "risk_reversal_10d"),
    *("butterfly_10d", "swap_volatility", "expected_move_close", "expected_move_expiry"),
    *("error_points", "error_ticks", "quotes", "quality", "arbitrage", "fetched_at"),
)
_GRID = np.linspace(-6.0, 6.0, 121)  # in standard deviations at the money
_ROUNDING = 1e-12  # of the forward, in prices
_DELTAS = {"25d": 0.25, "10d": 0.10}  # by the ending of WINGS, whose order _D1 has
_D1 = np.array([side * NormalDist().inv_cdf(d) for d in _DELTAS.values() for side in (1, -1)])
_AT_A_TIME = 8192  # smiles, so that their arrays stay in the processor's cache
_ORDER = ("timestamp", "underlying", "expiry", "underlying_symbol")


def option_smiles(chain: pl.DataFrame) -> pl.DataFrame:
    """Return SMILES of a chain `with_model_greeks`, sorted by time and underlying_symbol.

    Beside the columns of such a chain it needs `underlying`, the name of what the options are on:
    maturities with one name are held free of calendar arbitrage against each other.
    """
    smiles = _smiles(chain)
    quotes = smile_quotes(chain, smiles)
    theta, rho, psi = np.full((3, smiles.height), np.nan)
    years_left, firsts = smiles["years"].to_numpy(), smiles["first"].to_numpy()
    before = np.full(smiles.height, -1)
    arbitrage = np.zeros((2, smiles.height), dtype=bool)
    levels = smiles["level"].to_numpy()
    for level in range(levels.max(initial=-1) + 1):
        of_level = np.flatnonzero(levels == level)
        before[of_level] = _before(of_level, theta, before, firsts, years_left)
        for rows in _pieces(of_level):
            arbitrage[1, rows] = True
            for capped in (False, True):
                open_rows = rows[arbitrage[1, rows]]
                if not len(open_rows):
                    break
                earlier = _rows(Slices(theta, rho, psi), before[open_rows])
                found = fit_smiles(
                    quotes.k[open_rows],
                    quotes.volatility[open_rows],
                    quotes.error[open_rows],
                    years_left[open_rows],
                    earlier,
                    capped=capped,
                )
                theta[open_rows], rho[open_rows], psi[open_rows] = found.theta, found.rho, found.psi
                arbitrage[:, open_rows] = _arbitrage(found, earlier)
    return _table(smiles, Slices(theta, rho, psi), quotes, arbitrage)


@cache
def volatility_of_smile() -> pl.Expr:
    """Return the smile's volatility at each `strike`, % per year.

    For rows with strike, forward, and smile_theta, smile_rho, smile_psi and years of their smile.
    """
    theta, rho, psi = pl.col("smile_theta"), pl.col("smile_rho"), pl.col("smile_psi")
    slope = psi * (pl.col("strike") / pl.col("forward")).log()
    skewed = slope + rho * theta
    root = (skewed * skewed + theta * theta * (1 - rho * rho)).sqrt()
    variance = (theta + rho * slope + root) * 0.5
    return pl.when(pl.col("years") > 0).then((variance / pl.col("years")).sqrt() * 100)


def _smiles(chain: pl.DataFrame) -> pl.DataFrame:
    """Return one row for each minute and maturity, a minute's maturities by their expiry.

    `row` is the row's number, `first` that of the minute's first maturity, `level` the difference.
    """
    return (
        chain.lazy()
        .group_by(SNAPSHOT)
        .agg(_of_maturity())
        .with_columns(_years_left())
        .sort(_ORDER)
        .with_columns(_places())
        .with_columns(first=pl.col("row") - pl.col("level"))
        .pipe(collect)
    )


@cache
def _of_maturity() -> tuple[pl.Expr, ...]:
    """Return what a smile has of its maturity's rows."""
    return (
        pl.col("underlying", "cycle", "expiry", "forward").first(),
        pl.col("trading_to_close", "trading_to_expiry").first(),
        pl.col("fetched_at").max(),
        pl.col("model_iv").is_not_null().any().alias("has_volatilities"),
    )


@cache
def _years_left() -> pl.Expr:
    return years().fill_null(0.0).alias("years")


@cache
def _places() -> tuple[pl.Expr, pl.Expr]:
    number = pl.int_range(pl.len())
    return number.over("timestamp", "underlying").alias("level"), number.alias("row")


def _pieces(rows: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    return [rows[start : start + _AT_A_TIME] for start in range(0, len(rows), _AT_A_TIME)]


def _before(
    rows: NDArray[np.int64],
    theta: Floats,
    before: NDArray[np.int64],
    first: NDArray[np.int64],
    years_left: Floats,
) -> NDArray[np.int64]:
    """Return the row of the last maturity before it that has a smile and ends earlier, or -1.

    Within the same minute; of two series that end on one day neither binds the other.
    """
    previous = np.maximum(rows - 1, 0)
    is_earlier = np.isfinite(theta[previous]) & (years_left[previous] < years_left[rows])
    nearest = np.where(is_earlier, previous, before[previous])
    return np.where(rows > first[rows], nearest, -1)


def _rows(slices: Slices, rows: NDArray[np.int64]) -> Slices:
    """Return the slices of these rows, NaN for row -1."""
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
    return np.asarray(normal_cdf(d1) - np.exp(k) * normal_cdf(d1 - deviation))


def _wings(slices: Slices) -> Floats:
    """Return total variance at the undiscounted deltas of WINGS, shape (n, wings)."""
    k = np.zeros((len(slices.theta), len(WINGS)))
    for _ in range(40):  # each halves the distance at least
        variance = slices.total_variance(k)
        k = 0.5 * k + 0.5 * (variance / 2 - _D1 * np.sqrt(variance))
    return slices.total_variance(k)


def _volatilities(slices: Slices, time: Floats) -> dict[str, Floats]:
    """Return atm_volatility, WINGS and what follows from them, % per year; `time` in years."""
    named = {"atm_volatility": slices.total_variance(np.zeros((len(time), 1)))[:, 0]}
    named |= dict(zip(WINGS, _wings(slices).T, strict=True))
    found = {name: np.sqrt(variance / time) * 100 for name, variance in named.items()}
    for name in _DELTAS:
        calls, puts = found[f"call_{name}"], found[f"put_{name}"]
        found[f"risk_reversal_{name}"] = calls - puts
        found[f"butterfly_{name}"] = (calls + puts) / 2 - found["atm_volatility"]
    return found


def _table(
    smiles: pl.DataFrame, found: Slices, quotes: Quotes, arbitrage: NDArray[np.bool_]
) -> pl.DataFrame:
    """Return SMILES; `arbitrage`, shape (2, n), says which have butterfly, calendar arbitrage."""
    used = np.isfinite(quotes.error)
    count = used.sum(axis=1)
    time = np.where(smiles["years"].to_numpy() > 0, smiles["years"].to_numpy(), np.nan)
    model = np.sqrt(found.total_variance(quotes.k) / time[:, None])
    weight = np.where(used, 1 / quotes.error, 0.0)
    total = np.where(count > 0, weight.sum(axis=1), np.nan)
    off = np.where(used, model - quotes.volatility, 0.0)
    ticks = np.where(used, off / np.where(used, quotes.tick_error, 1.0), 0.0)
    agreeing = 2 * (np.abs(off) * weight > FARTHEST).sum(axis=1) <= count
    left, right = ((used & side).any(axis=1) for side in (quotes.k < 0, quotes.k >= 0))
    columns = {
        **_volatilities(found, time),
        "swap_volatility": swap_volatility(found, smiles["forward"].to_numpy(), time),
        "smile_theta": found.theta,
        "smile_rho": found.rho,
        "smile_psi": found.psi,
        "error_points": np.sqrt((weight * np.square(off)).sum(axis=1) / total) * 100,
        "error_ticks": np.sqrt((weight * np.square(ticks)).sum(axis=1) / total),
        "quotes": count,
        "both_sides": left & right,
        "agreeing": agreeing,
        "butterfly": arbitrage[0],
        "calendar": arbitrage[1],
    }
    return collect(
        smiles.hstack(pl.DataFrame(columns, nan_to_null=True))
        .lazy()
        .with_columns(*_judgement(), *expected_moves())
        .select(SMILES)
        .sort(SNAPSHOT)
    )


@cache
def _judgement() -> tuple[pl.Expr, pl.Expr]:
    """Return `quality` and `arbitrage`."""
    has_smile = pl.col("smile_theta").is_not_null()
    whole = (pl.col("quotes") >= ENOUGH) & pl.col("both_sides") & pl.col("agreeing")
    quality = (
        pl.when(has_smile & whole)
        .then(pl.lit("good"))
        .when(has_smile)
        .then(pl.lit("sparse"))
        .when("has_volatilities")
        .then(pl.lit("stale"))
        .otherwise(pl.lit("none"))
    )
    failing = pl.concat_str(
        pl.when("butterfly").then(pl.lit("butterfly")),
        pl.when("calendar").then(pl.lit("calendar")),
        separator=",",
        ignore_nulls=True,
    )
    return quality.alias("quality"), pl.when(failing != "").then(failing).alias("arbitrage")
